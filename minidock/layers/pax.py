# SPDX-License-Identifier: Apache-2.0
r"""Extended header records of tar archives (POSIX pax(1), "pax Extended Header").

A record is ``LENGTH KEY=VALUE\n``; the decimal LENGTH counts the whole record. Keys and values
stay bytes here: xattr values are binary, and names need not be UTF-8.
"""

from collections.abc import Iterable

from minidock.layers.compression import CorruptArchive

Records = list[tuple[bytes, bytes]]

_LENGTH_DIGITS = 8  # 1 MiB, the largest extended header read, has seven
_NO_NUL = frozenset((b"path", b"linkpath", b"GNU.sparse.name"))
_NANO = 1_000_000_000
_MAX_TIME = (1 << 63) - 1  # ns; file systems and struct timespec take no more


def parse_records(data: bytes) -> Records:
    """Return the records in their order; sparse maps repeat keys and need it.

    Raises:
        CorruptArchive: a length leads out of the data or nowhere (CVE-2019-20907), or a name
            holds a NUL byte.
    """
    records: Records = []
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + _LENGTH_DIGITS + 1)
        digits = data[at:space] if space > 0 else b""
        if not digits.isdigit():
            raise CorruptArchive("tar: an extended header record has no length")
        end = at + int(digits)
        if end > len(data) or end <= space + 1 or data[end - 1] != 0x0A:
            raise CorruptArchive(f"tar: an extended header record claims {int(digits)} bytes")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not key or b"\0" in key or (b"\0" in value and key in _NO_NUL):
            raise CorruptArchive(f"tar: bad extended header record {key[:100]!r}")
        records.append((key, value))
        at = end
    return records


def format_records(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return `records` as the data of an extended header."""
    return b"".join(_format(key, value) for key, value in records)


def _format(key: bytes, value: bytes) -> bytes:
    rest = len(key) + len(value) + 3  # the space, "=" and the newline
    length = rest + len(str(rest))
    if rest + len(str(length)) > length:  # the digits themselves gained one
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


def parse_number(value: bytes) -> int:
    """Return a decimal number that is not negative (CVE-2025-8194); raise CorruptArchive."""
    if not value.isdigit() or len(value) > 20:
        raise CorruptArchive(f"tar: bad number {value[:40]!r} in an extended header")
    return int(value)


def parse_time(value: bytes) -> int:
    """Return a time like ``-12.5`` in nanoseconds, without the rounding of a float."""
    seconds, _, fraction = value.removeprefix(b"-").partition(b".")
    if len(seconds) > 20 or not (seconds or b"0").isdigit() or not (fraction or b"0").isdigit():
        raise CorruptArchive(f"tar: bad time {value[:40]!r} in an extended header")
    ns = int(seconds or b"0") * _NANO + int(fraction[:9].ljust(9, b"0"))
    return clamp_time(-ns if value.startswith(b"-") else ns)


def format_time(ns: int) -> bytes:
    """Return `ns` nanoseconds as seconds with as many digits as needed."""
    seconds, fraction = divmod(abs(ns), _NANO)
    text = f"{'-' if ns < 0 else ''}{seconds}.{fraction:09}"
    return text.rstrip("0").rstrip(".").encode("ascii")


def clamp_time(ns: int) -> int:
    """Return `ns` within what 64 bits of nanoseconds hold, the years 1677 to 2262."""
    return max(-_MAX_TIME, min(_MAX_TIME, ns))
