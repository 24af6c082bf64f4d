# SPDX-License-Identifier: Apache-2.0
"""``container prune``, ``image prune`` and ``system prune``."""

from minidock.cli.command import command
from minidock.cli.failures import FlagError
from minidock.cli.flags import switch, values
from minidock.cli.output import out
from minidock.cli.params import FILTER
from minidock.cli.prompt import confirm
from minidock.cli.session import Session
from minidock.cli.units import human_size
from minidock.engine.options import Filters

_FORCE = switch("-f", "--force", help="Do not prompt for confirmation")
_FILTER = values(
    "--filter",
    "filters",
    type=FILTER,
    kind="filter",
    help='Provide filter values (e.g. "until=<timestamp>")',
)
_ALL = switch(
    "-a", "--all", "everything", help="Remove all unused images, not just dangling ones"
)
_CONTAINERS = "all stopped containers"
_DANGLING = "all dangling images"
_UNUSED = "all images without at least one container associated to them"
_VOLUMES = "all anonymous volumes not used by at least one container"
_DIGITS = 4


@command("Remove all stopped containers", "[OPTIONS]", (0, 0))
@_FILTER
@_FORCE
def containers(
    session: Session, /, arguments: tuple[str, ...], filters: Filters, force: bool
) -> None:
    """Remove the containers that do not run."""
    del arguments
    if force or confirm(f"This will remove {_CONTAINERS}."):
        _tell(_prune_containers(session, filters))


@command("Remove unused images", "[OPTIONS]", (0, 0))
@_ALL
@_FILTER
@_FORCE
def images(
    session: Session,
    /,
    arguments: tuple[str, ...],
    everything: bool,
    filters: Filters,
    force: bool,
) -> None:
    """Remove the images without a tag, or all that no container has."""
    del arguments
    if force or confirm(f"This will remove {_UNUSED if everything else _DANGLING}."):
        _tell(_prune_images(session, filters, everything=everything))


@command("Remove unused data", "[OPTIONS]", (0, 0), "system prune")
@_ALL
@_FILTER
@_FORCE
@switch("--volumes", help="Prune anonymous volumes")
def everything_unused(
    session: Session,
    /,
    arguments: tuple[str, ...],
    *,
    everything: bool,
    filters: Filters,
    force: bool,
    volumes: bool,
) -> None:
    """Remove containers that do not run, volumes if asked to, and images."""
    del arguments
    if volumes and any(key == "until" for key, _ in filters):
        raise FlagError('The "until" filter is not supported with "--volumes"')
    if not force and not confirm(_warning(filters, everything=everything, volumes=volumes)):
        return
    freed = _prune_containers(session, filters)
    if volumes:
        freed += _prune_volumes(session, filters)
    _tell(freed + _prune_images(session, filters, everything=everything))


def _warning(filters: Filters, *, everything: bool, volumes: bool) -> str:
    """Return what ``system prune`` is about to remove."""
    kinds = [
        _CONTAINERS,
        *([_VOLUMES] if volumes else ()),
        _UNUSED if everything else _DANGLING,
    ]
    lines = ["This will remove:", *(f"  - {kind}" for kind in kinds), ""]
    if filters:
        lines.append("  Items to be pruned will be filtered with:")
        lines += sorted(f"  - {key}={value}" for key, value in filters)
        lines.append("")
    return "\n".join(lines)


def _prune_containers(session: Session, filters: Filters) -> int:
    pruned = session.engine.containers.prune(filters)
    _list("Deleted Containers:", pruned.ids)
    return pruned.freed


def _prune_volumes(session: Session, filters: Filters) -> int:
    pruned = session.engine.volumes.prune(filters)
    _list("Deleted Volumes:", pruned.names)
    return pruned.freed


def _prune_images(session: Session, filters: Filters, *, everything: bool) -> int:
    pruned = session.engine.images.prune(filters, everything=everything)
    lines = tuple(f"{step.action.lower()}: {step.name}" for step in pruned.removed)
    _list("Deleted Images:", lines)
    return pruned.freed


def _list(title: str, lines: tuple[str, ...]) -> None:
    if lines:
        out("\n".join((title, *lines, "")))


def _tell(freed: int) -> None:
    out(f"Total reclaimed space: {human_size(freed, _DIGITS)}")
