# SPDX-License-Identifier: Apache-2.0
"""What is mounted where in a container: docker's HostConfig, and what became of it."""

from collections.abc import Mapping

from minidock.annotations import Any
from minidock.engine.options import (
    BindMount,
    CreateOptions,
    TmpfsMount,
    VolumeMount,
    VolumesFrom,
)
from minidock.errors import DataCorrupted
from minidock.store.containers import ContainerRecord
from minidock.values import NamedTuple

BIND, VOLUME, TMPFS = "bind", "volume", "tmpfs"


class MountPoint(NamedTuple):
    """One mount: docker's ``Mounts`` of ``inspect``, and what else the start needs.

    `type` is bind, volume or tmpfs. `source` is the host's path, of a volume its data
    directory. `name` is the volume's; `anonymous` says that it was made for such a mount and
    may go with its last container. `subpath` is relative to a volume. `mode` is for show.
    `options` are those of a tmpfs.
    """

    type: str
    source: str
    destination: str
    name: str = ""
    read_only: bool = False
    mode: str = ""
    propagation: str = ""
    anonymous: bool = False
    subpath: str = ""
    options: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return docker's document of the mount."""
        named = {"Name": self.name} if self.type == VOLUME else {}
        driver = {"Driver": "local"} if self.type == VOLUME else {}
        return {
            "Type": self.type,
            **named,
            "Source": self.source,
            "Destination": self.destination,
            **driver,
            "Mode": self.mode,
            "RW": not self.read_only,
            "Propagation": self.propagation,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "MountPoint":
        """Return the mount that ``_asdict()`` was stored of; raise DataCorrupted."""
        try:
            return cls(**{**fields, "options": tuple(fields["options"])})
        except (KeyError, TypeError) as e:
            raise DataCorrupted(f"invalid container.json: mounts: {e}") from e


def mount_points(record: ContainerRecord) -> tuple[MountPoint, ...]:
    """Return the mounts of a container, but for those of ``--tmpfs``; raise DataCorrupted."""
    return tuple(map(MountPoint.from_json, record.mounts))


def mounts_config(options: CreateOptions) -> dict[str, Any]:
    """Return the mounts among the keys of docker's HostConfig, as they were asked for."""
    return {
        "Binds": [_format_bind(bind) for bind in options.binds],
        "Mounts": [_mount_document(mount) for mount in options.mounts],
        "VolumesFrom": [_format_volumes_from(source) for source in options.volumes_from],
        "Tmpfs": {mount.destination: ",".join(mount.options) for mount in options.tmpfs},
    }


def _format_bind(mount: BindMount | VolumeMount) -> str:
    if isinstance(mount, VolumeMount):
        modes = mount.modes
    else:
        access = ["ro"] if mount.read_only else []
        propagation = [mount.propagation] if mount.propagation != "rprivate" else []
        modes = ",".join(access + propagation)
    return f"{mount.source}:{mount.destination}{modes and f':{modes}'}"


def _format_volumes_from(source: VolumesFrom) -> str:
    return f"{source.container}:ro" if source.read_only else source.container


def _mount_document(mount: BindMount | VolumeMount | TmpfsMount) -> dict[str, Any]:
    """Return docker's document of a ``--mount``."""
    document: dict[str, Any] = {"Type": TMPFS, "Source": "", "Target": mount.destination}
    if isinstance(mount, TmpfsMount):
        options = dict(option.partition("=")[::2] for option in mount.options)
        size, mode = int(options.get("size", 0)), int(options.get("mode", "0"), 8)
        document["ReadOnly"] = "ro" in options
        document["TmpfsOptions"] = _without_empty({"SizeBytes": size, "Mode": mode})
        return _without_empty(document)
    document |= {"Source": mount.source, "ReadOnly": mount.read_only}
    if isinstance(mount, BindMount):
        document |= {"Type": BIND, "BindOptions": {"Propagation": mount.propagation}}
    else:
        document |= {"Type": VOLUME, "VolumeOptions": _volume_options(mount)}
    return _without_empty(document)


def _volume_options(mount: VolumeMount) -> dict[str, Any]:
    driver = {"Name": mount.driver or "local", "Options": dict(mount.options)}
    return _without_empty(
        {
            "NoCopy": mount.nocopy,
            "Labels": dict(mount.labels),
            "DriverConfig": driver if mount.driver or mount.options else None,
            "Subpath": mount.subpath,
        }
    )


def _without_empty(document: dict[str, Any]) -> dict[str, Any]:
    """Return `document` without the members that say nothing, as docker writes it."""
    return {key: value for key, value in document.items() if value}


def tmpfs_of(host: Mapping[str, Any]) -> tuple[TmpfsMount, ...]:
    """Return the tmpfs mounts of a HostConfig."""
    mounts = host.get("Tmpfs") or {}
    return tuple(
        TmpfsMount(path, tuple(filter(None, text.split(",")))) for path, text in mounts.items()
    )
