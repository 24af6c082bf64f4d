# SPDX-License-Identifier: Apache-2.0
"""``stats``."""

import time

from minidock.annotations import Any
from minidock.cli.command import command
from minidock.cli.flags import switch, value
from minidock.cli.output import out_bytes
from minidock.cli.rows import render_rows, short_id
from minidock.cli.session import Session
from minidock.cli.units import binary_size, human_size
from minidock.engine.views import StatsView

_FIELDS = {
    "BlockIO": "BLOCK I/O",
    "CPUPerc": "CPU %",
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "MemPerc": "MEM %",
    "MemUsage": "MEM USAGE / LIMIT",
    "Name": "NAME",
    "NetIO": "NET I/O",
    "PIDs": "PIDS",
}
_COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
_ROW_TYPE = "container.statsContext"
_INTERVAL = 1.0  # seconds from one sample to the next

_HOME, _CLEAR_LINE, _CLEAR_REST = "\033[H", "\033[K", "\033[J"


@command(
    "Display a live stream of container(s) resource usage statistics",
    "[OPTIONS] [CONTAINER...]",
    (0, None),
    "container stats",
    "stats",
)
@switch("-a", "--all", "everything", help="Show all containers (default shows just running)")
@value(
    "--format",
    "template",
    help="Format output using a custom template: table, table TEMPLATE, json, or a Go template",
)
@switch("--no-stream", help="Disable streaming stats and only pull the first result")
@switch("--no-trunc", help="Don't truncate output")
def stats(
    session: Session,
    /,
    arguments: tuple[str, ...],
    everything: bool,
    template: str,
    **given: Any,
) -> None:
    """Show what containers use, every second until interrupted."""
    template = template or session.docker_setting("statsFormat")
    full, no_stream = given["no_trunc"], given["no_stream"]
    sampler = session.engine.containers.stats(arguments, everything)
    views = sampler.sample()
    while True:
        if not no_stream:
            _draw(_render(views, template, full=full))
        time.sleep(_INTERVAL)
        views = sampler.sample()
        if no_stream:
            out_bytes(_render(views, template, full=full).encode(errors="surrogateescape"))
            return
        if arguments and not views:
            return  # all of them have been removed


def _draw(text: str) -> None:
    """Write `text` over what stands on the terminal."""
    lines = "".join(f"{line}{_CLEAR_LINE}\n" for line in text.splitlines())
    frame = f"{_HOME}{lines}{_CLEAR_REST}"
    out_bytes(frame.encode(errors="surrogateescape"))


def _render(views: tuple[StatsView, ...], template: str, *, full: bool) -> str:
    rows = [_row(view, full=full) for view in views]
    return "".join(render_rows(template, _COLUMNS, _FIELDS, rows, _ROW_TYPE))


def _row(view: StatsView, *, full: bool) -> dict[str, Any]:
    percent = view.memory / view.memory_limit * 100 if view.memory_limit else 0.0
    named = view.asked != view.id
    return {
        "BlockIO": f"{human_size(view.read)} / {human_size(view.written)}",
        "CPUPerc": "--" if view.cpu is None else f"{view.cpu:.2f}%",
        "Container": view.asked if named else short_id(view.id, full=full),
        "ID": short_id(view.id, full=full),
        "MemPerc": f"{percent:.2f}%",
        "MemUsage": f"{binary_size(view.memory)} / {binary_size(view.memory_limit)}",
        "Name": view.name,
        "NetIO": f"{human_size(view.received)} / {human_size(view.sent)}",
        "PIDs": str(view.tasks),
    }
