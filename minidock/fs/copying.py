# SPDX-License-Identifier: Apache-2.0
"""A copy of a directory tree: contents with their holes, owners, modes, times, attributes.

As in `trees`, no symbolic link is followed and no mount below is entered, and a tree may be as
deep as its maker likes. Others may change the target meanwhile: what is written stays below it.
"""

import errno
import os
import stat
from collections.abc import Callable

from minidock.fs.rooted import open_regular
from minidock.fs.trees import Cursor
from minidock.linux.openat import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_PATH = 4000  # bytes; a file further down gets no second name
_NO_ATTRIBUTES = (errno.ENOTSUP, errno.EPERM)

Identity = tuple[int, int]


def copy_tree(source: int, target: int, keeps: Callable[[str], bool]) -> None:
    """Copy all that is in directory `source` into the empty directory `target`.

    Both are descriptors, which stay open; the target itself gets the source's metadata too.
    `keeps` tells which extended attributes are copied, where the file system knows them.
    Devices, sockets and pipes are left out: a copied device would work where nobody guards it,
    the others lead nowhere without the process at their end.

    Raises:
        OSError: EEXIST if someone else puts files there, ESTALE if a directory was moved away.
    """
    copier = _Copier(source, target, keeps)
    try:
        copier.run()
    finally:
        copier.close()


class _Copier:
    def __init__(self, source: int, target: int, keeps: Callable[[str], bool]) -> None:
        self._top = target
        self._keeps = keeps
        self._from = Cursor(os.open(".", _DIRECTORY, dir_fd=source))
        self._to = Cursor(os.open(".", _DIRECTORY, dir_fd=target))
        self._path: list[str] = []
        self._linked: dict[Identity, tuple[str, str]] = {}

    def close(self) -> None:
        self._from.close()
        self._to.close()

    def run(self) -> None:
        levels = [self._copy_files()]
        while True:
            if levels[-1]:
                self._enter(levels[-1].pop())
                levels.append(self._copy_files())
                continue
            levels.pop()
            # After what is inside, which changes a directory's times.
            self._copy_metadata(self._from.fd, self._to.fd)
            if not levels:
                return
            self._from.leave()
            self._to.leave()
            self._path.pop()

    def _enter(self, name: str) -> None:
        os.mkdir(name, 0o700, dir_fd=self._to.fd)
        self._from.enter(name)
        self._to.enter(name)
        self._path.append(name)

    def _copy_files(self) -> list[str]:
        """Copy what is not a directory; return the names of the directories."""
        directories = []
        with os.scandir(self._from.fd) as entries:
            listed = list(entries)
        for entry in listed:
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
            else:
                self._copy_file(entry.name, entry.stat(follow_symlinks=False))
        return directories

    def _copy_file(self, name: str, status: os.stat_result) -> None:
        identity = status.st_dev, status.st_ino
        if identity in self._linked:
            self._link(name, *self._linked[identity])
            return
        if stat.S_ISREG(status.st_mode):
            self._copy_regular(name)
        elif stat.S_ISLNK(status.st_mode):
            self._copy_symlink(name, status)
        else:
            return
        path = "/".join(self._path)
        if status.st_nlink > 1 and len(os.fsencode(path)) < _MAX_PATH:
            self._linked[identity] = path or ".", name

    def _link(self, name: str, path: str, first: str) -> None:
        """Give the file `first` of directory `path`, copied before, a further name."""
        resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
        directory = openat2(self._top, path, os.O_PATH | os.O_DIRECTORY, 0, resolve)
        try:
            os.link(
                first,
                name,
                src_dir_fd=directory,
                dst_dir_fd=self._to.fd,
                follow_symlinks=False,
            )
        finally:
            os.close(directory)

    def _copy_regular(self, name: str) -> None:
        found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._from.fd)
        try:
            source = open_regular(found)
        finally:
            os.close(found)
        if source < 0:
            return  # it has become something else
        try:
            target = os.open(name, _NEW_FILE, 0o600, dir_fd=self._to.fd)
            try:
                _copy_data(source, target)
                self._copy_metadata(source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _copy_symlink(self, name: str, status: os.stat_result) -> None:
        directory = self._to.fd
        os.symlink(os.readlink(name, dir_fd=self._from.fd), name, dir_fd=directory)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=directory, follow_symlinks=False)
        times = status.st_atime_ns, status.st_mtime_ns
        os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)

    def _copy_metadata(self, source: int, target: int) -> None:
        status = os.fstat(source)
        os.fchown(target, status.st_uid, status.st_gid)
        os.fchmod(target, stat.S_IMODE(status.st_mode))  # a change of owner clears set-uid
        self._copy_attributes(source, target)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _copy_attributes(self, source: int, target: int) -> None:
        try:
            for name in filter(self._keeps, os.listxattr(source)):
                os.setxattr(target, name, os.getxattr(source, name))
        except OSError as e:
            if e.errno not in _NO_ATTRIBUTES:
                raise


def _copy_data(source: int, target: int) -> None:
    """Copy a regular file's bytes; where it has a hole, the copy has one."""
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    position = 0
    while position < size:
        try:
            position = os.lseek(source, position, os.SEEK_DATA)
        except OSError as e:
            if e.errno == errno.ENXIO:  # nothing but a hole to the end
                return
            raise
        end = os.lseek(source, position, os.SEEK_HOLE)
        os.lseek(target, position, os.SEEK_SET)
        while position < end:
            sent = os.sendfile(target, source, position, end - position)
            if not sent:
                return  # it was cut meanwhile
            position += sent
