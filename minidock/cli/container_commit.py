# SPDX-License-Identifier: Apache-2.0
"""``commit``."""

from minidock.cli.command import command
from minidock.cli.flags import switch, value, values
from minidock.cli.output import out
from minidock.cli.session import Session
from minidock.engine.options import CommitOptions


@command(
    "Create a new image from a container's changes",
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    (1, 2),
    "container commit",
    "commit",
)
@value("-a", "--author", help='Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")')
@values("-c", "--change", help="Apply Dockerfile instruction to the created image")
@value("-m", "--message", help="Commit message")
@switch("--no-pause", help="Do not pause the container during commit")
@switch("-p", "--pause", default=True, help="Pause container during commit (default true)")
def commit(
    session: Session,
    /,
    arguments: tuple[str, ...],
    author: str,
    change: tuple[str, ...],
    message: str,
    no_pause: bool,
    pause: bool,
) -> None:
    """Make an image of a container and print its id."""
    name, *reference = arguments
    options = CommitOptions(
        reference=reference[0] if reference else "",
        message=message,
        author=author,
        changes=change,
        pause=pause and not no_pause,
    )
    out(session.engine.containers.commit(name, options))
