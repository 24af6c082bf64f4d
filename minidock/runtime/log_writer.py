# SPDX-License-Identifier: Apache-2.0
r"""A container's log in docker's json-file format, written; logs.py reads it.

One JSON object a line: ``{"log":"text\n","stream":"stdout","time":"2024-05-01T12:00:00.5Z"}``.
A line of output longer than PIECE bytes becomes several entries, all but the last without the
newline. Bytes that are no UTF-8 are replaced. Full files are renamed to ``path.1``, ``path.2``…
"""

from __future__ import annotations

import os
import time

from minidock.annotations import TYPE_CHECKING
from minidock.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

PIECE = 16 << 10
"""Bytes of output that one entry holds at most."""

_HEAD = b'{"log":"'
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


class Legacy(NamedTuple):
    """What one writer leaves to the next: the file, and each stream's unfinished line."""

    fd: int
    rests: Mapping[str, bytes]


class LogWriter:
    """Appends output to a log and rotates it.

    A disk that is full costs entries, never the container: nothing here raises OSError but the
    constructor.
    """

    def __init__(self, file: LogFile, legacy: Legacy | None = None) -> None:
        self._file = file
        self._rests: dict[str, bytes] = {}
        if legacy is None:
            self._open()
        else:
            self._fd, self._rests = legacy.fd, dict(legacy.rests)
            self._size = os.fstat(self._fd).st_size

    @property
    def legacy(self) -> Legacy:
        """What another writer needs in order to go on in this one's place."""
        return Legacy(self._fd, self._rests)

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
    for end in range(limit, limit - 4, -1):  # not inside a character of UTF-8
        if text[end - 1] < 0x80 or (end < len(text) and text[end] & 0xC0 != 0x80):
            return end
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
