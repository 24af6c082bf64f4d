# SPDX-License-Identifier: Apache-2.0
"""A directory that is the root of all paths given to it.

Every path is resolved by the kernel as after chroot(2) into the directory: absolute symbolic
links and ".." stay inside (openat2(2), RESOLVE_IN_ROOT), /proc's magic links are refused.
"""

import errno
import os
import stat
from types import TracebackType

from minidock.errors import DataCorrupted
from minidock.linux.openat import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

_RESOLVE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_RACES = 64
_DIRECTORY = os.O_PATH | os.O_DIRECTORY

MAX_SMALL_FILE = 1 << 20
"""Bytes that a file such as /etc/passwd may have (containerd GHSA-jpcc)."""


class NotRegular(DataCorrupted):
    """A fifo, device or directory stands where a small file is expected (CVE-2024-9676)."""


def open_regular(found: int) -> int:
    """Return a descriptor for reading the file that O_PATH descriptor `found` stands for.

    Return -1, having opened nothing, unless it is a regular file. Raises OSError.
    """
    if not stat.S_ISREG(os.fstat(found).st_mode):
        return -1
    return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)


class RootedDir:
    """A handle on a root; closing it closes the descriptor it was given."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def at(cls, path: str) -> "RootedDir":
        """Open directory `path` of the host as a root."""
        return cls(os.open(path, _DIRECTORY | os.O_CLOEXEC))

    def close(self) -> None:
        """Close the descriptor; a second call does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> "RootedDir":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self, path: str, flags: int, mode: int = 0) -> int:
        """Return a close-on-exec descriptor of `path`; raise OSError."""
        for _ in range(_RACES):
            try:
                return openat2(self.fd, path or ".", flags, mode, _RESOLVE)
            except OSError as e:
                if e.errno not in (errno.EAGAIN, errno.EINTR):
                    raise
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)

    def path_of(self, fd: int) -> str:
        """Return where in the root an open directory is, without links or a leading slash.

        Raises OSError.
        """
        top = os.readlink(f"/proc/self/fd/{self.fd}")
        whole = os.readlink(f"/proc/self/fd/{fd}")
        return whole.removeprefix(top).strip("/")

    def read_small(self, path: str) -> bytes | None:
        """Return the regular file `path`, None if there is none.

        Nothing else is ever opened: a fifo would block, and a device may do something, such as
        arm a watchdog.

        Raises:
            NotRegular: it is no regular file, or longer than MAX_SMALL_FILE.
        """
        try:
            found = self.open(path, os.O_PATH)
        except OSError as e:
            if e.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise
        try:
            fd = open_regular(found)
        finally:
            os.close(found)
        if fd < 0:
            raise NotRegular(f"{path} is not a regular file")
        try:
            size = os.fstat(fd).st_size
            if size > MAX_SMALL_FILE:
                raise NotRegular(f"{path} is larger than {MAX_SMALL_FILE} bytes")
            parts = []
            while part := os.read(fd, 65536):
                parts.append(part)
            return b"".join(parts)
        finally:
            os.close(fd)

    def open_parent(self, path: str) -> tuple[int, str]:
        """Return a descriptor of the directory that holds `path`, and the last name.

        The last component is not followed. Raises OSError; ENOENT for a missing parent.
        """
        parent, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        return self.open(parent or "/", _DIRECTORY), name

    def make_directories(self, path: str, mode: int = 0o755) -> None:
        """Create directory `path` and its parents where missing, owned by the caller.

        Symbolic links on the way are followed inside the root. Raises OSError: ENOTDIR when
        something else is in the way.
        """
        done = ""
        for name in path.split("/"):
            if name in ("", "."):
                continue
            done = f"{done}/{name}"
            try:
                os.close(self.open(done, _DIRECTORY))
                continue
            except FileNotFoundError:
                if name == "..":
                    raise
            parent, last = self.open_parent(done)
            try:
                os.mkdir(last, mode, dir_fd=parent)
                made = os.open(
                    last, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent
                )
                os.fchmod(made, mode)
                os.close(made)
            except FileExistsError as e:
                # A dangling symbolic link: its target is not made, as docker does not either.
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from e
            finally:
                os.close(parent)
