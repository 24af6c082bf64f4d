# SPDX-License-Identifier: Apache-2.0
"""Times as users write and read them."""

import re
import time

from minidock.cli.durations import parse_duration
from minidock.errors import InvalidArgument

_UNIX = r"\d+(?:\.\d{1,9})?"
_DATE = r"(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d{1,9})?))?)?)?(Z|[+-]\d\d:\d\d)?"


def parse_time(option: str, text: str, now: float) -> float | None:
    """Return seconds since the epoch for ``--since`` and ``--until``; None for no text.

    `text` is a Go duration back from `now` (``1h30m``), a Unix time, or RFC 3339, which may
    stop after the day, the hour or the minute and is local time without a zone.

    Raises:
        InvalidArgument: with docker's text.
    """
    if not text:
        return None
    try:
        return _parse(text, now)
    except (ValueError, OverflowError):
        raise InvalidArgument(
            f'invalid value for "{option}": failed to parse value as time or duration: "{text}"'
        ) from None


def _parse(text: str, now: float) -> float:
    if re.fullmatch(_UNIX, text):
        return float(text)
    match = re.fullmatch(_DATE, text)
    if match:
        from datetime import datetime  # 1 ms that ps need not spend

        day, hour, minute, second, zone = match.groups()
        offset = "+00:00" if zone == "Z" else zone or ""
        moment = datetime.fromisoformat(f"{day}T{hour or '00'}:{minute or '00'}{offset}")
        return moment.timestamp() + float(second or 0)  # without a zone it is local
    return now - parse_duration(text)


def rfc3339_nano(nanoseconds: int) -> str:
    """Return a log entry's time as docker prints it: UTC with nine digits."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:09d}Z"


def rfc3339(seconds: float) -> str:
    """Return a local time with its zone: ``2024-05-01T10:00:00+02:00``."""
    text = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))
    return f"{text[:-5]}Z" if text.endswith("+0000") else f"{text[:-2]}:{text[-2:]}"


def go_time(seconds: float) -> str:
    """Return a local time as Go prints it: ``2024-05-01 10:00:00 +0200 CEST``."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(seconds))
