# SPDX-License-Identifier: Apache-2.0
"""``--health-*`` and ``--no-healthcheck`` of ``run`` and ``create``."""

from collections.abc import Mapping

from minidock.annotations import Any
from minidock.cli.durations import parse_nanoseconds
from minidock.cli.flags import INT, Parsed, switch, value
from minidock.engine.options import HealthCheck
from minidock.errors import InvalidArgument

_DURATION = Parsed("duration", parse_nanoseconds)
_TIMES = ("interval", "timeout", "start_period", "start_interval")

HEALTH_FLAGS = (
    value("--health-cmd", help="Command to run to check health"),
    value(
        "--health-interval", type=_DURATION, help="Time between running the check (ms|s|m|h)"
    ),
    value("--health-retries", type=INT, help="Consecutive failures needed to report unhealthy"),
    value(
        "--health-start-interval",
        type=_DURATION,
        help="Time between running the check during the start period (ms|s|m|h)",
    ),
    value(
        "--health-start-period",
        type=_DURATION,
        help="Start period for the container to initialize before failures count (ms|s|m|h)",
    ),
    value("--health-timeout", type=_DURATION, help="Maximum time to allow one check to run"),
    switch("--no-healthcheck", help="Disable any container-specified HEALTHCHECK"),
)


def health_check(given: Mapping[str, Any]) -> HealthCheck | None:
    """Return what the given flags ask for, None for nothing.

    Raises:
        InvalidArgument: with docker's text.
    """
    times = {name: given[f"health_{name}"] for name in _TIMES}
    retries, command = given["health_retries"], given["health_cmd"]
    wanted = bool(command) or retries is not None or any(v is not None for v in times.values())
    if given["no_healthcheck"]:
        if wanted:
            raise InvalidArgument("--no-healthcheck conflicts with --health-* options")
        return HealthCheck(("NONE",))
    if not wanted:
        return None
    for name, nanoseconds in {**times, "retries": retries}.items():
        if (nanoseconds or 0) < 0:
            raise InvalidArgument(f"--health-{name.replace('_', '-')} cannot be negative")
    test = ("CMD-SHELL", command) if command else None
    return HealthCheck(test, retries=retries, **times)
