# SPDX-License-Identifier: Apache-2.0
"""The host's devices, all of them or those at a path."""

import os
import stat
from collections.abc import Iterator

from minidock.errors import InvalidArgument
from minidock.oci.runtime import LinuxDevice

_OWN = ("pts", "shm", "fd", "mqueue", "console", "ptmx")
"""What a container has of its own, or must not share."""


class NotADevice(InvalidArgument):
    """A path to be given to a container that is no device; the text is docker's."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f'error gathering device information while adding custom device "{path}": {reason}'
        )


def at_path(source: str, destination: str) -> tuple[LinuxDevice, ...]:
    """Return the device at `source`, or all below that directory, as at `destination`.

    Raises:
        NotADevice: there is nothing, or something else.
    """
    path = os.path.realpath(source)
    if os.path.isdir(path):
        return tuple(
            device._replace(path=destination + device.path.removeprefix(path))
            for device in _below(path, _OWN)
        )
    if not os.path.lexists(path):
        raise NotADevice(source, "no such file or directory")
    device = _device(path)
    if device is None:
        raise NotADevice(source, "not a device node")
    return (device._replace(path=destination),)


def host_devices() -> tuple[LinuxDevice, ...]:
    """Return every device file below the host's /dev, with its mode and owner."""
    return tuple(_below("/dev", _OWN))


def _below(directory: str, leave_out: tuple[str, ...] = ()) -> Iterator[LinuxDevice]:
    try:
        entries = list(os.scandir(directory))
    except OSError:
        return  # gone meanwhile, or not ours to read
    for entry in entries:
        if entry.name in leave_out or entry.is_symlink():
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path)
        elif device := _device(entry.path):
            yield device


def _device(path: str) -> LinuxDevice | None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISCHR(status.st_mode) and not stat.S_ISBLK(status.st_mode):
        return None
    return LinuxDevice(
        path,
        "b" if stat.S_ISBLK(status.st_mode) else "c",
        os.major(status.st_rdev),
        os.minor(status.st_rdev),
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
    )
