# SPDX-License-Identifier: Apache-2.0
"""Times as docker writes them: RFC 3339, UTC, nanoseconds."""

import time
from calendar import timegm

ZERO = "0001-01-01T00:00:00Z"
"""What docker writes for a time that has not come."""


def rfc3339(seconds: float) -> str:
    """Return the time `seconds` after the epoch; ZERO for 0, which stands for never."""
    return exact_rfc3339(seconds) if seconds > 0 else ZERO


def exact_rfc3339(seconds: float) -> str:
    """Return the time `seconds` (not negative) after the epoch."""
    whole = int(seconds)
    nanoseconds = round((seconds - whole) * 1e6) * 1000
    if nanoseconds >= 1_000_000_000:
        whole, nanoseconds = whole + 1, 0
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f"{fraction}Z"


def parse_rfc3339(text: str) -> float:
    """Return the seconds since the epoch; 0 for a text that is no time, or before the epoch."""
    try:
        whole = timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
        rest = text[19:]
        digits = len(rest) - len(rest[1:].lstrip("0123456789")) if rest[:1] == "." else 0
        fraction = float("0" + rest[:digits]) if digits > 1 else 0.0
        return max(0.0, whole + fraction - _offset(rest[digits:]))
    except (ValueError, OverflowError):
        return 0.0


def _offset(zone: str) -> int:
    if zone in ("Z", "z", ""):
        return 0
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    return (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)
