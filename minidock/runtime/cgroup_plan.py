# SPDX-License-Identifier: Apache-2.0
"""Which control groups a container needs, and where; cgroups(7).

Version 1, version 2 and the mixture of both are found in /proc. A container joins only the
hierarchies that it needs. On version 2 device rules would be a BPF program: there they are
never enforced.
"""

import os
from collections.abc import Iterable, Sequence

from minidock.fs.atomic import read_file
from minidock.values import NamedTuple

_NAME = "minidock"


class DeviceRule(NamedTuple):
    """Devices that a container may use; everything else is denied.

    `kind` is c or b, -1 as a number means all, `access` is a subset of rwm.
    """

    kind: str
    major: int
    minor: int
    access: str = "rwm"

    def __str__(self) -> str:
        major, minor = ("*" if number < 0 else number for number in (self.major, self.minor))
        return f"{self.kind} {major}:{minor} {self.access}"


DOCKER_DEVICES = (
    DeviceRule("c", -1, -1, "m"),
    DeviceRule("b", -1, -1, "m"),
    DeviceRule("c", 1, 3),  # null
    DeviceRule("c", 1, 5),  # zero
    DeviceRule("c", 1, 7),  # full
    DeviceRule("c", 1, 8),  # random
    DeviceRule("c", 1, 9),  # urandom
    DeviceRule("c", 5, 0),  # tty
    DeviceRule("c", 5, 1),  # console
    DeviceRule("c", 5, 2),  # ptmx
    DeviceRule("c", 136, -1),  # pts/*
)
"""Docker's default rules: any node may be made, few may be opened."""


class Limits(NamedTuple):
    """What a container may use at most; 0 stands for no limit.

    Attributes:
        memory: bytes.
        memory_swap: bytes of memory and swap together; 0 means twice `memory`, as in docker,
            -1 no limit. It has no effect without `memory`.
        pids: processes and threads.
        cpu_shares: weight against others, 1024 is the kernel's default.
        cpu_quota: microseconds of processor time in each `cpu_period`.
        cpu_period: microseconds.
    """

    memory: int = 0
    memory_swap: int = 0
    pids: int = 0
    cpu_shares: int = 0
    cpu_quota: int = 0
    cpu_period: int = 100_000


class Hierarchy(NamedTuple):
    """A mounted tree of cgroups; minidock's begin below `directory`."""

    directory: str
    controllers: tuple[str, ...]


class Layout(NamedTuple):
    """The hierarchies of this machine; `unified` is version 2's, None without."""

    v1: tuple[Hierarchy, ...] = ()
    unified: Hierarchy | None = None


Setting = tuple[str, str]
"""A file in the directory of a cgroup, and what to write to it."""


class Group(NamedTuple):
    """A directory to make in one hierarchy.

    `controllers` are those that are wanted of it. `delegate` is written to the
    cgroup.subtree_control of both directories above (version 2).
    """

    path: str
    controllers: tuple[str, ...]
    settings: tuple[Setting, ...]
    delegate: str = ""


class CgroupPlan(NamedTuple):
    """What to make for one container, and what can't be had here."""

    groups: tuple[Group, ...]
    warnings: tuple[str, ...] = ()


CONSEQUENCES = {
    "devices": "device rules are not enforced",
    "memory": "the memory limit is not enforced",
    "pids": "the limit of processes is not enforced",
    "cpu": "the processor limit is not enforced",
}
"""What a container runs without, by controller; without a freezer it runs as usual."""


def discover() -> Layout:
    """Return the cgroup hierarchies that this process sees."""
    layout = parse_layout(_text("/proc/self/mountinfo"), _text("/proc/self/cgroup"))
    if layout.unified is None:
        return layout
    directory = layout.unified.directory
    if os.geteuid() != 0:
        # Only the user's own part can be written. While processes are in it, controllers
        # can't be delegated; freezing and killing need none.
        directory = _own(_text("/proc/self/cgroup"), directory)
    try:
        controllers = tuple(_text(f"{directory}/cgroup.controllers").split())
    except OSError:
        controllers = ()
    return layout._replace(unified=Hierarchy(directory, controllers))


def _own(cgroups: str, mount_point: str) -> str:
    """Return the directory of the process's cgroup of version 2."""
    for line in cgroups.splitlines():
        if line.startswith("0::/"):
            return f"{mount_point}/{line[4:]}".rstrip("/")
    return mount_point


def parse_layout(mountinfo: str, cgroups: str) -> Layout:
    """Return what /proc/self/mountinfo and /proc/self/cgroup say.

    In version 1 containers go below the process's own cgroup, whose limits then hold for them.
    In version 2 they go below the mount: the own cgroup has processes in it, so that its
    children can't have controllers ("no internal processes", cgroups(7)).
    """
    mounts = []
    unified = None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        root, mount_point = map(_unescape, left.split(" ")[3:5])
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup":
            mounts.append((root, mount_point, set(options.split(","))))
        elif kind == "cgroup2" and unified is None:
            unified = Hierarchy(mount_point, ())
    v1 = []
    for line in cgroups.splitlines():
        _, names, path = line.split(":", 2)
        controllers = tuple(names.split(","))
        for root, mount_point, shown in mounts:
            if shown.issuperset(controllers):
                v1.append(Hierarchy(_below(mount_point, root, path), controllers))
                break
    return Layout(tuple(v1), unified)


def _below(mount_point: str, root: str, path: str) -> str:
    """Return where cgroup `path` is seen; `mount_point` shows the tree from `root` on."""
    prefix = root.rstrip("/") + "/"
    inside = f"{path}/".removeprefix(prefix) if f"{path}/".startswith(prefix) else ""
    return f"{mount_point}/{inside}".rstrip("/")


def _unescape(text: str) -> str:
    """Return a path of mountinfo without its octal escapes, proc(5)."""
    for character in " \t\n\\":
        text = text.replace(f"\\{ord(character):03o}", character)
    return text


def plan(
    layout: Layout, container_id: str, limits: Limits, devices: Sequence[DeviceRule]
) -> CgroupPlan:
    """Return what to make for a container; with no `devices` there are no device rules."""
    v1 = _v1_settings(limits, devices)
    wanted = set(v1)
    groups = []
    for hierarchy in layout.v1:
        controllers = tuple(name for name in v1 if name in hierarchy.controllers)
        if controllers:
            settings = tuple(setting for name in controllers for setting in v1[name])
            path = f"{hierarchy.directory}/{_NAME}/{container_id}"
            groups.append(Group(path, controllers, settings))
            wanted.difference_update(controllers)
    if wanted and layout.unified:
        group = _v2_group(layout.unified, container_id, limits, wanted)
        groups.append(group)
        wanted.difference_update(group.controllers)
    missing = [name for name in CONSEQUENCES if name in wanted]
    warnings = (f"{CONSEQUENCES[name]}: there is no {name} cgroup" for name in missing)
    return CgroupPlan(tuple(groups), tuple(warnings))


def _v1_settings(
    limits: Limits, devices: Sequence[DeviceRule]
) -> dict[str, tuple[Setting, ...]]:
    """Return the controllers that are needed, and what to tell them in version 1."""
    needed: dict[str, tuple[Setting, ...]] = {"freezer": ()}
    if devices:
        allowed = (("devices.allow", str(rule)) for rule in devices)
        needed["devices"] = (("devices.deny", "a"), *allowed)
    if limits.memory:
        needed["memory"] = (
            ("memory.limit_in_bytes", str(limits.memory)),
            ("memory.memsw.limit_in_bytes", str(_memory_and_swap(limits))),
        )
    if limits.pids:
        needed["pids"] = (("pids.max", str(limits.pids)),)
    cpu = []
    if limits.cpu_shares:
        cpu.append(("cpu.shares", str(limits.cpu_shares)))
    if limits.cpu_quota:
        cpu.append(("cpu.cfs_period_us", str(limits.cpu_period)))
        cpu.append(("cpu.cfs_quota_us", str(limits.cpu_quota)))
    if cpu:
        needed["cpu"] = tuple(cpu)
    return needed


def _v2_group(
    unified: Hierarchy, container_id: str, limits: Limits, wanted: Iterable[str]
) -> Group:
    """Return the group for those of the `wanted` controllers that version 2 has."""
    delegated = sorted(set(wanted).intersection(unified.controllers))
    settings: list[Setting] = []
    if "memory" in delegated:
        total = _memory_and_swap(limits)
        swap = "max" if total < 0 else str(max(total - limits.memory, 0))
        settings += [("memory.max", str(limits.memory)), ("memory.swap.max", swap)]
    if "pids" in delegated:
        settings.append(("pids.max", str(limits.pids)))
    if "cpu" in delegated and limits.cpu_shares:
        # 2…262144 becomes 1…10000
        weight = 1 + (limits.cpu_shares - 2) * 9999 // 262142
        settings.append(("cpu.weight", str(min(max(weight, 1), 10_000))))
    if "cpu" in delegated and limits.cpu_quota:
        settings.append(("cpu.max", f"{limits.cpu_quota} {limits.cpu_period}"))
    return Group(
        f"{unified.directory}/{_NAME}/{container_id}",
        ("freezer", *delegated),  # a part of version 2 itself
        tuple(settings),
        " ".join(f"+{name}" for name in delegated),
    )


def _memory_and_swap(limits: Limits) -> int:
    return limits.memory_swap or 2 * limits.memory


def _text(path: str) -> str:
    return os.fsdecode(read_file(path))
