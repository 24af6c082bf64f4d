# SPDX-License-Identifier: Apache-2.0
"""The host's devices in a container: ``--device``, ``--privileged``, and rules for them."""

import os
from collections.abc import Iterable, Mapping

from minidock.annotations import Any
from minidock.engine.execution import Security
from minidock.oci.runtime import LinuxDevice
from minidock.runtime.cgroup_plan import DeviceRule
from minidock.values import NamedTuple


class Device(NamedTuple):
    """A device to make in the container, and a subset of rwm that is allowed with it."""

    node: LinuxDevice
    access: str


def wanted(host: Mapping[str, Any], *, privileged: bool) -> tuple[Device, ...]:
    """Return the devices that HostConfig `host` asks for, as they are on the host now.

    Raises:
        NotADevice: a path is none.
    """
    mappings = host.get("Devices") or ()
    if not privileged and not mappings:
        return ()
    from minidock.runtime.devices import at_path, host_devices  # few containers have devices

    found = [Device(node, "rwm") for node in (host_devices() if privileged else ())]
    for mapping in mappings:
        source = mapping["PathOnHost"]
        destination = os.path.normpath(mapping["PathInContainer"])
        if not privileged or source != destination:  # else it is among the host's
            nodes = at_path(source, destination)
            found += [Device(node, mapping["CgroupPermissions"]) for node in nodes]
    return tuple(found)


def with_rules(
    security: Security, host: Mapping[str, Any], devices: Iterable[Device]
) -> Security:
    """Return `security` with rules for `devices`, and with those that `host` names itself."""
    if security.privileged:
        return security
    rules = [DeviceRule(d.node.type, d.node.major, d.node.minor, d.access) for d in devices]
    for text in host.get("DeviceCgroupRules") or ():
        rules += _parse(text)
    return security._replace(devices=(*security.devices, *rules))


def _parse(text: str) -> tuple[DeviceRule, ...]:
    """Return the rules of ``TYPE MAJOR:MINOR ACCESS``.

    To the kernel the type a, for all, means every device, whatever numbers follow: here it is
    the two types with these numbers.
    """
    kinds, numbers, access = text.split(" ")
    major, minor = (-1 if part == "*" else int(part) for part in numbers.split(":"))
    return tuple(DeviceRule(kind, major, minor, access) for kind in kinds.replace("a", "bc"))


def contained(
    devices: Iterable[Device], *, enforced: bool
) -> tuple[tuple[LinuxDevice, ...], tuple[str, ...]]:
    """Return the devices to make, and warnings about those that are left out.

    Where no cgroup enforces rules, a device in the container can be read and written: one that
    is to be had for less is not made.
    """
    devices = tuple(devices)
    made = tuple(d for d in devices if enforced or {"r", "w"} <= set(d.access))
    warnings = (
        f"device {d.node.path} is left out: access {d.access} can't be enforced here"
        for d in devices
        if d not in made
    )
    return tuple(device.node for device in made), tuple(warnings)
