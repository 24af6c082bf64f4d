# SPDX-License-Identifier: Apache-2.0
"""How often, and after what time."""

import pytest

from minidock.errors import Unavailable
from minidock.progress import Event, Retrying
from minidock.registry.retry import (
    ORIGIN,
    PROBE,
    SPARE,
    Patience,
    Retrier,
    ServerBusy,
    describe_status,
    parse_retry_after,
)
from minidock.registry.transport import ConnectionFailed, Interrupted, Timing


class Failing:
    """Fails so many times, then returns the number of calls."""

    def __init__(self, error: Unavailable, times: int = 99) -> None:
        self.error = error
        self.times = times
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return self.calls


@pytest.mark.parametrize(
    ("error", "patience", "attempts"),
    [
        (ConnectionFailed("h", "", "hopeless"), ORIGIN, 1),
        (ConnectionFailed("h", "", "absent"), ORIGIN, 3),
        (ConnectionFailed("h", "", "absent"), SPARE, 1),
        (ConnectionFailed("h", "", "broken"), ORIGIN, 5),
        (ConnectionFailed("h", "", "broken"), SPARE, 5),
        (ConnectionFailed("h", "", "broken"), PROBE, 1),
        (Interrupted("h", ""), SPARE, 5),
        (ServerBusy("h", 503, None), SPARE, 5),
        (ServerBusy("h", 429, 60.0), ORIGIN, 5),
        (ServerBusy("h", 429, 61.0), ORIGIN, 1),
    ],
)
def test_attempts(error: Unavailable, patience: Patience, attempts: int) -> None:
    """The kind of failure and the server's place decide how often it is asked."""
    action = Failing(error)
    with pytest.raises(type(error)):
        Retrier(lambda _: None, Timing(sleep=lambda _: None)).run("x", action, patience)
    assert action.calls == attempts


def test_delays_grow_and_are_told() -> None:
    """The delay doubles, with up to a quarter of jitter, and each is an event."""
    events: list[Event] = []
    waits: list[float] = []
    timing = Timing(sleep=waits.append, jitter=lambda: 1.0)
    action = Failing(ServerBusy("h", 503, None), 4)
    assert Retrier(events.append, timing).run("thing", action, ORIGIN) == 5
    assert waits == [0.625, 1.25, 2.5, 5.0]
    reason = "registry h answered 503 Service Unavailable"
    assert events == [Retrying("thing", reason, delay) for delay in waits]


def test_other_errors_pass() -> None:
    """What no attempt can mend is not tried again."""
    action = Failing(Unavailable("no"))
    with pytest.raises(Unavailable):
        Retrier(lambda _: None, Timing()).run("x", action, ORIGIN)
    assert action.calls == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        (" 7 ", 7.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00", 0.0),
        ("9" * 400, float("inf")),
    ],
)
def test_retry_after(text: str, expected: float | None) -> None:
    """Seconds and dates are read; anything else says nothing."""
    assert parse_retry_after(text) == expected


def test_retry_after_a_future_date() -> None:
    """A date is turned into seconds from now."""
    wait = parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT")
    assert wait is not None
    assert wait > 1e9


def test_unknown_statuses_have_numbers() -> None:
    """The server's own words for a status are not shown."""
    assert describe_status(404) == "404 Not Found"
    assert describe_status(599) == "599"
