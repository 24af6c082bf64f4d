# SPDX-License-Identifier: Apache-2.0
"""The verbs that change a container's state: ``stop``, ``restart``, ``kill``, ``rm``, ..."""

from collections.abc import Callable

from minidock.annotations import Any, TypeVar
from minidock.cli.command import command
from minidock.cli.flags import INT, switch, value
from minidock.cli.output import each, each_at_once, err, printable, report, warn
from minidock.cli.session import Session
from minidock.errors import InvalidArgument, MinidockError, NotFound
from minidock.progress import Event, Warned

F = TypeVar("F", bound=Callable[..., Any])

_CONTAINERS = "[OPTIONS] CONTAINER [CONTAINER...]"


def _warn_of(event: Event) -> None:
    if isinstance(event, Warned):
        warn(event.message)


def _stop_flags(function: F) -> F:
    for flag in (
        value("-s", "--signal", help="Signal to send to the container"),
        value(
            "-t",
            "--timeout",
            "--time",
            "timeout",
            type=INT,
            help="Seconds to wait before killing the container",
        ),
    ):
        function = flag(function)
    return function


@command(
    "Stop one or more running containers", _CONTAINERS, (1, None), "container stop", "stop"
)
@_stop_flags
def stop(
    session: Session, /, arguments: tuple[str, ...], signal: str, timeout: int | None
) -> int:
    """Stop containers."""

    def stop_one(name: str) -> str:
        session.engine.containers.stop(name, timeout, signal, _warn_of)
        return name

    return each_at_once(arguments, stop_one)


@command(
    "Restart one or more containers",
    _CONTAINERS,
    (1, None),
    "container restart",
    "restart",
)
@_stop_flags
def restart(
    session: Session, /, arguments: tuple[str, ...], signal: str, timeout: int | None
) -> int:
    """Stop and start containers."""

    def restart_one(name: str) -> str:
        session.engine.containers.restart(name, timeout, signal, _warn_of)
        return name

    return each(arguments, restart_one)


@command(
    "Kill one or more running containers", _CONTAINERS, (1, None), "container kill", "kill"
)
@value("-s", "--signal", help="Signal to send to the container")
def kill(session: Session, /, arguments: tuple[str, ...], signal: str) -> int:
    """Send containers a signal."""

    def kill_one(name: str) -> str:
        session.engine.containers.kill(name, signal or "KILL")
        return name

    return each_at_once(arguments, kill_one)


@command(
    "Remove one or more containers",
    _CONTAINERS,
    (1, None),
    "container rm",
    "container remove",
    "rm",
)
@switch("-f", "--force", help="Force the removal of a running container (uses SIGKILL)")
@switch("-l", "--link", help="", hidden=True)
@switch("-v", "--volumes", help="Remove anonymous volumes associated with the container")
def rm(
    session: Session, /, arguments: tuple[str, ...], force: bool, link: bool, volumes: bool
) -> int:
    """Remove containers; with `force` one that does not exist is no failure."""
    if link:
        warn("--link is not supported yet and is ignored")

    def remove_one(name: str) -> str | None:
        try:
            session.engine.containers.remove(name, force=force, volumes=volumes)
        except NotFound as e:
            if not force:
                raise
            report(e)
            return None
        return name

    return each_at_once(arguments, remove_one)


@command(
    "Block until one or more containers stop, then print their exit codes",
    "CONTAINER [CONTAINER...]",
    (1, None),
    "container wait",
    "wait",
)
def wait(session: Session, /, arguments: tuple[str, ...]) -> int:
    """Print the exit status of each container when it has one."""
    return each(arguments, lambda name: str(session.engine.containers.wait(name)))


@command("Rename a container", "CONTAINER NEW_NAME", (2, 2), "container rename", "rename")
def rename(session: Session, /, arguments: tuple[str, ...]) -> int:
    """Give a container another name."""
    name, new = arguments
    if not name or not new:
        raise InvalidArgument("Neither old nor new names may be empty")
    try:
        session.engine.containers.rename(name, new)
    except MinidockError as e:
        report(e)
        err(f"Error: failed to rename container named {printable(name)}")
        return 1
    return 0
