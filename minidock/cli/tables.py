# SPDX-License-Identifier: Apache-2.0
"""Tables as docker prints them, and ``--format``."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from minidock.annotations import Any

_GAP = 3
_LEAST_WIDTH = 10
"""Of a column with its gap: docker's tabwriter settings."""


def render_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], *, least: int = _LEAST_WIDTH
) -> str:
    """Return the table, a line for the headers and each row, with a newline at the end.

    A column, with the gap to the next one, is at least `least` characters wide.
    """
    return align(["\t".join(headers), *("\t".join(row) for row in rows)], least=least)


def align(lines: Iterable[str], *, least: int = _LEAST_WIDTH) -> str:
    """Return `lines` with their tab-separated cells padded to columns; see `render_table`."""
    rows = [line.split("\t") for line in lines]
    columns = max((len(row) for row in rows), default=0)
    widths = [
        max([least, *(len(row[i]) + _GAP for row in rows if len(row) > i + 1)])
        for i in range(columns)
    ]
    return "".join(
        "".join(cell.ljust(widths[i]) for i, cell in enumerate(row[:-1])) + row[-1] + "\n"
        for row in rows
    )


def format_rows(
    text: str,
    fields: Mapping[str, str],
    rows: Iterable[Mapping[str, Any]],
    *,
    row_type: str = "formatter.Context",
) -> Iterator[str]:
    """Give the output of ``--format text``, newlines included.

    `text` is ``json``, a Go template, or ``table`` and a template; `fields` are the names that
    a template may use, with their column headers. `row_type` is the Go type of which an error
    speaks when there is no such field: ``formatter.ContainerContext``.

    Raises:
        TemplateError: the template is malformed or names a field that there is not.
    """
    if text == "json":
        from minidock.cli.template_functions import to_json  # a plain table needs none

        for row in rows:
            yield to_json(row) + "\n"
        return
    from minidock.cli.templates import compile_template  # likewise

    is_table = text.startswith("table")
    source = text.removeprefix("table").strip() if is_table else text
    template = compile_template(source.replace("\\t", "\t").replace("\\n", "\n"))
    lines = (template.render(row, row_type=row_type) for row in rows)
    if is_table:
        yield align([template.render_header({**fields, "Label": _label_title}), *lines])
    else:
        for line in lines:
            yield line + "\n"


def _label_title(name: str) -> str:
    """Return the header of ``{{.Label "com.docker.swarm-node"}}``: ``swarm node``."""
    return name.rpartition(".")[2].replace("-", " ").replace("_", " ")
