"""Manifests, indexes and configs."""

import json

import pytest

from minidock.errors import MinidockError
from minidock.oci import media_types
from minidock.oci.descriptor import Descriptor, InvalidDocument, Platform
from minidock.oci.digest import DiffID, InvalidDigest, chain_ids, digest_of, parse_digest
from minidock.oci.image import Image
from minidock.oci.manifest import Index, Manifest, UnsupportedManifest, parse_manifest

BLOB = {"mediaType": media_types.OCI_LAYER_GZIP, "digest": digest_of(b"x"), "size": 1}
CONFIG = {"mediaType": media_types.OCI_CONFIG, "digest": digest_of(b"c"), "size": 1}


def manifest(**changes: object) -> bytes:
    fields = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": CONFIG,
        "layers": [BLOB],
    }
    return json.dumps(fields | changes).encode()


def test_manifest_round_trips() -> None:
    """A manifest that is written and read again is the same."""
    parsed = parse_manifest(manifest(), media_types.OCI_MANIFEST)
    assert isinstance(parsed, Manifest)
    assert parse_manifest(parsed.to_json(), "") == parsed


@pytest.mark.parametrize(
    ("raw", "content_type"),
    [
        (manifest(manifests=[]), media_types.OCI_MANIFEST),
        (manifest(), media_types.OCI_INDEX),
        (manifest(layers=[BLOB] * 128), ""),
        (manifest(layers=[BLOB | {"size": -1}]), ""),
        (manifest(layers=[BLOB | {"size": 2**63}]), ""),
        (manifest(layers=[BLOB | {"digest": "sha256:../../x"}]), ""),
        (manifest(layers=[BLOB | {"digest": "md5:" + "a" * 32}]), ""),
        (manifest(layers="x"), ""),
        (manifest(config=None), ""),
        (b"[" * 200_000, media_types.OCI_MANIFEST),
        (b"{", media_types.OCI_MANIFEST),
        (b"\xff\xfe", media_types.OCI_MANIFEST),
        (b" " * (5 << 20), media_types.OCI_MANIFEST),
    ],
)
def test_hostile_manifest_is_invalid(raw: bytes, content_type: str) -> None:
    """Confused, oversized and malformed manifests raise InvalidDocument and nothing else."""
    with pytest.raises(InvalidDocument):
        parse_manifest(raw, content_type)


@pytest.mark.parametrize(
    "raw", [b'{"schemaVersion":1,"fsLayers":[]}', manifest(mediaType="application/x-thing")]
)
def test_foreign_manifest_is_unsupported(raw: bytes) -> None:
    """Schema 1 and unknown media types are refused as such."""
    with pytest.raises(UnsupportedManifest):
        parse_manifest(raw, "")


def test_index_selects_by_platform() -> None:
    """arm64 without a variant is arm64/v8, and a foreign platform finds nothing."""
    entries = [
        Descriptor(media_types.OCI_MANIFEST, digest_of(arch.encode()), 1, {}, platform)
        for arch, platform in (
            ("amd64", Platform("linux", "amd64")),
            ("arm64", Platform("linux", "arm64")),
        )
    ]
    index = Index(media_types.OCI_INDEX, tuple(entries))
    assert index.select(Platform("linux", "arm64", "v8")) == entries[1]
    assert index.select(Platform("linux", "amd64")) == entries[0]
    assert index.select(Platform("linux", "s390x")) is None


def test_image_keeps_keys_it_does_not_know() -> None:
    """Commit and push lose nothing that a newer specification added."""
    raw = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "os.features": ["x"],
            "config": {"Env": ["A=1"], "Healthcheck": {"Test": ["NONE"]}},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(b"l")]},
            "history": [{"created_by": "x", "empty_layer": True}],
        }
    ).encode()
    image = Image.from_json(raw)
    again = json.loads(image.to_json())
    assert again["os.features"] == ["x"]
    assert again["config"]["Healthcheck"] == {"Test": ["NONE"]}
    assert Image.from_json(image.to_json()) == image


@pytest.mark.parametrize(
    "raw",
    [
        b"null",
        b'{"rootfs":{"diff_ids":["x"]}}',
        b'{"config":{"Env":"A=1"}}',
        b'{"config":{"Env":[1]}}',
        b'{"history":[3]}',
        b'{"config":[]}',
    ],
)
def test_hostile_config_raises_only_our_errors(raw: bytes) -> None:
    """A config of the wrong shape is an error with a message, never a Python one."""
    if raw == b'{"config":[]}':  # falsy values count as absent, as Go reads them
        assert Image.from_json(raw).config.env == ()
        return
    with pytest.raises(MinidockError):
        Image.from_json(raw)


def test_chain_id_of_two_layers() -> None:
    """The chain id is the digest of the parent's chain id, a space and the diff_id."""
    first, second = DiffID(digest_of(b"1")), DiffID(digest_of(b"2"))
    assert chain_ids((first, second)) == (first, digest_of(f"{first} {second}".encode()))


@pytest.mark.parametrize(
    "text", ["sha256:" + "A" * 64, "sha256:12", "", None, 3, "sha512:" + "a" * 128]
)
def test_only_sha256_is_a_digest(text: object) -> None:
    """Upper case, other lengths and other algorithms are refused."""
    with pytest.raises(InvalidDigest):
        parse_digest(text)
