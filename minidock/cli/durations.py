# SPDX-License-Identifier: Apache-2.0
"""Go's durations."""

import re

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)"
_BILLION = 1_000_000_000


def parse_duration(text: str) -> float:
    """Return the seconds of a Go duration such as ``1h30m`` or ``-1.5s``; raise ValueError."""
    digits = text.removeprefix("-")
    parts = re.findall(_PART, digits)
    if digits == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != digits:
        raise ValueError(f"invalid duration {text!r}")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return -seconds if text.startswith("-") else seconds


def parse_nanoseconds(text: str) -> int:
    """Return the nanoseconds of a Go duration; raise ValueError."""
    return round(parse_duration(text) * _BILLION)
