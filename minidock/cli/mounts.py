# SPDX-License-Identifier: Apache-2.0
"""``--volume``, ``--mount``, ``--tmpfs`` and ``--volumes-from``; the errors are docker's."""

import os.path
import re
from collections.abc import Callable, Iterable

from minidock.annotations import Any
from minidock.cli.flags import Parsed, parse_bool
from minidock.cli.params import parse_size
from minidock.engine.options import BindMount, TmpfsMount, VolumeMount, VolumesFrom
from minidock.errors import Conflict, InvalidArgument, Unsupported
from minidock.values import NamedTuple

_PROPAGATIONS = frozenset(("shared", "slave", "private", "rshared", "rslave", "rprivate"))
_CONSISTENCIES = frozenset(("consistent", "cached", "delegated"))
_MODE_KINDS = {
    **dict.fromkeys(("ro", "rw"), "access"),
    **dict.fromkeys(_PROPAGATIONS, "propagation"),
    **dict.fromkeys(("z", "Z"), "label"),
    **dict.fromkeys(_CONSISTENCIES, "consistency"),
    "nocopy": "copy",
}
"""The modes of ``-v``: at most one of a kind."""

MountFlag = BindMount | VolumeMount | TmpfsMount


class AnonymousVolume(NamedTuple):
    """``-v /data``: a new volume without a name."""

    destination: str


Volume = BindMount | VolumeMount | AnonymousVolume


class Mounts(NamedTuple):
    """All mounts of a command line, as CreateOptions has them."""

    binds: tuple[BindMount | VolumeMount, ...]
    mounts: tuple[MountFlag, ...]
    tmpfs: tuple[TmpfsMount, ...]
    volumes: tuple[str, ...]


def parse_mounts(
    volumes: Iterable[str], mounts: tuple[MountFlag, ...], tmpfs: Iterable[str]
) -> Mounts:
    """Return what ``--volume``, ``--mount`` and ``--tmpfs`` ask for together.

    Raises:
        InvalidArgument: a text can't be meant.
        Conflict: two mounts have the same destination.
    """
    parsed = [parse_volume(text) for text in volumes]
    binds = tuple(volume for volume in parsed if not isinstance(volume, AnonymousVolume))
    places = (volume.destination for volume in parsed if isinstance(volume, AnonymousVolume))
    on_tmpfs = tuple(map(parse_tmpfs, tmpfs))
    check_destinations(mount.destination for mount in (*binds, *mounts, *on_tmpfs))
    return Mounts(binds, mounts, on_tmpfs, tuple(dict.fromkeys(places)))


def parse_volume(text: str) -> Volume:
    """Return what ``--volume [source:]container[:modes]`` asks for.

    A source that starts with a dot is a path below the working directory, one that starts with
    a slash any path of the host, and all others name a volume.

    Raises:
        InvalidArgument: the text can't be meant.
    """
    source, destination, modes = _split_volume(text)
    destination = _destination(destination, f"invalid volume specification: '{text}'")
    if source is None:
        return AnonymousVolume(destination)
    kinds = _mode_kinds(modes)
    if source.startswith("."):
        source = os.path.abspath(source)
    if source.startswith("/"):
        _refuse(kinds, "copy", modes)
        bind = BindMount(os.path.normpath(source), destination, kinds.get("access") == "ro")
        return bind._replace(propagation=kinds.get("propagation", bind.propagation))
    _check_volume_name(source)
    _refuse(kinds, "propagation", modes)
    return VolumeMount(
        source, destination, kinds.get("access") == "ro", nocopy="copy" in kinds, modes=modes
    )


def _split_volume(text: str) -> tuple[str | None, str, str]:
    invalid = InvalidArgument(f"invalid volume specification: '{text}'")
    parts = text.split(":")
    if "" in parts or len(parts) > 3:
        raise invalid
    if len(parts) == 1:
        return None, parts[0], ""
    # No destination is relative: this is a volume without a name, which takes no modes.
    if len(parts) == 2 and set(parts[1].split(",")) <= _MODE_KINDS.keys():
        raise invalid
    return parts[0], parts[1], "".join(parts[2:])


def _mode_kinds(modes: str) -> dict[str, str]:
    """Return the modes by their kind."""
    kinds: dict[str, str] = {}
    for mode in modes.split(",") if modes else ():
        kind = _MODE_KINDS.get(mode, "")
        if not kind or kind in kinds:
            raise InvalidArgument(f"invalid mode: {modes}")
        kinds[kind] = mode
    return kinds


def _refuse(kinds: dict[str, str], kind: str, modes: str) -> None:
    if kind in kinds:
        raise InvalidArgument(f"invalid mode: {modes}")


def _check_volume_name(name: str) -> None:
    from minidock.store.volumes import check_name  # other mounts need no volumes

    check_name(name)


def _destination(path: str, context: str) -> str:
    if not path.startswith("/"):
        raise InvalidArgument(f"invalid mount path: '{path}' mount path must be absolute")
    path = os.path.normpath(path)
    # POSIX lets two leading slashes mean something else; Linux does not.
    path = "/" + path.lstrip("/")
    if path == "/":
        raise InvalidArgument(f"{context}: destination can't be '/'")
    return path


class _MountFields(NamedTuple):
    """The fields of one ``--mount``, under their main names."""

    type: str = "volume"
    source: str = ""
    target: str = ""
    read_only: bool = False
    bind_propagation: str = ""
    consistency: str = ""
    tmpfs_size: str = ""
    tmpfs_mode: str = ""
    volume_driver: str = ""
    volume_label: tuple[str, ...] = ()
    volume_nocopy: bool = False
    volume_opt: tuple[str, ...] = ()
    volume_subpath: str = ""


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
        Unsupported: it asks for another type, such as an image.
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
        "volume": _volume,
    }
    make = makers.get(fields.type)
    if make is None:
        raise Unsupported(f"mounts of type {fields.type} are not supported")
    _refuse_mixed(fields)
    return make(fields, destination)


def _refuse_mixed(fields: _MountFields) -> None:
    """Refuse a field that is for another type of mount."""
    for name, value in fields._asdict().items():
        kind, underscore, _ = name.partition("_")
        if value and underscore and kind in ("bind", "tmpfs", "volume") and kind != fields.type:
            raise InvalidArgument(
                f"cannot mix '{kind}-*' options with mount type '{fields.type}'"
            )


def _with_field(fields: _MountFields, text: str) -> _MountFields:
    key, equals, value = text.partition("=")
    name = key.strip().lower().replace("-", "_")
    name = _FIELD_ALIASES.get(name, name)
    if name in ("read_only", "volume_nocopy"):
        truth: dict[str, Any] = {name: _flag_value(key, value) if equals else True}
        return fields._replace(**truth)
    if not equals:
        raise InvalidArgument(f"invalid field '{text}' must be a key=value pair")
    if name not in _MountFields._fields:
        raise InvalidArgument(f"unexpected key '{key}' in '{text}'")
    if name == "bind_propagation" and value not in _PROPAGATIONS:
        raise InvalidArgument(f"invalid propagation value: {value}")
    changed: Any = value.lower() if name == "type" else value
    if name in ("volume_label", "volume_opt"):
        changed = (*getattr(fields, name), value)
    return fields._replace(**{name: changed})


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
        fields.bind_propagation or "rprivate",
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


def _volume(fields: _MountFields, destination: str) -> VolumeMount:
    subpath = fields.volume_subpath
    if subpath and not fields.source:
        raise InvalidArgument(
            'invalid mount config for type "volume": '
            "must not set Subpath when using anonymous volumes"
        )
    if subpath.startswith("/") or ".." in subpath.split("/"):
        raise InvalidArgument(
            'invalid mount config for type "volume": '
            "subpath must be a relative path within the volume"
        )
    if fields.source:
        _check_volume_name(fields.source)
    return VolumeMount(
        fields.source,
        destination,
        fields.read_only,
        nocopy=fields.volume_nocopy,
        labels=_pairs(fields.volume_label),
        driver=fields.volume_driver,
        options=_pairs(fields.volume_opt),
        subpath=os.path.normpath(subpath) if subpath else "",
    )


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    return dict(text.partition("=")[::2] for text in texts)


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


def parse_volumes_from(text: str) -> VolumesFrom:
    """Return what ``--volumes-from container[:mode]`` asks for; raise ValueError."""
    name, colon, mode = text.partition(":")
    if not name:
        raise ValueError("volumes-from specification cannot be an empty string")
    if colon and _MODE_KINDS.get(mode) not in ("access", "label"):
        raise ValueError(f"invalid mode: {mode}")
    return VolumesFrom(name, mode == "ro")


MOUNT = Parsed("mount", parse_mount)
VOLUMES_FROM = Parsed("list", parse_volumes_from)
