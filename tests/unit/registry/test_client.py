# SPDX-License-Identifier: Apache-2.0
"""Pulling from a registry that behaves, and from one that does not."""

import json

import pytest

from minidock.config import RegistrySettings
from minidock.errors import (
    DataCorrupted,
    MinidockError,
    NotFound,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from minidock.oci.content import Reader, SizeMismatch, VerifiedReader
from minidock.oci.descriptor import Descriptor, InvalidDocument, Platform
from minidock.oci.digest import Digest, DigestMismatch
from minidock.oci.manifest import Index, Manifest
from minidock.progress import Retrying, Warned
from minidock.registry.client import (
    BlobNotFound,
    BlobStream,
    DocumentTooLarge,
    ManifestNotFound,
    Registry,
)
from minidock.registry.server import AccessDenied, RepositoryNotFound
from minidock.registry.transport import Interrupted, Response
from tests.fakes.registry import (
    Answer,
    Endless,
    FakeRegistry,
    Lie,
    Reset,
    Stall,
    Truncate,
    compress,
    digest_of,
)
from tests.unit.registry.conftest import Client

TAR = bytes(range(256)) * 4096  # 1 MiB
NAME = "library/app"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


def plain_layer(registry: FakeRegistry) -> Descriptor:
    registry.add_image(NAME, "1", [TAR], compression="plain")
    return Descriptor("x", Digest(digest_of(TAR)), len(TAR))


def pull(registry: Registry, layer: Descriptor) -> tuple[bytes, int]:
    """Read `layer` whole as the engine does; return it and how often it was opened."""
    data, opened = b"", 0
    while opened < 9:
        opened += 1
        with registry.blob(layer, len(data)) as stream:
            data = data[: stream.offset]
            try:
                while piece := stream.read(100_000):
                    data += piece
                return data, opened
            except Interrupted:
                continue
    raise AssertionError("never whole")


def exhaust(reader: Reader) -> None:
    while reader.read(65536):
        pass


@pytest.mark.parametrize("docker", [False, True])
@pytest.mark.parametrize("compression", ["gzip", "zstd", "plain"])
def test_pulls_an_image(
    registry: FakeRegistry, client: Client, docker: bool, compression: str
) -> None:
    """Manifest, config and layer come back as they were put, of both families of types."""
    digest = registry.add_image(NAME, "1", [TAR], compression=compression, docker=docker)
    here = client.connect(f"{registry.host}/{NAME}:1")
    assert here.host == registry.host
    document = here.manifest("1")
    assert document.descriptor.digest == digest
    assert document.descriptor.size == len(document.raw)
    assert isinstance(document.value, Manifest)
    config = here.config(document.value.config)
    assert config.value.diff_ids == (digest_of(TAR),)
    assert digest_of(config.raw) == document.value.config.digest
    blob, opened = pull(here, document.value.layers[0])
    assert (blob, opened) == (compress(TAR, compression), 1)
    assert client.events == []


def test_index_leads_to_the_manifest(registry: FakeRegistry, client: Client) -> None:
    """An index is returned as such, and its entries can be asked for by digest."""
    digest = registry.add_image(NAME, "", [b""])
    registry.add_index(NAME, "multi", {"linux/arm64/v8": digest, "linux/amd64": digest})
    here = client.connect(f"{registry.host}/{NAME}:multi")
    index = here.manifest("multi").value
    assert isinstance(index, Index)
    entry = index.select(Platform("linux", "amd64"))
    assert entry is not None
    assert here.manifest(entry.digest).descriptor[:3] == entry[:3]


def test_missing_tag_is_dockers_text(registry: FakeRegistry, client: Client) -> None:
    """A missing tag or digest gives docker's sentence, at once."""
    registry.add_image(NAME, "1", [])
    here = client.connect(f"{registry.host}/{NAME}:nope")
    with pytest.raises(ManifestNotFound) as caught:
        here.manifest("nope")
    name = f"{registry.host}/{NAME}:nope"
    expected = f"manifest for {name} not found: manifest unknown: manifest unknown"
    assert caught.value.message == expected
    zeros = "sha256:" + "0" * 64
    with pytest.raises(ManifestNotFound, match=f"app@{zeros} not found"):
        here.manifest(zeros)
    assert client.waits == []


@pytest.mark.parametrize(
    ("status", "kind"), [(401, AccessDenied), (403, AccessDenied), (404, RepositoryNotFound)]
)
def test_missing_repository_is_dockers_text(
    registry: FakeRegistry, client: Client, status: int, kind: type[MinidockError]
) -> None:
    """No access and no repository look the same, and are not tried again."""
    body = b'{"errors":[{"code":"NAME_UNKNOWN"}]}'
    registry.fail("/v2/", Answer(status, body), always=True)
    with pytest.raises(kind) as caught:
        client.connect(f"{registry.host}/secret/app").manifest("latest")
    assert caught.value.message == (
        f"pull access denied for {registry.host}/secret/app, repository does not exist or may"
        " require 'docker login'"
    )
    assert isinstance(caught.value, Unauthorized | NotFound)
    assert registry.count("GET", "manifests") == 1


def test_missing_blob(registry: FakeRegistry, client: Client) -> None:
    """A blob that the manifest promises and the registry lacks is named."""
    layer = plain_layer(registry)._replace(digest=Digest("sha256:" + "1" * 64))
    with pytest.raises(BlobNotFound, match=r"blob sha256:1111.* not found in registry"):
        client.connect(f"{registry.host}/{NAME}").blob(layer)


def test_nobody_listens(registry: FakeRegistry, client: Client) -> None:
    """A refused connection to this machine fails at once, with a hint."""
    with FakeRegistry() as gone:
        host = gone.host
    with pytest.raises(Unavailable) as caught:
        client.connect(f"{host}/app").manifest("latest")
    assert caught.value.message == f"cannot reach registry {host}: connection refused"
    assert caught.value.hint is not None
    assert "mirrors" in caught.value.hint
    assert client.waits == []


def test_plain_http_needs_one_failed_handshake(registry: FakeRegistry, client: Client) -> None:
    """After the first answer no more https is tried, and nobody waits for it."""
    layer = plain_layer(registry)
    here = client.connect(f"{registry.host}/{NAME}:1")
    here.manifest("1")
    assert [server.endpoint.url for server in here._servers] == [registry.url]
    assert pull(here, layer)[0] == TAR
    assert client.events == []


# Manifests that must not be believed.


def test_digest_pull_of_another_body(registry: FakeRegistry, client: Client) -> None:
    """A body that is not what the digest names is refused."""
    registry.add_image(NAME, "1", [])
    raw = json.dumps(registry.manifest(NAME, "1")).encode()
    wanted = digest_of(b"something else")
    registry.add_manifest(NAME, wanted, raw, OCI_MANIFEST)
    with pytest.raises(DigestMismatch):
        client.connect(f"{registry.host}/{NAME}@{wanted}").manifest(wanted)
    registry.fail("manifests", Answer(200, raw, {"Docker-Content-Digest": wanted}))
    with pytest.raises(DigestMismatch):
        client.connect(f"{registry.host}/{NAME}@{wanted}").manifest(wanted)


def test_lying_digest_header(registry: FakeRegistry, client: Client) -> None:
    """A tag whose body does not have the digest of the header is refused."""
    registry.add_image(NAME, "1", [])
    raw = json.dumps(registry.manifest(NAME, "1")).encode()
    lie = {"Docker-Content-Digest": digest_of(b""), "Content-Type": OCI_MANIFEST}
    registry.fail("manifests", Answer(200, raw, lie))
    with pytest.raises(DigestMismatch):
        client.connect(f"{registry.host}/{NAME}").manifest("1")
    registry.digest_header = False
    assert client.connect(f"{registry.host}/{NAME}").manifest("1").raw == raw


BLANK = {"mediaType": "x", "digest": "sha256:" + "0" * 64, "size": 1}
MANIFEST = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": BLANK, "layers": []}


@pytest.mark.parametrize(
    ("raw", "content_type", "kind"),
    [
        ({**MANIFEST, "manifests": [BLANK]}, OCI_MANIFEST, InvalidDocument),
        (MANIFEST, OCI_INDEX, InvalidDocument),
        ({**MANIFEST, "mediaType": OCI_INDEX}, OCI_MANIFEST, InvalidDocument),
        ({**MANIFEST, "layers": [BLANK] * 20_000}, OCI_MANIFEST, InvalidDocument),
        ({**MANIFEST, "config": {**BLANK, "size": -1}}, OCI_MANIFEST, InvalidDocument),
        ({**MANIFEST, "config": {**BLANK, "digest": "md5:0"}}, OCI_MANIFEST, InvalidDocument),
        ({**MANIFEST, "config": {**BLANK, "digest": "../x"}}, OCI_MANIFEST, InvalidDocument),
        (b"[" * 200_000, OCI_MANIFEST, InvalidDocument),
        (b"<html>", "text/html", InvalidDocument),
        ({"schemaVersion": 1, "fsLayers": []}, "application/json", Unsupported),
        ({**MANIFEST, "mediaType": "text/x"}, "text/x", Unsupported),
        (b" " * (4 << 20) + b"{}", OCI_MANIFEST, DocumentTooLarge),
    ],
)
def test_bad_manifests(
    registry: FakeRegistry,
    client: Client,
    raw: bytes | dict[str, object],
    content_type: str,
    kind: type[MinidockError],
) -> None:
    """Confused, oversized and malformed manifests are refused with an error of ours."""
    registry.add_manifest(NAME, "bad", raw, content_type)
    with pytest.raises(kind):
        client.connect(f"{registry.host}/{NAME}").manifest("bad")
    assert registry.count("GET", "blobs") == 0


def test_endless_manifest(registry: FakeRegistry, client: Client) -> None:
    """Reading stops at 4 MiB; what the kernels buffer comes on top."""
    registry.fail("manifests", Endless(OCI_MANIFEST))
    with pytest.raises(DocumentTooLarge):
        client.connect(f"{registry.host}/{NAME}").manifest("1")
    assert registry.endless_bytes < 16 << 20


def test_partial_manifest(registry: FakeRegistry, client: Client) -> None:
    """A part that nobody asked for is not taken for the whole."""
    registry.fail("manifests", Answer(206, b"{}"))
    with pytest.raises(DataCorrupted):
        client.connect(f"{registry.host}/{NAME}").manifest("1")


def test_broken_manifest_is_read_again(registry: FakeRegistry, client: Client) -> None:
    """A manifest whose connection breaks is asked for again."""
    digest = registry.add_image(NAME, "1", [])
    registry.fail("manifests", Reset(10), Truncate(20), Reset(0))
    document = client.connect(f"{registry.host}/{NAME}").manifest("1")
    assert document.descriptor.digest == digest
    assert client.waits == [0.5, 1.0, 2.0]
    assert all(isinstance(event, Retrying) for event in client.events)


# Configs.


@pytest.mark.parametrize(
    ("served", "kind"),
    [(b'{"os":"linuX"}', DigestMismatch), (b"{}", SizeMismatch), (b" " * 99, SizeMismatch)],
)
def test_bad_configs(
    registry: FakeRegistry, client: Client, served: bytes, kind: type[MinidockError]
) -> None:
    """A config that differs in bytes or length is refused."""
    right = b'{"os":"linux"}'
    registry.add_blob(NAME, served, digest_of(right))
    descriptor = Descriptor("x", Digest(digest_of(right)), len(right))
    with pytest.raises(kind):
        client.connect(f"{registry.host}/{NAME}").config(descriptor)


def test_huge_config_is_not_asked_for(registry: FakeRegistry, client: Client) -> None:
    """A descriptor of more than 4 MiB is enough to refuse a config."""
    descriptor = Descriptor("x", Digest(digest_of(b"")), (4 << 20) + 1)
    with pytest.raises(DocumentTooLarge):
        client.connect(f"{registry.host}/{NAME}").config(descriptor)
    assert registry.requests == []


def test_broken_config_is_read_again(registry: FakeRegistry, client: Client) -> None:
    """A config whose connection breaks is asked for again."""
    registry.add_image(NAME, "1", [TAR])
    registry.fail("blobs", Truncate(5))
    here = client.connect(f"{registry.host}/{NAME}")
    manifest = here.manifest("1").value
    assert isinstance(manifest, Manifest)
    assert here.config(manifest.config).value.diff_ids == (digest_of(TAR),)
    assert client.waits == [0.5]


# Blobs.


def test_foreign_urls_are_not_fetched(
    registry: FakeRegistry, other: FakeRegistry, client: Client
) -> None:
    """A layer is read from the repository, whatever `urls` its descriptor has."""
    registry.add_image(NAME, "1", [TAR])
    manifest = registry.manifest(NAME, "1")
    manifest["layers"][0]["urls"] = [f"{other.url}/x"]
    registry.add_manifest(NAME, "foreign", manifest, OCI_MANIFEST)
    here = client.connect(f"{registry.host}/{NAME}")
    document = here.manifest("foreign").value
    assert isinstance(document, Manifest)
    pull(here, document.layers[0])
    assert other.requests == []


@pytest.mark.parametrize("delta", [-1, 1])
def test_blob_of_another_length(registry: FakeRegistry, client: Client, delta: int) -> None:
    """A length that differs from the descriptor's is refused before any byte is read."""
    layer = plain_layer(registry)
    here = client.connect(f"{registry.host}/{NAME}")
    with pytest.raises(SizeMismatch):
        here.blob(layer._replace(size=layer.size + delta))


def test_endless_blob(registry: FakeRegistry, client: Client) -> None:
    """A blob without a length is cut off at the descriptor's size."""
    layer = plain_layer(registry)
    registry.fail("blobs", Endless())
    here = client.connect(f"{registry.host}/{NAME}")
    with here.blob(layer) as stream, pytest.raises(SizeMismatch):
        exhaust(stream)
    assert registry.endless_bytes < 16 << 20


def test_corrupt_blob(registry: FakeRegistry, client: Client) -> None:
    """A blob of the right length and the wrong bytes fails when it is verified."""
    layer = plain_layer(registry)
    registry.add_blob(NAME, TAR[::-1], layer.digest)
    with client.connect(f"{registry.host}/{NAME}").blob(layer) as stream:
        reader = VerifiedReader(stream, layer.digest, layer.size, "layer")
        with pytest.raises(DigestMismatch):
            exhaust(reader)


def test_resumes_by_range(registry: FakeRegistry, client: Client) -> None:
    """After a reset the rest is asked for, and no byte twice."""
    layer = plain_layer(registry)
    registry.fail("blobs", Truncate(500_000), Truncate(300_000))
    data, opened = pull(client.connect(f"{registry.host}/{NAME}"), layer)
    assert (data, opened) == (TAR, 3)
    ranges = [headers.get("Range") for _, path, headers in registry.requests if "blobs" in path]
    assert ranges == [None, "bytes=500000-", "bytes=800000-"]


def test_resumes_after_a_reset(registry: FakeRegistry, client: Client) -> None:
    """A reset loses at most what was on its way."""
    layer = plain_layer(registry)
    registry.fail("blobs", Reset(500_000))
    data, opened = pull(client.connect(f"{registry.host}/{NAME}"), layer)
    assert (data, opened) == (TAR, 2)


def test_server_without_ranges(registry: FakeRegistry, client: Client) -> None:
    """A server that ignores Range starts over, and the stream says so."""
    layer = plain_layer(registry)
    registry.ranges = False
    registry.fail("blobs", Truncate(500_000))
    here = client.connect(f"{registry.host}/{NAME}")
    assert pull(here, layer) == (TAR, 2)
    with here.blob(layer, 7) as stream:
        assert stream.offset == 0


@pytest.mark.parametrize("answer", [Lie(100), Lie(-1), 416])
def test_wrong_ranges_start_over(registry: FakeRegistry, client: Client, answer: Lie) -> None:
    """A part from elsewhere, or none, is dropped for the whole."""
    layer = plain_layer(registry)
    registry.fail("blobs", Truncate(500_000), answer)
    here = client.connect(f"{registry.host}/{NAME}")
    assert pull(here, layer) == (TAR, 2)
    assert registry.count("GET", "blobs") == 3


def test_range_that_lies_about_itself(registry: FakeRegistry, client: Client) -> None:
    """A part that claims a false start ends early or late; it never passes as whole."""
    layer = plain_layer(registry)
    registry.fail("blobs", Lie(100, admit=False), Lie(-100, admit=False))
    here = client.connect(f"{registry.host}/{NAME}")
    with here.blob(layer, 1000) as stream, pytest.raises(Interrupted):
        exhaust(stream)
    with here.blob(layer, 1000) as stream, pytest.raises(SizeMismatch):
        exhaust(stream)


@pytest.mark.parametrize("offset", [1 << 20, 1 << 21])
def test_offset_behind_the_end(registry: FakeRegistry, client: Client, offset: int) -> None:
    """Without a byte left to ask for, the blob starts over."""
    layer = plain_layer(registry)
    with client.connect(f"{registry.host}/{NAME}").blob(layer, offset) as stream:
        assert stream.offset == 0


def test_silence_in_a_blob(registry: FakeRegistry, client: Client) -> None:
    """A server that falls silent interrupts the stream, which can be continued."""
    layer = plain_layer(registry)
    client.read_timeout = 0.2
    registry.fail("blobs", Stall(400_000))
    assert pull(client.connect(f"{registry.host}/{NAME}"), layer) == (TAR, 2)


def test_silence_before_the_answer(registry: FakeRegistry, client: Client) -> None:
    """Silence is tried again, and then it is an error naming it."""
    client.read_timeout = 0.1
    registry.fail("manifests", Stall(), always=True)
    with pytest.raises(Unavailable, match="no answer in time"):
        client.connect(f"{registry.host}/{NAME}").manifest("1")
    assert registry.count("GET", "manifests") == 3


def test_interrupted_says_how_far(registry: FakeRegistry, client: Client) -> None:
    """The message of an early end names the bytes."""
    layer = Descriptor("x", Digest(digest_of(TAR)), 10)

    class Empty:
        def read(self, size: int) -> bytes:
            return b""

        def close(self) -> None:
            pass

    stream = BlobStream(Response(200, {}, "", Empty()), layer, 4, "there")
    with pytest.raises(Interrupted, match="4 of 10 bytes"):
        stream.read(1)


# Busy servers.


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_busy_servers_are_asked_again(
    registry: FakeRegistry, client: Client, status: int
) -> None:
    """Two failures that may pass do not fail a pull."""
    registry.add_image(NAME, "1", [])
    registry.fail("manifests", status, status)
    client.connect(f"{registry.host}/{NAME}").manifest("1")
    assert client.waits == [0.5, 1.0]


def test_busy_for_ever(registry: FakeRegistry, client: Client) -> None:
    """After five attempts the status is the error."""
    registry.fail("manifests", 503, always=True)
    with pytest.raises(Unavailable, match="answered 503 Service Unavailable"):
        client.connect(f"{registry.host}/{NAME}").manifest("1")
    assert registry.count("GET", "manifests") == 5


def test_retry_after_is_honoured(registry: FakeRegistry, client: Client) -> None:
    """The server says how long to wait, up to a minute; more is an error that names it."""
    registry.add_image(NAME, "1", [])
    here = client.connect(f"{registry.host}/{NAME}")
    registry.fail("manifests", Answer(429, b"", {"Retry-After": "60"}))
    here.manifest("1")
    assert client.waits == [60.0]
    registry.fail("manifests", Answer(429, b"", {"Retry-After": "3600"}))
    with pytest.raises(Unavailable, match="429 Too Many Requests and asks to wait 3600 s"):
        here.manifest("1")
    assert client.waits == [60.0]


def test_unknown_status(registry: FakeRegistry, client: Client) -> None:
    """A status that means nothing here is named, once."""
    registry.fail("manifests", 418, always=True)
    with pytest.raises(Unavailable, match="answered 418"):
        client.connect(f"{registry.host}/{NAME}").manifest("1")
    assert client.waits == []


# Mirrors.


def mirrored(client: Client, registry: FakeRegistry, *mirrors: str) -> Registry:
    client.registries[registry.host] = RegistrySettings(mirrors=mirrors)
    return client.connect(f"{registry.host}/{NAME}:1")


def test_mirror_spares_the_registry(
    registry: FakeRegistry, other: FakeRegistry, client: Client
) -> None:
    """What the mirror has is not asked for elsewhere."""
    digest = other.add_image(NAME, "1", [TAR], compression="plain")
    here = mirrored(client, registry, other.url)
    assert here.manifest("1").descriptor.digest == digest
    assert pull(here, plain_layer(other))[0] == TAR
    assert registry.requests == []
    assert client.events == []


@pytest.mark.parametrize("status", [401, 403, 404, 418])
def test_mirror_without_it(
    registry: FakeRegistry, other: FakeRegistry, client: Client, status: int
) -> None:
    """A mirror's refusal leads to the registry, which is asked first from then on."""
    layer = plain_layer(registry)
    other.fail("manifests", status)
    here = mirrored(client, registry, other.url)
    here.manifest("1")
    assert pull(here, layer)[0] == TAR
    assert [path for _, path, _ in other.requests] == [f"/v2/{NAME}/manifests/1"]
    assert [type(event) for event in client.events] == [Warned]
    assert other.host in client.events[0].message


def test_dead_mirror(registry: FakeRegistry, client: Client) -> None:
    """A mirror that is not there is passed over at once."""
    with FakeRegistry() as gone:
        dead = gone.url
    registry.add_image(NAME, "1", [])
    mirrored(client, registry, dead).manifest("1")
    assert client.waits == []


def test_mirror_lacks_a_blob(
    registry: FakeRegistry, other: FakeRegistry, client: Client
) -> None:
    """A blob that the manifest's server lacks comes from another."""
    layer = plain_layer(registry)
    manifest = registry.manifest(NAME, "1")
    other.add_manifest(NAME, "1", manifest, OCI_MANIFEST)
    here = mirrored(client, registry, other.url)
    here.manifest("1")
    assert registry.count("GET", "manifests") == 0
    assert pull(here, layer)[0] == TAR


def test_mirror_below_a_path(
    registry: FakeRegistry, other: FakeRegistry, client: Client
) -> None:
    """A mirror's path goes before /v2/."""
    registry.add_image(NAME, "1", [])
    mirrored(client, registry, f"{other.url}/some/prefix/").manifest("1")
    assert other.requests[0][1] == f"/some/prefix/v2/{NAME}/manifests/1"


def test_the_registrys_failure_counts(
    registry: FakeRegistry, other: FakeRegistry, client: Client
) -> None:
    """When all fail, the error is the registry's own."""
    other.fail("manifests", 403)
    with pytest.raises(NotFound):
        mirrored(client, registry, other.url).manifest("1")
