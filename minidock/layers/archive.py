# SPDX-License-Identifier: Apache-2.0
"""Tar streams, read and written without seeking.

Read: POSIX ustar and pax(1), GNU long names and links, GNU sparse files, base-256 numbers, and
the header without magic of Unix V7. A global extended header is passed over, as in Go's
archive/tar, which docker and containerd read layers with. Written: ustar with extended headers
where a value does not fit, the same bytes for the same entries.

Names are `str` by os.fsdecode: a name that is no UTF-8 keeps its bytes.
"""

import os
import struct
from collections.abc import Iterable, Iterator, Mapping

from minidock.layers import pax, sparse
from minidock.layers.compression import CorruptArchive
from minidock.oci.content import Reader, Writer
from minidock.values import NamedTuple

FILE = b"0"
HARD_LINK = b"1"
SYMLINK = b"2"
CHARACTER = b"3"
BLOCK_DEVICE = b"4"
DIRECTORY = b"5"
FIFO = b"6"
_CONTIGUOUS = b"7"
_V7_FILE = b"\0"
_GNU_SPARSE = b"S"
_GNU_LONG_LINK = b"K"
_GNU_LONG_NAME = b"L"
_PAX = b"x"
_PAX_GLOBAL = b"g"

MAX_NAME = 4096
"""Characters of a name; Linux takes no more bytes (PATH_MAX)."""

MAX_RECORD = 1 << 20
"""Bytes of an extended header or a long name."""

_BLOCK = 512
_READ = 256 << 10
_CHUNK = 1 << 20
_ZEROS = bytes(_BLOCK)
_NANO = 1_000_000_000
_XATTR = b"SCHILY.xattr."

# name, mode, uid, gid, size, mtime, checksum, type, linkname, magic, uname, gname, devmajor,
# devminor, prefix (POSIX pax(1), "ustar Interchange Format")
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_CHECKSUM = slice(148, 156)
_USTAR = b"ustar\x0000"  # GNU's own format has "ustar  \0", and times where the prefix is

_WITH_DATA = frozenset((FILE, _V7_FILE, _CONTIGUOUS, _GNU_SPARSE))
_WITHOUT_DATA = frozenset((HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO))
_META = frozenset((_PAX, _PAX_GLOBAL, _GNU_LONG_LINK, _GNU_LONG_NAME))


class Entry(NamedTuple):
    """One member of an archive.

    `kind` is one of FILE, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY and FIFO.
    `mode` is the twelve permission bits. `size` is the length in bytes of a FILE, holes
    included, 0 for the rest. `link` is the target of a link. `segments` are the parts of a
    sparse FILE that have data, None for a file that is stored whole.
    """

    name: str
    kind: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    link: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, bytes] = {}
    segments: sparse.Segments | None = None

    @property
    def stored(self) -> int:
        """The bytes of data that the archive holds for it."""
        if self.segments is None:
            return self.size
        return sum(length for _, length in self.segments)


class ArchiveReader:
    """The entries of a tar stream, in order; each one's data once, before the next entry.

    ::

        while entry := archive.next():
            for offset, data in archive.data():
                os.pwrite(fd, data, offset)
    """

    def __init__(self, source: Reader) -> None:
        self._source = source
        self._buffer = b""
        self._at = 0
        self._left = 0  # bytes of the current entry's data not taken yet
        self._padding = 0
        self._entry: Entry | None = None

    def next(self) -> Entry | None:
        """Return the next entry, None at the end of the archive.

        Raises:
            CorruptArchive: the stream is no tar, or ends inside an entry.
        """
        self._skip(self._left + self._padding)
        self._left = self._padding = 0
        records: pax.Records = []
        long: dict[bytes, str] = {}
        while header := self._header():
            kind = header[156:157]
            if kind not in _META:
                self._entry = self._parse(header, records, long)
                return self._entry
            data = self._record(_number(header[124:136]))
            if kind == _PAX:
                records = pax.parse_records(data)
            elif kind != _PAX_GLOBAL:
                long[kind] = os.fsdecode(data.partition(b"\0")[0])
        if records or long:
            raise CorruptArchive("tar: the archive ends after an extended header")
        self._entry = None
        return None

    def data(self) -> Iterator[tuple[int, bytes]]:
        """Yield the offset and bytes of each piece of the current entry's data."""
        entry = self._entry
        if entry is None or not entry.size:
            return
        segments = ((0, entry.size),) if entry.segments is None else entry.segments
        for start, length in segments:
            offset, end = start, start + length
            while offset < end:
                data = self._some(min(end - offset, _CHUNK))
                self._left -= len(data)
                yield offset, data
                offset += len(data)

    def drain(self) -> None:
        """Read the source to its end, whatever follows the archive."""
        self._buffer = b""
        while self._source.read(_CHUNK):
            pass

    def _header(self) -> bytes:
        """Return the next header block that is not zero, b"" at the end."""
        block = self._take(_BLOCK, at_end=b"")
        if block == _ZEROS:
            block = self._take(_BLOCK, at_end=b"")
            if block != _ZEROS and block:
                raise CorruptArchive("tar: a lone zero block inside the archive")
            return b""
        if block:
            _verify(block)
        return block

    def _record(self, size: int) -> bytes:
        if size > MAX_RECORD:
            raise CorruptArchive(
                f"tar: an extended header claims {size} bytes, {MAX_RECORD} are allowed"
            )
        data = self._take(size)
        self._skip(-size % _BLOCK)
        return data

    def _parse(self, header: bytes, records: pax.Records, long: dict[bytes, str]) -> Entry:
        fields = _HEADER.unpack(header)
        kind: bytes = fields[7]
        entry = _from_fields(fields)
        stored = entry.size if kind in _WITH_DATA else 0
        if records:
            entry = _with_records(entry, dict(records))
            stored = entry.size if kind in _WITH_DATA else 0
        if long:
            entry = entry._replace(
                name=long.get(_GNU_LONG_NAME, entry.name),
                link=long.get(_GNU_LONG_LINK, entry.link),
            )
        self._left, self._padding = stored, -stored % _BLOCK
        if kind == _GNU_SPARSE or (records and kind in _WITH_DATA):
            entry = self._with_map(entry, header, records)
        if kind != FILE:
            entry = _plain(entry)
        if len(entry.name) > MAX_NAME or len(entry.link) > MAX_NAME:
            raise CorruptArchive(f"tar: a name is longer than {MAX_NAME} characters")
        return entry

    def _with_map(self, entry: Entry, header: bytes, records: pax.Records) -> Entry:
        last = dict(records)
        stored = entry.size
        found: tuple[list[tuple[int, int]], int] | None
        if entry.kind == _GNU_SPARSE:
            found = sparse.from_header(header, _number, self._take)
        elif last.get(b"GNU.sparse.major") == b"1":
            segments, used = sparse.from_data(self._take_data)
            stored -= used
            found = segments, pax.parse_number(last.get(b"GNU.sparse.realsize", b"0"))
        else:
            found = sparse.from_records(records)
        if found is None:
            return entry
        whole = sparse.checked(*found, stored)
        name = os.fsdecode(last.get(b"GNU.sparse.name", b"")) or entry.name
        return entry._replace(name=name, size=whole.size, segments=whole.segments)

    def _take_data(self, size: int) -> bytes:
        if size > self._left:
            raise CorruptArchive("tar: a sparse map is longer than its file")
        self._left -= size
        return self._take(size)

    def _take(self, size: int, at_end: bytes | None = None) -> bytes:
        """Return exactly `size` bytes; `at_end` if it is given and there are none left."""
        start, end = self._at, self._at + size
        if end <= len(self._buffer):
            self._at = end
            return self._buffer[start:end]
        data = self._buffer[start:]
        self._buffer, self._at = b"", 0
        while len(data) < size:
            more = self._source.read(_READ)
            if not more:
                if at_end is not None and not data:
                    return at_end
                raise CorruptArchive("tar: the archive is cut short")
            data = data + more if data else more
        self._buffer, self._at = data, size
        return data[:size]

    def _some(self, size: int) -> bytes:
        """Return between 1 and `size` bytes, without joining buffers."""
        start = self._at
        if start < len(self._buffer):
            data = self._buffer[start : start + size]
            self._at += len(data)
            return data
        if size < _READ:
            return self._take(size)
        data = self._source.read(size)
        if not data:
            raise CorruptArchive("tar: the archive is cut short")
        return data

    def _skip(self, size: int) -> None:
        while size > 0:
            size -= len(self._some(min(size, _CHUNK)))


def _verify(block: bytes) -> None:
    claimed = _number(block[_CHECKSUM])
    spaces = 8 * 0x20 - sum(block[_CHECKSUM])  # the field itself counts as spaces
    unsigned = sum(block) + spaces
    if claimed == unsigned:
        return
    outside = block[:148] + block[156:]
    signed = unsigned - 256 * sum(byte > 127 for byte in outside)  # as old Sun tars had it
    if claimed != signed:
        raise CorruptArchive("tar: a header has a wrong checksum")


def _number(field: bytes) -> int:
    """Return a numeric field that is not negative: octal digits, or GNU's base-256."""
    number = _signed_number(field)
    if number < 0:
        raise CorruptArchive(f"tar: negative number {number} in a header")
    return number


def _signed_number(field: bytes) -> int:
    if field[0] & 0x80:
        bits = 8 * len(field) - 1  # the first bit only marks the format
        number = int.from_bytes(field, "big") & ((1 << bits) - 1)
        return number - (1 << bits) if number >> (bits - 1) else number
    digits = field.strip(b" \0")
    if not digits:
        return 0
    try:
        if digits.isdigit():  # int() alone takes signs, underscores and "0o"
            return int(digits, 8)
    except ValueError:
        pass
    raise CorruptArchive(f"tar: bad number {field!r} in a header")


def _from_fields(fields: tuple[bytes, ...]) -> Entry:
    (name, mode, uid, gid, size, mtime, _, kind, link, magic, _, _, major, minor, prefix) = (
        fields
    )
    name = name.partition(b"\0")[0]
    if magic == _USTAR and prefix[0]:
        name = prefix.partition(b"\0")[0] + b"/" + name
    is_device = kind in (CHARACTER, BLOCK_DEVICE)
    return Entry(
        os.fsdecode(name),
        kind,
        _number(mode) & 0o7777,
        _number(uid),
        _number(gid),
        _number(size),
        pax.clamp_time(_signed_number(mtime) * _NANO),
        os.fsdecode(link.partition(b"\0")[0]) if link[0] else "",
        (_number(major), _number(minor)) if is_device else (0, 0),
    )


def _plain(entry: Entry) -> Entry:
    """Return `entry` with one of the public kinds; what can't have data has no size."""
    kind = entry.kind
    if kind in _WITHOUT_DATA:
        return entry._replace(size=0) if entry.size else entry
    if kind not in _WITH_DATA:
        raise CorruptArchive(f"tar: {entry.name[:200]!r} has the unknown type {kind!r}")
    # Before POSIX a directory was a file whose name ends in a slash.
    is_directory = kind == _V7_FILE and entry.name.endswith("/")
    return entry._replace(kind=DIRECTORY if is_directory else FILE)


def _with_records(entry: Entry, records: Mapping[bytes, bytes]) -> Entry:
    """Return `entry` as its extended header says; an empty value leaves the header's."""
    changes: dict[str, object] = {}
    for key, field in ((b"path", "name"), (b"linkpath", "link")):
        if value := records.get(key):
            changes[field] = os.fsdecode(value)
    for key, field in ((b"size", "size"), (b"uid", "uid"), (b"gid", "gid")):
        if value := records.get(key):
            changes[field] = pax.parse_number(value)
    if value := records.get(b"mtime"):
        changes["mtime_ns"] = pax.parse_time(value)
    xattrs = {
        os.fsdecode(key.removeprefix(_XATTR)): value
        for key, value in records.items()
        if key.startswith(_XATTR)
    }
    return entry._replace(xattrs=xattrs, **changes)  # type: ignore[arg-type]


class ArchiveWriter:
    """A tar stream being written; close() completes it and leaves the sink open."""

    def __init__(self, out: Writer) -> None:
        self._out = out

    def add(self, entry: Entry, data: Iterable[bytes] = ()) -> None:
        """Write `entry` and its data, which must be `entry.size` bytes in all.

        Sparse files are written whole.
        """
        self._out.write(_headers(entry))
        written = 0
        for piece in data:
            self._out.write(piece)
            written += len(piece)
        if written != entry.size:
            raise ValueError(f"{entry.name!r}: {written} bytes of data, not {entry.size}")
        if written % _BLOCK:
            self._out.write(bytes(-written % _BLOCK))

    def close(self) -> None:
        """Write the end of the archive: two zero blocks (POSIX pax(1))."""
        self._out.write(_ZEROS * 2)


def _headers(entry: Entry) -> bytes:
    records: list[tuple[bytes, bytes]] = []
    front = (
        _text(b"path", os.fsencode(entry.name), records),
        b"%07o\0" % entry.mode,
        _octal(b"uid", entry.uid, 7, records),
        _octal(b"gid", entry.gid, 7, records),
        _octal(b"size", entry.size, 11, records),
        _time(entry.mtime_ns, records),
    )
    link = _text(b"linkpath", os.fsencode(entry.link), records)
    header = _block(front, entry.kind, link, entry.device)
    keys = sorted(entry.xattrs)
    records.extend((_XATTR + os.fsencode(key), entry.xattrs[key]) for key in keys)
    if not records:
        return header
    data = pax.format_records(records)
    size = b"%011o\0" % len(data)
    extended = _block((b"PaxHeaders", b"0000644\0", b"", b"", size, b""), _PAX)
    return b"".join((extended, data, bytes(-len(data) % _BLOCK), header))


def _block(
    front: tuple[bytes, ...], kind: bytes, link: bytes = b"", device: tuple[int, int] = (0, 0)
) -> bytes:
    """Return a header; `front` are the fields before the checksum."""
    major, minor = (b"%07o\0" % number for number in device)
    back = (_USTAR, b"", b"", major, minor, b"")
    block = _HEADER.pack(*front, b" " * 8, kind, link, *back)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _text(key: bytes, value: bytes, records: list[tuple[bytes, bytes]]) -> bytes:
    if len(value) > 100:
        records.append((key, value))
    return value[:100]


def _octal(key: bytes, number: int, digits: int, records: list[tuple[bytes, bytes]]) -> bytes:
    if number >= 1 << 3 * digits:
        records.append((key, b"%d" % number))
        number = 0
    return b"%0*o\0" % (digits, number)


def _time(ns: int, records: list[tuple[bytes, bytes]]) -> bytes:
    seconds, fraction = divmod(ns, _NANO)
    if fraction or not 0 <= seconds < 1 << 33:
        records.append((b"mtime", pax.format_time(ns)))
    return b"%011o\0" % min(max(seconds, 0), (1 << 33) - 1)
