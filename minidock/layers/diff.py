# SPDX-License-Identifier: Apache-2.0
"""What a container changed: an overlayfs upper directory told as a list and as a layer's tar.

The law, for trees a and b: ``apply(write_layer(diff of a and b)) over a == b``.

The upper directory is written by the container, perhaps at this moment: it is walked by
descriptors, and neither a symbolic link nor a fifo in it is ever followed or waited for.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping

from minidock.fs.rooted import open_regular
from minidock.fs.trees import Cursor
from minidock.layers import archive as tar
from minidock.layers import whiteouts, xattrs
from minidock.layers.reading import NODE_KINDS, pieces, whole
from minidock.linux import overlayfs
from minidock.oci.content import Writer
from minidock.values import NamedTuple

ADDED, CHANGED, DELETED = "A", "C", "D"
_SAME = ""  # a directory that was copied up and is as it was below

_NANO = 1_000_000_000
_MAX_PATH = 4000  # bytes; a deeper directory is not entered, as no layer could tell of it
_NO_SKIP: frozenset[str] = frozenset()


class Change(NamedTuple):
    """A path of the container (absolute) that was added (A), changed (C) or deleted (D)."""

    kind: str
    path: str


class LayerStats(NamedTuple):
    """What was written: bytes of regular files, entries, and what no layer can hold."""

    size: int
    entries: int
    notes: tuple[str, ...]


def changes(
    upper: str, lowers: tuple[str, ...], *, skip: frozenset[str] = _NO_SKIP
) -> Iterator[Change]:
    """Yield the changes in `upper` against `lowers` (top first), sorted by path.

    As in ``docker diff``, directories above a change are changed, a file that was opened for
    writing is changed even if its bytes are the same, and of a deleted tree only its top is
    told. Absolute paths in `skip`, and what is below them, are left out.
    """
    found: list[Change] = []
    for item in _scan(upper, lowers, skip):
        if item.path:
            found.append(Change(item.kind or CHANGED, f"/{item.path}"))
        if item.covers:
            names = _merged_names(item.below, item.path) - _names(item)
            found += (Change(DELETED, f"/{item.path}/{name}") for name in names)
    yield from sorted(found, key=lambda change: os.fsencode(change.path))


def write_layer(
    upper: str,
    lowers: tuple[str, ...],
    out: Writer,
    *,
    epoch: int | None = None,
    skip: frozenset[str] = _NO_SKIP,
) -> LayerStats:
    """Write the changes in `upper` against `lowers` (top first) to `out` as a layer's tar.

    The same directory gives the same bytes. No time is later than `epoch` (seconds), if given.
    `skip` is as in changes(). Sockets are left out, as everywhere; names no layer can hold are
    left out with a note. Raises OSError.
    """
    layer = _LayerWriter(tar.ArchiveWriter(out), epoch)
    for item in _scan(upper, lowers, skip):
        layer.add(item)
    return layer.finish()


class _Item(NamedTuple):
    """Something in the upper directory; `path` is relative, "" for the top.

    `directory` is the open directory that has `name`, until the next item is asked for. `below`
    are the layers with a directory of that path; `covers` tells that it hides what they have
    there, and `opaque` that it does so by a mark of its own, not for one further up.
    """

    kind: str
    path: str
    status: os.stat_result
    directory: int
    name: str
    xattrs: Mapping[str, bytes]
    below: tuple[str, ...]
    covers: bool = False
    opaque: bool = False


class _Level(NamedTuple):
    """A directory of the walk, and the names in it still to visit.

    `layers` are those with a directory of that path; if it `covers` them they don't merge.
    """

    path: str
    names: list[str]
    layers: tuple[str, ...]
    covers: bool


def _scan(upper: str, lowers: tuple[str, ...], skip: frozenset[str]) -> Iterator[_Item]:
    """Yield what is changed, depth first by name, directories above a change before it."""
    skipped = {path.strip("/") for path in skip}
    cursor = Cursor.at(upper)
    try:
        top = _top(cursor.fd, lowers)
        if top.kind != _SAME:
            yield top
        levels = [_Level("", _sorted_names(cursor.fd), lowers, covers=False)]
        pending: list[_Item] = []  # directories above that nothing is known to have changed in
        while levels:
            level = levels[-1]
            if not level.names:
                if pending and pending[-1].path == level.path:
                    pending.pop()
                levels.pop()
                if levels:
                    cursor.leave()
                continue
            name = level.names.pop()
            path = f"{level.path}/{name}" if level.path else name
            item = None if path in skipped else _look(cursor.fd, name, path, level)
            if item is None:
                continue
            pending.append(item)
            if item.kind != _SAME:
                yield from pending
                pending.clear()
            if _enter(cursor, item):
                names = _sorted_names(cursor.fd)
                levels.append(_Level(path, names, item.below, item.covers))
            elif item.kind == _SAME:
                pending.pop()
    finally:
        cursor.close()


def _enter(cursor: Cursor, item: _Item) -> bool:
    """Go into `item` if it is a directory whose contents a layer can tell of."""
    if not stat.S_ISDIR(item.status.st_mode) or len(os.fsencode(item.path)) > _MAX_PATH:
        return False
    try:
        cursor.enter(item.name)
    except (FileNotFoundError, NotADirectoryError):  # gone since it was listed
        return False
    return True


def _sorted_names(directory: int) -> list[str]:
    """Return the names in reverse, to be taken from the end."""
    return sorted(os.listdir(directory), key=os.fsencode, reverse=True)


def _top(fd: int, lowers: tuple[str, ...]) -> _Item:
    status, attributes = os.fstat(fd), xattrs.read(fd)
    same = bool(lowers) and _is_same(status, attributes, lowers[0], os.lstat(lowers[0]))
    return _Item(_SAME if same else CHANGED, "", status, fd, ".", attributes, lowers)


def _look(directory: int, name: str, path: str, level: _Level) -> _Item | None:
    """Return what `name` is; None if it says nothing, or has just gone."""
    reachable = f"/proc/self/fd/{directory}/{name}"
    try:
        status = os.lstat(reachable)
        attributes = xattrs.read(reachable)
    except FileNotFoundError:
        return None
    top, below = _find(level.layers, path)
    item = _Item(ADDED, path, status, directory, name, attributes, below)
    if overlayfs.is_whiteout(status):
        return item._replace(kind=DELETED) if top and not level.covers else None
    if top is None:
        return item
    if not below or not stat.S_ISDIR(status.st_mode):
        return item._replace(kind=CHANGED)
    if level.covers or overlayfs.is_opaque(reachable):
        return item._replace(kind=CHANGED, covers=True, opaque=not level.covers)
    where = f"{below[0]}/{path}"
    return item._replace(kind=_SAME if _is_same(status, attributes, where, top) else CHANGED)


def _find(layers: tuple[str, ...], path: str) -> tuple[os.stat_result | None, tuple[str, ...]]:
    """Return what the merged `layers` show at `path`, and those whose directories merge there.

    Every layer in `layers` has a directory, no link, at each parent of `path`.
    """
    top = None
    merging = []
    for layer in layers:
        where = f"{layer}/{path}"
        try:
            status = os.lstat(where)
        except FileNotFoundError:
            continue
        if overlayfs.is_whiteout(status):
            break
        top = top or status
        if not stat.S_ISDIR(status.st_mode):
            break
        merging.append(layer)
        if overlayfs.is_opaque(where):
            break
    return top, tuple(merging)


def _is_same(
    status: os.stat_result, attributes: Mapping[str, bytes], where: str, below: os.stat_result
) -> bool:
    """Tell whether two directories differ in nothing but what is in them."""

    def metadata(of: os.stat_result) -> tuple[int, ...]:
        return of.st_mode, of.st_uid, of.st_gid, of.st_mtime_ns

    return metadata(status) == metadata(below) and attributes == xattrs.read(where)


def _merged_names(layers: tuple[str, ...], path: str) -> set[str]:
    """Return the names in directory `path` of the merged `layers`."""
    gone: dict[str, bool] = {}
    for layer in layers:
        with os.scandir(f"{layer}/{path}") as entries:
            for entry in entries:
                if entry.name not in gone:
                    status = entry.stat(follow_symlinks=False)
                    gone[entry.name] = overlayfs.is_whiteout(status)
    return {name for name, is_gone in gone.items() if not is_gone}


def _names(item: _Item) -> set[str]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(item.name, flags, dir_fd=item.directory)
    try:
        return set(os.listdir(fd))
    finally:
        os.close(fd)


class _LayerWriter:
    def __init__(self, archive: tar.ArchiveWriter, epoch: int | None) -> None:
        self._archive = archive
        self._latest = None if epoch is None else epoch * _NANO
        self._linked: dict[tuple[int, int], str] = {}
        self._notes: list[str] = []
        self._size = 0
        self._entries = 0

    def add(self, item: _Item) -> None:
        """Write the entry or entries that `item` comes to."""
        path = item.path
        if f"/{whiteouts.PREFIX}" in f"/{path}":
            self._notes.append(f"{path!r}: a layer can't hold names that begin with .wh.")
        elif len(os.fsencode(path)) > _MAX_PATH:
            self._notes.append(f"{path[:80]!r}…: the path is too long for a layer")
        elif item.kind == DELETED:
            self._add_mark(path.removesuffix(item.name) + whiteouts.PREFIX + item.name)
        elif stat.S_ISDIR(item.status.st_mode):
            self._write(self._entry(item, tar.DIRECTORY)._replace(name=f"{path or '.'}/"))
            if item.opaque:
                self._add_mark(f"{path}/{whiteouts.OPAQUE_NAME}")
        else:
            self._add_inode(item)

    def finish(self) -> LayerStats:
        """Complete the archive and return the account."""
        self._archive.close()
        return LayerStats(self._size, self._entries, tuple(self._notes))

    def _write(self, entry: tar.Entry, data: Iterable[bytes] = ()) -> None:
        self._archive.add(entry, data)
        self._entries += 1

    def _entry(self, item: _Item, kind: bytes) -> tar.Entry:
        status = item.status
        time = status.st_mtime_ns
        has_xattrs = kind in (tar.FILE, tar.DIRECTORY)  # user.* and capabilities mean no others
        return tar.Entry(
            item.path,
            kind,
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            mtime_ns=time if self._latest is None else min(time, self._latest),
            xattrs=item.xattrs if has_xattrs else {},
        )

    def _add_mark(self, name: str) -> None:
        # A whiteout's own metadata mean nothing and must not differ from run to run.
        self._write(tar.Entry(name, tar.FILE, mode=0))

    def _add_inode(self, item: _Item) -> None:
        """Write what may have several names: in full for the first, links for the others."""
        status, mode = item.status, item.status.st_mode
        identity = status.st_dev, status.st_ino
        if first := self._linked.get(identity):
            self._write(self._entry(item, tar.HARD_LINK)._replace(link=first))
            return
        before = self._entries
        try:
            if stat.S_ISREG(mode):
                self._add_file(item)
            elif stat.S_ISLNK(mode):
                link = os.readlink(item.name, dir_fd=item.directory)
                self._write(self._entry(item, tar.SYMLINK)._replace(link=link))
            elif not stat.S_ISSOCK(mode):
                self._add_node(item)
        except FileNotFoundError:  # gone since it was listed, and nothing written yet
            return
        if status.st_nlink > 1 and self._entries > before:
            self._linked[identity] = item.path

    def _add_file(self, item: _Item) -> None:
        # A device put there meanwhile must not be opened, so the place is, before the file.
        found = os.open(
            item.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=item.directory
        )
        try:
            same = os.path.samestat(os.fstat(found), item.status)
            fd = open_regular(found) if same else -1
        finally:
            os.close(found)
        if fd < 0:
            self._notes.append(f"{item.path!r}: was replaced while it was read")
            return
        try:
            size, data = pieces(fd)
            entry = self._entry(item, tar.FILE)._replace(size=size)
            self._write(entry, whole(data, size))
            if os.fstat(fd).st_size < size:
                # The header with the size was written: like GNU tar, zeros make up for it.
                self._notes.append(
                    f"{item.path!r}: shrank while it was read; padded with zeros"
                )
        finally:
            os.close(fd)
        self._size += size

    def _add_node(self, item: _Item) -> None:
        device = item.status.st_rdev
        entry = self._entry(item, NODE_KINDS[stat.S_IFMT(item.status.st_mode)])
        self._write(entry._replace(device=(os.major(device), os.minor(device))))
