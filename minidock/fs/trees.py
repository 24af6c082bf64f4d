# SPDX-License-Identifier: Apache-2.0
"""Whole directory trees, however deep and whatever their makers intend.

No function here follows a symbolic link or leaves the mount it starts on, none recurses, and
each holds one directory descriptor at a time: a tree that a container made may be deeper than
PATH_MAX, RLIMIT_NOFILE and Python's stack allow.
"""

import contextlib
import errno
import os
from collections.abc import Callable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Cursor:
    """A place in a tree that moves one name at a time; `fd` is the directory it is in.

    It goes where other file systems are mounted only if told to go `across_mounts`.
    """

    def __init__(self, fd: int, *, across_mounts: bool = False) -> None:
        self.fd = fd
        self._across = across_mounts
        self._above: list[tuple[int, int]] = []

    @classmethod
    def at(cls, path: str) -> "Cursor":
        """Start in directory `path`; raise OSError, ENOTDIR for a symbolic link."""
        return cls(os.open(path, _DIRECTORY | os.O_CLOEXEC))

    def enter(self, name: str) -> None:
        """Go into directory `name`; raise OSError, EXDEV if something is mounted there."""
        from minidock.linux import openat  # ctypes costs 2 ms, and ps enters no tree

        resolve = openat.RESOLVE_BELOW if self._across else openat.RESOLVE_WITHIN_MOUNT
        below = openat.openat2(self.fd, name, _DIRECTORY, 0, resolve)
        self._above.append(_identity(self.fd))
        os.close(self.fd)
        self.fd = below

    def leave(self) -> None:
        """Go back to the directory above, and make sure that it is the one it came from.

        Raises:
            OSError: ESTALE if the tree was moved meanwhile.
        """
        above = os.open("..", _DIRECTORY | os.O_CLOEXEC, dir_fd=self.fd)
        os.close(self.fd)
        self.fd = above
        if _identity(above) != self._above.pop():
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def remove(path: str) -> None:
    """Remove whatever is at `path`: a tree, a file, a link itself, or nothing.

    Raises:
        OSError: EXDEV when something is mounted inside; what was reached before is gone.
    """
    parent, _, name = path.rstrip("/").rpartition("/")
    directory = os.open(parent or ("/" if path.startswith("/") else "."), os.O_PATH)
    try:
        remove_at(directory, name)
    finally:
        os.close(directory)


def remove_at(directory: int, name: str) -> None:
    """Remove `name`, with all that is below it, from an open directory; see remove()."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        if not _is_directory(directory, name):
            raise
    else:
        return
    try:
        os.rmdir(name, dir_fd=directory)  # an empty one, as of each container that is made
    except OSError:
        pass  # or what is wrong with it comes to light below
    else:
        return
    cursor = Cursor(os.dup(directory))
    try:
        cursor.enter(name)
        _walk(cursor, _unlink_files, _rmdir)
    finally:
        cursor.close()
    os.rmdir(name, dir_fd=directory)


def _is_directory(directory: int, name: str) -> bool:
    try:
        os.close(os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=directory))
    except NotADirectoryError:
        return False
    return True


def _walk(
    cursor: Cursor, visit: Callable[[int], list[str]], done: Callable[[int, str], None]
) -> None:
    """Call `visit` in the cursor's directory and in those below that it names.

    When all below a directory is visited, `done` is called in its parent with its name. The
    cursor ends where it started.
    """
    levels = [visit(cursor.fd)]
    while True:
        if levels[-1]:
            cursor.enter(levels[-1][-1])
            levels.append(visit(cursor.fd))
            continue
        levels.pop()
        if not levels:
            return
        cursor.leave()
        done(cursor.fd, levels[-1].pop())


def _unlink_files(directory: int) -> list[str]:
    """Remove what is not a directory; return the names of the directories."""
    directories = []
    with os.scandir(directory) as entries:
        listed = list(entries)
    for entry in listed:
        if entry.is_dir(follow_symlinks=False):
            directories.append(entry.name)
        else:
            os.unlink(entry.name, dir_fd=directory)
    return directories


def _rmdir(directory: int, name: str) -> None:
    os.rmdir(name, dir_fd=directory)


def disk_usage(path: str) -> int:
    """Return the bytes of the regular files below directory `path`.

    Lengths are apparent, as docker's SIZE: holes count, a file with several names counts once.
    What is renamed or removed during the walk may be missed. Raises OSError if `path` can't be
    read, EXDEV if something is mounted inside.
    """
    usage = _Usage()
    cursor = Cursor.at(path)
    try:
        _walk(cursor, usage.add, lambda _fd, _name: None)
    except OSError as e:
        if e.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
            raise
    finally:
        cursor.close()
    return usage.size


class _Usage:
    def __init__(self) -> None:
        self.size = 0
        self._linked: set[tuple[int, int]] = set()

    def add(self, directory: int) -> list[str]:
        """Count the files of an open directory; return the names of its directories."""
        with os.scandir(directory) as entries:
            listed = list(entries)
        return [entry.name for entry in listed if self._is_directory(entry)]

    def _is_directory(self, entry: "os.DirEntry[str]") -> bool:
        """Tell whether `entry` is a directory; count it if it is a file."""
        if entry.is_dir(follow_symlinks=False):
            return True
        if entry.is_file(follow_symlinks=False):
            with contextlib.suppress(FileNotFoundError):
                self._count(entry.stat(follow_symlinks=False))
        return False

    def _count(self, status: os.stat_result) -> None:
        if status.st_nlink > 1:
            identity = status.st_dev, status.st_ino
            if identity in self._linked:
                return
            self._linked.add(identity)
        self.size += status.st_size
