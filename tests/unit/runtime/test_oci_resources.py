# SPDX-License-Identifier: Apache-2.0
"""linux.resources of a runtime spec, both ways."""

import json
from typing import Any

import pytest

from minidock.errors import DataCorrupted
from minidock.runtime.cgroup_plan import DOCKER_DEVICES, DeviceRule, Limits
from minidock.runtime.oci_resources import UnsupportedRule, from_spec, to_spec

DENY_ALL = {"allow": False, "access": "rwm"}
ALLOW_ALL = {"allow": True, "type": "a", "access": "rwm"}
FUSE = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"}


def denied(**fields: Any) -> dict[str, Any]:
    return {**FUSE, "allow": False, **fields}


LIMITS = Limits(
    memory=64 << 20,
    memory_swap=-1,
    memory_reservation=32 << 20,
    swappiness=0,
    oom_kill_disable=True,
    pids=10,
    cpu_shares=100,
    cpu_quota=50_000,
    cpu_period=100_000,
    cpuset_cpus="0-1",
    cpuset_mems="0",
    io_weight=300,
)


def test_limits_survive() -> None:
    """Every limit has its place in the specification."""
    document = json.loads(json.dumps(to_spec(LIMITS, DOCKER_DEVICES)))
    assert all(LIMITS[i] != usual for i, usual in enumerate(Limits()))
    assert from_spec(document).limits == LIMITS


def test_swap_is_written_as_docker_has_it() -> None:
    """Memory without a word of swap means twice as much together; -1 means no limit."""
    assert to_spec(Limits(memory=10), ())["memory"] == {"limit": 10, "swap": 20}
    assert from_spec({"memory": {"limit": 10}}).limits.memory_swap == -1
    assert from_spec({"memory": {"limit": -1}}).limits.memory == 0


def test_rules_for_devices_survive() -> None:
    """What a container may open is what the document says and what every container has."""
    rule = DeviceRule("b", 8, -1, "r")
    document = json.loads(json.dumps(to_spec(Limits(), (rule,))))
    assert document["devices"] == [
        DENY_ALL,
        {"allow": True, "type": "b", "access": "r", "major": 8},
    ]
    assert from_spec(document).devices == (rule, *DOCKER_DEVICES)


@pytest.mark.parametrize("devices", [[], [ALLOW_ALL], [DENY_ALL, FUSE, ALLOW_ALL]])
def test_all_devices(devices: list[dict[str, Any]]) -> None:
    """Without rules, or after one that allows all, there are none to enforce."""
    assert from_spec({"devices": devices}).devices == ()
    assert to_spec(Limits(), ())["devices"] == [{"allow": True, "access": "rwm"}]


@pytest.mark.parametrize(
    ("contrary", "left"),
    [
        (denied(), ()),
        (denied(minor=None), ()),
        (denied(major=None, minor=None), ()),
        (denied(access="w"), (DeviceRule("c", 10, 229, "rm"),)),
        (denied(minor=1), (DeviceRule("c", 10, 229),)),
        (denied(type="b"), (DeviceRule("c", 10, 229),)),
    ],
)
def test_a_later_rule_takes_back(contrary: dict[str, Any], left: tuple[Any, ...]) -> None:
    """What is denied after it was allowed is not allowed."""
    found = from_spec({"devices": [DENY_ALL, FUSE, contrary]}).devices
    assert found == (*left, *DOCKER_DEVICES)


@pytest.mark.parametrize(
    "devices",
    [[DENY_ALL, {**FUSE, "minor": None}, denied()], [ALLOW_ALL, denied()]],
)
def test_exceptions_from_what_is_allowed_are_refused(devices: list[dict[str, Any]]) -> None:
    """A hole in what is allowed is never silently filled."""
    with pytest.raises(UnsupportedRule):
        from_spec({"devices": devices})


@pytest.mark.parametrize(
    "broken",
    [
        {"memory": {"limit": "64m"}},
        {"memory": 1},
        {"pids": {"limit": True}},
        {"cpu": {"cpus": 1}},
        {"devices": [{"allow": True, "type": "c", "major": "1"}]},
        {"devices": {}},
    ],
)
def test_wrong_types_are_refused(broken: dict[str, Any]) -> None:
    """A value of another type than the specification's is an error, not a guess."""
    with pytest.raises(DataCorrupted):
        from_spec(broken)


def test_what_has_no_effect_is_said() -> None:
    """Resources that there is nothing for become warnings."""
    (warning,) = from_spec({"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}).warnings
    assert "hugepageLimits" in warning
