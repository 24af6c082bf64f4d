# SPDX-License-Identifier: Apache-2.0
"""The mounts of a container that is about to start."""

import contextlib
import os
import stat

from minidock.engine.mount_points import BIND, TMPFS, VOLUME, MountPoint, mount_points, tmpfs_of
from minidock.engine.records import has_other_runtime
from minidock.errors import SystemFailure, Unsupported
from minidock.linux.openat import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, openat2
from minidock.oci.runtime import Mount
from minidock.runtime import spec
from minidock.store import places
from minidock.store.containers import Container, ContainerRecord
from minidock.store.store import Store

_OPEN = stat.S_IFDIR | 0o1777
_DIRECTORY = stat.S_IFDIR | 0o755
_FILE = stat.S_IFREG | 0o755


def make_places(store: Store, container: Container, lowers: tuple[str, ...]) -> None:
    """Give the container a layer with the places of its mounts that `lowers` lack.

    A tmpfs has the mode of what it covers, for everybody where that was not there before.
    """
    wanted = {mount.destination: _OPEN for mount in tmpfs_of(container.record.host)}
    for point in mount_points(container.record):
        source = os.path.join(point.source, point.subpath) if point.subpath else point.source
        kind = _DIRECTORY if os.path.isdir(source) else _FILE
        wanted[point.destination] = _OPEN if point.type == TMPFS else kind
    places.build(store.layout, container.places, lowers, wanted)


def mounts(
    record: ContainerRecord, opened: contextlib.ExitStack, *, nodev: bool
) -> list[Mount]:
    """Return the mounts of a record; `opened` closes what must be open until they are made.

    With `nodev` devices on volumes don't work: nobody guards them, and others may have put
    them there.

    Raises:
        SystemFailure: a volume does not have the path in it that is to be mounted.
        Unsupported: such a path, and a runtime that takes no descriptors: a path in a volume
            may lead to elsewhere by the time it is mounted.
    """
    points = mount_points(record)
    if has_other_runtime(record.host) and any(point.subpath for point in points):
        raise Unsupported(
            f"the runtime {record.host['Runtime']} can't mount a part of a volume"
        )
    return [_mount(point, opened, nodev=nodev) for point in points]


def _mount(point: MountPoint, opened: contextlib.ExitStack, *, nodev: bool) -> Mount:
    if point.type == TMPFS:
        return spec.tmpfs_mount(point.destination, point.options)
    if point.type == BIND and point.propagation not in ("rprivate", "private"):
        from minidock.engine.propagation import check  # few binds want another

        check(point.source, point.propagation)
    source = _open_subpath(point, opened) if point.subpath else point.source
    propagation = point.propagation or "rprivate"
    mount = spec.bind_mount(
        source, point.destination, read_only=point.read_only, propagation=propagation
    )
    if nodev and point.type == VOLUME:
        mount = mount._replace(options=(*mount.options, "nodev"))
    return mount


def _open_subpath(point: MountPoint, opened: contextlib.ExitStack) -> str:
    """Return a name for the path in the volume, whatever becomes of that path meanwhile.

    Links are followed as long as they lead to somewhere in the volume (CVE-2017-1002101).
    """
    try:
        volume = os.open(point.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.callback(os.close, volume)
        resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS
        fd = openat2(volume, point.subpath, os.O_PATH, 0, resolve)
    except OSError as e:
        stage = f"cannot access path {point.subpath} of the volume"
        raise SystemFailure.of(stage, OSError(e.errno, e.strerror, point.name)) from e
    opened.callback(os.close, fd)
    return f"/proc/{os.getpid()}/fd/{fd}"
