# SPDX-License-Identifier: Apache-2.0
"""From what the user and the image ask for to an OCI runtime Spec: docker's defaults, pure."""

import os
from collections.abc import Iterable, Mapping

from minidock.annotations import Any
from minidock.errors import InvalidArgument
from minidock.oci.image import environment
from minidock.oci.runtime import (
    SHM,
    SHM_SIZE,
    Capabilities,
    Linux,
    LinuxDevice,
    Mount,
    Namespace,
    Process,
    Rlimit,
    Spec,
)
from minidock.runtime.commands import DEFAULT_PATH
from minidock.runtime.users import User
from minidock.values import NamedTuple

NAMESPACES = ("mount", "uts", "ipc", "network", "pid", "cgroup")

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
"""Hidden as docker does (CVE-2017-16539, CVE-2018-10892, GHSA-jq35-85cj-fj4p)."""

_THERMAL_THROTTLE = "/sys/devices/system/cpu/cpu{}/thermal_throttle"
_CPUS = os.sysconf("SC_NPROCESSORS_CONF")
"""Processors that there are, also those that are off now."""

READONLY_PATHS = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)

_LOCKED = ("nosuid", "noexec", "nodev")

_PRIVATE_NETWORK_SYSCTLS = {
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
}
"""Any user may bind port 80 and send pings; only a network namespace of its own has them."""


_IPC_SYSCTLS = frozenset(
    (
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shm_rmid_forced",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
    )
)


class InvalidMount(InvalidArgument):
    """A mount destination that would break the container or its protection."""


class InvalidSysctl(InvalidArgument):
    """A setting of the kernel that is not the container's own; the texts are runc's."""


class SpecInputs(NamedTuple):
    """What a Spec is made of; `args`, `user` and `cwd` are resolved already.

    `image_env` and `env` (the user's, which wins) are ``NAME=value`` texts. `mounts` are the
    user's, see `bind_mount` and `tmpfs_mount`, the files for /etc among them.
    `host_namespaces` are shared with the host, e.g. ``network``; `joined` are the paths of
    others, by type. `capabilities` and `devices` are complete lists, for privileged containers
    too. `shm_size` is in bytes, 0 leaves /dev/shm out. `unmasked` shows the paths of /proc and
    /sys that are hidden or read-only otherwise. `root_path` is where the root is to be found by
    whoever has it mounted; `resources` and `seccomp` are objects of the specification.
    """

    args: tuple[str, ...]
    user: User
    image_env: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str = "/"
    terminal: bool = False
    hostname: str = ""
    domainname: str = ""
    capabilities: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    devices: tuple[LinuxDevice, ...] = ()
    host_namespaces: tuple[str, ...] = ()
    joined: Mapping[str, str] = {}
    sysctl: Mapping[str, str] = {}
    rlimits: tuple[Rlimit, ...] = ()
    oom_score_adj: int | None = None
    no_new_privileges: bool = False
    read_only: bool = False
    privileged: bool = False
    unmasked: bool = False
    shm_size: int = SHM_SIZE
    cgroups_path: str = ""
    root_path: str = "rootfs"
    resources: Mapping[str, Any] = {}
    seccomp: Mapping[str, Any] = {}
    apparmor_profile: str = ""
    annotations: Mapping[str, str] = {}


def make_spec(inputs: SpecInputs) -> Spec:
    """Return the configuration of a container.

    Raises:
        InvalidMount: a destination is not absolute, the root, or inside /proc.
        InvalidSysctl: one would change the host.
    """
    shared = inputs.host_namespaces
    unmasked = inputs.privileged or inputs.unmasked
    return Spec(
        process=Process(
            args=inputs.args,
            env=make_environment(inputs),
            cwd=inputs.cwd or "/",
            user=inputs.user.ids,
            terminal=inputs.terminal,
            capabilities=Capabilities.of(inputs.capabilities, inputs.user.uid),
            rlimits=inputs.rlimits,
            no_new_privileges=inputs.no_new_privileges,
            oom_score_adj=inputs.oom_score_adj,
            apparmor_profile=inputs.apparmor_profile,
        ),
        root_path=inputs.root_path,
        root_readonly=inputs.read_only,
        hostname="" if "uts" in shared else inputs.hostname,
        domainname="" if "uts" in shared else inputs.domainname,
        mounts=_mounts(inputs),
        linux=Linux(
            namespaces=tuple(
                Namespace(kind, inputs.joined.get(kind, ""))
                for kind in NAMESPACES
                if kind not in shared
            ),
            devices=inputs.devices,
            masked_paths=() if unmasked else _masked_paths(),
            readonly_paths=() if unmasked else READONLY_PATHS,
            sysctl=_sysctls(inputs),
            cgroups_path=inputs.cgroups_path,
            resources=inputs.resources,
            seccomp=inputs.seccomp,
            rootfs_propagation=_root_propagation(inputs.mounts),
        ),
        annotations=inputs.annotations,
    )


def _root_propagation(wanted: Iterable[Mount]) -> str:
    """Return what the root needs for the propagation of its mounts; minidock's own needs none.

    Other runtimes make their mounts in the container, so that a slave can be no better
    connected than its root.
    """
    options = {option for mount in wanted for option in mount.options}
    if options & {"shared", "rshared"}:
        return "rshared"
    return "rslave" if options & {"slave", "rslave"} else ""


def is_namespaced(sysctl: str) -> bool:
    """Tell whether each network or IPC namespace has a value of its own of `sysctl`."""
    return sysctl in _IPC_SYSCTLS or sysctl.startswith(("net.", "fs.mqueue."))


def _sysctls(inputs: SpecInputs) -> dict[str, str]:
    shared = inputs.host_namespaces
    for name in inputs.sysctl:
        if not is_namespaced(name):
            raise InvalidSysctl(f'sysctl "{name}" is not in a separate kernel namespace')
        if name.startswith("net."):
            if "network" in shared:
                raise InvalidSysctl(f'sysctl "{name}" not allowed in host network namespace')
        elif "ipc" in shared:
            raise InvalidSysctl(f'sysctl "{name}" is not allowed in the hosts ipc namespace')
    own_network = "network" not in shared and "network" not in inputs.joined
    return {**(_PRIVATE_NETWORK_SYSCTLS if own_network else {}), **inputs.sysctl}


def make_environment(inputs: SpecInputs) -> tuple[str, ...]:
    """Return the ``NAME=value`` texts in docker's order.

    An entry without "=" or without a name is dropped: to fill it in from somewhere would leak
    the caller's environment to the image (CVE-2026-57231).
    """
    env = {"PATH": DEFAULT_PATH, "HOSTNAME": inputs.hostname}
    if inputs.terminal:
        env["TERM"] = "xterm"
    return merge_environment(env, (*inputs.image_env, *inputs.env), inputs.user.home)


def merge_environment(
    base: Mapping[str, str], entries: Iterable[str], home: str
) -> tuple[str, ...]:
    """Return `base` overridden by `entries`, and HOME last if nobody sets it."""
    env = {**base, **environment(entries)}
    env.setdefault("HOME", home)
    return tuple(f"{name}={value}" for name, value in env.items())


def bind_mount(
    source: str, destination: str, *, read_only: bool = False, propagation: str = "rprivate"
) -> Mount:
    """Return the mount of host path `source` and all that is mounted below it."""
    access = "ro" if read_only else "rw"
    return Mount(destination, "bind", source, ("rbind", access, propagation))


def tmpfs_mount(destination: str, options: tuple[str, ...] = ()) -> Mount:
    """Return a tmpfs; `options` are added to docker's ``nosuid,nodev,noexec``."""
    return Mount(destination, "tmpfs", "tmpfs", (*_LOCKED, *options))


def _masked_paths() -> tuple[str, ...]:
    return MASKED_PATHS + tuple(_THERMAL_THROTTLE.format(cpu) for cpu in range(_CPUS))


def _mounts(inputs: SpecInputs) -> tuple[Mount, ...]:
    """Return docker's mounts where the user has none, then the user's, parents first."""
    for mount in inputs.mounts:
        _check_destination(mount.destination)
    taken = {_parts(mount.destination) for mount in inputs.mounts}
    defaults = [
        mount for mount in _default_mounts(inputs) if not _is_replaced(mount.destination, taken)
    ]
    ordered = sorted(inputs.mounts, key=lambda mount: len(_parts(mount.destination)))
    return (*defaults, *ordered)


def _is_replaced(destination: str, taken: set[tuple[str, ...]]) -> bool:
    parts = _parts(destination)
    return parts in taken or (parts[0] == "dev" and ("dev",) in taken)


def _check_destination(destination: str) -> None:
    parts = _parts(destination)
    if not destination.startswith("/") or not parts:
        raise InvalidMount(f"invalid mount destination {destination!r}: not below the root")
    if parts == ("proc",):
        raise InvalidMount(f"invalid mount destination {destination!r}: /proc is protected")


def _parts(path: str) -> tuple[str, ...]:
    normal = os.path.normpath(path).strip("/")
    return tuple(normal.split("/")) if normal not in ("", ".") else ()


def _default_mounts(inputs: SpecInputs) -> tuple[Mount, ...]:
    access = () if inputs.privileged else ("ro",)
    shm = Mount(SHM, "tmpfs", "shm", (*_LOCKED, "mode=1777", f"size={inputs.shm_size}"))
    return (
        Mount("/proc", "proc", "proc", _LOCKED),
        Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
        Mount(
            "/dev/pts",
            "devpts",
            "devpts",
            ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        ),
        Mount("/sys", "sysfs", "sysfs", (*_LOCKED, *access)),
        Mount("/sys/fs/cgroup", "cgroup", "cgroup", (*_LOCKED, "relatime", *access)),
        Mount("/dev/mqueue", "mqueue", "mqueue", _LOCKED),
        *((shm,) if inputs.shm_size else ()),
    )
