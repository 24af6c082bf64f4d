# SPDX-License-Identifier: Apache-2.0
"""``minidock help [COMMAND]``."""

from minidock.cli.command import Command, command
from minidock.cli.commands import PROGRAM, root
from minidock.cli.failures import Refused
from minidock.cli.group import Group
from minidock.cli.output import out
from minidock.cli.session import Session


@command("Show a command's help", "[COMMAND]", (0, None))
def help_(session: Session, /, arguments: tuple[str, ...]) -> None:
    """Show the help of the program or of the command that `arguments` name."""
    del session
    topic: Command = root
    for name in arguments:
        entry = topic.table.get(name) if isinstance(topic, Group) else None
        if entry is None:
            raise Refused(f"unknown help topic: {' '.join(arguments)}")
        topic = entry.load()
    out(topic.help_text(" ".join((PROGRAM, *arguments))))
