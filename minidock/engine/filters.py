# SPDX-License-Identifier: Apache-2.0
"""``--filter`` of lists and prunes: the same key is OR, different keys are AND."""

import fnmatch
import functools
import re
import time
from collections.abc import Callable, Mapping

from minidock.engine.clock import parse_rfc3339
from minidock.engine.health import STATES as HEALTH_STATES
from minidock.engine.options import Filters, ListImages
from minidock.engine.resolve import resolve
from minidock.engine.views import ContainerView, ImageView, VolumeView
from minidock.errors import InvalidArgument, MinidockError
from minidock.oci.digest import hex_of
from minidock.oci.reference import parse_reference
from minidock.store.store import Store

_SECONDS = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
_AGE_PART = r"([0-9]{1,9})([hms])"
_AGE = r"(?:[0-9]{1,9}[hms])+"
_UNITS = {"h": 3600, "m": 60, "s": 1}

STATES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")


class InvalidFilter(InvalidArgument):
    """A filter that does not exist or has a bad value; the text is docker's."""

    def __init__(self, text: str) -> None:
        super().__init__(f"Invalid filter '{text}'")


VolumeTest = Callable[[VolumeView, str], bool]
ContainerTest = Callable[[ContainerView, str], bool]
ImageTest = Callable[[ImageView, str], bool]


def container_filter(filters: Filters, store: Store) -> Callable[[ContainerView], bool]:
    """Return the test that all of `filters` make together; raise InvalidFilter."""
    created = functools.cache(lambda name: store.containers.find(name).record.created)
    tests: dict[str, ContainerTest] = {
        "id": lambda view, value: view.id.startswith(value),
        "name": lambda view, value: _matches(value, f"/{view.name}", view.name),
        "label": lambda view, value: has_label(view.labels, value),
        "status": lambda view, value: view.state == value,
        "exited": lambda view, value: view.state == "exited" and str(view.exit_code) == value,
        "ancestor": lambda view, value: _descends(view, value, store),
        "before": lambda view, value: view.created < created(value),
        "since": lambda view, value: view.created > created(value),
        "network": lambda view, value: value in view.networks,
        "volume": lambda view, value: value in (*view.mounts, *view.destinations),
        "publish": _publishes,
        "expose": _exposes,
        "health": lambda view, value: view.health == value,
    }
    grouped = _grouped(filters, tests)
    for value in grouped.get("status", ()):
        if value not in STATES:
            raise InvalidFilter(f"status={value}")
    for value in grouped.get("health", ()):
        if value not in HEALTH_STATES:
            raise InvalidArgument(f"Unrecognised filter value for health: {value}")
    for value in (*grouped.get("before", ()), *grouped.get("since", ())):
        created(value)  # tell now if there is no such container
    return lambda view: all(
        (all if key == "label" else any)(tests[key](view, value) for value in values)
        for key, values in grouped.items()
    )


def image_filter(options: ListImages, store: Store) -> Callable[[ImageView], bool]:
    """Return the test for the rows of ``images``; raise InvalidFilter."""
    created = functools.cache(lambda name: _created(store, name))
    moment = functools.cache(_moment)
    tests: dict[str, ImageTest] = {
        "dangling": lambda view, value: (not view.tag) == _truth("dangling", value),
        "label": lambda view, value: has_label(view.labels, value),
        "before": lambda view, value: view.created < created(value),
        "since": lambda view, value: view.created > created(value),
        "until": lambda view, value: view.created < moment(value),
        "reference": _refers,
    }
    grouped = _grouped(options.filters, tests)
    for value in grouped.get("dangling", ()):
        _truth("dangling", value)
    for value in (*grouped.get("before", ()), *grouped.get("since", ())):
        created(value)
    for value in grouped.get("until", ()):
        moment(value)
    wanted = _name_test(options.name)
    return lambda view: (
        wanted(view)
        and all(
            (all if key == "label" else any)(tests[key](view, value) for value in values)
            for key, values in grouped.items()
        )
    )


def prune_filter(filters: Filters) -> Callable[[ContainerView | ImageView], bool]:
    """Return the test for what ``container prune`` and ``image prune`` may delete.

    Raises:
        InvalidFilter
    """
    moment = functools.cache(_moment)
    tests: dict[str, Callable[[ContainerView | ImageView, str], bool]] = {
        "until": lambda subject, value: subject.created < moment(value),
        "label": lambda subject, value: has_label(subject.labels, value),
        "label!": lambda subject, value: not has_label(subject.labels, value),
    }
    grouped = _grouped(filters, tests)
    for value in grouped.get("until", ()):
        moment(value)
    return lambda subject: all(
        tests[key](subject, value) for key, values in grouped.items() for value in values
    )


def volume_filter(filters: Filters) -> Callable[[VolumeView], bool]:
    """Return the test for the rows of ``volume ls``; raise InvalidFilter."""
    tests: dict[str, VolumeTest] = {
        "dangling": lambda view, value: (not view.users) == _truth("dangling", value),
        "driver": lambda view, value: view.driver == value,
        "label": lambda view, value: has_label(view.labels, value),
        "name": lambda view, value: _matches(value, view.name),
    }
    grouped = _grouped(filters, tests)
    for value in grouped.get("dangling", ()):
        _truth("dangling", value)
    return lambda view: all(
        (all if key == "label" else any)(tests[key](view, value) for value in values)
        for key, values in grouped.items()
    )


def unused_volume_filter(filters: Filters, *, everything: bool) -> Callable[[VolumeView], bool]:
    """Return the test for the volumes that ``volume prune`` deletes.

    Those with a name are spared unless `everything`, or a filter ``all=true``, asks for them.

    Raises:
        InvalidFilter
    """
    tests: dict[str, VolumeTest] = {
        "all": lambda _view, _value: True,
        "label": lambda view, value: has_label(view.labels, value),
        "label!": lambda view, value: not has_label(view.labels, value),
    }
    grouped = _grouped(filters, tests)
    named = everything or any(_truth("all", value) for value in grouped.get("all", ()))
    return lambda view: (
        not view.users
        and (named or view.anonymous)
        and all(tests[key](view, value) for key, values in grouped.items() for value in values)
    )


def _grouped(filters: Filters, known: Mapping[str, object]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for key, value in filters:
        if key not in known:
            raise InvalidFilter(key)
        grouped.setdefault(key, []).append(value)
    return grouped


def _name_test(name: str) -> Callable[[ImageView], bool]:
    if not name:
        return lambda _view: True
    if set(name) & set("*?["):
        return lambda view: _refers(view, name)
    reference = parse_reference(name, default_tag="")
    return lambda view: (
        view.repository == reference.familiar_name
        and (not reference.tag or view.tag == reference.tag)
        and (not reference.digest or view.digest == reference.digest)
    )


def has_label(labels: Mapping[str, str], value: str) -> bool:
    """Tell whether `labels` has ``key`` or ``key=value``."""
    key, equals, wanted = value.partition("=")
    return key in labels and (not equals or labels[key] == wanted)


def _matches(pattern: str, *texts: str) -> bool:
    try:
        return any(re.search(pattern, text) for text in texts)
    except re.error:
        return any(pattern in text for text in texts)


def _descends(view: ContainerView, value: str, store: Store) -> bool:
    if value in (view.image, f"{view.image}:latest") or view.image == f"{value}:latest":
        return True
    try:
        return resolve(store.images, value).entry.id == view.image_id
    except MinidockError:
        return hex_of(view.image_id).startswith(value.removeprefix("sha256:"))


def _publishes(view: ContainerView, value: str) -> bool:
    port, _, protocol = value.partition("/")
    return any(
        str(p.host_port) == port and p.protocol == (protocol or "tcp") for p in view.ports
    )


def _exposes(view: ContainerView, value: str) -> bool:
    wanted = value if "/" in value else f"{value}/tcp"
    published = {f"{p.container_port}/{p.protocol}" for p in view.ports}
    return wanted in published | set(view.exposed)


def _truth(key: str, value: str) -> bool:
    if value in ("true", "1", "True", "TRUE", "t"):
        return True
    if value in ("false", "0", "False", "FALSE", "f"):
        return False
    raise InvalidFilter(f"{key}={value}")


def _created(store: Store, name: str) -> float:
    entry = resolve(store.images, name).entry
    return parse_rfc3339(store.images.read(entry.manifest).image.created)


def _moment(text: str) -> float:
    """Return the seconds since the epoch of such a number, an RFC 3339 time or an age (24h)."""
    if re.fullmatch(_SECONDS, text):
        return float(text)
    if re.fullmatch(_AGE, text):
        return time.time() - sum(
            int(n) * _UNITS[unit] for n, unit in re.findall(_AGE_PART, text)
        )
    if parse_rfc3339(text) > 0:
        return parse_rfc3339(text)
    raise InvalidFilter(f"until={text}")


def _refers(view: ImageView, pattern: str) -> bool:
    """Tell whether the pattern fits the name, with or without the tag, part by part."""
    full = f"{view.repository}:{view.tag}"
    return any(_fits(name.split("/"), pattern.split("/")) for name in (full, view.repository))


def _fits(parts: list[str], patterns: list[str]) -> bool:
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))
