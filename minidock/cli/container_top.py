# SPDX-License-Identifier: Apache-2.0
"""``top``."""

from minidock.cli.command import command
from minidock.cli.output import out, printable
from minidock.cli.session import Session
from minidock.cli.tables import render_table

_CELL = 20
"""The least width of a cell, as docker has it here."""


@command(
    "Display the running processes of a container",
    "CONTAINER [ps OPTIONS]",
    (1, None),
    "container top",
    "top",
    interspersed=False,
)
def top(session: Session, /, arguments: tuple[str, ...]) -> None:
    """Show the processes of a container in the form that options of ps(1) ask for."""
    name, *options = arguments
    table = session.engine.containers.top(name, tuple(options))
    # A process chooses its name and arguments: a tab or a line break must not make cells.
    rows = [[printable(text, keep="") for text in row] for row in table.rows]
    out(render_table(table.titles, rows, least=_CELL).removesuffix("\n"))
