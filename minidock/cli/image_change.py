# SPDX-License-Identifier: Apache-2.0
"""``tag`` and ``rmi``."""

from minidock.cli.command import command
from minidock.cli.flags import switch
from minidock.cli.output import each, out, report
from minidock.cli.session import Session
from minidock.errors import NotFound


@command(
    "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    (2, 2),
    "image tag",
    "tag",
)
def tag(session: Session, /, arguments: tuple[str, ...]) -> None:
    """Give an image a further name."""
    source, target = arguments
    session.engine.images.tag(source, target)


@command(
    "Remove one or more images",
    "[OPTIONS] IMAGE [IMAGE...]",
    (1, None),
    "image rm",
    "image remove",
    "rmi",
)
@switch("-f", "--force", help="Force removal of the image")
@switch("--no-prune", help="Do not delete untagged parents")
def rmi(session: Session, /, arguments: tuple[str, ...], force: bool, no_prune: bool) -> int:
    """Remove images; with `force` one that does not exist is no failure."""

    def remove_one(name: str) -> None:
        try:
            steps = session.engine.images.remove(name, force=force, prune=not no_prune)
        except NotFound as e:
            if not force:
                raise
            report(e)
            return
        for step in steps:
            out(f"{step.action}: {step.name}")

    return each(arguments, remove_one)
