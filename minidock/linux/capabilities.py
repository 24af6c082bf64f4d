# SPDX-License-Identifier: Apache-2.0
"""capabilities(7): names, numbers, and docker's rules for ``--cap-add`` and ``--cap-drop``.

A set of capabilities is a bit mask, as in ``/proc/<pid>/status`` and capset(2).
"""

from collections.abc import Iterable, Sequence

from minidock.errors import InvalidArgument

NAMES = (  # bit 0 first, linux/capability.h
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
_NUMBERS = {name: number for number, name in enumerate(NAMES)}
_BOUNDING = b"\nCapBnd:"


class UnknownCapability(InvalidArgument):
    """An option names a capability that does not exist, or that can't be given here."""


def mask(wanted: Iterable[str]) -> int:
    """Return the bits of the capabilities `wanted`, named as in NAMES; KeyError for others."""
    return sum({1 << _NUMBERS[name] for name in wanted})


def names(bits: int) -> tuple[str, ...]:
    """Return the names of `bits`, lowest first; bits without a name are left out."""
    return tuple(name for number, name in enumerate(NAMES) if bits >> number & 1)


DOCKER_DEFAULT = mask(
    (
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_MKNOD",
        "CAP_NET_RAW",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE",
    )
)
"""What a container gets without options: ``00000000a80425fb``."""


def bounding() -> int:
    """Return this process's bounding set: no child of it can ever have more.

    It is read from proc_pid_status(5): for prctl(2) a command would import ctypes.
    """
    with open("/proc/self/status", "rb", buffering=0) as file:
        status = file.read()
    return int(status[status.index(_BOUNDING) + len(_BOUNDING) :].split(None, 1)[0], 16)


def effective_set(
    add: Sequence[str], drop: Sequence[str], *, privileged: bool, bounding: int
) -> int:
    """Return a container's capabilities by the values of ``--cap-add`` and ``--cap-drop``.

    Values are in any case, with or without ``CAP_``; ``ALL`` stands for every capability.
    ``--cap-drop ALL`` leaves what `add` names. Privileged means all of `bounding`; defaults
    outside of `bounding` are left out.

    Raises:
        UnknownCapability: a value is no capability, or `add` names one outside of `bounding`.
    """
    added, add_all = _parse(add, "CapAdd")
    dropped, drop_all = _parse(drop, "CapDrop")
    if missing := names(added & ~bounding):
        raise UnknownCapability(
            "invalid CapAdd: capability not supported by your kernel or not available in "
            f'the current environment: "{missing[0]}"'
        )
    if privileged:
        return bounding
    if add_all:
        return bounding & ~dropped
    if drop_all:
        return added
    return DOCKER_DEFAULT & bounding & ~dropped | added


def _parse(values: Sequence[str], option: str) -> tuple[int, bool]:
    """Return the bits that `values` name, and whether ALL is among them."""
    bits = 0
    everything = False
    for value in values:
        name = value.upper()
        if name == "ALL":
            everything = True
            continue
        if not name.startswith("CAP_"):
            name = f"CAP_{name}"
        if name not in _NUMBERS:
            raise UnknownCapability(f'invalid {option}: unknown capability: "{name}"')
        bits |= 1 << _NUMBERS[name]
    return bits, everything
