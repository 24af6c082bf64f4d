# SPDX-License-Identifier: Apache-2.0
r"""A container's log in docker's json-file format, written and read.

One JSON object a line: ``{"log":"text\n","stream":"stdout","time":"2024-05-01T12:00:00.5Z"}``.
A line of output longer than PIECE bytes becomes several entries, all but the last without the
newline. Bytes that are no UTF-8 are replaced. Full files are renamed to ``path.1``, ``path.2``…
"""

import json
import os
import time
from collections.abc import Callable, Iterator

from minidock.values import NamedTuple

PIECE = 16 << 10
"""Bytes of output that one entry holds at most."""

_BLOCK = 1 << 16
_HEAD = b'{"log":"'
_POLL = 0.1  # seconds between two looks at a file that is followed
_NANOSECONDS = 1_000_000_000

# What can't stand in a JSON string, the backslash first. Go's encoding/json, and so docker,
# escapes the last five too: they are special in HTML and JavaScript.
_SPECIAL = ("\\", '"', *map(chr, range(0x20)), "<", ">", "&", "\u2028", "\u2029")
_ESCAPES = {c.encode(): f"\\u{ord(c):04x}".encode() for c in _SPECIAL if c != "\n"}
_ESCAPES |= {b"\\": rb"\\", b'"': rb"\"", b"\t": rb"\t", b"\r": rb"\r"}
_PLAIN = bytes(byte for byte in range(0x80) if bytes((byte,)) not in _ESCAPES)


class LogFile(NamedTuple):
    """Where a log is and how it is rotated; `max_size` is in bytes, `max_files` counts all."""

    path: str
    max_size: int = 20_000_000
    max_files: int = 5


class Entry(NamedTuple):
    """One entry: `time` in nanoseconds since the epoch, `stream` is stdout or stderr."""

    time: int
    stream: str
    data: bytes


class LogWriter:
    """Appends output to a log and rotates it.

    A disk that is full costs entries, never the container: nothing here raises OSError but the
    constructor.
    """

    def __init__(self, file: LogFile) -> None:
        self._file = file
        self._rests: dict[str, bytes] = {}
        self._open()

    def write(self, stream: str, data: bytes) -> None:
        """Append `data`, but for what follows its last newline: that waits for the rest."""
        rest = self._rests.get(stream)
        text = rest + data if rest else data
        tail = _tail(stream)
        entries = []
        start = 0
        while end := _end_of_piece(text, start):
            entries.append(_entries(text[start:end], tail))
            start = end
        self._append(b"".join(entries))
        self._rests[stream] = text[start:]

    def close(self) -> None:
        """Append the unfinished lines and close the file."""
        for stream, rest in self._rests.items():
            if rest:
                self._append(_entries(rest, _tail(stream)))
        os.close(self._fd)

    def fileno(self) -> int:
        """Return the descriptor of the current file."""
        return self._fd

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self._file.path, flags, 0o640)
        self._size = os.fstat(self._fd).st_size
        if self._size and os.pread(self._fd, 1, self._size - 1) != b"\n":
            self._write(b"\n")  # the last writer died inside an entry

    def _append(self, entries: bytes) -> None:
        """Append whole entries, going to the next file between two of them."""
        start, total = 0, len(entries)
        while start < total:
            room = self._file.max_size - self._size
            end = total
            if room < total - start:
                end = entries.rfind(b"\n", start, start + max(room, 0)) + 1
                if not end and self._size:
                    self._rotate()
                    continue
                end = end or entries.index(b"\n", start) + 1
            self._write(entries[start:end])
            start = end

    def _write(self, entries: bytes) -> None:
        """Append `entries`, all or none of them."""
        try:
            if os.write(self._fd, entries) == len(entries):
                self._size += len(entries)
            else:  # the disk is full
                os.ftruncate(self._fd, self._size)
        except OSError:
            pass

    def _rotate(self) -> None:
        path, last = self._file.path, self._file.max_files - 1
        try:
            if last < 1:
                os.ftruncate(self._fd, 0)
                self._size = 0
                return
            for number in range(last, 1, -1):
                _rename_if_there(f"{path}.{number - 1}", f"{path}.{number}")
            _rename_if_there(path, f"{path}.1")
            full = self._fd
            self._open()
            os.close(full)
        except OSError:
            self._size = 0  # goes on in the same file for another turn


def _tail(stream: str) -> bytes:
    """Return how each entry of `stream` ends that is written now."""
    return f'","stream":"{stream}","time":"{format_time(time.time_ns())}"}}\n'.encode()


def _rename_if_there(old: str, new: str) -> None:
    try:
        os.rename(old, new)
    except FileNotFoundError:
        pass


def _end_of_piece(text: bytes, start: int) -> int:
    """Return where the piece that starts at `start` ends, 0 if it is not complete yet.

    A piece is some whole lines, or PIECE bytes of a line that is longer.
    """
    limit = start + PIECE
    end = text.rfind(b"\n", start, limit) + 1
    if end or len(text) < limit:
        return end
    for back in range(4):  # not inside a character of UTF-8
        if limit - back < len(text) and text[limit - back] & 0xC0 != 0x80:
            return limit - back
    return limit


def _entries(piece: bytes, tail: bytes) -> bytes:
    """Return the JSON lines of `piece`; each ends with `tail`."""
    body = _escape(piece.removesuffix(b"\n")).replace(b"\n", rb"\n" + tail + _HEAD)
    newline = rb"\n" if piece.endswith(b"\n") else b""
    return b"".join((_HEAD, body, newline, tail))


def _escape(text: bytes) -> bytes:
    """Return `text` as in a JSON string, but with newlines as they are.

    Three passes over whole bytes objects: several times faster than json's encoder.
    """
    special = text.translate(None, _PLAIN)
    if not special:
        return text
    if not special.isascii():
        text = text.decode("utf-8", "replace").encode()
    for byte, escape in _ESCAPES.items():
        if byte in special:
            text = text.replace(byte, escape)
    return text


def format_time(nanoseconds: int) -> str:
    """Return `nanoseconds` since the epoch as RFC 3339 in UTC with nine decimals."""
    seconds, fraction = divmod(nanoseconds, _NANOSECONDS)
    t = time.gmtime(seconds)
    day = f"{t.tm_year:04}-{t.tm_mon:02}-{t.tm_mday:02}"
    return f"{day}T{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}.{fraction:09}Z"


def parse_time(text: str) -> int:
    """Return the nanoseconds since the epoch of an RFC 3339 time in UTC; raise ValueError."""
    if not text.endswith("Z") or text[10:11] != "T":
        raise ValueError(f"{text} is not a time in UTC")
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    # Years that begin in March: the leap day is the last one, and months follow one formula.
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    days = year * 365 + year // 4 - year // 100 + year // 400
    days += (153 * month + 2) // 5 + day - 1 - 719468  # days from 0000-03-01 to 1970-01-01
    seconds = days * 86400 + int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
    fraction = text[20:-1]
    return seconds * _NANOSECONDS + (int(fraction[:9].ljust(9, "0")) if fraction else 0)


def read(
    path: str,
    *,
    follow: bool = False,
    since: float | None = None,
    until: float | None = None,
    tail: int | None = None,
    alive: Callable[[], bool] = lambda: False,
) -> Iterator[Entry]:
    """Yield the entries of the log at `path` and of its rotated files, oldest first.

    The last `tail` entries are taken first, then those from `since` to `until` (seconds since
    the epoch). With `follow` it waits for more until `alive` says no and all is read. A missing
    log is empty; lines that are no entries are skipped.

    Raises:
        OSError: the log can't be read.
    """
    first = 0 if since is None else int(since * _NANOSECONDS)
    last = None if until is None else int(until * _NANOSECONDS)
    for line in _lines(path, tail, alive if follow else None, last):
        entry = _parse(line)
        if entry is None or entry.time < first:
            continue
        if last is not None and entry.time > last:
            return
        yield entry


def _parse(line: bytes) -> Entry | None:
    try:
        value = json.loads(line)
        data = value["log"].encode("utf-8", "replace")
        return Entry(parse_time(value["time"]), str(value["stream"]), data)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _lines(
    path: str, tail: int | None, alive: Callable[[], bool] | None, last: int | None
) -> Iterator[bytes]:
    """Yield whole lines; wait for more as long as `alive` and the clock is before `last`."""
    files = _open_newer(path, None)
    try:
        if tail is not None:
            _seek_tail(files, tail)
        while True:
            going_on = alive is not None and alive()  # asked before the look at the files
            yield from _available(path, files)
            if not going_on or (last is not None and time.time_ns() > last):
                return
            time.sleep(_POLL)
    finally:
        for fd in files:
            os.close(fd)


def _available(path: str, files: list[int]) -> Iterator[bytes]:
    """Yield the whole lines that are there; keep only the newest of `files` open."""
    if not files:
        files += _open_newer(path, None)
    while files:
        yield from _whole_lines(files[0])
        if len(files) == 1:
            files += _open_newer(path, files[0])
            if len(files) == 1:
                return
            yield from _whole_lines(files[0])  # it may have grown before it was renamed
        os.close(files.pop(0))


def _whole_lines(fd: int) -> Iterator[bytes]:
    """Yield the lines from the position of `fd` on; leave that at the unfinished one."""
    if os.lseek(fd, 0, os.SEEK_CUR) > os.fstat(fd).st_size:
        os.lseek(fd, 0, os.SEEK_SET)  # a log of one file starts anew when it is full
    rest = b""
    while block := os.read(fd, _BLOCK):
        whole, newline, rest = (rest + block).rpartition(b"\n")
        if newline:
            yield from whole.split(b"\n")
    if rest:
        os.lseek(fd, -len(rest), os.SEEK_CUR)


def _open_newer(path: str, known: int | None) -> list[int]:
    """Return descriptors of the log's files, oldest first, that are newer than file `known`.

    The newest is opened first: a rotation meanwhile shows a file twice and hides none.
    """
    end = os.fstat(known).st_ino if known is not None else -1
    files: dict[int, int] = {}
    number = missing = 0
    while missing < 2:  # while the files are renamed, one name is missing
        name = f"{path}.{number}" if number else path
        number += 1
        try:
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            missing += 1
            continue
        missing = 0
        inode = os.fstat(fd).st_ino
        if inode == end or inode in files:
            os.close(fd)
            if inode == end:
                break
            continue
        files[inode] = fd
    return list(reversed(files.values()))


def _seek_tail(files: list[int], count: int) -> None:
    """Set the positions of `files`, oldest first, to their last `count` lines."""
    for fd in reversed(files):
        start, found = _last_lines(fd, count)
        os.lseek(fd, start, os.SEEK_SET)
        count -= found


def _last_lines(fd: int, count: int) -> tuple[int, int]:
    """Return where the last `count` whole lines of `fd` start, and how many of them it has."""
    found, end = 0, os.fstat(fd).st_size
    while end > 0:
        begin = max(0, end - _BLOCK)
        block = os.pread(fd, end - begin, begin)
        newlines = block.count(b"\n")
        if found + newlines > count:  # the line before the first one ends in this block
            start = 0
            for _ in range(found + newlines - count):
                start = block.index(b"\n", start) + 1
            return begin + start, count
        found += newlines
        end = begin
    return 0, found
