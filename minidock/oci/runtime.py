# SPDX-License-Identifier: Apache-2.0
"""The container's configuration: OCI runtime-spec 1.0.2, config.md and config-linux.md.

The values hold what minidock uses; the names of the specification's JSON appear only here.
"""

from collections.abc import Mapping

from minidock.annotations import Any
from minidock.oci.descriptor import InvalidDocument, json_list, json_object, json_text
from minidock.values import NamedTuple

VERSION = "1.0.2"
_SIZES = ("height", "width")
SHM = "/dev/shm"  # noqa: S108 - a destination in the container
SHM_SIZE = 64 << 20
"""Bytes of /dev/shm unless asked otherwise, as docker has it."""
UNLIMITED = (1 << 64) - 1
"""RLIM64_INFINITY: the value of a resource limit that is none."""


class User(NamedTuple):
    """Ids in the container, and the mask of its process's new files."""

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()
    umask: int = 0o022


class Rlimit(NamedTuple):
    """A limit by its name in getrlimit(2), e.g. ``RLIMIT_NOFILE``."""

    type: str
    soft: int
    hard: int

    def to_json(self) -> dict[str, Any]:
        """Return the limit's object; a negative value means no limit, as for setrlimit(2)."""
        soft, hard = (UNLIMITED if value < 0 else value for value in (self.soft, self.hard))
        return {"type": self.type, "soft": soft, "hard": hard}


class Capabilities(NamedTuple):
    """The sets of capabilities(7), by names such as ``CAP_CHOWN``."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: tuple[str, ...], uid: int) -> "Capabilities":
        """Return docker's sets for user `uid`: only root has some from the beginning.

        The inheritable set is empty (CVE-2022-24769).
        """
        return cls(names, names, names) if uid == 0 else cls(names)


class Process(NamedTuple):
    """The container's process. `env` are ``NAME=value`` texts.

    `oom_score_adj` None leaves the caller's. `console_size` is the height and the width of the
    terminal in characters, zeros for none in particular.
    """

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: User = User()
    terminal: bool = False
    capabilities: Capabilities = Capabilities()
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: int | None = None
    apparmor_profile: str = ""
    console_size: tuple[int, int] = (0, 0)

    def to_json(self) -> dict[str, Any]:
        """Return the ``process`` object."""
        out: dict[str, Any] = {
            "terminal": self.terminal,
            "user": {
                "uid": self.user.uid,
                "gid": self.user.gid,
                "umask": self.user.umask,
                "additionalGids": list(self.user.additional_gids),
            },
            "args": list(self.args),
            "env": list(self.env),
            "cwd": self.cwd,
            "capabilities": {k: list(v) for k, v in self.capabilities._asdict().items()},
            "rlimits": [limit.to_json() for limit in self.rlimits],
            "noNewPrivileges": self.no_new_privileges,
        }
        if self.oom_score_adj is not None:
            out["oomScoreAdj"] = self.oom_score_adj
        if self.apparmor_profile:
            out["apparmorProfile"] = self.apparmor_profile
        if any(self.console_size):
            out["consoleSize"] = dict(zip(_SIZES, self.console_size, strict=True))
        return out

    @classmethod
    def from_json(cls, value: object) -> "Process":
        """Parse the ``process`` object; raise InvalidDocument."""
        fields = json_object(value, "process")
        sets = json_object(fields.get("capabilities") or {}, "capabilities")
        size = json_object(fields.get("consoleSize") or {}, "consoleSize")
        score = fields.get("oomScoreAdj")
        return cls(
            args=_texts(fields, "args"),
            env=_texts(fields, "env"),
            cwd=json_text(fields, "cwd") or "/",
            user=_user(json_object(fields.get("user") or {}, "user")),
            terminal=bool(fields.get("terminal")),
            capabilities=Capabilities(*(_texts(sets, name) for name in Capabilities._fields)),
            rlimits=tuple(
                _rlimit(entry) for entry in json_list(fields.get("rlimits"), "rlimits")
            ),
            no_new_privileges=bool(fields.get("noNewPrivileges")),
            oom_score_adj=None if score is None else _integer(score, "oomScoreAdj"),
            apparmor_profile=json_text(fields, "apparmorProfile"),
            console_size=(_number(size, _SIZES[0]), _number(size, _SIZES[1])),
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
    """The ``linux`` object.

    `resources` and `seccomp` are the objects of the specification as they are; the latter is
    empty for no filter.
    """

    namespaces: tuple[Namespace, ...] = ()
    devices: tuple[LinuxDevice, ...] = ()
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    sysctl: Mapping[str, str] = {}
    cgroups_path: str = ""
    resources: Mapping[str, Any] = {}
    seccomp: Mapping[str, Any] = {}
    rootfs_propagation: str = ""

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
        more = {
            "cgroupsPath": self.cgroups_path,
            "resources": self.resources,
            "seccomp": self.seccomp,
            "rootfsPropagation": self.rootfs_propagation,
        }
        return out | {key: value for key, value in more.items() if value}

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
            json_object(fields.get("resources") or {}, "resources"),
            json_object(fields.get("seccomp") or {}, "seccomp"),
            json_text(fields, "rootfsPropagation"),
        )


class Hook(NamedTuple):
    """A program of the host's to be called at a moment of the container's life.

    It gets the container's state on stdin. `timeout` is in seconds, 0 for none.
    """

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the hook's object."""
        out = {"path": self.path, "args": list(self.args), "env": list(self.env)}
        return out | ({"timeout": self.timeout} if self.timeout else {})


class Spec(NamedTuple):
    """The whole configuration. `hooks` are by the name of their moment, e.g. ``poststop``."""

    process: Process
    root_path: str = "rootfs"
    root_readonly: bool = False
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    linux: Linux = Linux()
    annotations: Mapping[str, str] = {}
    hooks: Mapping[str, tuple[Hook, ...]] = {}

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
        if self.hooks:
            out["hooks"] = {
                moment: [hook.to_json() for hook in hooks]
                for moment, hooks in self.hooks.items()
            }
        return out

    @classmethod
    def from_json(cls, value: object) -> "Spec":
        """Parse the content of a ``config.json``; raise InvalidDocument."""
        fields = json_object(value, "runtime spec")
        root = json_object(fields.get("root") or {}, "root")
        annotations = json_object(fields.get("annotations") or {}, "annotations")
        hooks = json_object(fields.get("hooks") or {}, "hooks")
        return cls(
            process=Process.from_json(fields.get("process")),
            root_path=json_text(root, "path"),
            root_readonly=bool(root.get("readonly")),
            hostname=json_text(fields, "hostname"),
            domainname=json_text(fields, "domainname"),
            mounts=tuple(_mount(entry) for entry in json_list(fields.get("mounts"), "mounts")),
            linux=Linux.from_json(fields.get("linux") or {}),
            annotations={str(k): str(v) for k, v in annotations.items()},
            hooks={
                moment: tuple(_hook(entry) for entry in json_list(entries, moment))
                for moment, entries in hooks.items()
            },
        )


def _hook(value: object) -> Hook:
    fields = json_object(value, "hook")
    return Hook(
        json_text(fields, "path"),
        _texts(fields, "args"),
        _texts(fields, "env"),
        _number(fields, "timeout"),
    )


def _user(fields: Mapping[str, Any]) -> User:
    gids = json_list(fields.get("additionalGids"), "additionalGids")
    umask = fields.get("umask")
    user = User(
        _number(fields, "uid"), _number(fields, "gid"), tuple(_integer(v, "gid") for v in gids)
    )
    return user if umask is None else user._replace(umask=_integer(umask, "umask"))


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
