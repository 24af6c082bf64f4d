# SPDX-License-Identifier: Apache-2.0
"""Limits and device rules as the ``linux.resources`` object of the runtime specification."""

from collections.abc import Mapping, Sequence
from typing import Any

from minidock.oci.descriptor import InvalidDocument, json_list, json_object, json_text
from minidock.runtime.cgroup_plan import DOCKER_DEVICES, DeviceRule, Limits

_EVERYTHING = "a"
_ANY = -1

_FIELDS = {
    "memory": ("memory", "limit"),
    "memory_swap": ("memory", "swap"),
    "pids": ("pids", "limit"),
    "cpu_shares": ("cpu", "shares"),
    "cpu_quota": ("cpu", "quota"),
    "cpu_period": ("cpu", "period"),
}
"""Where a field of `Limits` stands in the object."""


def to_spec(limits: Limits, devices: Sequence[DeviceRule]) -> dict[str, Any]:
    """Return the object; without `devices` every device may be used."""
    out: dict[str, Any] = {"devices": [{"allow": not devices, "access": "rwm"}]}
    out["devices"] += [_device(rule) for rule in devices]
    for field, (group, key) in _FIELDS.items():
        value = getattr(limits, field)
        if value and value != Limits._field_defaults[field]:
            out.setdefault(group, {})[key] = value
    if limits.memory and not limits.memory_swap:
        out["memory"]["swap"] = 2 * limits.memory
    return out


def _device(rule: DeviceRule) -> dict[str, Any]:
    out: dict[str, Any] = {"allow": rule.allow, "type": rule.kind, "access": rule.access}
    numbers = {"major": rule.major, "minor": rule.minor}
    return out | {key: number for key, number in numbers.items() if number != _ANY}


def from_spec(resources: Mapping[str, Any]) -> tuple[Limits, tuple[DeviceRule, ...]]:
    """Return what the object asks for; no rules when every device may be used.

    What a memory limit says nothing of, swap, stays without limit.

    Raises:
        InvalidDocument: a value has not the specification's type.
    """
    limits: dict[str, Any] = {}
    for field, (group, key) in _FIELDS.items():
        value = _number(json_object(resources.get(group) or {}, group), key, 0)
        if value > 0:
            limits[field] = value
    limits.setdefault("memory_swap", -1)
    return Limits()._replace(**limits), _rules(json_list(resources.get("devices"), "devices"))


def _rules(entries: Sequence[Any]) -> tuple[DeviceRule, ...]:
    """Return the rules in force after all `entries`, a later one going before.

    As other runtimes do, a container is given the devices that every container has.
    """
    rules: list[DeviceRule] = []
    open_to_all = True
    for entry in entries:
        rule = _rule(json_object(entry, "device rule"))
        if rule.kind == _EVERYTHING:
            open_to_all = rule.allow
            rules.clear()
        else:
            rules.append(rule)
    if open_to_all:
        return (DeviceRule(_EVERYTHING, _ANY, _ANY), *rules) if rules else ()
    return (*rules, *DOCKER_DEVICES)


def _rule(fields: Mapping[str, Any]) -> DeviceRule:
    kind = json_text(fields, "type") or _EVERYTHING
    access = json_text(fields, "access") or "rwm"
    major, minor = _number(fields, "major", _ANY), _number(fields, "minor", _ANY)
    return DeviceRule(kind, major, minor, access, allow=bool(fields.get("allow")))


def _number(fields: Mapping[str, Any], key: str, missing: int) -> int:
    value = fields.get(key)
    if value is None:
        return missing
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidDocument(f"invalid {key}: expected a whole number")
    return value
