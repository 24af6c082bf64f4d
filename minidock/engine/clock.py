# SPDX-License-Identifier: Apache-2.0
"""Times as docker writes them: RFC 3339, UTC, nanoseconds."""

import re
import time

ZERO = "0001-01-01T00:00:00Z"
"""What docker writes for a time that has not come."""

_TIME = r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d*)?(.*)"


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


def go_duration(seconds: float) -> str:
    """Return a duration as Go writes it.

    >>> go_duration(30), go_duration(0.25), go_duration(90), go_duration(3600.5)
    ('30s', '250ms', '1m30s', '1h0m0.5s')
    """
    if 0 < seconds < 1:
        return f"{seconds * 1000:.6g}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:.9f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def parse_rfc3339(text: str) -> float:
    """Return the seconds since the epoch; 0 for a text that is no time, or before the epoch."""
    match = re.fullmatch(_TIME, text)
    if not match:
        return 0.0
    *moment, fraction, zone = match.groups()
    try:
        whole = _seconds(*map(int, moment))
        return max(0.0, whole + float(f"0{fraction or 0}") - _offset(zone))
    except (ValueError, OverflowError):
        return 0.0


def _seconds(*moment: int) -> int:
    """Return the seconds since the epoch of year, month, day, … in UTC; raise ValueError.

    The standard library's way to it, time.strptime, imports for 4 ms.
    """
    year, month, day, hour, minute, second = moment
    if month < 3:  # February, with its leap day, ends the year
        year, month = year - 1, month + 12
    days = 365 * year + year // 4 - year // 100 + year // 400
    days += (153 * month - 457) // 5 + day - 719_469  # the first day of 1970
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second
    if time.gmtime(seconds)[:6] != moment:
        raise ValueError("no such time")
    return seconds


def _offset(zone: str) -> int:
    if zone in ("Z", "z", ""):
        return 0
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    return (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)
