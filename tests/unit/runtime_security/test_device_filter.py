"""What the program for devices on cgroup version 2 allows."""

import pytest

from minidock.runtime.cgroup_plan import DOCKER_DEVICES, DeviceRule
from minidock.runtime.device_filter import compile_rules
from tests.unit.runtime_security import ebpf

KINDS = {"b": 1, "c": 2}
ACCESS = {"m": 1, "r": 2, "w": 4}


def allowed(rules, kind: str, major: int, minor: int, access: str) -> bool:
    bits = sum(ACCESS[letter] for letter in access)
    answer = ebpf.run(compile_rules(rules), KINDS[kind], bits, major, minor)
    assert answer in (0, 1)
    return answer == 1


@pytest.mark.parametrize(
    ("kind", "major", "minor", "access", "expected"),
    [
        ("c", 1, 3, "rw", True),
        ("c", 1, 3, "m", True),
        ("c", 5, 2, "rw", True),
        ("c", 136, 7, "rw", True),
        ("c", 1, 11, "r", False),  # kmsg
        ("c", 1, 11, "m", True),
        ("b", 8, 0, "r", False),
        ("b", 8, 0, "m", True),
        ("b", 8, 0, "mr", False),
        ("b", 1, 3, "r", False),  # a disk with the numbers of null
        ("c", 3, 1, "r", False),
        ("c", 10, 229, "rw", False),  # fuse
    ],
)
def test_dockers_rules(kind, major, minor, access, expected):
    """Any node can be made; the few of docker's list can be opened."""
    assert allowed(DOCKER_DEVICES, kind, major, minor, access) is expected


def test_no_rules_allow_nothing():
    """What no rule allows is refused."""
    assert not allowed((), "c", 1, 3, "r")


def test_access_is_what_the_rule_says():
    """Part of what is wanted is not enough."""
    rules = (DeviceRule("c", 1, 11, "r"),)
    assert allowed(rules, "c", 1, 11, "r")
    assert not allowed(rules, "c", 1, 11, "w")
    assert not allowed(rules, "c", 1, 11, "rw")


def test_rules_of_the_same_devices_count_together():
    """As in version 1, two rules of one device allow both at once; a wildcard is another."""
    rules = (DeviceRule("c", 1, 11, "r"), DeviceRule("c", 1, 11, "w"))
    assert allowed(rules, "c", 1, 11, "rw")
    rules = (DeviceRule("c", 1, -1, "r"), DeviceRule("c", 1, 11, "w"))
    assert not allowed(rules, "c", 1, 11, "rw")


def test_all_devices():
    """The kind `a` and -1 leave nothing out."""
    rules = (DeviceRule("a", -1, -1, "rwm"),)
    assert allowed(rules, "b", 259, 1_000_000, "rwm")
    assert allowed(rules, "c", 4095, 0, "rwm")
    assert not allowed((DeviceRule("b", -1, -1),), "c", 1, 3, "r")
