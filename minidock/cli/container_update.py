# SPDX-License-Identifier: Apache-2.0
"""``update``."""

from collections.abc import Callable

from minidock.annotations import Any, TypeVar
from minidock.cli.command import command
from minidock.cli.failures import Refused
from minidock.cli.flags import value
from minidock.cli.isolation_flags import parse_restart
from minidock.cli.output import each, warn
from minidock.cli.resource_flags import RESOURCE_FLAGS, resources
from minidock.cli.session import Session
from minidock.engine.options import UpdateOptions

F = TypeVar("F", bound=Callable[..., Any])

_WITHOUT_EFFECT = ("--cpu-rt-period", "--cpu-rt-runtime", "--kernel-memory")


def _flags(function: F) -> F:
    for flag in RESOURCE_FLAGS:
        function = flag(function)
    for name in _WITHOUT_EFFECT:
        function = value(name, help="", hidden=True)(function)
    return function


@command(
    "Update configuration of one or more containers",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (1, None),
    "container update",
    "update",
)
@_flags
@value("--restart", help="Restart policy to apply when a container exits")
def update(session: Session, /, arguments: tuple[str, ...], restart: str, **given: Any) -> int:
    """Change the limits and the restart policy of containers."""
    policy = parse_restart(restart) if restart else None
    options = UpdateOptions(resources(given), policy)
    ignored = [name for name in _WITHOUT_EFFECT if given[name[2:].replace("-", "_")]]
    if options == UpdateOptions() and not ignored:
        raise Refused("you must provide one or more flags when using this command")
    for name in ignored:
        warn(f"{name} is not supported yet and is ignored")

    def update_one(name: str) -> str:
        for warning in session.engine.containers.update(name, options):
            warn(warning)
        return name

    return each(arguments, update_one)
