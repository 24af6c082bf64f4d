# SPDX-License-Identifier: Apache-2.0
"""What a container may use at most: from docker's HostConfig to limits of cgroups.

What can't be meant is refused with docker's texts.
"""

import os
from collections.abc import Mapping

from minidock.annotations import Any
from minidock.errors import InvalidArgument
from minidock.fs.atomic import read_file
from minidock.runtime.cgroup_plan import Limits

_LEAST_MEMORY = 6 << 20
_BILLION = 1_000_000_000
_PERIOD = 100_000  # microseconds, of --cpus
_PERIODS = range(1000, 1_000_001)
_LEAST_QUOTA = 1000
_IO_WEIGHTS = range(10, 1001)
_HIGHEST_NUMBER = 8191  # of a processor or a memory node


def limits_of(host: Mapping[str, Any]) -> Limits:
    """Return the limits of a HostConfig."""
    swappiness = host.get("MemorySwappiness")
    nano_cpus = int(host.get("NanoCpus") or 0)
    return Limits(
        memory=int(host.get("Memory") or 0),
        memory_swap=int(host.get("MemorySwap") or 0),
        memory_reservation=int(host.get("MemoryReservation") or 0),
        swappiness=-1 if swappiness is None else int(swappiness),
        oom_kill_disable=bool(host.get("OomKillDisable")),
        pids=int(host.get("PidsLimit") or 0),
        cpu_shares=int(host.get("CpuShares") or 0),
        cpu_quota=nano_cpus * _PERIOD // _BILLION or int(host.get("CpuQuota") or 0),
        cpu_period=_PERIOD if nano_cpus else int(host.get("CpuPeriod") or 0),
        cpuset_cpus=str(host.get("CpusetCpus") or ""),
        cpuset_mems=str(host.get("CpusetMems") or ""),
        io_weight=int(host.get("BlkioWeight") or 0),
    )


def check_limits(host: Mapping[str, Any], *, update: bool = False) -> None:
    """Refuse limits of a HostConfig that can't be meant, or that contradict each other.

    With `update` they are those that are to change.

    Raises:
        InvalidArgument
    """
    _check_memory(host, update=update)
    _check_processors(host)
    _check_sets(host)
    weight = host["BlkioWeight"]
    if weight and weight not in _IO_WEIGHTS:
        raise InvalidArgument("Range of blkio weight is from 10 to 1000")


def _check_memory(host: Mapping[str, Any], *, update: bool) -> None:
    memory, swap = host["Memory"], host["MemorySwap"]
    reservation = host["MemoryReservation"]
    if 0 < memory < _LEAST_MEMORY:
        raise InvalidArgument("Minimum memory limit allowed is 6MB")
    if 0 < swap < memory:
        raise InvalidArgument(
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        )
    if swap > 0 and not memory and not update:
        raise InvalidArgument(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    if 0 < reservation < _LEAST_MEMORY:
        raise InvalidArgument("Minimum memory reservation allowed is 6MB")
    if 0 < memory < reservation:
        raise InvalidArgument(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        )


def _check_processors(host: Mapping[str, Any]) -> None:
    nano_cpus, period, quota = host["NanoCpus"], host["CpuPeriod"], host["CpuQuota"]
    for name, value in (("Period", period), ("Quota", quota)):
        if nano_cpus and value > 0:
            raise InvalidArgument(
                f"Conflicting options: Nano CPUs and CPU {name} cannot both be set"
            )
    count = len(os.sched_getaffinity(0))
    if not 0 <= nano_cpus <= count * _BILLION:
        raise InvalidArgument(
            f"Range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs "
            "available"
        )
    if period and period not in _PERIODS:
        raise InvalidArgument(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than "
            "1s (i.e. 1000000)"
        )
    if 0 < quota < _LEAST_QUOTA:
        raise InvalidArgument("CPU cfs quota can not be less than 1ms (i.e. 1000)")


def _check_sets(host: Mapping[str, Any]) -> None:
    if not host["CpusetCpus"] and not host["CpusetMems"]:
        return
    available = _available()
    for wanted, name, things, line in (
        (host["CpusetCpus"], "cpus", "CPUs", "Cpus_allowed_list"),
        (host["CpusetMems"], "mems", "memory nodes", "Mems_allowed_list"),
    ):
        try:
            numbers = parse_set(wanted)
        except ValueError as e:
            raise InvalidArgument(f"Invalid value {wanted} for cpuset {name}: {e}") from None
        if not numbers <= parse_set(available[line]):
            raise InvalidArgument(
                f"Requested {things} are not available - requested {wanted}, "
                f"available: {available[line]}"
            )


def _available() -> dict[str, str]:
    """Return the fields of /proc/self/status: what this process may use, any child may."""
    lines = read_file("/proc/self/status").decode().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def parse_set(text: str) -> frozenset[int]:
    """Return the numbers of a list as cpuset(7) has it: ``0-2,5``; raise ValueError."""
    numbers: set[int] = set()
    for part in filter(None, text.split(",")):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or not (last.isdecimal() if dash else not last):
            raise ValueError(f"invalid format: {text}")
        if int(last or first) > _HIGHEST_NUMBER:
            raise ValueError(f"value of out range, maximum is {_HIGHEST_NUMBER}")
        numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)
