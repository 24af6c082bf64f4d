# SPDX-License-Identifier: Apache-2.0
"""Which extended attributes belong to a file in an image; see xattr(7).

File capabilities, POSIX access lists and what users set travel. What the kernel or a security
module keeps for itself does not: an image must not forge overlayfs's marks, and labels of
SELinux and IMA make sense on one host only.
"""

import errno
import os

CAPABILITY = "security.capability"
_KEPT = frozenset((CAPABILITY, "system.posix_acl_access", "system.posix_acl_default"))
_NOT_HERE = (errno.ENOTSUP, errno.EPERM)
_ABSENT = (errno.ENODATA, errno.ENOENT)


def travels(name: str) -> bool:
    """Tell whether attribute `name` goes into layers and comes out of them."""
    if name.startswith("user."):
        return not name.startswith("user.overlay.")
    return name in _KEPT


def read(path: str | int) -> dict[str, bytes]:
    """Return the attributes of a file (a descriptor, or a path that is not followed).

    A file system that knows none has none.
    """
    follow = isinstance(path, int)
    try:
        names = os.listxattr(path, follow_symlinks=follow)
    except OSError as e:
        if e.errno in _NOT_HERE:
            return {}
        raise
    found = {}
    for name in filter(travels, names):
        try:
            found[name] = os.getxattr(path, name, follow_symlinks=follow)
        except OSError as e:
            if e.errno not in _ABSENT:
                raise
    return found


def read_capability(fd: int) -> dict[str, bytes]:
    """Return the attribute that holds an open file's capabilities, if it has any."""
    try:
        return {CAPABILITY: os.getxattr(fd, CAPABILITY)}
    except OSError as e:
        if e.errno in _ABSENT or e.errno in _NOT_HERE:
            return {}
        raise


def write(fd: int, name: str, value: bytes) -> bool:
    """Set an attribute of an open file; tell whether this file system and user can.

    Raises:
        CorruptArchive: the kernel takes neither such a name nor such a value.
    """
    try:
        os.setxattr(fd, name, value)
    except OSError as e:
        if e.errno in _NOT_HERE:
            return False
        if e.errno in (errno.EINVAL, errno.ERANGE, errno.E2BIG):
            from minidock.layers.compression import CorruptArchive  # `travels` needs none

            raise CorruptArchive(f"layer: bad extended attribute {name[:100]!r}") from e
        raise
    return True
