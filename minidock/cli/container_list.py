# SPDX-License-Identifier: Apache-2.0
"""``ps``."""

import time

from minidock.annotations import Any
from minidock.cli.command import command
from minidock.cli.flags import INT, switch, value, values
from minidock.cli.output import out
from minidock.cli.params import FILTER
from minidock.cli.rows import ago, ellipsis, labels_text, print_rows, short_id
from minidock.cli.session import Session
from minidock.cli.times import go_time
from minidock.cli.units import human_duration, human_size
from minidock.engine.options import ListContainers
from minidock.engine.views import ContainerView
from minidock.network.ports import describe

_FIELDS = {
    "ID": "CONTAINER ID",
    "Names": "NAMES",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Ports": "PORTS",
    "State": "STATE",
    "Status": "STATUS",
    "HealthStatus": "HEALTH STATUS",
    "Size": "SIZE",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
}
_COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
_COMMAND_WIDTH = 20
_MOUNT_WIDTH = 15


@command(
    "List containers",
    "[OPTIONS]",
    (0, 0),
    "container ls",
    "container list",
    "container ps",
    "ps",
)
@switch("-a", "--all", "everything", help="Show all containers (default shows just running)")
@values(
    "-f",
    "--filter",
    "filters",
    type=FILTER,
    kind="filter",
    help="Filter output based on conditions provided",
)
@value(
    "--format",
    "template",
    help="Format output using a custom template: table, table TEMPLATE, json, or a Go template",
)
@value(
    "-n",
    "--last",
    type=INT,
    default=-1,
    help="Show n last created containers (includes all states) (default -1)",
)
@switch("-l", "--latest", help="Show the latest created container (includes all states)")
@switch("--no-trunc", help="Don't truncate output")
@switch("-q", "--quiet", help="Only display container IDs")
@switch("-s", "--size", help="Display total file sizes")
def ps(session: Session, /, arguments: tuple[str, ...], template: str, **given: Any) -> None:
    """List containers."""
    del arguments
    quiet, full, size = given["quiet"], given["no_trunc"], given["size"]
    if not template and not quiet:
        template = session.docker_setting("psFormat")
    last = 1 if given["latest"] else given["last"]
    options = ListContainers(
        all=given["everything"],
        filters=given["filters"],
        last=max(last, 0),
        size=size or ".Size" in template,
    )
    views = session.engine.containers.list(options)
    if quiet and not template:
        for view in views:
            out(short_id(view.id, full=full))
        return
    now = time.time()
    rows = [_row(view, now, full=full) for view in views]
    print_rows(
        template,
        (*_COLUMNS, "Size") if size else _COLUMNS,
        _FIELDS,
        rows,
        "formatter.ContainerContext",
    )


def _row(view: ContainerView, now: float, *, full: bool) -> dict[str, Any]:
    command = _command_line(view.command)
    return {
        "ID": short_id(view.id, full=full),
        "Names": view.name,
        "Image": _image(view, full=full),
        "Command": _quote(command if full else ellipsis(command, _COMMAND_WIDTH)),
        "CreatedAt": go_time(view.created),
        "RunningFor": ago(now, view.created),
        "Ports": describe(view.ports, view.exposed),
        "State": view.state,
        "Status": status_text(view, now),
        "HealthStatus": view.health,
        "Size": _size(view),
        "Labels": labels_text(view.labels),
        "Mounts": ",".join(m if full else ellipsis(m, _MOUNT_WIDTH) for m in view.mounts),
        "LocalVolumes": str(view.local_volumes),
        "Networks": ",".join(view.networks),
        "Label": lambda name: view.labels.get(name, ""),
    }


def _image(view: ContainerView, *, full: bool) -> str:
    if view.image.startswith("sha256:"):
        return short_id(view.image, full=full)
    return view.image


_HEALTH = {
    "none": "",
    "starting": " (health: starting)",
    "healthy": " (healthy)",
    "unhealthy": " (unhealthy)",
}


def status_text(view: ContainerView, now: float) -> str:
    """Return the STATUS column at the time `now`: ``Up 5 minutes``, ``Exited (0) ...``."""
    match view.state:
        case "running":
            return f"Up {human_duration(max(now - view.started, 0))}{_HEALTH[view.health]}"
        case "paused":
            return f"Up {human_duration(max(now - view.started, 0))} (Paused)"
        case "restarting":
            return f"Restarting ({view.exit_code}) {ago(now, view.finished)}"
        case "exited":
            return f"Exited ({view.exit_code}) {ago(now, view.finished)}"
        case "removing":
            return "Removal In Progress"
    return view.state.capitalize()


def _size(view: ContainerView) -> str:
    own = human_size(max(view.size_rw, 0))
    if view.size_root <= 0:
        return own
    return f"{own} (virtual {human_size(view.size_root)})"


def _command_line(words: tuple[str, ...]) -> str:
    return " ".join(f"'{word}'" if " " in word else word for word in words)


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _quote(text: str) -> str:
    return f'"{"".join(_ESCAPES.get(c, c) for c in text)}"'
