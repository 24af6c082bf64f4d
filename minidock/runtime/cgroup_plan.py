# SPDX-License-Identifier: Apache-2.0
"""Which control groups a container needs, and where; cgroups(7).

Version 1, version 2 and the mixture of both are found in /proc. A container joins only the
hierarchies that it needs. On version 2 device rules are a BPF program, see device_filter.py.
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
    """What a container may use at most; 0 and empty stand for no limit.

    Attributes:
        memory: bytes.
        memory_swap: bytes of memory and swap together; 0 means twice `memory`, as in docker,
            -1 no limit. It has no effect without `memory`.
        memory_reservation: bytes that reclaim aims at when memory is short.
        swappiness: 0 to 100; -1 is the system's.
        oom_kill_disable: who needs more memory waits for it instead of being killed.
        pids: processes and threads; -1 takes a limit away that there was.
        cpu_shares: weight against others, 1024 is the kernel's default.
        cpu_quota: microseconds of processor time in each `cpu_period`; -1 is no limit.
        cpu_period: microseconds; 0 means 100,000.
        cpuset_cpus: processors that may be used, ``0-2,5``.
        cpuset_mems: memory nodes that may be used.
        io_weight: weight against others at the disks, 10 to 1000.
    """

    memory: int = 0
    memory_swap: int = 0
    memory_reservation: int = 0
    swappiness: int = -1
    oom_kill_disable: bool = False
    pids: int = 0
    cpu_shares: int = 0
    cpu_quota: int = 0
    cpu_period: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    io_weight: int = 0


class Hierarchy(NamedTuple):
    """A mounted tree of cgroups; minidock's begin below `directory`."""

    directory: str
    controllers: tuple[str, ...]


class Layout(NamedTuple):
    """The hierarchies of this machine; `unified` is version 2's, None without."""

    v1: tuple[Hierarchy, ...] = ()
    unified: Hierarchy | None = None


class Setting(NamedTuple):
    """A file in the directory of a cgroup, and what to write to it.

    `instead` is for a kernel that lacks `file`, whose name begins with that of its controller.
    """

    file: str
    value: str
    instead: "Setting | None" = None


class Group(NamedTuple):
    """A directory to make in one hierarchy.

    `controllers` are those that are wanted of it. In version 2 `delegate` are those that the
    cgroup.subtree_control of both directories above must name, and `devices` the rules of a
    filter. `inherit` are files that begin empty, and without which nobody can join: what the
    directories above have is copied.
    """

    path: str
    controllers: tuple[str, ...]
    settings: tuple[Setting, ...]
    delegate: tuple[str, ...] = ()
    devices: tuple[DeviceRule, ...] = ()
    inherit: tuple[str, ...] = ()


class CgroupPlan(NamedTuple):
    """What to make for one container, and what can't be had here."""

    groups: tuple[Group, ...]
    warnings: tuple[str, ...] = ()


CONSEQUENCES = {
    "devices": "device rules are not enforced",
    "memory": "the memory limit is not enforced",
    "pids": "the limit of processes is not enforced",
    "cpu": "the processor limit is not enforced",
    "cpuset": "the choice of processors is not enforced",
    "blkio": "the weight at the disks is not enforced",
    "io": "the weight at the disks is not enforced",
}
"""What a container runs without, by controller; without a freezer it runs as usual."""

_NO_BLKIO = (
    "Your kernel does not support Block I/O weight or the cgroup is not mounted. "
    "Weight discarded."
)
_NO_CFS = "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded."
_NO_SWAP = (
    "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
    "Memory limited without swap."
)
_NO_SWAPPINESS = (
    "Your kernel does not support memory swappiness capabilities or the cgroup is not "
    "mounted. Memory swappiness discarded."
)
_NO_OOM_CONTROL = "Your kernel does not support OomKillDisable. OomKillDisable discarded."
_UNLIMITED_OOM = (
    "OOM killer is disabled for the container, but no memory limit is set, this can result in "
    "the system running out of resources."
)

LACKING = {
    "devices": "device rules are not enforced: there is no devices cgroup",
    "memory": "Your kernel does not support memory limit capabilities or the cgroup is not "
    "mounted. Limitation discarded.",
    "pids": "Your kernel does not support PIDs limit capabilities or the cgroup is not "
    "mounted. PIDs limit discarded.",
    "cpu": "Your kernel does not support CPU limits or the cgroup is not mounted. Limitation "
    "discarded.",
    "cpuset": "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset "
    "discarded.",
    "blkio": _NO_BLKIO,
    "blkio.bfq.weight": _NO_BLKIO,
    "io.weight": _NO_BLKIO,
    "memory.memsw.limit_in_bytes": _NO_SWAP,
    "memory.swap.max": _NO_SWAP,
    "memory.swappiness": _NO_SWAPPINESS,
    "memory.oom_control": _NO_OOM_CONTROL,
    "cpu.cfs_period_us": _NO_CFS,
    "cpu.cfs_quota_us": _NO_CFS,
    "cpu.max": _NO_CFS,
}
"""The warnings for a controller or a file that there is not, docker's where it has one."""


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


def directory_of(container_id: str) -> str:
    """Return where `plan` puts a container below the directory of each hierarchy."""
    return f"{_NAME}/{container_id}"


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
            inherit = CPUSET_FILES if "cpuset" in controllers else ()
            groups.append(Group(path, controllers, settings, inherit=inherit))
            wanted.difference_update(controllers)
    warnings = [_UNLIMITED_OOM] if limits.oom_kill_disable and not limits.memory else []
    if wanted and layout.unified:
        group = _v2_group(layout.unified, container_id, limits, wanted, devices)
        groups.append(group)
        wanted.difference_update(_V1_NAMES.get(name, name) for name in group.controllers)
        if "memory" in group.controllers:
            warnings += _v2_memory_warnings(limits)
    warnings += [LACKING[name] for name in LACKING if name in wanted]
    return CgroupPlan(tuple(groups), tuple(warnings))


CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")
_V1_NAMES = {"io": "blkio"}
_V2_NAMES = {"blkio": "io"}


def _v1_settings(
    limits: Limits, devices: Sequence[DeviceRule]
) -> dict[str, tuple[Setting, ...]]:
    """Return the controllers that are needed, and what to tell them in version 1."""
    needed = {
        "devices": _v1_devices(devices),
        "memory": _v1_memory(limits),
        "pids": _pids(limits),
        "cpu": _v1_cpu(limits),
        "cpuset": _cpuset(limits),
        "blkio": _v1_blkio(limits),
    }
    return {"freezer": (), **{name: settings for name, settings in needed.items() if settings}}


def _v1_devices(devices: Sequence[DeviceRule]) -> tuple[Setting, ...]:
    if not devices:
        return ()
    allowed = (Setting("devices.allow", str(rule)) for rule in devices)
    return (Setting("devices.deny", "a"), *allowed)


def _v1_memory(limits: Limits) -> tuple[Setting, ...]:
    settings = []
    if limits.memory:
        settings.append(Setting("memory.limit_in_bytes", str(limits.memory)))
        total = str(_memory_and_swap(limits))
        settings.append(Setting("memory.memsw.limit_in_bytes", total))
    if limits.memory_reservation:
        reservation = str(limits.memory_reservation)
        settings.append(Setting("memory.soft_limit_in_bytes", reservation))
    if limits.swappiness >= 0:
        settings.append(Setting("memory.swappiness", str(limits.swappiness)))
    if limits.oom_kill_disable:
        settings.append(Setting("memory.oom_control", "1"))
    return tuple(settings)


def _pids(limits: Limits) -> tuple[Setting, ...]:
    if not limits.pids:
        return ()
    return (Setting("pids.max", str(limits.pids) if limits.pids > 0 else "max"),)


def _v1_cpu(limits: Limits) -> tuple[Setting, ...]:
    settings = []
    if limits.cpu_shares:
        settings.append(Setting("cpu.shares", str(limits.cpu_shares)))
    if limits.cpu_period:
        settings.append(Setting("cpu.cfs_period_us", str(limits.cpu_period)))
    if limits.cpu_quota:
        settings.append(Setting("cpu.cfs_quota_us", str(limits.cpu_quota)))
    return tuple(settings)


def _cpuset(limits: Limits) -> tuple[Setting, ...]:
    values = (limits.cpuset_cpus, limits.cpuset_mems)
    pairs = zip(CPUSET_FILES, values, strict=True)
    return tuple(Setting(file, value) for file, value in pairs if value)


def _v1_blkio(limits: Limits) -> tuple[Setting, ...]:
    if not limits.io_weight:
        return ()
    weight = str(limits.io_weight)
    return (Setting("blkio.weight", weight, Setting("blkio.bfq.weight", weight)),)


def _v2_group(
    unified: Hierarchy,
    container_id: str,
    limits: Limits,
    wanted: Iterable[str],
    devices: Sequence[DeviceRule],
) -> Group:
    """Return the group for those of the `wanted` controllers that version 2 has."""
    names = {_V2_NAMES.get(name, name) for name in wanted}
    delegated = tuple(sorted(names.intersection(unified.controllers)))
    settings = {
        "memory": _v2_memory,
        "pids": _pids,
        "cpu": _v2_cpu,
        "cpuset": _cpuset,
        "io": _v2_io,
    }
    filtered = ("devices",) if "devices" in names else ()
    return Group(
        f"{unified.directory}/{_NAME}/{container_id}",
        ("freezer", *filtered, *delegated),  # the first two are parts of version 2 itself
        tuple(setting for name in delegated for setting in settings[name](limits)),
        delegated,
        tuple(devices) if filtered else (),
    )


def _v2_memory(limits: Limits) -> tuple[Setting, ...]:
    settings = []
    if limits.memory:
        total = _memory_and_swap(limits)
        swap = "max" if total < 0 else str(max(total - limits.memory, 0))
        settings.append(Setting("memory.max", str(limits.memory)))
        settings.append(Setting("memory.swap.max", swap))
    if limits.memory_reservation:
        settings.append(Setting("memory.low", str(limits.memory_reservation)))
    return tuple(settings)


def _v2_memory_warnings(limits: Limits) -> list[str]:
    warnings = []
    if limits.swappiness >= 0:
        warnings.append(_NO_SWAPPINESS)
    if limits.oom_kill_disable:
        warnings.append(_NO_OOM_CONTROL)
    return warnings


def _v2_cpu(limits: Limits) -> tuple[Setting, ...]:
    settings = []
    if limits.cpu_shares:
        # 2…262144 becomes 1…10000
        weight = 1 + (limits.cpu_shares - 2) * 9999 // 262142
        settings.append(Setting("cpu.weight", str(min(max(weight, 1), 10_000))))
    if limits.cpu_quota or limits.cpu_period:
        quota = str(limits.cpu_quota) if limits.cpu_quota > 0 else "max"
        settings.append(Setting("cpu.max", f"{quota} {limits.cpu_period or 100_000}"))
    return tuple(settings)


def _v2_io(limits: Limits) -> tuple[Setting, ...]:
    """Return the weight: BFQ's own file takes it as it is, 10…1000 becomes 1…10000 else."""
    weight = 1 + (limits.io_weight - 10) * 9999 // 990
    fallback = Setting("io.weight", str(weight))
    return (Setting("io.bfq.weight", str(limits.io_weight), fallback),)


def _memory_and_swap(limits: Limits) -> int:
    return limits.memory_swap or 2 * limits.memory


def _text(path: str) -> str:
    return os.fsdecode(read_file(path))
