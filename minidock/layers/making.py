# SPDX-License-Identifier: Apache-2.0
"""Making what the entries of an archive say, in a directory that is not to be left.

Parents are resolved by the kernel inside a root (openat2(2)); the last name is never followed,
and what stands there is unlinked, not written through.
"""

import errno
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

from minidock.annotations import TypeVar
from minidock.errors import DataCorrupted
from minidock.fs.rooted import RootedDir
from minidock.layers import archive as tar
from minidock.layers import xattrs
from minidock.linux.openat import RESOLVE_BELOW, openat2
from minidock.values import NamedTuple

_T = TypeVar("_T")

LEXICAL = RESOLVE_BELOW
"""How a path that has no symbolic link in it is opened below the root."""

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PARENT = os.O_PATH | os.O_DIRECTORY
_CACHED_PARENTS = 32
_MAX_NOTES = 100
_RACES = 16

_MAX_ID = 0xFFFFFFFE  # the next number tells chown(2) to change nothing
_MAX_MAJOR, _MAX_MINOR = 1 << 12, 1 << 20  # what the kernel's dev_t holds

# Errors that the names in an archive can provoke; all others come from the machine.
CONTENT_ERRORS = frozenset(
    (
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
        errno.ELOOP,
        errno.EINVAL,
        errno.EISDIR,
        errno.EFBIG,
        errno.EXDEV,
    )
)

_NODE_TYPES = {
    tar.CHARACTER: stat.S_IFCHR,
    tar.BLOCK_DEVICE: stat.S_IFBLK,
    tar.FIFO: stat.S_IFIFO,
}


class RefusedEntry(DataCorrupted):
    """An archive asks for something that none may have."""

    def __init__(self, name: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"entry {name[:200]!r}: {reason}", hint=hint)
        self.name = name


class Place(NamedTuple):
    """Where an entry goes; `path` has no symbolic link in it and no leading slash."""

    directory: int
    name: str
    path: str


class Parents:
    """Open directories below a root, so that neighbours cost one lookup.

    New names never change what a path that exists leads to; a removal may, and then forget()
    must be called.
    """

    def __init__(self, root: RootedDir) -> None:
        self._root = root
        self._open: dict[str, tuple[int, str]] = {}
        self._stale = False

    def open(self, path: str) -> tuple[int, str]:
        """Return a descriptor, valid until the next call, and the path without links."""
        if not path:
            return self._root.fd, ""
        if self._stale or len(self._open) >= _CACHED_PARENTS:
            self.close()
        found = self._open.get(path)
        if found is None:
            found = self._open[path] = self._resolve(path)
        return found

    def forget(self) -> None:
        """Resolve anew from the next call on."""
        self._stale = True

    def close(self) -> None:
        """Close all descriptors."""
        for fd, _ in self._open.values():
            os.close(fd)
        self._open.clear()
        self._stale = False

    def _resolve(self, path: str) -> tuple[int, str]:
        try:
            return openat2(self._root.fd, path, _PARENT, 0, LEXICAL), path
        except OSError as e:
            if e.errno != errno.ELOOP:
                raise
        fd = self._root.open(path, _PARENT)
        try:
            return fd, self._root.path_of(fd)
        except OSError:
            os.close(fd)
            raise


class Maker(ABC):
    """Makes files, links and devices; who derives from it decides what may be replaced.

    Attributes:
        notes: what could not be stored in this place, without repetitions.
    """

    def __init__(self, root: RootedDir) -> None:
        self._root = root
        self._parents = Parents(root)
        self._notes: dict[str, None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be stored in this place."""
        return tuple(self._notes)

    def close(self) -> None:
        """Close what is open; what was made stays."""
        self._parents.close()

    def _note(self, note: str) -> None:
        if len(self._notes) < _MAX_NOTES:
            self._notes[note] = None

    @abstractmethod
    def _clear(self, place: Place) -> None:
        """Remove what is in the way of an entry, or refuse to."""

    def _replacing(self, place: Place, make: Callable[[], _T]) -> _T:
        """Return what `make` returns, removing what stands in its way."""
        for _ in range(_RACES):
            try:
                return make()
            except FileExistsError:
                self._clear(place)
        return make()

    def _make_file(
        self, entry: tar.Entry, place: Place, data: Iterable[tuple[int, bytes]]
    ) -> None:
        directory, name, _ = place
        fd = self._replacing(place, lambda: os.open(name, _CREATE, 0o600, dir_fd=directory))
        try:
            if entry.size:
                end = 0
                for offset, piece in data:
                    _write_all(fd, piece, offset)
                    end = offset + len(piece)
                if end < entry.size:
                    os.ftruncate(fd, entry.size)
            self._set_metadata(fd, entry)
        finally:
            os.close(fd)

    def _set_metadata(self, fd: int, entry: tar.Entry) -> None:
        # chown(2) clears set-user-ID and file capabilities, so it comes first; chmod(2)
        # rewrites the mask of an access list, so lists come after it; times come last.
        os.fchown(fd, entry.uid, entry.gid)
        os.fchmod(fd, entry.mode)
        for name, value in entry.xattrs.items():
            if xattrs.travels(name) and not xattrs.write(fd, name, value):
                self._note(f"extended attribute {name!r} can't be stored here")
        os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))

    def _make_symlink(self, entry: tar.Entry, place: Place) -> None:
        if not entry.link:
            raise RefusedEntry(entry.name, "a symbolic link without a target")
        directory, name, _ = place
        self._replacing(place, lambda: os.symlink(entry.link, name, dir_fd=directory))
        _set_link_metadata(entry, place)

    def _make_hard_link(self, source: int, target: str, place: Place) -> None:
        """Give `target` in directory `source` the name of `place` too."""
        if not _is_same(source, target, place):
            self._replacing(
                place,
                lambda: os.link(
                    target,
                    place.name,
                    src_dir_fd=source,
                    dst_dir_fd=place.directory,
                    follow_symlinks=False,
                ),
            )

    def _make_node(self, entry: tar.Entry, place: Place) -> None:
        major, minor = entry.device
        if entry.kind == tar.CHARACTER and entry.device == (0, 0):
            # overlayfs would take it for a whiteout
            raise RefusedEntry(entry.name, "character device 0:0 is no device")
        if major >= _MAX_MAJOR or minor >= _MAX_MINOR:
            raise RefusedEntry(entry.name, f"device {major}:{minor} is out of range")
        directory, name, _ = place
        mode, device = _NODE_TYPES[entry.kind] | 0o600, os.makedev(major, minor)
        try:
            self._replacing(place, lambda: os.mknod(name, mode, device, dir_fd=directory))
        except PermissionError:
            self._note(f"device {entry.name!r} can't be made here")
            return
        _set_link_metadata(entry, place)
        _chmod_node(entry, place)


def join(parent: str, name: str) -> str:
    """Return the path of `name` in directory `parent`, which is empty for the top."""
    return f"{parent}/{name}" if parent else name


def components(path: str, wanted_by: str) -> list[str]:
    """Return the names in `path` as seen from the top; raise RefusedEntry for ``..``."""
    if not path:
        raise RefusedEntry(wanted_by, "an empty name")
    parts = [part for part in path.split("/") if part and part != "."]
    if ".." in parts:
        raise RefusedEntry(wanted_by, 'a name with ".."')
    return parts


def check_owner(entry: tar.Entry) -> None:
    """Raise RefusedEntry for an owner that chown(2) can't set."""
    if entry.uid > _MAX_ID or entry.gid > _MAX_ID:
        raise RefusedEntry(entry.name, f"owner {entry.uid}:{entry.gid} is out of range")


def _is_same(source: int, target: str, place: Place) -> bool:
    status = os.stat(target, dir_fd=source, follow_symlinks=False)
    try:
        other = os.stat(place.name, dir_fd=place.directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(status, other)


def _set_link_metadata(entry: tar.Entry, place: Place) -> None:
    """Set owner and times of what can't be opened: links, devices, fifos."""
    directory, name, _ = place
    os.chown(name, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
    times = (entry.mtime_ns, entry.mtime_ns)
    os.utime(name, ns=times, dir_fd=directory, follow_symlinks=False)


def _chmod_node(entry: tar.Entry, place: Place) -> None:
    """Set the mode of a device or fifo, by what was opened and not by its name.

    A container may have put a link there since. Opening by O_PATH does not open the device.
    """
    fd = os.open(place.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.directory)
    try:
        if stat.S_IFMT(os.fstat(fd).st_mode) == _NODE_TYPES[entry.kind]:
            os.chmod(f"/proc/self/fd/{fd}", entry.mode)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes, offset: int) -> None:
    written = os.pwrite(fd, data, offset)
    while written < len(data):
        written += os.pwrite(fd, memoryview(data)[written:], offset + written)
