# SPDX-License-Identifier: Apache-2.0
"""Mounts by descriptor: the mount API of Linux 5.2 to 5.12 (fsopen(2) and its family).

A mount made here is detached: it has a descriptor and no place. `attach` gives it a place,
closing the last descriptor of a mount that has none takes it away. Failures are OSError.
"""

import ctypes
import os
from collections.abc import Iterable

from minidock.linux.libc import syscall

MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NOEXEC = 0x08
MOUNT_ATTR_ATIME = 0x70
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_NOSYMFOLLOW = 0x200000

MS_REC = 0x4000
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20

CGROUP_MAGIC = 0x27E0EB
CGROUP2_MAGIC = 0x63677270
DEVPTS_MAGIC = 0x1CD1
PROC_MAGIC = 0x9FA0
SYSFS_MAGIC = 0x62656572
TMPFS_MAGIC = 0x01021994

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6
_OPEN_TREE_CLONE = 1
_MOVE_FROM_EMPTY_TO_EMPTY = 0x04 | 0x40
_MNT_DETACH = 2
_LOG_MESSAGE = 1024


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def open_filesystem(
    fstype: str, parameters: Iterable[tuple[str, str | None]] = (), attributes: int = 0
) -> int:
    """Return a detached mount of a new file system of type `fstype`.

    A parameter without value is a flag. `attributes` are MOUNT_ATTR_* of the mount.

    Raises:
        OSError: with what the file system wrote to its log, where it did.
    """
    context = syscall("fsopen", fstype.encode(), _FSOPEN_CLOEXEC, path=fstype)
    try:
        for key, value in parameters:
            _configure(context, key, value)
        _create(context, fstype)
        return syscall("fsmount", context, _FSMOUNT_CLOEXEC, attributes, path=fstype)
    finally:
        os.close(context)


def _configure(context: int, key: str, value: str | None) -> None:
    command, raw = (_SET_FLAG, None) if value is None else (_SET_STRING, os.fsencode(value))
    try:
        syscall("fsconfig", context, command, key.encode(), raw, 0)
    except OSError as e:
        text = key if value is None else f"{key}={value}"
        raise OSError(e.errno, _explain(context, e), text) from e


def _create(context: int, fstype: str) -> None:
    try:
        syscall("fsconfig", context, _CREATE, None, None, 0)
    except OSError as e:
        raise OSError(e.errno, _explain(context, e), fstype) from e


def _explain(context: int, error: OSError) -> str:
    """Return the first line of the context's log (``e text``), or the errno's text."""
    try:
        log = os.read(context, _LOG_MESSAGE)
    except OSError:
        return str(error.strerror)
    return log[2:].decode("utf-8", "replace").strip() or str(error.strerror)


def clone_tree(directory: int, path: str = "", *, recursive: bool = False) -> int:
    """Return a detached copy of the mount at `path` below `directory`: a bind mount.

    An empty path means `directory` itself. `recursive` copies the mounts below it as well.
    """
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    if not path:
        flags |= _AT_EMPTY_PATH
    return syscall("open_tree", directory, os.fsencode(path), flags, path=path or None)


def set_attributes(
    mount: int, enable: int, disable: int = 0, *, propagation: int = 0, recursive: bool = False
) -> None:
    """Change MOUNT_ATTR_* and the propagation (MS_*) of a mount, or of all below it too."""
    if disable & MOUNT_ATTR_ATIME or enable & MOUNT_ATTR_ATIME:
        disable |= MOUNT_ATTR_ATIME  # one field of several values: mount_setattr(2)
    how = _MountAttributes(enable, disable, propagation, 0)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    syscall("mount_setattr", mount, b"", flags, how, ctypes.sizeof(how))


def attach(mount: int, place: int, path: str = "") -> None:
    """Put a detached mount on the file or directory that descriptor `place` stands for."""
    syscall("move_mount", mount, b"", place, b"", _MOVE_FROM_EMPTY_TO_EMPTY, path=path or None)


def mount(source: str, target: str, fstype: str, options: str) -> None:
    """Mount the old way, without flags: for what fsconfig(2) can't say on older kernels."""
    syscall(
        "mount",
        os.fsencode(source),
        os.fsencode(target),
        fstype.encode(),
        0,
        os.fsencode(options),
        path=target,
    )


def make_private() -> None:
    """End the propagation of all mounts of this mount namespace, both ways."""
    syscall("mount", None, b"/", None, MS_REC | MS_PRIVATE, None, path="/")


def make_slave() -> None:
    """End the propagation of this mount namespace's mounts to others; theirs still comes."""
    syscall("mount", None, b"/", None, MS_REC | MS_SLAVE, None, path="/")


def detach(path: str) -> None:
    """Take the mounts at `path` out of the tree; they go with their last user."""
    syscall("umount2", os.fsencode(path), _MNT_DETACH, path=path)


def pivot_root(root: int) -> None:
    """Make mount `root` the root of this mount namespace and forget the old one.

    The working directory is the new root afterwards. The old root is stacked on the new one for
    a moment, so that no directory for it is needed: pivot_root(2), ``pivot_root(".", ".")``.
    """
    os.fchdir(root)
    syscall("pivot_root", b".", b".")
    detach(".")
    os.chdir("/")


_libc = ctypes.CDLL(None, use_errno=True)
_STATFS_SIZE = 256
"""Bytes that hold a struct statfs, whose first member is the long f_type."""


def filesystem_magic(fd: int) -> int:
    """Return the type of the file system that holds `fd`: f_type of fstatfs(2)."""
    buffer = ctypes.create_string_buffer(_STATFS_SIZE)
    if _libc.fstatfs(fd, buffer):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return ctypes.c_long.from_buffer(buffer).value
