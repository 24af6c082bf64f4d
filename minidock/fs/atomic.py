# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or absent: temporary name in the same directory, then rename(2)."""

import contextlib
import os


def random_hex(size: int) -> str:
    """Return 2 × `size` random hexadecimal digits."""
    return os.urandom(size).hex()


def write_file(path: str, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Replace the file at `path` by `data`; readers see the old bytes or the new.

    With `durable` the bytes and the name are on disk when it returns; without, a power loss may
    bring the old file back. On failure nothing is left behind.
    """
    temporary = f"{path}.tmp-{random_hex(6)}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.fchmod(fd, mode)  # not subject to the umask
            write_all(fd, data)
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if durable:
        sync_directory(os.path.dirname(path))


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data` to a descriptor that blocks; raise OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def read_file(path: str) -> bytes:
    """Return the whole file at `path`."""
    with open(path, "rb", buffering=0) as file:
        return file.read()


def sync_directory(path: str) -> None:
    """Put the names in directory `path` on disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(path: str, mode: int = 0o700) -> None:
    """Create directory `path` and its parents, each with `mode` whatever the umask."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    if parent and not os.path.isdir(parent):
        make_directory(parent, mode)
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    os.chmod(path, mode)
