# SPDX-License-Identifier: Apache-2.0
"""Times as users write and read them."""

import time

import pytest

from minidock.cli.durations import parse_duration
from minidock.cli.times import (
    go_time,
    parse_time,
    rfc3339,
    rfc3339_nano,
)
from minidock.errors import InvalidArgument

NOW = 1_700_000_000.0


@pytest.fixture(autouse=True)
def _zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-2")  # POSIX: two hours east
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1600000000", 1_600_000_000.0),
        ("1600000000.25", 1_600_000_000.25),
        ("10m", NOW - 600),
        ("1h30m", NOW - 5400),
        ("1.5s", NOW - 1.5),
        ("-5s", NOW + 5),
        ("2020-09-13T12:26:40Z", 1_600_000_000.0),
        ("2020-09-13T12:26:40.5Z", 1_600_000_000.5),
        ("2020-09-13T14:26:40+02:00", 1_600_000_000.0),
        ("2020-09-13T14:26:40", 1_600_000_000.0),
        ("2020-09-13T14:26", 1_599_999_960.0),
        ("2020-09-13", 1_599_948_000.0),
    ],
)
def test_parse_time(text: str, seconds: float) -> None:
    """Unix times, durations and RFC 3339 in all its lengths are understood."""
    assert parse_time("since", text, NOW) == seconds


@pytest.mark.parametrize("text", ["badtime", "2020-13-01", "1h30", "m", "1e5s"])
def test_parse_bad_time(text: str) -> None:
    """What is no time is refused."""
    with pytest.raises(InvalidArgument) as caught:
        parse_time("since", text, NOW)
    assert caught.value.message == (
        f'invalid value for "since": failed to parse value as time or duration: "{text}"'
    )


def test_no_time() -> None:
    """No text is no time."""
    assert parse_time("since", "", NOW) is None


def test_duration() -> None:
    """Go's units add up."""
    assert parse_duration("1h1m1s1ms") == pytest.approx(3661.001)
    assert parse_duration("0") == 0


def test_printed_times() -> None:
    """Logs are in UTC with nine digits, the rest in local time."""
    assert rfc3339_nano(1_600_000_000_000_000_007) == "2020-09-13T12:26:40.000000007Z"
    assert rfc3339(1_600_000_000.9) == "2020-09-13T14:26:40+02:00"
    assert go_time(1_600_000_000).startswith("2020-09-13 14:26:40 +0200 ")
