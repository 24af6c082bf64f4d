# SPDX-License-Identifier: Apache-2.0
"""Namespaces: namespaces(7), unshare(2), setns(2)."""

import os

from minidock.linux.libc import syscall

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

FLAGS = {
    "mount": CLONE_NEWNS,
    "cgroup": CLONE_NEWCGROUP,
    "uts": CLONE_NEWUTS,
    "ipc": CLONE_NEWIPC,
    "user": CLONE_NEWUSER,
    "pid": CLONE_NEWPID,
    "network": CLONE_NEWNET,
}
"""The flag of each namespace type by its name in the OCI runtime-spec."""


def unshare(flags: int) -> None:
    """Move the caller into new namespaces; CLONE_NEWPID is for its next children."""
    syscall("unshare", flags)


def setns(fd: int, flags: int) -> None:
    """Join namespaces: `fd` is one of ``/proc/PID/ns`` or a pidfd (Linux 5.8)."""
    syscall("setns", fd, flags)


def join(path: str, flags: int, fd: int | None = None) -> None:
    """Join the namespace at `path`, e.g. ``/proc/PID/ns/net``, or the one that `fd` holds."""
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if fd is None else fd
    try:
        setns(opened, flags)
    finally:
        if fd is None:
            os.close(opened)


def sethostname(name: str) -> None:
    """Set the host name of the caller's UTS namespace."""
    raw = os.fsencode(name)
    syscall("sethostname", raw, len(raw))


def setdomainname(name: str) -> None:
    """Set the NIS domain name of the caller's UTS namespace."""
    raw = os.fsencode(name)
    syscall("setdomainname", raw, len(raw))
