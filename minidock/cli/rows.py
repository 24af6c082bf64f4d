# SPDX-License-Identifier: Apache-2.0
"""What the listing commands share: ids, ages, cut texts, and the choice of a format."""

from collections.abc import Iterable, Mapping
from typing import Any

from minidock.cli.output import out, printable
from minidock.cli.tables import format_rows
from minidock.cli.units import human_duration
from minidock.oci.digest import hex_of

_SHORT_ID = 12


def print_rows(
    format: str, default: str, fields: Mapping[str, str], rows: Iterable[Mapping[str, Any]]
) -> None:
    """Print `rows` as ``--format`` asks; none and ``table`` mean the template `default`."""
    chosen = default if format in ("", "table") else format
    for line in format_rows(chosen, fields, rows):
        out(printable(line))


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
