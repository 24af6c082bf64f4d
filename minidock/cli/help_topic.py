# SPDX-License-Identifier: Apache-2.0
"""``minidock help [COMMAND]``."""

import click

from minidock.cli.command import command
from minidock.cli.failures import Refused
from minidock.cli.output import out


@command("Show a command's help", "[COMMAND]", (0, None))
@click.pass_context
def help_(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Show the help of the program or of the command that `arguments` name."""
    topic = ctx.find_root()
    for name in arguments:
        group = topic.command
        found = group.get_command(topic, name) if isinstance(group, click.Group) else None
        if found is None:
            raise Refused(f"unknown help topic: {' '.join(arguments)}")
        topic = click.Context(found, parent=topic, info_name=name)
    out(topic.get_help())
