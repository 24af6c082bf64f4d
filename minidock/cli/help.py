# SPDX-License-Identifier: Apache-2.0
"""Help texts in docker's layout."""

import os
from collections.abc import Iterable

from minidock.cli.flags import Flag

_DEFAULT_WIDTH = 80
_LEAST_WIDTH = 60


def usage_line(path: str, usage: str) -> str:
    """Return ``Usage:  minidock run [OPTIONS] IMAGE``."""
    return f"Usage:  {path} {usage}".rstrip()


def see_help(path: str) -> str:
    """Return the line that says where to read on."""
    return f"Run '{path} --help' for more information"


def flag_table(title: str, flags: Iterable[Flag]) -> list[str]:
    """Return a titled list of the flags that are shown, in docker's order, if there are any."""
    shown = sorted((flag for flag in flags if not flag.hidden), key=lambda flag: flag.long)
    spellings = [_spelling(flag) for flag in shown]
    column = max(map(len, spellings), default=0) + 3
    lines = []
    for flag, spelling in zip(shown, spellings, strict=True):
        first, *rest = _wrap(flag.help, column)
        lines.append(spelling.ljust(column) + first)
        lines += [" " * column + line for line in rest]
    return ["\n".join([f"{title}:", *lines])] if lines else []


def _spelling(flag: Flag) -> str:
    start = f"  {flag.short}, {flag.long}" if flag.short else f"      {flag.long}"
    return f"{start} {flag.kind}".rstrip()


def _wrap(text: str, column: int) -> list[str]:
    import textwrap  # only help needs it

    try:
        width = os.get_terminal_size().columns
    except OSError:
        width = _DEFAULT_WIDTH
    return textwrap.wrap(text, max(width, _LEAST_WIDTH) - column - 1) or [""]


def command_table(title: str, rows: Iterable[tuple[str, str]], width: int) -> str:
    """Return a titled list of commands and what they do; names are padded to `width`."""
    lines = [f"  {name.ljust(width)}  {text}" for name, text in rows]
    return "\n".join([f"{title}:", *lines])
