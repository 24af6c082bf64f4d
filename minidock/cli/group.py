# SPDX-License-Identifier: Apache-2.0
"""A group of commands: which module has which, loaded when it is called."""

import importlib
from collections.abc import Mapping

from minidock.cli.command import Command
from minidock.cli.failures import ArgumentError
from minidock.cli.flags import Flag, Given
from minidock.cli.help import command_table, flag_table, see_help
from minidock.cli.output import err
from minidock.cli.session import Session
from minidock.values import NamedTuple

_NAME_WIDTH = 9


class Entry(NamedTuple):
    """Where a command is, and what the group's help says of it.

    `section` is the heading it stands under; a command without one is not listed (an alias).
    `starts` says that the command will start a container.
    """

    module: str
    attribute: str
    help: str = ""
    section: str = "Commands"
    starts: bool = False

    def load(self) -> Command:
        """Import the module and return the command."""
        command = getattr(importlib.import_module(self.module), self.attribute)
        assert isinstance(command, Command)
        return command


class Group(Command):
    """A command whose first argument names another one.

    Attributes:
        table: name → Entry, in the order of the help.
    """

    def __init__(
        self,
        help: str,
        table: Mapping[str, Entry],
        usage: str = "COMMAND",
        flags: tuple[Flag, ...] = (),
    ) -> None:
        super().__init__(help, usage, flags, interspersed=False)
        self.table = table

    def act(self, session: Session, path: str, given: Given) -> int:
        """Run the command that the first argument names; without one show the help."""
        if not given.arguments:
            err(self.help_text(path))
            return 0
        name, *words = given.arguments
        entry = self.table.get(name)
        if entry is None:
            error = ArgumentError(f"minidock: unknown command: {path} {name}")
            raise error.at(path, self.usage_line(path))
        if entry.starts:
            session.expect_start()
        return entry.load().run(session, f"{path} {name}", words)

    def help_text(self, path: str) -> str:
        """Return the group's help with its commands under their headings."""
        parts = [self.usage_line(path), self.help]
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self.table.items():
            if entry.section:
                sections.setdefault(entry.section, []).append((name, entry.help))
        parts += [command_table(title, rows, _NAME_WIDTH) for title, rows in sections.items()]
        parts += flag_table("Global Options", self.flags)
        parts.append(see_help(f"{path} COMMAND") + " on a command.")
        return "\n\n".join(parts)
