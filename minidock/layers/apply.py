# SPDX-License-Identifier: Apache-2.0
"""Unpack a layer's tar into an empty directory, in the form overlayfs stacks.

A layer is hostile input that is handled as root. Parents are resolved by the kernel inside the
directory (openat2(2)); the last name is never followed, and what stands there is unlinked, not
written through. Each layer unpacks alone: layers unpack in parallel and are shared. What one
needs of the layers below, the metadata of parents it has no entry for, is reported.
"""

import errno
import os
import stat
from collections.abc import Callable

from minidock.errors import DataCorrupted
from minidock.fs import trees
from minidock.fs.rooted import RootedDir
from minidock.layers import archive as tar
from minidock.layers import whiteouts
from minidock.layers.making import (
    CONTENT_ERRORS,
    LEXICAL,
    Maker,
    Place,
    RefusedEntry,
    check_owner,
    components,
    join,
)
from minidock.linux import overlayfs
from minidock.linux.openat import openat2
from minidock.oci.content import Reader
from minidock.values import NamedTuple

_SPACE_FROM = 1 << 20  # smaller files meet a full disk by themselves
_IMPLIED_MODE = 0o755
_REPLACED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class LayerTooLarge(DataCorrupted):
    """A layer unpacks to more than is sane."""


class Limits(NamedTuple):
    """How much a layer may be.

    `size` are bytes, of the archive and of its files with their holes. `entries` counts implied
    directories too. An archive of more than `ratio_from` bytes may be `ratio` times
    `compressed_size` (bytes), if that is known.
    """

    size: int = 64 << 30
    entries: int = 2_000_000
    ratio: int = 1000
    ratio_from: int = 1 << 30
    compressed_size: int | None = None


DEFAULT_LIMITS = Limits()


class Applied(NamedTuple):
    """What a layer came to.

    `size` are the bytes of its regular files. `implied_parents` are directories, relative to
    the layer, "." for its top, that it needs and has no entry for: they are root's, 0755, of
    1970, and should look like those of the layers below. `notes` tell what could not be stored
    in this place.
    """

    size: int
    entries: int
    implied_parents: tuple[str, ...]
    notes: tuple[str, ...]


def apply(
    source: Reader,
    directory: str,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[int], None] = lambda _: None,
) -> Applied:
    """Unpack the tar `source` into the empty `directory`; read it to its end.

    `progress` is called with the bytes of `source` read so far. Whiteouts take effect on the
    layers below only, wherever in the archive they stand (OCI image-spec, layer.md §whiteouts).
    Of two entries with one name the later wins. Nothing is synced, and after an error the
    directory holds a part of the layer.

    Raises:
        CorruptArchive: it is no tar.
        RefusedEntry: an entry has a name, type, target or number that is not allowed.
        LayerTooLarge: it exceeds `limits`.
        OSError: the machine refuses; ENOSPC also when a file can't fit.
    """
    metered = _Metered(source, limits, progress)
    archive = tar.ArchiveReader(metered)
    with RootedDir.at(directory) as root:
        layer = _Layer(root, archive, limits)
        try:
            while entry := archive.next():
                layer.add(entry)
            archive.drain()
            return layer.finish()
        finally:
            layer.close()


class _Metered:
    """A reader that counts, reports and knows when it is too much."""

    def __init__(self, source: Reader, limits: Limits, progress: Callable[[int], None]) -> None:
        self._source = source
        self._limit = limits.size
        self._progress = progress
        self._count = 0
        if limits.compressed_size is not None:
            ratio_limit = max(limits.ratio_from, limits.ratio * limits.compressed_size)
            self._limit = min(self._limit, ratio_limit)

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self._count += len(data)
        if self._count > self._limit:
            raise LayerTooLarge(f"layer: the archive is larger than {self._limit} bytes")
        self._progress(self._count)
        return data


class _Layer(Maker):
    """A layer being unpacked.

    Directories get their metadata at the end: entries put into them would change their times,
    and their modes, default access lists and set-group-ID bits would change the entries.
    """

    def __init__(self, root: RootedDir, archive: tar.ArchiveReader, limits: Limits) -> None:
        super().__init__(root)
        self._archive = archive
        self._limits = limits
        self._directories: dict[str, tar.Entry | None] = {"": None}  # None: implied
        self._hidden: set[str] = set()  # paths with a whiteout
        self._opaque: set[str] = set()  # directories with an opaque whiteout
        self._size = 0
        self._entries = 0
        self._makers: dict[bytes, Callable[[tar.Entry, Place], None]] = {
            tar.FILE: self._file,
            tar.DIRECTORY: self._directory,
            tar.SYMLINK: self._make_symlink,
            tar.HARD_LINK: self._hard_link,
            tar.CHARACTER: self._make_node,
            tar.BLOCK_DEVICE: self._make_node,
            tar.FIFO: self._make_node,
        }

    def add(self, entry: tar.Entry) -> None:
        """Make what `entry` says."""
        self._count()
        try:
            self._add(entry)
        except OSError as e:
            if e.errno not in CONTENT_ERRORS:
                raise
            raise RefusedEntry(entry.name, os.strerror(e.errno or 0).lower()) from e

    def _add(self, entry: tar.Entry) -> None:
        check_owner(entry)
        parts = components(entry.name, entry.name)
        if not parts:
            if entry.kind != tar.DIRECTORY:
                raise RefusedEntry(entry.name, "the top of a layer must be a directory")
            self._directories[""] = entry
            return
        name = parts.pop()
        directory, parent = self._parent("/".join(parts), entry.name)
        if name.startswith(whiteouts.PREFIX):
            self._whiteout(directory, parent, name)
            return
        place = Place(directory, name, join(parent, name))
        self._makers[entry.kind](entry, place)

    def finish(self) -> Applied:
        """Give the directories their metadata and return the account."""
        implied = []
        # Children first: a parent may get a mode that shuts its owner out.
        for path in sorted(self._directories, reverse=True):
            entry = self._directories[path]
            try:
                fd = openat2(
                    self._root.fd, path or ".", os.O_RDONLY | os.O_DIRECTORY, 0, LEXICAL
                )
            except OSError as e:
                if e.errno in _REPLACED:
                    continue
                if e.errno in CONTENT_ERRORS:
                    raise RefusedEntry(path, os.strerror(e.errno).lower()) from e
                raise
            try:
                self._finish_directory(fd, path, entry)
            finally:
                os.close(fd)
            if entry is None and path not in self._hidden:
                implied.append(path or ".")
        return Applied(self._size, self._entries, tuple(reversed(implied)), self.notes)

    def _finish_directory(self, fd: int, path: str, entry: tar.Entry | None) -> None:
        if path in self._opaque or path in self._hidden:
            os.setxattr(fd, overlayfs.OPAQUE_XATTR, b"y")
        if entry is None:
            entry = tar.Entry(path, tar.DIRECTORY, _IMPLIED_MODE)
        self._set_metadata(fd, entry)

    def _count(self) -> None:
        self._entries += 1
        if self._entries > self._limits.entries:
            raise LayerTooLarge(f"layer: more than {self._limits.entries} entries")

    def _parent(self, path: str, wanted_by: str) -> tuple[int, str]:
        try:
            return self._parents.open(path)
        except (FileNotFoundError, NotADirectoryError):
            self._make_parents(path, wanted_by)
            return self._parents.open(path)

    def _make_parents(self, path: str, wanted_by: str) -> None:
        done = ""
        for name in path.split("/"):
            _, parent = self._parents.open(done)
            done = join(done, name)
            try:
                self._parents.open(done)
            except (FileNotFoundError, NotADirectoryError):
                self._make_parent(parent, name, wanted_by)

    def _make_parent(self, parent: str, name: str, wanted_by: str) -> None:
        self._count()
        path = join(parent, name)
        directory, _ = self._parents.open(parent)
        try:
            os.mkdir(name, 0o700, dir_fd=directory)
        except FileExistsError:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if not overlayfs.is_whiteout(status):
                raise RefusedEntry(wanted_by, f"{path[:200]!r} is no directory") from None
            os.unlink(name, dir_fd=directory)
            os.mkdir(name, 0o700, dir_fd=directory)
        self._directories[path] = None

    def _whiteout(self, directory: int, parent: str, name: str) -> None:
        if name == whiteouts.OPAQUE_NAME:
            self._opaque.add(parent)
            return
        hidden = whiteouts.hidden_name(name)
        if not hidden:
            return
        # What this layer has under the name stays, and if it is or becomes a directory it must
        # not merge with one below: then the mark goes on it.
        self._hidden.add(join(parent, hidden))
        try:
            os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=directory)
        except FileExistsError:
            pass

    def _clear(self, place: Place) -> None:
        trees.remove_at(place.directory, place.name)
        self._directories.pop(place.path, None)
        self._parents.forget()

    def _file(self, entry: tar.Entry, place: Place) -> None:
        self._reserve(entry)
        self._make_file(entry, place, self._archive.data())

    def _reserve(self, entry: tar.Entry) -> None:
        self._size += entry.size
        if self._size > self._limits.size:
            raise LayerTooLarge(f"layer: files of more than {self._limits.size} bytes")
        if entry.size < _SPACE_FROM:
            return
        space = os.fstatvfs(self._root.fd)
        # A tmpfs without a limit has no blocks.
        if space.f_blocks and entry.stored > space.f_bavail * space.f_frsize:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), entry.name)

    def _directory(self, entry: tar.Entry, place: Place) -> None:
        directory, name, path = place
        try:
            os.mkdir(name, 0o700, dir_fd=directory)
        except FileExistsError:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                self._clear(place)
                os.mkdir(name, 0o700, dir_fd=directory)
        self._directories[path] = entry

    def _hard_link(self, entry: tar.Entry, place: Place) -> None:
        parts = components(entry.link, entry.name)
        if not parts:
            raise RefusedEntry(entry.name, f"a hard link to {entry.link[:200]!r}")
        target = parts.pop()
        missing = RefusedEntry(
            entry.name,
            f"its hard link target {entry.link[:200]!r} is not in this layer",
            hint="a hard link must follow its target, in the same layer",
        )
        # Two descriptors at once: the cache may let the first go while the second is opened.
        directory = os.dup(place.directory)
        try:
            source, _ = self._parents.open("/".join(parts))
            status = os.stat(target, dir_fd=source, follow_symlinks=False)
            if overlayfs.is_whiteout(status):
                raise missing
            if stat.S_ISDIR(status.st_mode):
                raise RefusedEntry(entry.name, f"a hard link to a directory, {entry.link!r}")
            self._make_hard_link(source, target, place._replace(directory=directory))
        except (FileNotFoundError, NotADirectoryError):
            raise missing from None
        finally:
            os.close(directory)
