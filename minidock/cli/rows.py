# SPDX-License-Identifier: Apache-2.0
"""What the listing commands share: ids, ages, cut texts, and the choice of a format."""

from collections.abc import Iterable, Iterator, Mapping

from minidock.annotations import Any
from minidock.cli.output import out, printable
from minidock.cli.tables import format_rows, render_table
from minidock.cli.units import human_duration
from minidock.oci.digest import hex_of

_SHORT_ID = 12


def print_rows(
    format: str,
    columns: tuple[str, ...],
    fields: Mapping[str, str],
    rows: Iterable[Mapping[str, Any]],
    row_type: str,
) -> None:
    """Print `rows` as `render_rows` gives them."""
    for text in render_rows(format, columns, fields, rows, row_type):
        out(text.removesuffix("\n"))


def render_rows(
    format: str,
    columns: tuple[str, ...],
    fields: Mapping[str, str],
    rows: Iterable[Mapping[str, Any]],
    row_type: str,
) -> Iterator[str]:
    """Give `rows` as ``--format`` asks, newlines included, without control characters.

    No format and ``table`` mean a table of `columns`. `fields` are the names that a template
    may use, with their headers. A row may have further values, which templates can use and
    JSON does not show. `row_type` is what docker's error about a field that there is not calls
    a row.
    """
    if format in ("", "table"):
        cells = ([row[name] for name in columns] for row in rows)
        texts: Iterable[str] = [render_table([fields[name] for name in columns], cells)]
    elif format == "json":
        texts = format_rows(
            format, fields, ({name: row[name] for name in fields} for row in rows)
        )
    else:
        texts = format_rows(format, fields, rows, row_type=row_type)
    return map(printable, texts)


def short_id(id: str, *, full: bool = False) -> str:
    """Return the 12 digits by which tables show an image or a container, or all of it."""
    if full:
        return id
    return (hex_of(id) if ":" in id else id)[:_SHORT_ID]


def ago(now: float, then: float) -> str:
    """Return ``2 hours ago``."""
    return f"{human_duration(max(now - then, 0))} ago"


def ellipsis(text: str, width: int) -> str:
    """Return `text` cut to `width` characters, the last of which is then ``…``."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def labels_text(labels: Mapping[str, str]) -> str:
    """Return labels as tables show them: ``a=1,b=2``."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
