# SPDX-License-Identifier: Apache-2.0
"""A container's log, read: see log_writer.py for its format and its files."""

import json
import os
import time
from collections.abc import Callable, Iterator

from minidock.values import NamedTuple

_BLOCK = 1 << 16
_POLL = 0.1  # seconds between two looks at a file that is followed
_NANOSECONDS = 1_000_000_000


class Entry(NamedTuple):
    """One entry: `time` in nanoseconds since the epoch, `stream` is stdout or stderr."""

    time: int
    stream: str
    data: bytes


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
