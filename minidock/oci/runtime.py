# SPDX-License-Identifier: Apache-2.0
"""The container's configuration: OCI runtime-spec 1.0.2, config.md and config-linux.md.

The values hold what minidock uses; the names of the specification's JSON appear only here.
"""

from collections.abc import Mapping
from typing import Any

from minidock.oci.descriptor import InvalidDocument, json_list, json_object, json_text
from minidock.values import NamedTuple

VERSION = "1.0.2"
_UMASK = 0o022


class User(NamedTuple):
    """Ids in the container."""

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()


class Rlimit(NamedTuple):
    """A limit by its name in getrlimit(2), e.g. ``RLIMIT_NOFILE``."""

    type: str
    soft: int
    hard: int


class Process(NamedTuple):
    """The container's process. `env` are ``NAME=value`` texts, `capabilities` names.

    `capabilities` are its bounding, permitted and effective set; the others are empty
    (CVE-2022-24769). `oom_score_adj` None leaves the caller's.
    """

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: User = User()
    terminal: bool = False
    capabilities: tuple[str, ...] = ()
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the ``process`` object."""
        names = list(self.capabilities)
        out: dict[str, Any] = {
            "terminal": self.terminal,
            "user": {
                "uid": self.user.uid,
                "gid": self.user.gid,
                "umask": _UMASK,
                "additionalGids": list(self.user.additional_gids),
            },
            "args": list(self.args),
            "env": list(self.env),
            "cwd": self.cwd,
            "capabilities": {
                "bounding": names,
                "effective": names if self.user.uid == 0 else [],
                "permitted": names if self.user.uid == 0 else [],
                "inheritable": [],
                "ambient": [],
            },
            "rlimits": [limit._asdict() for limit in self.rlimits],
            "noNewPrivileges": self.no_new_privileges,
        }
        if self.oom_score_adj is not None:
            out["oomScoreAdj"] = self.oom_score_adj
        return out

    @classmethod
    def from_json(cls, value: object) -> "Process":
        """Parse the ``process`` object; raise InvalidDocument."""
        fields = json_object(value, "process")
        user = json_object(fields.get("user") or {}, "user")
        sets = json_object(fields.get("capabilities") or {}, "capabilities")
        score = fields.get("oomScoreAdj")
        return cls(
            args=_texts(fields, "args"),
            env=_texts(fields, "env"),
            cwd=json_text(fields, "cwd") or "/",
            user=User(
                _number(user, "uid"),
                _number(user, "gid"),
                tuple(
                    _integer(v, "gid") for v in json_list(user.get("additionalGids"), "gids")
                ),
            ),
            terminal=bool(fields.get("terminal")),
            capabilities=_texts(sets, "bounding"),
            rlimits=tuple(
                _rlimit(entry) for entry in json_list(fields.get("rlimits"), "rlimits")
            ),
            no_new_privileges=bool(fields.get("noNewPrivileges")),
            oom_score_adj=None if score is None else _integer(score, "oomScoreAdj"),
        )


class Mount(NamedTuple):
    """A mount at `destination`; type ``bind`` or a file system, options as in mount(8)."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()


class Namespace(NamedTuple):
    """A namespace to make, or to join when it has a path; `type` as in the specification."""

    type: str
    path: str = ""


class LinuxDevice(NamedTuple):
    """A device file to make; `type` is ``c`` or ``b``."""

    path: str
    type: str
    major: int
    minor: int
    file_mode: int = 0o666
    uid: int = 0
    gid: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the device object."""
        out = self._asdict()
        out["fileMode"] = out.pop("file_mode")
        return out


class Linux(NamedTuple):
    """The ``linux`` object."""

    namespaces: tuple[Namespace, ...] = ()
    devices: tuple[LinuxDevice, ...] = ()
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    sysctl: Mapping[str, str] = {}
    cgroups_path: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the object, empty texts left out."""
        out: dict[str, Any] = {
            "namespaces": [
                {k: v for k, v in namespace._asdict().items() if v}
                for namespace in self.namespaces
            ],
            "devices": [device.to_json() for device in self.devices],
            "maskedPaths": list(self.masked_paths),
            "readonlyPaths": list(self.readonly_paths),
            "sysctl": dict(self.sysctl),
        }
        if self.cgroups_path:
            out["cgroupsPath"] = self.cgroups_path
        return out

    @classmethod
    def from_json(cls, value: object) -> "Linux":
        """Parse the object; raise InvalidDocument."""
        fields = json_object(value, "linux")
        sysctl = json_object(fields.get("sysctl") or {}, "sysctl")
        return cls(
            tuple(
                _namespace(entry) for entry in json_list(fields.get("namespaces"), "namespaces")
            ),
            tuple(_device(entry) for entry in json_list(fields.get("devices"), "devices")),
            _texts(fields, "maskedPaths"),
            _texts(fields, "readonlyPaths"),
            {str(k): str(v) for k, v in sysctl.items()},
            json_text(fields, "cgroupsPath"),
        )


class Spec(NamedTuple):
    """The whole configuration."""

    process: Process
    root_path: str = "rootfs"
    root_readonly: bool = False
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    linux: Linux = Linux()
    annotations: Mapping[str, str] = {}

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``config.json``."""
        out: dict[str, Any] = {
            "ociVersion": VERSION,
            "process": self.process.to_json(),
            "root": {"path": self.root_path, "readonly": self.root_readonly},
            "hostname": self.hostname,
            "mounts": [
                {k: list(v) if isinstance(v, tuple) else v for k, v in m._asdict().items() if v}
                for m in self.mounts
            ],
            "linux": self.linux.to_json(),
            "annotations": dict(self.annotations),
        }
        if self.domainname:
            out["domainname"] = self.domainname
        return out

    @classmethod
    def from_json(cls, value: object) -> "Spec":
        """Parse the content of a ``config.json``; raise InvalidDocument."""
        fields = json_object(value, "runtime spec")
        root = json_object(fields.get("root") or {}, "root")
        annotations = json_object(fields.get("annotations") or {}, "annotations")
        return cls(
            process=Process.from_json(fields.get("process")),
            root_path=json_text(root, "path"),
            root_readonly=bool(root.get("readonly")),
            hostname=json_text(fields, "hostname"),
            domainname=json_text(fields, "domainname"),
            mounts=tuple(_mount(entry) for entry in json_list(fields.get("mounts"), "mounts")),
            linux=Linux.from_json(fields.get("linux") or {}),
            annotations={str(k): str(v) for k, v in annotations.items()},
        )


def _mount(value: object) -> Mount:
    fields = json_object(value, "mount")
    return Mount(
        json_text(fields, "destination"),
        json_text(fields, "type"),
        json_text(fields, "source"),
        _texts(fields, "options"),
    )


def _namespace(value: object) -> Namespace:
    fields = json_object(value, "namespace")
    return Namespace(json_text(fields, "type"), json_text(fields, "path"))


def _device(value: object) -> LinuxDevice:
    fields = json_object(value, "device")
    mode = fields.get("fileMode")
    return LinuxDevice(
        json_text(fields, "path"),
        json_text(fields, "type"),
        _number(fields, "major"),
        _number(fields, "minor"),
        0o666 if mode is None else _integer(mode, "fileMode"),
        _number(fields, "uid"),
        _number(fields, "gid"),
    )


def _rlimit(value: object) -> Rlimit:
    fields = json_object(value, "rlimit")
    return Rlimit(json_text(fields, "type"), _number(fields, "soft"), _number(fields, "hard"))


def _texts(fields: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = json_list(fields.get(key), key)
    if not all(isinstance(value, str) for value in values):
        raise InvalidDocument(f"invalid {key}: expected texts")
    return tuple(values)


def _number(fields: Mapping[str, Any], key: str) -> int:
    """Return the integer at `key`, 0 if missing."""
    return _integer(fields.get(key, 0), key)


def _integer(value: object, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidDocument(f"invalid {what}: expected a whole number")
    return value
