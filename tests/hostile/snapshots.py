"""Everything that can be seen of a tree, as a value to compare."""

import contextlib
import os
import stat
from typing import NamedTuple


class Seen(NamedTuple):
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    nlink: int
    content: object
    xattrs: tuple[tuple[str, bytes], ...]


def snapshot(top: str) -> dict[str, Seen]:
    """Return what is at `top` and below, by relative path."""
    seen = {"": look(top)}
    waiting = [""]  # os.walk recurses
    while waiting:
        parent = waiting.pop()
        for name in os.listdir(f"{top}/{parent}"):
            path = f"{parent}/{name}" if parent else name
            seen[path] = look(f"{top}/{path}")
            if stat.S_ISDIR(seen[path].mode):
                waiting.append(path)
    return seen


def look(path: str) -> Seen:
    status = os.lstat(path)
    mode = status.st_mode
    content: object = None
    if stat.S_ISREG(mode):
        with open(path, "rb") as file:
            content = file.read()
    elif stat.S_ISLNK(mode):
        content = os.readlink(path)
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        content = (os.major(status.st_rdev), os.minor(status.st_rdev))
    xattrs = []
    with contextlib.suppress(OSError):
        for name in sorted(os.listxattr(path, follow_symlinks=False)):
            xattrs.append((name, os.getxattr(path, name, follow_symlinks=False)))
    return Seen(
        mode,
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        0 if stat.S_ISDIR(mode) else status.st_nlink,
        content,
        tuple(xattrs),
    )
