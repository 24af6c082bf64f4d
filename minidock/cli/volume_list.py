# SPDX-License-Identifier: Apache-2.0
"""``volume ls``."""

from minidock.annotations import Any
from minidock.cli.command import command
from minidock.cli.flags import switch, value, values
from minidock.cli.output import out
from minidock.cli.params import FILTER
from minidock.cli.rows import labels_text, print_rows
from minidock.cli.session import Session
from minidock.engine.options import Filters
from minidock.engine.views import VolumeView

_FIELDS = {
    "Availability": "AVAILABILITY",
    "Driver": "DRIVER",
    "Group": "GROUP",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Mountpoint": "MOUNTPOINT",
    "Name": "VOLUME NAME",
    "Scope": "SCOPE",
    "Size": "SIZE",
    "Status": "STATUS",
}
_COLUMNS = ("Driver", "Name")
_UNKNOWN = "N/A"
"""What docker shows of what it does not find out for a list, or has for clusters only."""


@command("List volumes", "[OPTIONS]", (0, 0), "volume ls", "volume list")
@values(
    "-f",
    "--filter",
    "filters",
    type=FILTER,
    kind="filter",
    help='Provide filter values (e.g. "dangling=true")',
)
@value(
    "--format",
    "template",
    help="Format output using a custom template: table, table TEMPLATE, json, or a Go template",
)
@switch("-q", "--quiet", help="Only display volume names")
def ls(
    session: Session,
    /,
    arguments: tuple[str, ...],
    filters: Filters,
    template: str,
    quiet: bool,
) -> None:
    """List volumes by name."""
    del arguments
    if not template and not quiet:
        template = session.docker_setting("volumesFormat")
    views = session.engine.volumes.list(filters)
    if quiet and not template:
        for view in views:
            out(view.name)
        return
    print_rows(template, _COLUMNS, _FIELDS, map(_row, views), "formatter.volumeContext")


def _row(view: VolumeView) -> dict[str, Any]:
    known = {
        "Driver": view.driver,
        "Labels": labels_text(view.labels),
        "Mountpoint": view.mountpoint,
        "Name": view.name,
        "Scope": "local",
    }
    row: dict[str, Any] = {**dict.fromkeys(_FIELDS, _UNKNOWN), **known}
    row["Label"] = lambda name: view.labels.get(name, "")
    return row
