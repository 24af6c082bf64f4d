# SPDX-License-Identifier: Apache-2.0
"""Help texts in docker's layout."""

import os
import textwrap
from collections.abc import Iterable, Sequence

import click

from minidock.cli.flags import long_name, short_name

_DEFAULT_WIDTH = 80
_LEAST_WIDTH = 60


def usage_line(path: str, usage: str) -> str:
    """Return ``Usage:  minidock run [OPTIONS] IMAGE``."""
    return f"Usage:  {path} {usage}".rstrip()


def see_help(path: str) -> str:
    """Return the line that says where to read on."""
    return f"Run '{path} --help' for more information"


def command_help(
    command: click.Command, path: str, usage: str, aliases: Sequence[str] = ()
) -> str:
    """Return the help of one verb; `aliases` are its full names without the program's."""
    parts = [usage_line(path, usage), command.help or ""]
    if len(aliases) > 1:
        program = path.partition(" ")[0]
        names = ", ".join(f"{program} {alias}" for alias in aliases)
        parts.append(f"Aliases:\n  {names}")
    options = option_lines(command)
    if options:
        parts.append("Options:\n" + "\n".join(options))
    if command.epilog:
        parts.append(command.epilog)
    return "\n\n".join(parts)


def option_lines(command: click.Command) -> list[str]:
    """Return the lines that describe the options, sorted as docker sorts them."""
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    rows = sorted((_spelling(option), option.help or "") for option in options)
    rows.sort(key=lambda row: row[0][6:])  # by the long name: "  -d, --detach", "      --rm"
    column = max((len(spelling) for spelling, _ in rows), default=0) + 3
    lines = []
    for spelling, text in rows:
        first, *rest = _wrap(text, column)
        lines.append(spelling.ljust(column) + first)
        lines += [" " * column + line for line in rest]
    return lines


def _spelling(option: click.Option) -> str:
    short = ", ".join(short_name(option))
    start = f"  {short}, {long_name(option)}" if short else f"      {long_name(option)}"
    return f"{start} {option.metavar}".rstrip()


def _wrap(text: str, column: int) -> list[str]:
    try:
        width = os.get_terminal_size().columns
    except OSError:
        width = _DEFAULT_WIDTH
    return textwrap.wrap(text, max(width, _LEAST_WIDTH) - column - 1) or [""]


def command_table(title: str, rows: Iterable[tuple[str, str]], width: int) -> str:
    """Return a titled list of commands and what they do; names are padded to `width`."""
    lines = [f"  {name.ljust(width)}  {text}" for name, text in rows]
    return "\n".join([f"{title}:", *lines])
