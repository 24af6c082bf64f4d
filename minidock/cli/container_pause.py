# SPDX-License-Identifier: Apache-2.0
"""``pause`` and ``unpause``."""

from minidock.cli.command import command
from minidock.cli.output import each
from minidock.cli.session import Session

_USAGE = "CONTAINER [CONTAINER...]"


@command(
    "Pause all processes within one or more containers",
    _USAGE,
    (1, None),
    "container pause",
    "pause",
)
def pause(session: Session, /, arguments: tuple[str, ...]) -> int:
    """Stop the processes of containers where they are."""

    def pause_one(name: str) -> str:
        session.engine.containers.pause(name)
        return name

    return each(arguments, pause_one)


@command(
    "Unpause all processes within one or more containers",
    _USAGE,
    (1, None),
    "container unpause",
    "unpause",
)
def unpause(session: Session, /, arguments: tuple[str, ...]) -> int:
    """Let the processes of paused containers go on."""

    def unpause_one(name: str) -> str:
        session.engine.containers.unpause(name)
        return name

    return each(arguments, unpause_one)
