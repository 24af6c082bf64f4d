# SPDX-License-Identifier: Apache-2.0
"""Manifests and indexes: OCI image-spec manifest.md, image-index.md; Docker v2 schema 2."""

import json

from minidock.annotations import Any
from minidock.errors import Unsupported
from minidock.oci import media_types
from minidock.oci.descriptor import (
    MAX_DOCUMENT,
    Descriptor,
    InvalidDocument,
    Platform,
    json_list,
    json_object,
)
from minidock.values import NamedTuple

MAX_LAYERS = 127
"""Docker's limit, and what overlayfs takes as one mount's lower directories."""


class UnsupportedManifest(Unsupported):
    """A manifest of a kind that minidock does not read."""


class Manifest(NamedTuple):
    """One image: its config and its layers, lowest first."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]

    def to_json(self) -> bytes:
        """Return the manifest's bytes, the same for the same values."""
        return dump_json(
            {
                "schemaVersion": 2,
                "mediaType": self.media_type,
                "config": self.config.to_json(),
                "layers": [layer.to_json() for layer in self.layers],
            }
        )


class Index(NamedTuple):
    """Several manifests, one per platform."""

    media_type: str
    manifests: tuple[Descriptor, ...]

    def select(self, platform: Platform) -> Descriptor | None:
        """Return the first manifest that runs on `platform`, or None."""
        for entry in self.manifests:
            if entry.platform and platform.accepts(entry.platform):
                return entry
        return None


def dump_json(value: object) -> bytes:
    """Return `value` as compact JSON, keys in the given order.

    Bytes of an argument that are no UTF-8 are surrogates in Python's texts; they are escaped.
    """
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def load_json(raw: bytes, what: str) -> dict[str, Any]:
    """Parse `raw` as a JSON object; raise InvalidDocument for anything else."""
    if len(raw) > MAX_DOCUMENT:
        raise InvalidDocument(
            f"invalid {what}: {len(raw)} bytes, at most {MAX_DOCUMENT} allowed"
        )
    try:
        return json_object(json.loads(raw), what)
    except (ValueError, RecursionError) as e:
        raise InvalidDocument(f"invalid {what}: not JSON") from e


def parse_manifest(raw: bytes, content_type: str) -> Manifest | Index:
    """Return what `raw` holds, by its own mediaType or else by `content_type`.

    Raises:
        InvalidDocument: not JSON, confused (CVE-2021-41190), or out of bounds.
        UnsupportedManifest: Docker schema 1, or an unknown media type.
    """
    content_type = content_type.partition(";")[0].strip()
    fields = load_json(raw, "manifest")
    declared = fields.get("mediaType") or content_type
    if fields.get("schemaVersion") == 1 or declared in (
        media_types.DOCKER_SCHEMA1,
        media_types.DOCKER_SCHEMA1_SIGNED,
    ):
        raise UnsupportedManifest(
            "unsupported manifest: docker schema 1",
            hint="the image must be pushed again with a registry client from after 2016",
        )
    if not isinstance(declared, str) or declared not in (
        media_types.INDEXES | media_types.MANIFESTS
    ):
        raise UnsupportedManifest(f"unsupported manifest media type {str(declared)[:100]!r}")
    known = media_types.INDEXES | media_types.MANIFESTS
    if content_type in known and content_type != declared:
        raise InvalidDocument(f"invalid manifest: served as {content_type} but says {declared}")
    if "manifests" in fields and ("layers" in fields or "config" in fields):
        raise InvalidDocument("invalid manifest: has both manifests and layers")
    if declared in media_types.INDEXES:
        entries = json_list(fields.get("manifests"), "manifests")
        return Index(declared, tuple(Descriptor.from_json(e) for e in entries))
    layers = json_list(fields.get("layers"), "layers")
    if len(layers) > MAX_LAYERS:
        raise InvalidDocument(
            f"invalid manifest: {len(layers)} layers, at most {MAX_LAYERS} allowed"
        )
    return Manifest(
        declared,
        Descriptor.from_json(fields.get("config")),
        tuple(Descriptor.from_json(layer) for layer in layers),
    )
