# SPDX-License-Identifier: Apache-2.0
"""Limits and device rules as the ``linux.resources`` object of the runtime specification."""

from collections.abc import Mapping, Sequence

from minidock.annotations import Any
from minidock.errors import Unsupported
from minidock.oci.descriptor import InvalidDocument, json_list, json_object, json_text
from minidock.runtime.cgroup_plan import DOCKER_DEVICES, DeviceRule, Limits
from minidock.values import NamedTuple

_EVERYTHING = "a"
_ANY = -1

_FIELDS = {
    "memory": ("memory", "limit"),
    "memory_swap": ("memory", "swap"),
    "memory_reservation": ("memory", "reservation"),
    "swappiness": ("memory", "swappiness"),
    "oom_kill_disable": ("memory", "disableOOMKiller"),
    "pids": ("pids", "limit"),
    "cpu_shares": ("cpu", "shares"),
    "cpu_quota": ("cpu", "quota"),
    "cpu_period": ("cpu", "period"),
    "cpuset_cpus": ("cpu", "cpus"),
    "cpuset_mems": ("cpu", "mems"),
    "io_weight": ("blockIO", "weight"),
}
"""Where a field of `Limits` stands in the object."""

_NOT_HERE = ("hugepageLimits", "network", "rdma", "unified")
_NONE = Limits()


def to_spec(limits: Limits, devices: Sequence[DeviceRule]) -> dict[str, Any]:
    """Return the object; without `devices` every device may be used."""
    out: dict[str, Any] = {"devices": [{"allow": not devices, "access": "rwm"}]}
    out["devices"] += [_device(rule) for rule in devices]
    for field, (group, key) in _FIELDS.items():
        value = getattr(limits, field)
        if value != getattr(_NONE, field):
            out.setdefault(group, {})[key] = value
    if limits.memory and not limits.memory_swap:
        out["memory"]["swap"] = 2 * limits.memory
    return out


def _device(rule: DeviceRule) -> dict[str, Any]:
    out: dict[str, Any] = {"allow": True, "type": rule.kind, "access": rule.access}
    numbers = {"major": rule.major, "minor": rule.minor}
    return out | {key: number for key, number in numbers.items() if number != _ANY}


class UnsupportedRule(Unsupported):
    """A rule that denies some of the devices that another one allows at once."""


class Wanted(NamedTuple):
    """What the object asks for; no device rules when every device may be used."""

    limits: Limits
    devices: tuple[DeviceRule, ...]
    warnings: tuple[str, ...] = ()


def from_spec(resources: Mapping[str, Any]) -> Wanted:
    """Return what the object asks for.

    What a memory limit says nothing of, swap, stays without limit.

    Raises:
        InvalidDocument: a value has not the specification's type.
    """
    found: dict[str, Any] = {}
    for field, (group, key) in _FIELDS.items():
        usual = getattr(_NONE, field)
        value = json_object(resources.get(group) or {}, group).get(key)
        if value is None:
            continue
        if type(value) is not type(usual):
            raise InvalidDocument(f"invalid {group}.{key}: {value!r}")
        found[field] = value
    if found.get("memory", 0) < 0:
        del found["memory"]  # no limit
    found.setdefault("memory_swap", -1)
    return Wanted(
        _NONE._replace(**found),
        _rules(json_list(resources.get("devices"), "devices")),
        tuple(
            f"linux.resources.{key} has no effect" for key in _NOT_HERE if resources.get(key)
        ),
    )


def _rules(entries: Sequence[Any]) -> tuple[DeviceRule, ...]:
    """Return what may be used after all `entries`, of which a later one goes before.

    As other runtimes do, a container is given the devices that every container has.
    """
    allowed: list[DeviceRule] = []
    all_allowed = True
    for entry in entries:
        fields = json_object(entry, "device rule")
        rule, allow = _rule(fields), bool(fields.get("allow"))
        if rule.kind == _EVERYTHING:
            all_allowed = allow
            allowed.clear()
        elif allow:
            allowed.append(rule)
        elif all_allowed:
            raise UnsupportedRule(f"device rule {rule}: exceptions from what is allowed")
        else:
            allowed = [_without(one, rule) for one in allowed]
    if all_allowed:
        return ()
    return (*(rule for rule in allowed if rule.access), *DOCKER_DEVICES)


def _without(rule: DeviceRule, denied: DeviceRule) -> DeviceRule:
    """Return `rule` without the access that is denied to its devices."""
    if not set(rule.access) & set(denied.access) or not _overlap(rule, denied):
        return rule
    if not all(d in (_ANY, r) for d, r in zip(denied[1:3], rule[1:3], strict=True)):
        raise UnsupportedRule(f"device rule {denied}: an exception from {rule}")
    return rule._replace(access="".join(a for a in rule.access if a not in denied.access))


def _overlap(one: DeviceRule, other: DeviceRule) -> bool:
    numbers = zip(one[1:3], other[1:3], strict=True)
    return one.kind == other.kind and all(a == b or _ANY in (a, b) for a, b in numbers)


def _rule(fields: Mapping[str, Any]) -> DeviceRule:
    kind = json_text(fields, "type") or _EVERYTHING
    access = json_text(fields, "access") or "rwm"
    return DeviceRule(kind, _number(fields, "major"), _number(fields, "minor"), access)


def _number(fields: Mapping[str, Any], key: str) -> int:
    value = fields.get(key)
    if value is None:
        return _ANY
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidDocument(f"invalid {key} of a device rule: expected a whole number")
    return value
