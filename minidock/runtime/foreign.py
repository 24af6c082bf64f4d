# SPDX-License-Identifier: Apache-2.0
"""Taking a mount out of another mount namespace."""

import errno
import os

from minidock.linux import mounts, namespaces
from minidock.linux.openat import RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, openat2

_DIRECTORY = os.O_PATH | os.O_DIRECTORY
_PROC_ROOT_INO = 1


def _clone_from(namespace: int, path: str) -> int:
    """Return a detached copy of the mount at directory `path` of a mount namespace.

    Only a member of a namespace can copy its mounts: open_tree(2). The caller, which must have
    one thread, is one meanwhile. No symbolic link of `path` is followed.

    Raises:
        OSError: there is no such directory.
    """
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    root = os.open("/", _DIRECTORY | os.O_CLOEXEC)
    directory = os.open(".", _DIRECTORY | os.O_CLOEXEC)
    try:
        namespaces.setns(namespace, namespaces.CLONE_NEWNS)
        try:
            return _clone(path)
        finally:
            # setns(2) makes the namespace's root the caller's, which may be in a chroot.
            namespaces.setns(own, namespaces.CLONE_NEWNS)
            os.fchdir(root)
            os.chroot(".")
            os.fchdir(directory)
    finally:
        for fd in (own, root, directory):
            os.close(fd)


def clone_shm(namespace: int) -> int:
    """Return a detached copy of the /dev/shm of a mount namespace; raise OSError."""
    return _clone_from(namespace, "/dev/shm")  # noqa: S108 - not a file for us


def clone_proc(namespace: int) -> int:
    """Return a detached copy of the /proc of a mount namespace, without what covers its parts.

    Raises:
        OSError: EINVAL if something else has been mounted there.
    """
    proc = _clone_from(namespace, "/proc")
    is_root = os.fstat(proc).st_ino == _PROC_ROOT_INO
    if not is_root or mounts.filesystem_magic(proc) != mounts.PROC_MAGIC:
        os.close(proc)
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), "/proc")
    return proc


def _clone(path: str) -> int:
    root = os.open("/", _DIRECTORY | os.O_CLOEXEC)
    try:
        place = openat2(root, path, _DIRECTORY, 0, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
    finally:
        os.close(root)
    try:
        return mounts.clone_tree(place)
    finally:
        os.close(place)
