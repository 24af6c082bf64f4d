# SPDX-License-Identifier: Apache-2.0
"""``history``."""

import time

from minidock.cli.command import command
from minidock.cli.flags import switch, value
from minidock.cli.output import out
from minidock.cli.rows import ago, ellipsis, print_rows, short_id
from minidock.cli.session import Session
from minidock.cli.times import rfc3339
from minidock.cli.units import human_size
from minidock.engine.views import HistoryView

_FIELDS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
_COLUMNS = ("ID", "CreatedSince", "CreatedBy", "Size", "Comment")
_EXACT_COLUMNS = ("ID", "CreatedAt", "CreatedBy", "Size", "Comment")
_MISSING = "<missing>"
_CREATED_BY_WIDTH = 45


@command("Show the history of an image", "[OPTIONS] IMAGE", (1, 1), "image history", "history")
@value(
    "--format",
    "template",
    help="Format output using a custom template: table, table TEMPLATE, json, or a Go template",
)
@switch(
    "-H",
    "--human",
    default=True,
    help="Print sizes and dates in human readable format (default true)",
)
@switch("--no-trunc", help="Don't truncate output")
@switch("-q", "--quiet", help="Only show image IDs")
def history(
    session: Session,
    /,
    arguments: tuple[str, ...],
    template: str,
    human: bool,
    no_trunc: bool,
    quiet: bool,
) -> None:
    """Show how the layers of an image came to be, the last one first."""
    (name,) = arguments
    views = session.engine.images.history(name)
    if quiet and not template:
        for view in views:
            out(_id(view, full=no_trunc))
        return
    now = time.time()
    rows = [_row(view, now, human=human, full=no_trunc) for view in views]
    print_rows(
        template,
        _COLUMNS if human else _EXACT_COLUMNS,
        _FIELDS,
        rows,
        "formatter.historyContext",
    )


def _row(view: HistoryView, now: float, *, human: bool, full: bool) -> dict[str, str]:
    created_by = view.created_by.replace("\t", " ")
    return {
        "ID": _id(view, full=full),
        "CreatedSince": ago(now, view.created) if view.created else "N/A",
        "CreatedAt": rfc3339(view.created),
        "CreatedBy": created_by if full else ellipsis(created_by, _CREATED_BY_WIDTH),
        "Size": human_size(view.size) if human else str(view.size),
        "Comment": view.comment,
    }


def _id(view: HistoryView, *, full: bool) -> str:
    return short_id(view.id, full=full) if view.id else _MISSING
