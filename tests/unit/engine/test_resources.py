"""Limits: what HostConfig means, and what can't be meant."""

import os

import pytest

from minidock.engine.options import CreateOptions, Resources
from minidock.engine.records import UNLIMITED, host_config, is_limited
from minidock.engine.resources import check_limits, limits_of, parse_set
from minidock.errors import InvalidArgument
from minidock.runtime.cgroup_plan import Limits

MB = 1 << 20
CPUS = len(os.sched_getaffinity(0))


def host(**resources) -> dict:
    return host_config(CreateOptions(image="x", resources=Resources(**resources)))


def test_no_limits():
    """A container without flags has none, nor has a record that does not know of any."""
    assert not is_limited(host())
    assert not is_limited({})
    assert limits_of(host()) == Limits()


def test_all_limits():
    """Each key has its place; processors become a quota."""
    given = host(
        memory=100 * MB,
        memory_reservation=50 * MB,
        memory_swappiness=0,
        oom_kill_disable=True,
        nano_cpus=1_500_000_000,
        cpu_shares=512,
        cpuset_cpus="0",
        cpuset_mems="0",
        pids_limit=9,
        blkio_weight=300,
    )
    assert is_limited(given)
    assert limits_of(given) == Limits(
        memory=100 * MB,
        memory_swap=200 * MB,
        memory_reservation=50 * MB,
        swappiness=0,
        oom_kill_disable=True,
        pids=9,
        cpu_shares=512,
        cpu_quota=150_000,
        cpu_period=100_000,
        cpuset_cpus="0",
        cpuset_mems="0",
        io_weight=300,
    )


def test_swappiness_of_nothing_is_a_limit():
    """0 is a value of its own there."""
    assert is_limited(host(memory_swappiness=0))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"Memory": MB}, "Minimum memory limit allowed is 6MB"),
        (
            {"Memory": 20 * MB, "MemorySwap": 10 * MB},
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (
            {"MemorySwap": 10 * MB},
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ),
        ({"MemoryReservation": MB}, "Minimum memory reservation allowed is 6MB"),
        (
            {"Memory": 20 * MB, "MemoryReservation": 40 * MB},
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ),
        (
            {"NanoCpus": 10**9, "CpuPeriod": 5000},
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        ),
        (
            {"NanoCpus": 10**9, "CpuQuota": 5000},
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ),
        (
            {"NanoCpus": (CPUS + 1) * 10**9},
            f"Range of CPUs is from 0.01 to {CPUS}.00, as there are only {CPUS} CPUs available",
        ),
        (
            {"CpuPeriod": 20},
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s "
            "(i.e. 1000000)",
        ),
        ({"CpuQuota": 20}, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
        ({"CpusetCpus": "0-x"}, "Invalid value 0-x for cpuset cpus: invalid format: 0-x"),
        ({"BlkioWeight": 5}, "Range of blkio weight is from 10 to 1000"),
    ],
)
def test_refusals(given, text):
    """The texts are docker's, as it prints them."""
    with pytest.raises(InvalidArgument) as caught:
        check_limits({**UNLIMITED, **given})
    assert caught.value.message == text


def test_processors_that_there_are_not():
    """The text names what was asked for, and what there is."""
    for key, things in (("CpusetCpus", "CPUs"), ("CpusetMems", "memory nodes")):
        with pytest.raises(
            InvalidArgument, match=f"Requested {things} are not available - requested 5000, "
        ):
            check_limits({**UNLIMITED, key: "5000"})


def test_swap_alone_may_be_updated():
    """An update names what changes; the memory limit is there already."""
    check_limits({**UNLIMITED, "MemorySwap": 10 * MB}, update=True)


def test_sets():
    """Ranges and single numbers; nothing that would fill the memory."""
    assert parse_set("0-2,5") == {0, 1, 2, 5}
    assert parse_set("") == frozenset()
    for wrong in ("a", "1-", "-1", "1-2-3", "0-99999999999"):
        with pytest.raises(ValueError, match=r"invalid format|out range"):
            parse_set(wrong)
