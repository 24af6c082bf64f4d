# SPDX-License-Identifier: Apache-2.0
"""``cp`` and ``export``: files between a container and the host, or a tar.

Nothing of the container is executed or mounted on the host. What a path of the container means
is settled by the kernel inside the container's root, on the way in and out (CVE-2018-15664,
CVE-2019-14271).
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from minidock.engine.landing import (
    Destination,
    Landing,
    Source,
    asserts_directory,
    clean,
    land,
    means_contents,
    split,
)
from minidock.engine.lowers import lowers_of
from minidock.engine.options import CopyOptions
from minidock.errors import InvalidArgument, NotFound, SystemFailure, Unavailable
from minidock.fs.rooted import RootedDir
from minidock.layers import merge, tree
from minidock.layers.archive import ArchiveReader
from minidock.layers.compression import decompress_any
from minidock.layers.reading import Pieces
from minidock.linux import mounts
from minidock.oci.content import Reader, Writer
from minidock.progress import Copying, Progress, Warned
from minidock.rootfs import overlay
from minidock.runtime import users
from minidock.store.containers import Container
from minidock.store.store import Store
from minidock.values import NamedTuple

_LINKS = 40  # as many as the kernel follows: path_resolution(7)
_BLOCK = 512  # of a tar
_END = 1024  # bytes of a tar after its last entry
_OF_THE_KERNEL = (
    mounts.PROC_MAGIC,
    mounts.SYSFS_MAGIC,
    mounts.CGROUP_MAGIC,
    mounts.CGROUP2_MAGIC,
)
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class NoSuchPath(NotFound):
    """A container has no such file; the text is docker's."""

    def __init__(self, path: str, container: str) -> None:
        super().__init__(f"Could not find the file {path} in container {container}")


class Files(NamedTuple):
    """A container's files. `name` is what the user calls it, `user` is its ``--user``."""

    root: RootedDir
    name: str
    user: str = ""


def copy_out(
    files: Files, path: str, target: str, options: CopyOptions, progress: Progress
) -> int:
    """Copy `path` of a container to the host's absolute path `target`.

    Return the number of bytes that a tar of it has.

    Raises:
        NoSuchPath, NoSuchDirectory, CannotCopyDirectory, CannotOverwrite, SystemFailure, ...
    """
    destination = _host_destination(target)
    owner = None if options.archive else (os.geteuid(), os.getegid())
    with _telling(), _container_source(files, path, options) as (top, source):
        landing = land(source, destination)
        with RootedDir.at(landing.directory) as root:
            place = merge.Target(root, "", landing.directory, owner)
            return _copy(_tree(files, top, landing.name), place, progress)


def copy_in(
    files: Files, host_path: str, path: str, options: CopyOptions, progress: Progress
) -> int:
    """Copy the host's absolute path `host_path` to `path` of a container; see copy_out."""
    with _telling(), _host_source(host_path, options) as (top, source):
        landing = land(source, _container_destination(files, path))
        target = _container_target(files, landing, options)
        return _copy(tree.entries(top, landing.name, _nothing_hidden), target, progress)


def write_archive(
    files: Files, path: str, out: Writer, options: CopyOptions, progress: Progress
) -> int:
    """Write `path` of a container to `out` as a tar; see copy_out."""
    meter = _Meter(progress)
    with _telling(), _container_source(files, path, options) as (top, source):
        name = "." if source.contents else source.name
        tree.write_tree(_metered(_tree(files, top, name), meter), out)
    return meter.done + _END


def export(store: Store, container: Container, out: Writer) -> None:
    """Write a container's files to `out` as a tar; mounts and volumes are empty in it.

    Raises:
        SystemFailure, LayerMissing
    """
    view = overlay.view((container.upper, *lowers_of(store, container)))
    try:
        with _telling():
            tree.write_tree(tree.entries(view, "", _nothing_hidden), out)
    finally:
        os.close(view)


def read_archive(
    files: Files, archive: Reader, path: str, options: CopyOptions, progress: Progress
) -> int:
    """Unpack a tar, maybe compressed, into directory `path` of a container; see copy_out."""
    destination = _container_destination(files, path)
    if not destination.is_directory:
        raise InvalidArgument(f'destination "{files.name}:{path}" must be a directory')
    with _telling():
        landing = Landing(clean(destination.path), ".")
        target = _container_target(files, landing, options)
        found = merge.archived(ArchiveReader(decompress_any(archive)))
        return _copy(found, target, progress)


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    """Turn a system call's error into one that names what was done."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as e:
        if e.errno == errno.ESTALE:
            raise Unavailable("a directory was moved while it was copied") from e
        raise SystemFailure.of("copy", e) from e


def _copy(found: tree.Entries, target: merge.Target, progress: Progress) -> int:
    meter = _Meter(progress)
    for note in merge.merge(_metered(found, meter), target):
        progress(Warned(note))
    return meter.done + _END


class _Meter:
    """Counts bytes as a tar would have them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.done = 0

    def reach(self, done: int) -> None:
        self.done = done
        self._progress(Copying(done))


def _metered(found: tree.Entries, meter: _Meter) -> tree.Entries:
    for entry, data in found:
        start = meter.done + _BLOCK
        meter.reach(start)
        yield entry, _metered_data(data, meter, start)
        meter.reach(start + entry.size + -entry.size % _BLOCK)


def _metered_data(data: Pieces, meter: _Meter, start: int) -> Iterator[tuple[int, bytes]]:
    for offset, piece in data:
        yield offset, piece
        meter.reach(start + offset + len(piece))


def _tree(files: Files, top: int, name: str) -> tree.Entries:
    """Return the entries of a container's file `top`, without what the kernel shows in it."""
    device_directory = _identity_of_dev(files.root)

    def is_hidden(fd: int, _path: str) -> bool:
        if mounts.filesystem_magic(fd) in _OF_THE_KERNEL:
            return True
        status = os.fstat(fd)
        return (status.st_dev, status.st_ino) == device_directory

    return tree.entries(top, name, is_hidden)


def _nothing_hidden(_fd: int, _path: str) -> bool:
    return False


def _identity_of_dev(root: RootedDir) -> tuple[int, int] | None:
    """Return what identifies /dev of a running container, None if it is the image's."""
    try:
        fd = root.open("/dev", os.O_PATH)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        is_own = mounts.filesystem_magic(fd) == mounts.TMPFS_MAGIC
        return (status.st_dev, status.st_ino) if is_own else None
    finally:
        os.close(fd)


@contextlib.contextmanager
def _container_source(
    files: Files, path: str, options: CopyOptions
) -> Iterator[tuple[int, Source]]:
    """Give a descriptor of a container's file and what it is."""
    inside = _absolute(path)
    follow = options.follow_link or asserts_directory(inside)
    try:
        fd = files.root.open(inside, os.O_PATH | (0 if follow else os.O_NOFOLLOW))
    except OSError as e:
        sought = _container_destination(files, path).path if options.follow_link else path
        raise _refusal(files, sought, e) from e
    try:
        is_directory = stat.S_ISDIR(os.fstat(fd).st_mode)
        if not is_directory and mounts.filesystem_magic(fd) in _OF_THE_KERNEL:
            raise NoSuchPath(path, files.name)
        name = split(inside)[1]
        yield fd, Source(name, is_directory, means_contents(inside))
    finally:
        os.close(fd)


def _refusal(files: Files, path: str, error: OSError) -> Exception:
    """Return why `path` can't be copied."""
    if error.errno == errno.ENOTDIR and _exists(files.root, clean(_absolute(path))):
        return InvalidArgument(f"lstat {path}: not a directory")
    if error.errno in _MISSING:
        return NoSuchPath(path, files.name)
    return SystemFailure.of("copy", error)


def _exists(root: RootedDir, path: str) -> bool:
    try:
        os.close(root.open(path, os.O_PATH | os.O_NOFOLLOW))
    except OSError:
        return False
    return True


def _absolute(path: str) -> str:
    """Return a container's path from its root, without ``..``, its end kept as it is."""
    whole = clean(f"/{path}")
    if means_contents(f"/{path}"):
        return f"{whole.rstrip('/')}/."
    return f"{whole}/" if path.endswith("/") and whole != "/" else whole


def _container_destination(files: Files, path: str) -> Destination:
    """Return what `path` of a container is, all links followed, also to what is missing."""
    inside = _absolute(path)
    if asserts_directory(inside):
        is_directory = _is_directory(files.root, inside)
        return Destination(inside, is_directory, is_directory)
    for _ in range(_LINKS):
        directory, name = split(inside)
        try:
            parent = files.root.open(directory, os.O_PATH | os.O_DIRECTORY)
        except OSError:
            return Destination(inside)
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISLNK(status.st_mode):
                _check_type(status, f'destination "{files.name}:{path}"')
                return Destination(inside, exists=True, is_directory=_is_dir(status))
            link = os.readlink(name, dir_fd=parent)
            inside = _absolute(
                f"{files.root.path_of(parent)}/{link}" if link[0] != "/" else link
            )
        except FileNotFoundError:
            return Destination(inside)
        finally:
            os.close(parent)
    raise InvalidArgument(f"too many symbolic links in {path}")


def _is_dir(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode)


def _is_directory(root: RootedDir, path: str) -> bool:
    try:
        os.close(root.open(path, os.O_PATH | os.O_DIRECTORY))
    except OSError:
        return False
    return True


def _check_type(status: os.stat_result, what: str) -> None:
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        raise InvalidArgument(f"{what} must be a directory or a regular file: got a device")


def _container_target(files: Files, landing: Landing, options: CopyOptions) -> merge.Target:
    """Return where in a container entries go.

    Raises:
        NoSuchPath, InvalidArgument: there is no such directory, or it is read-only; the texts
            are docker's.
    """
    root = files.root
    try:
        fd = root.open(landing.directory, os.O_PATH)
    except OSError as e:
        raise NoSuchPath(landing.directory, files.name) from e
    try:
        status = os.fstat(fd)
        if not _is_dir(status):
            raise InvalidArgument("extraction point is not a directory")
        if os.fstatvfs(fd).f_flag & os.ST_RDONLY:
            in_layers = status.st_dev == os.fstat(root.fd).st_dev
            what = "container rootfs" if in_layers else "mounted volume"
            raise InvalidArgument(f"{what} is marked read-only")
        top = root.path_of(fd)
    finally:
        os.close(fd)
    owner = None
    if options.archive and files.user:
        user = users.resolve(root, files.user)
        owner = user.uid, user.gid
    return merge.Target(root, top, landing.directory, owner)


@contextlib.contextmanager
def _host_source(path: str, options: CopyOptions) -> Iterator[tuple[int, Source]]:
    """Give a descriptor of the host's file and what it is."""
    follow = options.follow_link or asserts_directory(path)
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    except NotADirectoryError as e:
        raise InvalidArgument("not a directory") from e
    except FileNotFoundError as e:
        missing = os.path.realpath(path) if options.follow_link else clean(path)
        raise NotFound(f"lstat {missing}: no such file or directory") from e
    try:
        name = split(path)[1]
        yield fd, Source(name, _is_dir(os.fstat(fd)), means_contents(path))
    finally:
        os.close(fd)


def _host_destination(path: str) -> Destination:
    """Return what the host's `path` is, all links followed; raise what is wrong with it."""
    parent = os.path.dirname(clean(path))
    if not os.path.exists(parent):
        raise NotFound(f'invalid output path: directory "{parent}" does not exist')
    try:
        status = os.stat(path)
    except NotADirectoryError as e:
        raise InvalidArgument(f"stat {path}: not a directory") from e
    except FileNotFoundError:
        return Destination(_missing_target(path))
    _check_type(status, f'invalid output path: "{path}"')
    return Destination(os.path.realpath(path), exists=True, is_directory=_is_dir(status))


def _missing_target(path: str) -> str:
    """Return what is to be made for `path`, which may be a link that leads to nothing."""
    if means_contents(path):
        raise NotFound(f"stat {clean(path)}: no such file or directory")
    if not os.path.islink(path):
        return path
    target = os.path.realpath(path)
    if not os.path.isdir(os.path.dirname(target)):
        raise NotFound(f"stat {os.path.dirname(target)}: no such file or directory")
    return target
