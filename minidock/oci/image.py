# SPDX-License-Identifier: Apache-2.0
"""The image config (OCI image-spec, config.md); keys we do not know are kept."""

from collections.abc import Iterable, Mapping

from minidock.annotations import Any
from minidock.oci.descriptor import (
    InvalidDocument,
    Platform,
    json_list,
    json_object,
    json_text,
)
from minidock.oci.digest import DiffID, InvalidDigest, parse_diff_id
from minidock.oci.manifest import dump_json, load_json
from minidock.values import NamedTuple


class ImageConfig(NamedTuple):
    """How to run an image: the ``config`` object.

    `env` are ``NAME=value`` texts; `exposed_ports` are ``8080/tcp`` texts. `extra` holds the
    other keys as they were read (Healthcheck, OnBuild, ...).
    """

    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    working_dir: str = ""
    labels: Mapping[str, str] = {}
    stop_signal: str = ""
    extra: Mapping[str, Any] = {}

    @classmethod
    def from_json(cls, value: object) -> "ImageConfig":
        """Parse the config object; raise InvalidDocument."""
        fields = dict(json_object(value or {}, "config"))
        labels = json_object(fields.pop("Labels", None) or {}, "Labels")
        return cls(
            user=_text(fields, "User"),
            exposed_ports=tuple(json_object(fields.pop("ExposedPorts", None) or {}, "ports")),
            env=_texts(fields, "Env"),
            entrypoint=_texts(fields, "Entrypoint"),
            cmd=_texts(fields, "Cmd"),
            volumes=tuple(
                _usable(path, "Volumes")
                for path in json_object(fields.pop("Volumes", None) or {}, "Volumes")
            ),
            working_dir=_text(fields, "WorkingDir"),
            labels={str(k): str(v) for k, v in labels.items()},
            stop_signal=_text(fields, "StopSignal"),
            extra=fields,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the config object, empty members left out."""
        known: dict[str, Any] = {
            "User": self.user,
            "ExposedPorts": {port: {} for port in self.exposed_ports},
            "Env": list(self.env),
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.cmd),
            "Volumes": {path: {} for path in self.volumes},
            "WorkingDir": self.working_dir,
            "Labels": dict(self.labels),
            "StopSignal": self.stop_signal,
        }
        return {k: v for k, v in known.items() if v} | dict(self.extra)


def environment(entries: Iterable[str]) -> dict[str, str]:
    """Return the values of ``NAME=value`` texts, the last of a name, in the place of its first.

    An entry without a name or without "=" is dropped: to fill it in from somewhere would leak
    the caller's environment to the image (CVE-2026-57231).
    """
    values = {}
    for entry in entries:
        name, separator, value = entry.partition("=")
        if name and separator:
            values[name] = value
    return values


class History(NamedTuple):
    """How one layer came to be."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the entry, empty members left out."""
        return {k: v for k, v in self._asdict().items() if v}


class Image(NamedTuple):
    """A whole config blob. `created` is RFC 3339 or empty."""

    platform: Platform
    config: ImageConfig
    diff_ids: tuple[DiffID, ...]
    history: tuple[History, ...] = ()
    created: str = ""
    author: str = ""
    extra: Mapping[str, Any] = {}

    @classmethod
    def from_json(cls, raw: bytes) -> "Image":
        """Parse a config blob; raise InvalidDocument."""
        fields = load_json(raw, "image config")
        rootfs = json_object(fields.pop("rootfs", None) or {}, "rootfs")
        try:
            diff_ids = tuple(
                parse_diff_id(d) for d in json_list(rootfs.get("diff_ids"), "diff_ids")
            )
        except InvalidDigest as e:
            raise InvalidDocument(f"invalid image config: {e.message}") from e
        return cls(
            platform=Platform(
                _text(fields, "os") or "linux",
                _text(fields, "architecture"),
                _text(fields, "variant"),
            ),
            config=ImageConfig.from_json(fields.pop("config", None)),
            diff_ids=diff_ids,
            history=tuple(
                _history(entry) for entry in json_list(fields.pop("history", None), "history")
            ),
            created=_text(fields, "created"),
            author=_text(fields, "author"),
            extra=fields,
        )

    def to_json(self) -> bytes:
        """Return the config blob's bytes, the same for the same values."""
        out: dict[str, Any] = dict(self.extra)
        out.update({k: v for k, v in self.platform._asdict().items() if v})
        out["config"] = self.config.to_json()
        if self.created:
            out["created"] = self.created
        if self.author:
            out["author"] = self.author
        out["history"] = [entry.to_json() for entry in self.history]
        out["rootfs"] = {"type": "layers", "diff_ids": list(self.diff_ids)}
        return dump_json(dict(sorted(out.items())))


def _text(fields: dict[str, Any], key: str) -> str:
    text = json_text(fields, key)
    fields.pop(key, None)
    return _usable(text, key)


def _usable(text: str, what: str) -> str:
    """Return `text`, which may become a path, an argument or a part of the environment.

    Raises:
        InvalidDocument: it has a NUL, or a surrogate that stands for no byte; execve(2) takes
            neither.
    """
    try:
        text.encode(errors="surrogateescape")
    except UnicodeEncodeError as e:
        raise InvalidDocument(f"invalid {what}: not Unicode") from e
    if "\0" in text:
        raise InvalidDocument(f"invalid {what}: has a NUL")
    return text


def _texts(fields: dict[str, Any], key: str) -> tuple[str, ...]:
    values = json_list(fields.pop(key, None), key)
    if not all(isinstance(value, str) for value in values):
        raise InvalidDocument(f"invalid {key}: expected texts")
    return tuple(_usable(value, key) for value in values)


def _history(value: object) -> History:
    fields = json_object(value, "history")
    return History(
        json_text(fields, "created"),
        json_text(fields, "created_by"),
        json_text(fields, "author"),
        json_text(fields, "comment"),
        bool(fields.get("empty_layer")),
    )
