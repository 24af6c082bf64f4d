# SPDX-License-Identifier: Apache-2.0
"""Maps of sparse files in the four ways GNU tar has written them.

A map is a list of (offset, length) segments that have data; the rest of the file is holes. Read
off GNU tar's manual, "Storing Sparse Files": the old format keeps the map in the header and its
extension blocks, 0.0 in repeated pax records, 0.1 in one record, 1.0 in front of the data.
"""

from collections.abc import Callable

from minidock.layers.compression import CorruptArchive
from minidock.layers.pax import Records, parse_number
from minidock.values import NamedTuple

Segments = tuple[tuple[int, int], ...]

MAX_MAP = 1 << 20
"""Bytes that a map may have in the archive."""

_BLOCK = 512


class SparseMap(NamedTuple):
    """Where the data of a file go; `size` is the file's length with its holes."""

    segments: Segments
    size: int


def checked(segments: list[tuple[int, int]], size: int, stored: int) -> SparseMap:
    """Return the map if it is in order, inside the file and accounts for the stored bytes."""
    end = total = 0
    for offset, length in segments:
        if offset < end or length < 0:
            raise CorruptArchive("tar: a sparse map is out of order")
        end = offset + length
        total += length
    if end > size or total != stored:
        raise CorruptArchive("tar: a sparse map does not fit its file")
    return SparseMap(tuple(pair for pair in segments if pair[1]), size)


def from_header(
    header: bytes, number: Callable[[bytes], int], more: Callable[[int], bytes]
) -> tuple[list[tuple[int, int]], int]:
    """Return the segments and the real size of an old GNU sparse header (type S).

    `number` reads a numeric field, `more` takes the extension blocks that follow.
    """
    size = number(header[483:495])
    segments = _pairs(header[386:482], number)
    extended = header[482]
    read = 0
    while extended:
        read += _BLOCK
        if read > MAX_MAP:
            raise CorruptArchive(f"tar: a sparse map is longer than {MAX_MAP} bytes")
        block = more(_BLOCK)
        segments += _pairs(block[:504], number)
        extended = block[504]
    return segments, size


def _pairs(data: bytes, number: Callable[[bytes], int]) -> list[tuple[int, int]]:
    pairs = []
    for at in range(0, len(data), 24):
        if not data[at]:  # unused places are NUL
            break
        pairs.append((number(data[at : at + 12]), number(data[at + 12 : at + 24])))
    return pairs


def from_records(records: Records) -> tuple[list[tuple[int, int]], int] | None:
    """Return the segments and the real size that pax records of 0.0 or 0.1 give, if they do."""
    last = dict(records)
    if b"GNU.sparse.size" not in last:
        return None
    if b"GNU.sparse.map" in last:
        listed = last[b"GNU.sparse.map"]
        numbers = [parse_number(part) for part in listed.split(b",")] if listed else []
    else:
        wanted = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
        numbers = [parse_number(value) for key, value in records if key in wanted]
    return _paired(numbers), parse_number(last[b"GNU.sparse.size"])


def from_data(take: Callable[[int], bytes]) -> tuple[list[tuple[int, int]], int]:
    """Return the segments that stand in front of the data (1.0), and the map's bytes."""
    blocks = [take(_BLOCK)]
    first, _, _ = blocks[0].partition(b"\n")
    fields = 2 * parse_number(first)
    lines = blocks[0].count(b"\n") - 1
    while lines < fields:
        if len(blocks) * _BLOCK >= MAX_MAP:
            raise CorruptArchive(f"tar: a sparse map is longer than {MAX_MAP} bytes")
        blocks.append(take(_BLOCK))
        lines += blocks[-1].count(b"\n")
    numbers = b"".join(blocks).split(b"\n")[1 : fields + 1]
    return _paired([parse_number(number) for number in numbers]), len(blocks) * _BLOCK


def _paired(numbers: list[int]) -> list[tuple[int, int]]:
    if len(numbers) % 2:
        raise CorruptArchive("tar: a sparse map has an odd number of fields")
    return list(zip(numbers[::2], numbers[1::2], strict=True))
