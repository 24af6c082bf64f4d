# SPDX-License-Identifier: Apache-2.0
"""Pseudoterminals of a container, made in its own devpts by descriptor (pts(4))."""

import errno
import os
import struct
from fcntl import ioctl

from minidock.linux import mounts

_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441
_UNLOCKED = struct.pack("i", 0)
_PTMX = os.makedev(5, 2)


def open_terminal(devpts: int) -> tuple[int, int]:
    """Return the master and the other end of a new terminal in the devpts mount `devpts`.

    Raises:
        OSError: ENODEV if `devpts` is no devpts, or its ptmx not the right device.
    """
    node = os.open("ptmx", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=devpts)
    try:
        if (
            mounts.filesystem_magic(node) != mounts.DEVPTS_MAGIC
            or os.fstat(node).st_rdev != _PTMX
        ):
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), "ptmx")
        flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
        master = os.open(f"/proc/self/fd/{node}", flags)
    finally:
        os.close(node)
    try:
        ioctl(master, _TIOCSPTLCK, _UNLOCKED)
        return master, ioctl(master, _TIOCGPTPEER, flags)
    except BaseException:
        os.close(master)
        raise
