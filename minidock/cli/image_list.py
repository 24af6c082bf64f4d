# SPDX-License-Identifier: Apache-2.0
"""``images``."""

import time

from minidock.annotations import Any
from minidock.cli.command import command
from minidock.cli.flags import switch, value, values
from minidock.cli.output import out
from minidock.cli.params import FILTER
from minidock.cli.rows import ago, print_rows, short_id
from minidock.cli.session import Session
from minidock.cli.times import go_time
from minidock.cli.units import human_size
from minidock.engine.options import ListImages
from minidock.engine.views import ImageView

_FIELDS = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "Containers": "CONTAINERS",
    "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
}
_COLUMNS = ("Repository", "Tag", "ID", "CreatedSince", "Size")
_COLUMNS_WITH_DIGESTS = ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")
_NONE = "<none>"


@command(
    "List images",
    "[OPTIONS] [REPOSITORY[:TAG]]",
    (0, 1),
    "image ls",
    "image list",
    "images",
)
@switch(
    "-a",
    "--all",
    "everything",
    help="Show all images (default hides intermediate images)",
)
@switch("--digests", help="Show digests")
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
@switch("--no-trunc", help="Don't truncate output")
@switch("-q", "--quiet", help="Only show image IDs")
def images(
    session: Session, /, arguments: tuple[str, ...], template: str, **given: Any
) -> None:
    """List images, a row for each tag."""
    quiet, full = given["quiet"], given["no_trunc"]
    if not template and not quiet:
        template = session.docker_setting("imagesFormat")
    options = ListImages("".join(arguments), given["everything"], given["filters"])
    views = session.engine.images.list(options)
    if quiet and not template:
        for view in views:
            out(short_id(view.id, full=full))
        return
    now = time.time()
    rows = [_row(view, now, full=full) for view in views]
    columns = _COLUMNS_WITH_DIGESTS if given["digests"] else _COLUMNS
    print_rows(template, columns, _FIELDS, rows, "formatter.imageContext")


def _row(view: ImageView, now: float, *, full: bool) -> dict[str, Any]:
    size = human_size(view.size)
    known = view.shared_size >= 0
    return {
        "ID": short_id(view.id, full=full),
        "Repository": view.repository or _NONE,
        "Tag": view.tag or _NONE,
        "Digest": view.digest or _NONE,
        "CreatedSince": ago(now, view.created) if view.created else "N/A",
        "CreatedAt": go_time(view.created),
        "Size": size,
        "Containers": str(view.containers) if view.containers >= 0 else "N/A",
        "VirtualSize": size,
        "SharedSize": human_size(view.shared_size) if known else "N/A",
        "UniqueSize": human_size(max(view.size - view.shared_size, 0)) if known else "N/A",
    }
