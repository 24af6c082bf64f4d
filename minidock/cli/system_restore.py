# SPDX-License-Identifier: Apache-2.0
"""``system restore``: what docker's daemon does when the machine has been started."""

from minidock.cli.command import command
from minidock.cli.output import each
from minidock.cli.session import Session


@command(
    "Start the containers that do not run and whose restart policy wants them to, at boot",
    "",
    (0, 0),
    "system restore",
)
def restore(session: Session, /, arguments: tuple[str, ...]) -> int:
    """Start containers and print their names."""
    del arguments
    containers = session.engine.containers

    def start_one(name: str) -> str:
        containers.start(name)
        return name

    return each(containers.due_at_boot(), start_one)
