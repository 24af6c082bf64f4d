# SPDX-License-Identifier: Apache-2.0
"""Descriptors: the only pointer there is (OCI image-spec, descriptor.md)."""

from collections.abc import Mapping

from minidock.annotations import Any, Generic, TypeVar
from minidock.errors import DataCorrupted
from minidock.oci.digest import Digest, InvalidDigest, parse_digest
from minidock.values import NamedTuple

MAX_DOCUMENT = 4 << 20
"""Bytes a manifest, an index or a config may have at most."""

T = TypeVar("T")


class InvalidDocument(DataCorrupted):
    """A manifest, index, config or descriptor that the specification does not allow."""


class Platform(NamedTuple):
    """Operating system and processor an image is for."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in self if part)

    def accepts(self, other: "Platform") -> bool:
        """Tell whether an image for `other` runs here; arm64 means arm64/v8 and back."""
        if (self.os, self.architecture) != (other.os, other.architecture):
            return False
        mine, its = self.variant, other.variant
        if self.architecture == "arm64":
            mine, its = mine or "v8", its or "v8"
        return not mine or not its or mine == its


class Descriptor(NamedTuple):
    """Media type, digest and size in bytes of a blob."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = {}
    platform: Platform | None = None

    @classmethod
    def from_json(cls, value: object) -> "Descriptor":
        """Parse a descriptor; raise InvalidDocument."""
        fields = json_object(value, "descriptor")
        size = fields.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0 or size > 1 << 50:
            raise InvalidDocument(f"invalid descriptor: size {str(size)[:40]!r}")
        try:
            digest = parse_digest(fields.get("digest"))
        except InvalidDigest as e:
            raise InvalidDocument(f"invalid descriptor: {e.message}") from e
        annotations = json_object(fields.get("annotations") or {}, "annotations")
        return cls(
            json_text(fields, "mediaType"),
            digest,
            size,
            {str(k): str(v) for k, v in annotations.items()},
            _platform(fields.get("platform")),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the descriptor as the specification writes it."""
        out: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
        }
        if self.annotations:
            out["annotations"] = dict(self.annotations)
        if self.platform:
            out["platform"] = {k: v for k, v in self.platform._asdict().items() if v}
        return out


class Document(NamedTuple, Generic[T]):
    """A stored JSON document: its descriptor, its exact bytes, and the value they hold."""

    descriptor: Descriptor
    raw: bytes
    value: T


def json_object(value: object, what: str) -> dict[str, Any]:
    """Return `value` as a JSON object or raise InvalidDocument naming `what`."""
    if not isinstance(value, dict):
        raise InvalidDocument(f"invalid {what}: expected an object")
    return value


def json_list(value: object, what: str) -> list[Any]:
    """Return `value` as a JSON list (null is empty) or raise InvalidDocument."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidDocument(f"invalid {what}: expected a list")
    return value


def json_text(fields: Mapping[str, Any], key: str) -> str:
    """Return the text at `key`, empty if missing, or raise InvalidDocument."""
    value = fields.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidDocument(f"invalid {key}: expected a text")
    return value


def _platform(value: object) -> Platform | None:
    if value is None:
        return None
    fields = json_object(value, "platform")
    return Platform(
        json_text(fields, "os"), json_text(fields, "architecture"), json_text(fields, "variant")
    )
