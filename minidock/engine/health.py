# SPDX-License-Identifier: Apache-2.0
"""A container's health: what is to be checked when, and what the checks have found.

What they have found is a file of the container, written by one process at a time, the check's.
It tells of which run it is: whatever an earlier one has left counts as nothing known.
"""

import json
from collections.abc import Mapping

from minidock.annotations import Any
from minidock.fs.atomic import read_file, write_file
from minidock.oci.manifest import dump_json
from minidock.store.containers import LIVE, Container, ContainerState
from minidock.values import NamedTuple

STARTING, HEALTHY, UNHEALTHY, NONE = "starting", "healthy", "unhealthy", "none"
STATES = (STARTING, HEALTHY, UNHEALTHY, NONE)

_SECOND = 1_000_000_000
_LONGEST_LOG = 5


class Plan(NamedTuple):
    """A health check; `command` is ready to be executed, times are seconds."""

    command: tuple[str, ...]
    interval: float
    timeout: float
    start_period: float
    start_interval: float
    retries: int

    def pause(self, status: str, ran: float) -> float:
        """Return the seconds to the next check of a container that has run for `ran`."""
        starting = status == STARTING and ran < self.start_period
        return self.start_interval if starting else self.interval


class Health(NamedTuple):
    """What is known: docker's Status, FailingStreak and Log, the last five results.

    `run` is when the container was started.
    """

    run: float
    status: str = STARTING
    streak: int = 0
    log: tuple[Mapping[str, Any], ...] = ()

    def after(self, result: Mapping[str, Any], *, retries: int, counts: bool) -> "Health":
        """Return what is known after one more result; a failure may not count yet."""
        log = (*self.log, result)[-_LONGEST_LOG:]
        if result["ExitCode"] == 0:
            return Health(self.run, HEALTHY, 0, log)
        if self.status == STARTING and not counts:
            return self._replace(log=log)
        streak = self.streak + 1
        status = UNHEALTHY if streak >= retries else self.status
        return Health(self.run, status, streak, log)


def plan_of(config: Mapping[str, Any]) -> Plan | None:
    """Return the health check of docker's Config, None if there is none.

    What an image says in a wrong form counts as not said.
    """
    given: dict[str, Any] = config.get("Healthcheck") or {}
    command = _command(given.get("Test"), config.get("Shell"))
    if not command:
        return None
    retries = given.get("Retries")
    return Plan(
        command,
        _seconds(given.get("Interval"), 30),
        _seconds(given.get("Timeout"), 30),
        _seconds(given.get("StartPeriod"), 0),
        _seconds(given.get("StartInterval"), 5),
        retries if isinstance(retries, int) and retries > 0 else 3,
    )


def _command(test: object, shell: object) -> tuple[str, ...]:
    match test:
        case ["CMD", *words] if words:
            return tuple(map(str, words))
        case ["CMD-SHELL", str(line), *_]:
            words = shell if isinstance(shell, list) and shell else ["/bin/sh", "-c"]
            return (*map(str, words), line)
    return ()


def _seconds(nanoseconds: object, default: float) -> float:
    if isinstance(nanoseconds, int) and nanoseconds > 0:
        return nanoseconds / _SECOND
    return default


def health_of(container: Container, state: ContainerState) -> Health | None:
    """Return what is known of a container's health; None for one without a check."""
    if state.started == 0 or plan_of(container.record.config) is None:
        return None
    health = _stored(container) or Health(state.started)
    if health.run != state.started:
        health = Health(state.started, log=health.log)
    # Nobody looks at a container that has ended: so docker calls it.
    return health if state.status in LIVE else health._replace(status=UNHEALTHY)


def _stored(container: Container) -> Health | None:
    try:
        value = json.loads(read_file(container.file("health.json")))
        return Health(value["run"], value["status"], value["streak"], tuple(value["log"]))
    except (OSError, ValueError, LookupError, TypeError):
        return None  # it is not synced: the power may have gone before it was on disk


def store_health(container: Container, health: Health) -> None:
    """Replace what is known of a container's health."""
    document = dump_json(health._asdict())
    write_file(container.file("health.json"), document, durable=False)


def health_document(health: Health) -> dict[str, Any]:
    """Return docker's ``State.Health``."""
    return {
        "Status": health.status,
        "FailingStreak": health.streak,
        "Log": list(health.log),
    }
