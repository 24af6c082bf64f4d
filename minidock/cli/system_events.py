# SPDX-License-Identifier: Apache-2.0
"""``events``."""

import time
from collections.abc import Callable, Mapping

from minidock.annotations import Any
from minidock.cli.command import command
from minidock.cli.flags import value, values
from minidock.cli.output import out, printable
from minidock.cli.params import FILTER
from minidock.cli.session import Session
from minidock.cli.tables import format_rows
from minidock.cli.times import parse_time, rfc3339
from minidock.engine.options import EventOptions

_SECOND = 1_000_000_000
_NAMES = {"Status": "status", "ID": "id", "From": "from"}
_NUMBERS = {"Time": "time", "TimeNano": "timeNano", "Scope": "scope"}


@command("Get real time events from the server", "[OPTIONS]", (0, 0), "system events", "events")
@values(
    "-f",
    "--filter",
    "filters",
    type=FILTER,
    kind="filter",
    help="Filter output based on conditions provided",
)
@value(
    "--format", "template", help="Format output using a custom template: json, or a Go template"
)
@value("--since", help="Show all events created since timestamp")
@value("--until", help="Stream events until this timestamp")
def events(
    session: Session,
    /,
    arguments: tuple[str, ...],
    *,
    filters: tuple[tuple[str, str], ...],
    template: str,
    since: str,
    until: str,
) -> None:
    """Print a line for each event, as they happen."""
    del arguments
    now = time.time()
    options = EventOptions(
        parse_time("since", since, now), parse_time("until", until, now), filters
    )
    told = session.engine.system.events(options)
    if not template:
        for event in told:
            out(printable(event_line(event), keep=""))
        return
    rows = (event if template == "json" else _row(event) for event in told)
    for text in format_rows(template, {}, rows, row_type="events.Message"):
        out(printable(text.removesuffix("\n")))


def event_line(event: Mapping[str, Any]) -> str:
    """Return docker's line: the time, what happened to what, and its attributes by name."""
    second, fraction = divmod(event["timeNano"], _SECOND)
    moment = rfc3339(second)
    day, zone = moment[:19], moment[19:]
    actor = event["Actor"]
    attributes = ", ".join(f"{key}={text}" for key, text in actor["Attributes"].items())
    shown = f" ({attributes})" if attributes else ""
    return f"{day}.{fraction:09d}{zone} {event['Type']} {event['Action']} {actor['ID']}{shown}"


def _row(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of Go's type, whose names in JSON are others."""
    fields: dict[str, Any] = dict(event)
    for name, key in _NAMES.items():
        fields[name] = _method(event.get(key, ""))
    for name, key in _NUMBERS.items():
        fields[name] = _method(event[key])
    return fields


def _method(result: Any) -> Callable[[], Any]:
    """Return what templates call, and JSON leaves out."""
    return lambda: result
