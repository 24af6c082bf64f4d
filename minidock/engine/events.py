# SPDX-License-Identifier: Apache-2.0
"""``events``: what has happened, and what happens from now on."""

import json
import time
from collections.abc import Callable, Iterator, Mapping

from minidock.annotations import Any
from minidock.engine.filters import InvalidFilter
from minidock.engine.options import EventOptions
from minidock.store.journal_reader import JournalReader
from minidock.store.layout import Layout

_PAUSE = 0.1
"""Seconds between two looks at the journal."""

_SECOND = 1_000_000_000

Event = Mapping[str, Any]
"""One of docker's events: Type, Action, Actor{ID, Attributes}, time, timeNano, ..."""

Test = Callable[[Event, str], bool]


def events(layout: Layout, options: EventOptions) -> Iterator[Event]:
    """Yield the events that `options` ask for, in the order in which they were written.

    Without `options.until` it never ends.

    Raises:
        InvalidFilter
    """
    return _follow(layout, options, _filter(options))


def _follow(
    layout: Layout, options: EventOptions, accepts: Callable[[Event], bool]
) -> Iterator[Event]:
    begun = time.time() if options.since is None else options.since
    first = int(begun * _SECOND)
    last = None if options.until is None else int(options.until * _SECOND)
    reader = JournalReader(layout, from_start=options.since is not None)
    try:
        while True:
            now = time.time_ns()
            for line in reader.lines():
                event = _parse(line)
                if event is None or event["timeNano"] < first:
                    continue
                if (last is None or event["timeNano"] <= last) and accepts(event):
                    yield event
            if last is not None and now > last:
                return
            left = _PAUSE if last is None else (last - now) / _SECOND
            time.sleep(min(_PAUSE, max(left, 0) + 0.001))
    finally:
        reader.close()


def _parse(line: bytes) -> Event | None:
    """Return the event of a line, None for what a full disk has left of one."""
    try:
        event = json.loads(line)
        attributes = event["Actor"]["Attributes"]
        whole = isinstance(event["timeNano"], int) and isinstance(attributes, dict)
    except (ValueError, KeyError, TypeError):
        return None
    return event if whole else None


def _filter(options: EventOptions) -> Callable[[Event], bool]:
    grouped: dict[str, list[str]] = {}
    for key, value in options.filters:
        if key not in _TESTS:
            raise InvalidFilter(key)
        grouped.setdefault(key, []).append(value)

    def accepts(event: Event) -> bool:
        return all(
            (all if key == "label" else any)(_TESTS[key](event, value) for value in values)
            for key, values in grouped.items()
        )

    return accepts


def _has_action(event: Event, wanted: str) -> bool:
    action = str(event["Action"])
    # Such as "exec_create: sh -c ls" and "health_status: healthy".
    return action == wanted or (":" not in wanted and action.startswith(f"{wanted}: "))


def _is_of(kind: str) -> Test:
    def test(event: Event, wanted: str) -> bool:
        actor = event["Actor"]
        names = str(actor["ID"]), str(actor["Attributes"].get("name", ""))
        return event["Type"] == kind and any(name.startswith(wanted) for name in names)

    return test


def _is_of_image(event: Event, wanted: str) -> bool:
    attributes = event["Actor"]["Attributes"]
    names = [str(attributes.get("image", ""))]
    if event["Type"] == "image":
        names = [str(event["Actor"]["ID"]), str(attributes.get("name", ""))]
    return any(wanted in (name, _without_tag(name)) for name in names if name)


def _without_tag(name: str) -> str:
    base, colon, tag = name.rpartition(":")
    return base if colon and "/" not in tag else name


def _has_label(event: Event, wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    attributes = event["Actor"]["Attributes"]
    return name in attributes and (not equals or attributes[name] == value)


_TESTS: Mapping[str, Test] = {
    "container": _is_of("container"),
    "event": _has_action,
    "image": _is_of_image,
    "label": _has_label,
    "network": _is_of("network"),
    "scope": lambda event, wanted: event.get("scope") == wanted,
    "type": lambda event, wanted: event["Type"] == wanted,
    "volume": _is_of("volume"),
}
