# SPDX-License-Identifier: Apache-2.0
"""Which events are told: times and filters, by docker's rules."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from minidock.engine.events import events
from minidock.engine.filters import InvalidFilter
from minidock.engine.options import EventOptions
from minidock.store.journal import append
from minidock.store.layout import Layout

SECOND = 1_000_000_000
START = 1_700_000_000


def event(kind: str, action: str, target: str, **attributes: str) -> dict[str, Any]:
    return {
        "Type": kind,
        "Action": action,
        "Actor": {"ID": target, "Attributes": attributes},
        "scope": "local",
    }


EVENTS = [
    event("image", "pull", "web:1", name="web"),
    event("container", "create", "abc123", image="web:1", name="box", tier="front"),
    event("container", "exec_create: sh -c ls", "abc123", image="web:1", name="box"),
    event("container", "health_status: healthy", "abc123", image="web:1", name="box"),
    event("container", "die", "def456", image="other", name="boxer", exitCode="3"),
    event("volume", "destroy", "data", driver="local"),
    event("network", "connect", "bridge", container="abc123", name="bridge"),
]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A journal with an event a second, and what a full disk has left of another."""
    layout = Layout(str(tmp_path))
    for number, one in enumerate(EVENTS):
        append(layout, json.dumps({**one, "timeNano": (START + number) * SECOND}).encode())
    append(layout, b'{"Type": "contai')
    return layout


def told(layout: Layout, *filters: tuple[str, str], since: float = START) -> list[int]:
    """Return the numbers of the events that are told."""
    options = EventOptions(since, START + 100, filters)
    return [one["timeNano"] // SECOND - START for one in events(layout, options)]


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ((), [0, 1, 2, 3, 4, 5, 6]),
        ((("type", "container"),), [1, 2, 3, 4]),
        ((("type", "image"), ("type", "volume")), [0, 5]),
        ((("container", "box"),), [1, 2, 3, 4]),
        ((("container", "abc"),), [1, 2, 3]),
        ((("event", "die"), ("event", "create")), [1, 4]),
        ((("event", "exec_create"),), [2]),
        ((("event", "health_status"),), [3]),
        ((("event", "health_status: healthy"),), [3]),
        ((("event", "exec"),), []),
        ((("image", "web:1"),), [0, 1, 2, 3]),
        ((("image", "web"),), [0, 1, 2, 3]),
        ((("image", "we"),), []),
        ((("label", "tier"),), [1]),
        ((("label", "tier=front"),), [1]),
        ((("label", "tier=back"),), []),
        ((("volume", "data"),), [5]),
        ((("network", "bridge"),), [6]),
        ((("type", "container"), ("event", "die"), ("container", "def456")), [4]),
        ((("scope", "local"), ("type", "volume")), [5]),
    ],
)
def test_filters(
    layout: Layout, filters: tuple[tuple[str, str], ...], numbers: list[int]
) -> None:
    """The same key is or, different ones are and."""
    assert told(layout, *filters) == numbers


def test_times_bound_what_is_told(layout: Layout) -> None:
    """Both ends are included."""
    assert told(layout, since=START + 5) == [5, 6]
    options = EventOptions(START + 1, START + 2.5)
    assert [one["Action"] for one in events(layout, options)] == [
        "create",
        "exec_create: sh -c ls",
    ]


def test_a_filter_that_does_not_exist_is_refused(layout: Layout) -> None:
    """At once, before the first event."""
    with pytest.raises(InvalidFilter, match="Invalid filter 'colour'"):
        events(layout, EventOptions(filters=(("colour", "red"),)))


def test_what_comes_is_told_until_the_end(layout: Layout) -> None:
    """Without a beginning nothing old is told, and it ends at its time."""
    until = time.time() + 0.3
    stream = events(layout, EventOptions(until=until))
    assert list(stream) == []
    assert time.time() > until
