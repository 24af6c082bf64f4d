# SPDX-License-Identifier: Apache-2.0
"""A seccomp policy as the ``linux.seccomp`` object of the runtime specification.

It is what another runtime makes its filter from, by libseccomp; minidock's own is compiled from
the policy itself.
"""

from collections.abc import Iterator

from minidock.annotations import Any
from minidock.errors import Unsupported
from minidock.linux.syscalls import MACHINES
from minidock.runtime.seccomp_policy import ALL_BITS, ALLOW, Condition, Policy, Rule
from minidock.runtime.seccomp_profile import ABIS, ACTIONS, OPERATORS, WITH_DATA

_ACTIONS = {number: name for name, number in ACTIONS.items()}
_OPERATORS = {operator: name for name, operator in OPERATORS.items()}
_ARCHITECTURES = {abi: name for name, abi in ABIS.items()}
_DATA = 0xFFFF


class Inexpressible(Unsupported):
    """A condition that the specification has no form for."""


def document(
    policy: Policy, machine: str, capabilities: int, kernel: tuple[int, int]
) -> dict[str, Any]:
    """Return the object for `policy` where it is in force; arguments as of compile_policy.

    Raises:
        Inexpressible: a comparison of a part of an argument that no list of equalities is.
    """
    listed = (abi.name for abi in MACHINES.get(machine, ()))
    out: dict[str, Any] = {
        "defaultAction": _action(policy.default),
        "architectures": [_ARCHITECTURES[name] for name in listed if name in policy.abis],
        "syscalls": [
            entry
            for rule in policy.rules
            if rule.guard.holds(machine, capabilities, kernel)
            for entry in _entries(rule)
        ],
    }
    if _has_data(policy.default):
        out["defaultErrnoRet"] = policy.default & _DATA
    return out


def _action(action: int) -> str:
    return _ACTIONS[action & ~_DATA if _has_data(action) else action]


def _has_data(action: int) -> bool:
    return action & ~_DATA in WITH_DATA


def _entries(rule: Rule) -> Iterator[dict[str, Any]]:
    """Yield the entries for one rule: one for each way to meet its conditions."""
    entry: dict[str, Any] = {"names": list(rule.names), "action": _action(rule.action)}
    if _has_data(rule.action):
        entry["errnoRet"] = rule.action & _DATA
    ways: list[list[dict[str, Any]]] = [[]]
    for condition in rule.conditions:
        ways = [[*way, one] for way in ways for one in _arguments(condition, rule.action)]
    for way in ways:
        yield {**entry, "args": way} if way else entry


def _arguments(condition: Condition, action: int) -> list[dict[str, Any]]:
    """Return the conditions of which one has to hold; only equality can have a mask."""
    index, operator, value, mask = condition
    if operator == "eq" and mask != ALL_BITS:
        return [_equal(index, mask, value)]
    if mask == ALL_BITS:
        return [{"index": index, "value": value, "op": _OPERATORS[operator]}]
    if operator in ("lt", "le") and action == ALLOW:
        # Fewer values are below the bound with all bits than with some: stricter, never laxer.
        return [{"index": index, "value": value, "op": _OPERATORS[operator]}]
    if operator == "gt":
        # Greater is who agrees above one of the value's zeros and has a one there.
        zeros = [bit for bit in range(mask.bit_length()) if not value >> bit & 1]
        return [
            _equal(index, mask >> bit << bit, value >> bit << bit | 1 << bit) for bit in zeros
        ]
    raise Inexpressible(f"seccomp: {operator} on a part of an argument")


def _equal(index: int, mask: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
