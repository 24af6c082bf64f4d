# SPDX-License-Identifier: Apache-2.0
"""The command table: which module has which command, loaded when it is called."""

import importlib
from collections.abc import Mapping
from typing import Any

import click

from minidock.cli.command import parse_words
from minidock.cli.failures import ArgumentError
from minidock.cli.help import command_table, option_lines, see_help, usage_line
from minidock.values import NamedTuple

_NAME_WIDTH = 9


class Entry(NamedTuple):
    """Where a command is, and what the group's help says of it.

    `section` is the heading it stands under; a command without one is not listed (an alias).
    """

    module: str
    attribute: str
    help: str = ""
    section: str = "Commands"

    def load(self) -> click.Command:
        """Import the module and return the command."""
        command = getattr(importlib.import_module(self.module), self.attribute)
        assert isinstance(command, click.Command)
        return command


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called.

    Attributes:
        table: name → Entry, in the order of the help.
        usage: what follows the group's name in the usage line.
    """

    def __init__(
        self, *args: Any, table: Mapping[str, Entry], usage: str = "COMMAND", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.table = table
        self.usage = usage

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Return the names of all commands, aliases included."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return the command, imported, or None."""
        entry = self.table.get(cmd_name)
        return entry.load() if entry else None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the group's own flags; the first word after them names the command."""
        words = parse_words(self, ctx, args, interspersed=False)
        return super().parse_args(ctx, [*words.flags, "--", *words.arguments])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command's name, the command and its words; raise ArgumentError."""
        name, *rest = args
        command = self.get_command(ctx, name)
        if command is None:
            raise ArgumentError(f"minidock: unknown command: {ctx.command_path} {name}", ctx)
        return name, command, rest

    def get_help(self, ctx: click.Context) -> str:
        """Return the group's help with its commands under their headings."""
        parts = [usage_line(ctx.command_path, self.usage), self.help or ""]
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self.table.items():
            if entry.section:
                sections.setdefault(entry.section, []).append((name, entry.help))
        parts += [command_table(title, rows, _NAME_WIDTH) for title, rows in sections.items()]
        options = option_lines(self)
        if options:
            parts.append("Global Options:\n" + "\n".join(options))
        parts.append(see_help(f"{ctx.command_path} COMMAND") + " on a command.")
        return "\n\n".join(parts)
