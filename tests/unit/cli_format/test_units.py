# SPDX-License-Identifier: Apache-2.0
"""Sizes and durations, after the examples of docker's go-units."""

import pytest

from minidock.cli.units import human_duration, human_size


@pytest.mark.parametrize(
    ("size", "three", "four"),
    [
        (0, "0B", "0B"),
        (999, "999B", "999B"),
        (1000, "1kB", "1kB"),
        (1234, "1.23kB", "1.234kB"),
        (999_999, "1e+03kB", "1000kB"),
        (7_340_000, "7.34MB", "7.34MB"),
        (123_456_789, "123MB", "123.5MB"),
        (1.5e12, "1.5TB", "1.5TB"),
        (2e18, "2EB", "2EB"),
        (3e24, "3YB", "3YB"),
        (5e27, "5e+03YB", "5000YB"),
    ],
)
def test_size(size: float, three: str, four: str) -> None:
    """Units are decimal, and the digits as many as asked for, as go-units' %.3g and %.4g."""
    assert human_size(size) == three
    assert human_size(size, 4) == four


HOUR = 3600
DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.45, "Less than a second"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (HOUR - 1, "59 minutes"),
        (HOUR, "About an hour"),
        (1.4 * HOUR, "About an hour"),
        (1.5 * HOUR, "2 hours"),
        (47 * HOUR, "47 hours"),
        (47.5 * HOUR, "2 days"),
        (13 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (2 * 365 * DAY, "2 years"),
    ],
)
def test_duration(seconds: float, expected: str) -> None:
    """A duration has one unit."""
    assert human_duration(seconds) == expected
