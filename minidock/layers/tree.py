# SPDX-License-Identifier: Apache-2.0
"""A directory tree as the entries of an archive, while a container may be changing it.

The walk goes by descriptors and enters what it has opened: a directory that is swapped for a
symbolic link meanwhile leads nowhere else, and no fifo or device is ever opened.
"""

import os
import stat
from collections.abc import Callable, Iterator

from minidock.fs.rooted import open_regular
from minidock.fs.trees import Cursor
from minidock.layers import archive as tar
from minidock.layers import xattrs
from minidock.layers.reading import NODE_KINDS, Pieces, pieces, whole
from minidock.oci.content import Writer

Entries = Iterator[tuple[tar.Entry, Pieces]]
"""Entries with their data, which are to be taken before the next one."""

_NANO = 1_000_000_000
_LEAF = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def entries(top: int, name: str, is_hidden: Callable[[int, str], bool]) -> Entries:
    """Yield what descriptor `top` stands for, as `name`, and all that is below it.

    Without a name the top itself, a directory, is left out.

    Directories come before what is in them, in the order of names; of a file with several
    names all but the first are hard links. Mounts below are gone into, but for directories that
    `is_hidden` says true of, which are told as empty; it gets their descriptor and path from
    the top. Sockets are left out, and what vanishes meanwhile.

    Raises:
        OSError: ESTALE when a directory was moved while the walk was in it.
    """
    return _Walk(name, is_hidden).run(top)


def write_tree(found: Entries, out: Writer) -> None:
    """Write entries to `out` as a whole tar.

    Times are of whole seconds, as docker has them: a fraction would cost each entry a kilobyte.
    """
    archive = tar.ArchiveWriter(out)
    for entry, data in found:
        second = entry.mtime_ns // _NANO * _NANO
        archive.add(entry._replace(mtime_ns=second), whole(data, entry.size))
    archive.close()


class _Walk:
    def __init__(self, name: str, is_hidden: Callable[[int, str], bool]) -> None:
        self._top = name
        self._prefix = f"{name}/" if name else ""
        self._is_hidden = is_hidden
        self._linked: dict[tuple[int, int], str] = {}

    def run(self, top: int) -> Entries:
        if not stat.S_ISDIR(os.fstat(top).st_mode):
            yield from self._leaf(top, self._top)
            return
        cursor = Cursor(os.open(".", _DIRECTORY, dir_fd=top), across_mounts=True)
        try:
            if self._top:
                yield self._directory(cursor.fd, ""), ()
            levels = [("", self._names(cursor.fd, ""))]
            while levels:
                parent, names = levels[-1]
                if not names:
                    levels.pop()
                    if levels:
                        cursor.leave()
                    continue
                path = f"{parent}{names.pop()}"
                if self._enter(cursor, path):
                    yield self._directory(cursor.fd, path), ()
                    levels.append((f"{path}/", self._names(cursor.fd, path)))
                else:
                    yield from self._name(cursor.fd, path)
        finally:
            cursor.close()

    def _names(self, directory: int, path: str) -> list[str]:
        """Return the names in reverse, to be taken from the end."""
        if self._is_hidden(directory, path):
            return []
        return sorted(os.listdir(directory), key=os.fsencode, reverse=True)

    def _enter(self, cursor: Cursor, path: str) -> bool:
        name = path.rpartition("/")[2]
        try:
            status = os.stat(name, dir_fd=cursor.fd, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                return False
            cursor.enter(name)
        except (FileNotFoundError, NotADirectoryError):  # replaced this very moment
            return False
        return True

    def _directory(self, fd: int, path: str) -> tar.Entry:
        name = f"{self._prefix}{path}/" if path else self._prefix
        return _entry(os.fstat(fd), name, tar.DIRECTORY)

    def _name(self, directory: int, path: str) -> Entries:
        try:
            fd = os.open(path.rpartition("/")[2], _LEAF, dir_fd=directory)
        except FileNotFoundError:
            return
        try:
            yield from self._leaf(fd, f"{self._prefix}{path}")
        finally:
            os.close(fd)

    def _leaf(self, fd: int, name: str) -> Entries:
        """Yield the entry of what is no directory; what is one has just replaced a file."""
        status = os.fstat(fd)
        kind = stat.S_IFMT(status.st_mode)
        if kind in (stat.S_IFDIR, stat.S_IFSOCK):
            return
        if status.st_nlink > 1:
            first = self._linked.setdefault((status.st_dev, status.st_ino), name)
            if first != name:
                yield _entry(status, name, tar.HARD_LINK)._replace(link=first), ()
                return
        if kind == stat.S_IFREG:
            yield from _file(fd, name)
        elif kind == stat.S_IFLNK:
            link = os.readlink("", dir_fd=fd)
            yield _entry(status, name, tar.SYMLINK)._replace(link=link), ()
        else:
            device = os.major(status.st_rdev), os.minor(status.st_rdev)
            yield _entry(status, name, NODE_KINDS[kind])._replace(device=device), ()


def _entry(status: os.stat_result, name: str, kind: bytes) -> tar.Entry:
    return tar.Entry(
        name,
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        mtime_ns=status.st_mtime_ns,
    )


def _file(found: int, name: str) -> Entries:
    fd = open_regular(found)
    try:
        size, data = pieces(fd)
        entry = _entry(os.fstat(fd), name, tar.FILE)
        yield entry._replace(size=size, xattrs=xattrs.read_capability(fd)), data
    finally:
        os.close(fd)
