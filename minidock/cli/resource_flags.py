# SPDX-License-Identifier: Apache-2.0
"""The flags that limit what a container may use, of ``run``, ``create`` and ``update``."""

from collections.abc import Mapping

from minidock.annotations import Any
from minidock.cli.flags import INT, Parsed, switch, value
from minidock.cli.params import SIZE, parse_size
from minidock.engine.options import Resources
from minidock.errors import InvalidArgument

_BILLION = 1_000_000_000
_HIGHEST_SWAPPINESS = 100


def parse_cpus(text: str) -> int:
    """Return processors in billionths: ``1.5`` is 1,500,000,000; raise ValueError."""
    from fractions import Fraction  # 5 ms, only --cpus needs it

    try:
        exact = Fraction(text) * _BILLION
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"failed to parse {text} as a rational number") from None
    if exact.denominator != 1:
        raise ValueError("value is too precise")
    return int(exact)


def parse_swap(text: str) -> int:
    """Return bytes, or -1 for no limit; raise InvalidArgument."""
    return -1 if text == "-1" else parse_size(text)


_CPUS = Parsed("decimal", parse_cpus)
_SWAP = Parsed("bytes", parse_swap)

RESOURCE_FLAGS = (
    value("--blkio-weight", type=INT, default=0, help="Block IO (relative weight), 10 to 1000"),
    value("--cpu-period", type=INT, default=0, help="Limit CPU CFS period, microseconds"),
    value("--cpu-quota", type=INT, default=0, help="Limit CPU CFS quota, microseconds"),
    value("-c", "--cpu-shares", type=INT, default=0, help="CPU shares (relative weight)"),
    value("--cpus", type=_CPUS, default=0, help="Number of CPUs"),
    value("--cpuset-cpus", help="CPUs in which to allow execution (0-3, 0,1)"),
    value("--cpuset-mems", help="MEMs in which to allow execution (0-3, 0,1)"),
    value("-m", "--memory", type=SIZE, default=0, help="Memory limit"),
    value("--memory-reservation", type=SIZE, default=0, help="Memory soft limit"),
    value(
        "--memory-swap",
        type=_SWAP,
        default=0,
        help="Limit of memory plus swap: '-1' to enable unlimited swap",
    ),
    value("--pids-limit", type=INT, default=0, help="Limit of processes (-1 for unlimited)"),
)
"""Those that ``update`` has too."""

CREATION_FLAGS = (
    value(
        "--memory-swappiness",
        type=INT,
        default=-1,
        help="Tune container memory swappiness (0 to 100)",
    ),
    switch("--oom-kill-disable", help="Disable OOM Killer"),
)


def resources(given: Mapping[str, Any]) -> Resources:
    """Return the limits that the given flags ask for; raise InvalidArgument."""
    swappiness = given.get("memory_swappiness", -1)
    if not -1 <= swappiness <= _HIGHEST_SWAPPINESS:
        raise InvalidArgument(
            f"invalid value: {swappiness}. Valid memory swappiness range is 0-100"
        )
    return Resources(
        memory=given["memory"],
        memory_swap=given["memory_swap"],
        memory_reservation=given["memory_reservation"],
        memory_swappiness=swappiness,
        oom_kill_disable=given.get("oom_kill_disable", False),
        nano_cpus=given["cpus"],
        cpu_shares=given["cpu_shares"],
        cpu_period=given["cpu_period"],
        cpu_quota=given["cpu_quota"],
        cpuset_cpus=given["cpuset_cpus"],
        cpuset_mems=given["cpuset_mems"],
        pids_limit=given["pids_limit"],
        blkio_weight=given["blkio_weight"],
    )
