# SPDX-License-Identifier: Apache-2.0
"""Sizes and durations for people, as docker writes them (go-units)."""

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")

_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")

_MINUTE, _HOUR = 60, 3600


def human_size(size: float, digits: int = 3) -> str:
    """Return `size` bytes in decimal units with `digits` significant digits.

    >>> human_size(623_400_000), human_size(0), human_size(1234, 4)
    ('623MB', '0B', '1.234kB')
    """
    return _scaled(size, 1000, _UNITS, digits)


def binary_size(size: float) -> str:
    """Return `size` bytes in powers of 1024 with four significant digits.

    >>> binary_size(25_274_892_288), binary_size(0)
    ('23.54GiB', '0B')
    """
    return _scaled(size, 1024, _BINARY_UNITS, 4)


def _scaled(size: float, step: int, units: tuple[str, ...], digits: int) -> str:
    unit = 0
    while size >= step and unit < len(units) - 1:
        size /= step
        unit += 1
    return f"{size:.{digits}g}{units[unit]}"


def human_duration(seconds: float) -> str:
    """Return a duration in its largest unit.

    >>> human_duration(0.2), human_duration(75), human_duration(3700), human_duration(86400 * 3)
    ('Less than a second', 'About a minute', 'About an hour', '3 days')
    """
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole < _MINUTE:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if whole < _HOUR:
        minutes = whole // _MINUTE
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = int(seconds / _HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    for limit, size, unit in (
        (48, 1, "hours"),
        (24 * 7 * 2, 24, "days"),
        (24 * 30 * 2, 24 * 7, "weeks"),
        (24 * 365 * 2, 24 * 30, "months"),
    ):
        if hours < limit:
            return f"{hours // size} {unit}"
    return f"{int(seconds / _HOUR) // 24 // 365} years"
