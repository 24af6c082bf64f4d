# SPDX-License-Identifier: Apache-2.0
"""Tables and the formats of listings."""

from typing import Any

import pytest

from minidock.cli.tables import align, format_rows, render_table
from minidock.cli.templates import TemplateError

FIELDS = {"ID": "CONTAINER ID", "Names": "NAMES"}
ROWS: list[dict[str, Any]] = [
    {
        "Names": "web",
        "ID": "0123456789abcdef",
        "Label": lambda name: {"com.x.my-key": "v"}[name],
    },
    {"Names": "db", "ID": "1", "Label": lambda _name: ""},
]


def formatted(text: str, rows: list[dict[str, Any]] = ROWS) -> str:
    return "".join(format_rows(text, FIELDS, rows))


def test_table() -> None:
    """Columns are as wide as their widest cell and a gap; the last is not padded."""
    assert render_table(
        ["CONTAINER ID", "X", "NAMES"], [["1", "a", "web"], ["2", "b", ""]]
    ) == (
        "CONTAINER ID   X         NAMES\n"
        "1              a         web\n"
        "2              b         \n"
    )


def test_empty_table() -> None:
    """Nothing to list is the header alone."""
    assert render_table(["ID", "NAMES"], []) == "ID        NAMES\n"


def test_align_counts_characters() -> None:
    """A letter with an accent is as wide as one without; lines may have fewer cells."""
    assert align(["éééééééé\tb", "a\tb\tc", "long text"]) == (
        "éééééééé   b\na          b         c\nlong text\n"
    )


def test_json() -> None:
    """One compact object a line, with sorted keys and without methods."""
    assert formatted("json") == (
        '{"ID":"0123456789abcdef","Names":"web"}\n{"ID":"1","Names":"db"}\n'
    )
    assert formatted("{{json .}}") == formatted("json")


def test_template() -> None:
    """A line for each row; tabs and newlines may be escaped."""
    assert formatted(r"{{.Names}}\t{{.ID}}\n") == "web\t0123456789abcdef\n\ndb\t1\n\n"


def test_table_template() -> None:
    """The header names the fields, whatever functions they pass through."""
    text = r'table {{truncate .ID 4}}\t{{upper .Names}}\t{{.Label "com.x.my-key"}}'
    assert formatted(text) == (
        "CONTAINER ID   NAMES     my key\n"
        "0123           WEB       v\n"
        "1              DB        \n"
    )


def test_table_template_of_nothing() -> None:
    """Nothing to list is the header alone."""
    assert formatted("table {{.ID}}", []) == "CONTAINER ID\n"


@pytest.mark.parametrize("text", ["{{.Nope}}", "table {{.Nope}}"])
def test_unknown_field(text: str) -> None:
    """A field that there is not is told with the type of the rows."""
    with pytest.raises(TemplateError) as caught:
        list(format_rows(text, FIELDS, ROWS, row_type="formatter.ContainerContext"))
    assert caught.value.message.startswith(
        'template parsing error: template: :1:2: executing "" at <.Nope>: '
        "can't evaluate field Nope in type *formatter.C"
    )


def test_unknown_field_of_nothing() -> None:
    """Without rows only a table finds out, from its header."""
    assert formatted("{{.Nope}}", []) == ""
    with pytest.raises(TemplateError, match="can't evaluate field Nope"):
        formatted("table {{.Nope}}", [])
