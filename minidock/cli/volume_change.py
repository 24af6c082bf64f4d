# SPDX-License-Identifier: Apache-2.0
"""``volume create``, ``volume rm`` and ``volume prune``."""

from minidock.cli.command import command
from minidock.cli.flags import switch, value, values
from minidock.cli.isolation_flags import PAIR
from minidock.cli.output import each, out
from minidock.cli.params import FILTER, LABEL
from minidock.cli.prompt import confirm
from minidock.cli.session import Session
from minidock.cli.units import human_size
from minidock.engine.options import CreateVolume, Filters
from minidock.errors import InvalidArgument, NotFound


@command("Create a volume", "[OPTIONS] [VOLUME]", (0, 1))
@value("-d", "--driver", default="local", help='Specify volume driver name (default "local")')
@values("--label", type=LABEL, help="Set metadata for a volume")
@value("--name", help="", hidden=True)
@values("-o", "--opt", type=PAIR, kind="map", help="Set driver specific options")
def create(
    session: Session,
    /,
    arguments: tuple[str, ...],
    driver: str,
    label: tuple[tuple[str, str], ...],
    name: str,
    opt: tuple[tuple[str, str], ...],
) -> None:
    """Make a volume and print its name."""
    if name and arguments:
        raise InvalidArgument(
            "conflicting options: cannot specify a volume name through both --name and as a "
            "positional arg"
        )
    options = CreateVolume("".join(arguments) or name, driver, dict(label), dict(opt))
    out(session.engine.volumes.create(options))


@command(
    "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
    "[OPTIONS] VOLUME [VOLUME...]",
    (1, None),
    "volume rm",
    "volume remove",
)
@switch("-f", "--force", help="Force the removal of one or more volumes")
def rm(session: Session, /, arguments: tuple[str, ...], force: bool) -> int:
    """Remove volumes; with `force` one that does not exist is no failure."""

    def remove_one(name: str) -> str:
        try:
            session.engine.volumes.remove(name)
        except NotFound:
            if not force:
                raise
        return name

    return each(arguments, remove_one)


@command("Remove unused local volumes", "[OPTIONS]", (0, 0))
@switch("-a", "--all", "everything", help="Remove all unused volumes, not just anonymous ones")
@values(
    "--filter",
    "filters",
    type=FILTER,
    kind="filter",
    help='Provide filter values (e.g. "label=<label>")',
)
@switch("-f", "--force", help="Do not prompt for confirmation")
def prune(
    session: Session,
    /,
    arguments: tuple[str, ...],
    everything: bool,
    filters: Filters,
    force: bool,
) -> None:
    """Remove the volumes that no container has."""
    del arguments
    which = "all" if everything else "anonymous"
    warning = f"This will remove {which} local volumes not used by at least one container."
    if not force and not confirm(warning):
        return
    pruned = session.engine.volumes.prune(filters, everything=everything)
    if pruned.names:
        out("\n".join(("Deleted Volumes:", *pruned.names, "")))
    out(f"Total reclaimed space: {human_size(pruned.freed)}")
