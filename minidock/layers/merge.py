# SPDX-License-Identifier: Apache-2.0
"""Put the entries of an archive into a tree that exists, perhaps that of a running container.

Files are replaced, directories merge, and neither takes the other's place. Every path is
resolved anew inside the root, and what was made is spoken to by its descriptor: whoever swaps
names in the tree gets the entries somewhere else in it, and never outside.
"""

import errno
import os
import stat
from collections.abc import Callable

from minidock.errors import Conflict
from minidock.fs.rooted import RootedDir
from minidock.layers import archive as tar
from minidock.layers import xattrs
from minidock.layers.making import (
    Maker,
    Place,
    RefusedEntry,
    check_owner,
    components,
    join,
)
from minidock.layers.reading import Pieces
from minidock.layers.tree import Entries
from minidock.linux.openat import RESOLVE_WITHIN_MOUNT, openat2
from minidock.values import NamedTuple

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_IMPLIED_MODE = 0o755


class CannotOverwrite(Conflict):
    """A directory and something else want the same name; the text is docker's."""


class Target(NamedTuple):
    """Where entries go: directory `top` of `root` (no leading slash), called `shown`.

    With `owner` (uid, gid) all that is made is theirs; without, it is its entry's.
    """

    root: RootedDir
    top: str
    shown: str
    owner: tuple[int, int] | None = None


def merge(found: Entries, target: Target) -> tuple[str, ...]:
    """Make what the entries say; return notes of what could not be stored there.

    The top itself, ``.``, stays as it is; an existing directory gets its entry's owner and
    mode. What a file's owner lent it, set-ID bits and capabilities, goes with that owner only.

    Raises:
        CannotOverwrite: what was made before stays.
        RefusedEntry: an entry leads out of the top, or can't be.
        OSError: naming the path.
    """
    tree = _Tree(target)
    try:
        for entry, data in found:
            tree.add(entry, data)
        tree.finish()
    finally:
        tree.close()
    return tree.notes


def archived(archive: tar.ArchiveReader) -> Entries:
    """Yield the entries of a tar."""
    while entry := archive.next():
        yield entry, archive.data()
    archive.drain()


class _Tree(Maker):
    def __init__(self, target: Target) -> None:
        super().__init__(target.root)
        self._target = target
        self._times: dict[str, int] = {}
        self._makers: dict[bytes, Callable[[tar.Entry, Place], None]] = {
            tar.DIRECTORY: self._make_directory,
            tar.SYMLINK: self._make_symlink,
            tar.HARD_LINK: self._hard_link,
            tar.CHARACTER: self._make_node,
            tar.BLOCK_DEVICE: self._make_node,
            tar.FIFO: self._make_node,
        }

    def add(self, entry: tar.Entry, data: Pieces) -> None:
        """Make what `entry` says."""
        try:
            self._add(entry, data)
        except OSError as e:
            path = self._shown("/".join(components(entry.name, entry.name)))
            raise OSError(e.errno, e.strerror, path) from e

    def _add(self, entry: tar.Entry, data: Pieces) -> None:
        check_owner(entry)
        parts = components(entry.name, entry.name)
        if not parts:
            return
        path = "/".join(parts)
        name = parts.pop()
        place = Place(self._parent("/".join(parts)), name, path)
        entry = _owned(entry, self._target.owner)
        if entry.kind == tar.FILE:
            self._make_file(entry, place, data)
        else:
            self._makers[entry.kind](entry, place)

    def finish(self) -> None:
        """Give the directories their times, which the entries in them have changed."""
        for path, time in reversed(self._times.items()):
            try:
                fd = self._root.open(join(self._target.top, path), _DIRECTORY)
            except (FileNotFoundError, NotADirectoryError):
                continue
            try:
                os.utime(fd, ns=(time, time))
            finally:
                os.close(fd)

    def _shown(self, path: str) -> str:
        return f"{self._target.shown.rstrip('/')}/{path}"

    def _parent(self, path: str) -> int:
        whole = join(self._target.top, path) if path else self._target.top
        try:
            return self._parents.open(whole)[0]
        except FileNotFoundError:
            self._make_parents(path)
            return self._parents.open(whole)[0]

    def _make_parents(self, path: str) -> None:
        done = ""
        for name in path.split("/"):
            directory = self._parents.open(join(self._target.top, done))[0]
            done = join(done, name)
            try:
                os.mkdir(name, 0o700, dir_fd=directory)
            except FileExistsError:
                continue
            implied = tar.Entry(done, tar.DIRECTORY, _IMPLIED_MODE)
            self._set_up(_owned(implied, self._target.owner), directory, name)

    def _clear(self, place: Place) -> None:
        try:
            if _is_directory(place):
                raise CannotOverwrite(
                    f'cannot overwrite directory "{self._shown(place.path)}" with '
                    f'non-directory "{self._target.shown}"'
                )
            os.unlink(place.name, dir_fd=place.directory)
        except FileNotFoundError:
            return

    def _make_directory(self, entry: tar.Entry, place: Place) -> None:
        directory, name, path = place
        try:
            os.mkdir(name, 0o700, dir_fd=directory)
        except FileExistsError:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                raise CannotOverwrite(
                    f'cannot overwrite non-directory "{self._shown(path)}" with '
                    f'directory "{self._target.shown}"'
                ) from None
        self._set_up(entry, directory, name)
        self._times[path] = entry.mtime_ns

    def _set_up(self, entry: tar.Entry, parent: int, name: str) -> None:
        fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            self._set_metadata(fd, entry)
        finally:
            os.close(fd)

    def _hard_link(self, entry: tar.Entry, place: Place) -> None:
        parts = components(entry.link, entry.name)
        if not parts:
            raise RefusedEntry(entry.name, f"a hard link to {entry.link[:200]!r}")
        name = parts.pop()
        # Two descriptors at once: the cache may let the first go while the second is opened.
        directory = os.dup(place.directory)
        try:
            source = self._parent("/".join(parts))
            self._make_hard_link(source, name, place._replace(directory=directory))
        finally:
            os.close(directory)


def _is_directory(place: Place) -> bool:
    """Tell whether a directory is in the way; raise OSError, EBUSY for a mount point.

    To remove what another mount namespace has mounted on would succeed, and unmount it there.
    """
    try:
        fd = openat2(
            place.directory, place.name, os.O_PATH | os.O_NOFOLLOW, 0, RESOLVE_WITHIN_MOUNT
        )
    except OSError as e:
        if e.errno != errno.EXDEV:
            raise
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY)) from e
    try:
        return stat.S_ISDIR(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def _owned(entry: tar.Entry, owner: tuple[int, int] | None) -> tar.Entry:
    """Return `entry` as `owner`'s, without the privileges that another owner lent it."""
    if owner is None or owner == (entry.uid, entry.gid):
        return entry
    mode, attributes = entry.mode, entry.xattrs
    if entry.kind != tar.DIRECTORY and owner[0] != entry.uid:
        mode &= ~stat.S_ISUID
        attributes = {k: v for k, v in attributes.items() if k != xattrs.CAPABILITY}
    if entry.kind != tar.DIRECTORY and owner[1] != entry.gid:
        mode &= ~stat.S_ISGID
    return entry._replace(uid=owner[0], gid=owner[1], mode=mode, xattrs=attributes)
