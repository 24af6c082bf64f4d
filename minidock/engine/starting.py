# SPDX-License-Identifier: Apache-2.0
"""The command's side of a start; start.py is the monitor's."""

from collections.abc import Callable, Mapping

from minidock.annotations import TYPE_CHECKING, Any
from minidock.config import Config
from minidock.engine.log_config import log_file
from minidock.engine.place import Place
from minidock.linux.window import screen_size
from minidock.runtime import seed
from minidock.runtime.monitor_plan import Call, MonitorPlan, Probe
from minidock.runtime.seed import Seed, Spawned
from minidock.store.containers import Container

if TYPE_CHECKING:
    from minidock.engine.start import Starter


def plant() -> Seed:
    """Return the monitor of a container that will be started; it gets ready meanwhile."""
    return seed.plant(_first)


def _first() -> "Callable[[MonitorPlan], Starter]":
    from minidock.engine import start  # the whole runtime, 15 ms in the monitor's process

    return start.first


def start(
    config: Config,
    container: Container,
    planted: Seed | None,
    *,
    attached: bool,
    screen: int | None = None,
) -> Spawned:
    """Start a container; give the connection to its streams if `attached`.

    Its terminal, if it has one, has the size of the user's terminal `screen`.

    The caller holds the container's lock. Without `planted` a monitor is made now.

    Raises:
        CommandNotFound, CommandNotExecutable, Conflict, SystemFailure: it does not run, and
            nothing of the attempt is left.
    """
    its_config, host = container.record.config, container.record.host
    place = Place.of(config, container)
    plan = MonitorPlan(
        container=container.id,
        directory=container.directory,
        terminal=bool(its_config.get("Tty")),
        open_stdin=bool(its_config.get("OpenStdin")),
        stdin_once=bool(its_config.get("StdinOnce")),
        size=screen_size(screen),
        log=log_file(container.log, host),
        revive=Call("minidock.engine.revival", "revive", place.to_json()),
        probe=_probe(its_config, place),
    )
    return (planted or plant()).grow(plan, attach=attached)


def _probe(config: Mapping[str, Any], place: Place) -> Probe | None:
    """Return what the monitor does for the health of a container with docker's Config."""
    if not config.get("Healthcheck"):
        return None
    from minidock.engine import health  # few containers have a check

    plan = health.plan_of(config)
    if plan is None:
        return None
    call = Call("minidock.engine.health_check", "main", place.to_json())
    first = plan.pause(health.STARTING, 0.0)
    return Probe(call, first, plan.interval, plan.start_interval)
