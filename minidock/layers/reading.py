# SPDX-License-Identifier: Apache-2.0
"""Reading files that somebody may be changing: their bytes without their holes."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator

from minidock.layers import archive as tar

Pieces = Iterable[tuple[int, bytes]]
"""Offsets and bytes of a file, in order; what is between them is holes."""

NODE_KINDS = {
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
    stat.S_IFIFO: tar.FIFO,
}
"""The kinds of entries by the type in st_mode; the rest is files, directories and links."""

_READ = 1 << 20
_ZEROS = bytes(_READ)
_SECTOR = 512  # bytes that st_blocks counts in: inode(7)


def pieces(fd: int) -> tuple[int, Pieces]:
    """Return the length of an open regular file, and its bytes as they are asked for.

    What is appended meanwhile is left out, and what is cut off is missing.
    """
    status = os.fstat(fd)
    size = status.st_size
    if status.st_blocks * _SECTOR < size:
        return size, _pieces(fd, _extents(fd, size))
    return size, _pieces(fd, ((0, size),))


def _extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield where the data of a file with holes begin and end: lseek(2)."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
            end = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError as e:
            if e.errno == errno.ENXIO:  # holes to the end
                return
            raise
        yield start, min(end, size)


def _pieces(fd: int, extents: Iterable[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
    for start, end in extents:
        at = start
        while at < end and (data := os.pread(fd, min(end - at, _READ), at)):
            yield at, data
            at += len(data)


def whole(found: Pieces, size: int) -> Iterator[bytes]:
    """Yield the `size` bytes of a file, with zeros for what is missing of it."""
    at = 0
    for offset, data in found:
        yield from _zeros(offset - at)
        yield data
        at = offset + len(data)
    yield from _zeros(size - at)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield _ZEROS[:count]
        count -= _READ
