# SPDX-License-Identifier: Apache-2.0
"""openat2(2): open below a directory, whatever the path and its symbolic links say."""

import ctypes
import os

from minidock.linux.libc import syscall

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
RESOLVE_BELOW = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
RESOLVE_WITHIN_MOUNT = RESOLVE_BELOW | RESOLVE_NO_XDEV


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


_SIZE = ctypes.sizeof(_OpenHow)


def openat2(directory: int, path: str | bytes, flags: int, mode: int, resolve: int) -> int:
    """Return a descriptor (close-on-exec) of `path` as seen from `directory`.

    Raises:
        OSError: EAGAIN when a rename raced with ".." (try again), EXDEV or ELOOP when `resolve`
            forbids the path, ENOSYS before Linux 5.6.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    raw = os.fsencode(path)
    return syscall("openat2", directory, raw, how, _SIZE, path=os.fsdecode(raw))
