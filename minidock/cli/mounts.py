# SPDX-License-Identifier: Apache-2.0
"""``--volume``, ``--mount`` and ``--tmpfs`` as mounts; the texts of the errors are docker's."""

import os.path
import re
from collections.abc import Callable, Iterable
from typing import Any

from minidock.cli.flags import Parsed, parse_bool
from minidock.cli.params import parse_size
from minidock.engine.options import BindMount, TmpfsMount
from minidock.errors import Conflict, InvalidArgument, Unsupported
from minidock.values import NamedTuple

_PROPAGATIONS = frozenset(("shared", "slave", "private", "rshared", "rslave", "rprivate"))
_IGNORED_MODES = frozenset(("z", "Z", "consistent", "cached", "delegated"))
_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")

MountFlag = BindMount | TmpfsMount


class AnonymousVolume(NamedTuple):
    """``-v /data``: a directory of its own for one container."""

    destination: str


Volume = BindMount | AnonymousVolume


def parse_volume(text: str) -> Volume:
    """Return what ``--volume [host:]container[:modes]`` asks for.

    A host path that starts with a dot is taken from the working directory.

    Raises:
        InvalidArgument: the text can't be meant.
        Unsupported: it names a volume.
    """
    source, destination, modes = _split_volume(text)
    destination = _destination(destination, f"invalid volume specification: '{text}'")
    if source is None:
        return AnonymousVolume(destination)
    if source.startswith("."):
        source = os.path.abspath(source)
    if not source.startswith("/"):
        raise _named_volume(source)
    return _with_modes(BindMount(os.path.normpath(source), destination), modes)


def _split_volume(text: str) -> tuple[str | None, str, tuple[str, ...]]:
    invalid = InvalidArgument(f"invalid volume specification: '{text}'")
    parts = text.split(":")
    if "" in parts or len(parts) > 3:
        raise invalid
    if len(parts) == 1:
        return None, parts[0], ()
    # ``/data:ro`` is an anonymous volume with a mode, as no destination is relative.
    if len(parts) == 2 and not parts[1].startswith("/") and _are_modes(parts[1]):
        return None, parts[0], ()
    return parts[0], parts[1], tuple(parts[2].split(",")) if len(parts) == 3 else ()


def _are_modes(text: str) -> bool:
    known = _PROPAGATIONS | _IGNORED_MODES | {"ro", "rw", "nocopy"}
    return all(mode in known for mode in text.split(","))


def _destination(path: str, context: str) -> str:
    if not path.startswith("/"):
        raise InvalidArgument(f"invalid mount path: '{path}' mount path must be absolute")
    path = os.path.normpath(path)
    # POSIX lets two leading slashes mean something else; Linux does not.
    path = "/" + path.lstrip("/")
    if path == "/":
        raise InvalidArgument(f"{context}: destination can't be '/'")
    return path


def _named_volume(name: str) -> Exception:
    if not _VOLUME_NAME.fullmatch(name):
        return InvalidArgument(
            f'create {name}: "{name}" includes invalid characters for a local volume name, '
            'only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host '
            "directory, use absolute path"
        )
    return Unsupported(
        f"named volumes are not supported: {name}",
        hint=f"to mount the directory {name} of the working directory write ./{name}",
    )


def _with_modes(bind: BindMount, modes: Iterable[str]) -> BindMount:
    seen: set[str] = set()
    for mode in modes:
        if mode in ("ro", "rw"):
            kind, bind = "access", bind._replace(read_only=mode == "ro")
        elif mode in _PROPAGATIONS:
            kind, bind = "propagation", bind._replace(propagation=mode)
        elif mode in _IGNORED_MODES:
            kind = "label" if mode in "zZ" else "consistency"
        else:
            raise InvalidArgument(f"invalid mode: {','.join(modes)}")
        if kind in seen:
            raise InvalidArgument(f"invalid mode: {','.join(modes)}")
        seen.add(kind)
    return bind


class _MountFields(NamedTuple):
    """The fields of one ``--mount``, under their main names."""

    type: str = "volume"
    source: str = ""
    target: str = ""
    read_only: bool = False
    bind_propagation: str = "rprivate"
    tmpfs_size: str = ""
    tmpfs_mode: str = ""


_FIELD_ALIASES = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "readonly": "read_only",
    "ro": "read_only",
}


def parse_mount(text: str) -> MountFlag:
    """Return the mount that ``--mount type=bind,source=/a,target=/b`` asks for.

    Raises:
        InvalidArgument: the text can't be meant.
        Unsupported: it asks for a volume or an image.
    """
    import csv  # only --mount needs it

    fields = _MountFields()
    for field in next(csv.reader([text]), []):
        fields = _with_field(fields, field)
    if not fields.target:
        raise InvalidArgument("target is required")
    context = f'invalid mount config for type "{fields.type}"'
    destination = _destination(fields.target, context)
    makers: dict[str, Callable[[_MountFields, str], MountFlag]] = {
        "bind": _bind,
        "tmpfs": _tmpfs,
    }
    make = makers.get(fields.type)
    if make is None:
        raise Unsupported(f"mounts of type {fields.type} are not supported")
    return make(fields, destination)


def _with_field(fields: _MountFields, text: str) -> _MountFields:
    key, equals, value = text.partition("=")
    name = key.strip().lower().replace("-", "_")
    name = _FIELD_ALIASES.get(name, name)
    if name == "read_only":
        return fields._replace(read_only=_flag_value(key, value) if equals else True)
    if not equals:
        raise InvalidArgument(f"invalid field '{text}' must be a key=value pair")
    if name not in _MountFields._fields:
        raise InvalidArgument(f"unexpected key '{key}' in '{text}'")
    if name == "bind_propagation" and value not in _PROPAGATIONS:
        raise InvalidArgument(f"invalid propagation value: {value}")
    text_fields: dict[str, Any] = {name: value.lower() if name == "type" else value}
    return fields._replace(**text_fields)


def _flag_value(key: str, value: str) -> bool:
    try:
        return parse_bool(value)
    except ValueError:
        raise InvalidArgument(f"invalid value for {key}: {value}") from None


def _bind(fields: _MountFields, destination: str) -> BindMount:
    source = fields.source
    if source.startswith("."):
        source = os.path.abspath(source)
    if not source:
        raise InvalidArgument(
            'invalid mount config for type "bind": field Source must not be empty'
        )
    if not source.startswith("/"):
        raise InvalidArgument(
            'invalid mount config for type "bind": '
            f"invalid mount path: '{source}' mount path must be absolute"
        )
    return BindMount(
        os.path.normpath(source),
        destination,
        fields.read_only,
        fields.bind_propagation,
        create=False,
    )


def _tmpfs(fields: _MountFields, destination: str) -> TmpfsMount:
    if fields.source:
        raise InvalidArgument(
            'invalid mount config for type "tmpfs": field Source must not be specified'
        )
    options = []
    if fields.read_only:
        options.append("ro")
    if fields.tmpfs_size:
        options.append(f"size={parse_size(fields.tmpfs_size)}")
    if fields.tmpfs_mode:
        if not re.fullmatch("[0-7]{1,4}", fields.tmpfs_mode):
            raise InvalidArgument(f"invalid value for tmpfs-mode: {fields.tmpfs_mode}")
        options.append(f"mode={fields.tmpfs_mode}")
    return TmpfsMount(destination, tuple(options))


def parse_tmpfs(text: str) -> TmpfsMount:
    """Return the mount of ``--tmpfs /path[:size=64m,...]``; raise InvalidArgument."""
    path, _, options = text.partition(":")
    destination = _destination(path, f"invalid tmpfs mount: '{text}'")
    return TmpfsMount(destination, tuple(option for option in options.split(",") if option))


def check_destinations(destinations: Iterable[str]) -> None:
    """Raise Conflict if two mounts have the same destination."""
    seen: set[str] = set()
    for destination in destinations:
        if destination in seen:
            raise Conflict(f"Duplicate mount point: {destination}")
        seen.add(destination)


MOUNT = Parsed("mount", parse_mount)
