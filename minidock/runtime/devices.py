# SPDX-License-Identifier: Apache-2.0
"""The host's devices, for privileged containers."""

import os
import stat
from collections.abc import Iterator

from minidock.oci.runtime import LinuxDevice

_OWN = ("pts", "shm", "fd", "mqueue", "console", "ptmx")
"""What a container has of its own, or must not share."""


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
