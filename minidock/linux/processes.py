# SPDX-License-Identifier: Apache-2.0
"""What a process may do, has open, and executes: prctl(2), close_range(2), execveat(2)."""

import ctypes
import errno
import fcntl
import os
import signal
from collections.abc import Iterable, Sequence

from minidock.annotations import Never
from minidock.linux.libc import syscall

_PR_SET_PDEATHSIG = 1
_PR_GET_DUMPABLE = 3
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_CAPABILITIES = 64
_AT_EMPTY_PATH = 0x1000
_KEYCTL_JOIN_SESSION_KEYRING = 1
_LAST_DESCRIPTOR = 0xFFFFFFFF
_PATH_MAX = 4096

_MFD_ALLOW_SEALING = 2
_MFD_EXEC = 0x10
_F_ADD_SEALS = 1033
_SEALS = 0x01 | 0x02 | 0x04 | 0x08  # seal, shrink, grow, write
_SEAL_EXEC = 0x20


def set_dumpable(dumpable: bool) -> None:
    """Say whether others may trace this process and open its ``/proc`` links."""
    syscall("prctl", _PR_SET_DUMPABLE, int(dumpable), 0, 0, 0)


def is_dumpable() -> bool:
    """Tell whether others may trace this process."""
    return syscall("prctl", _PR_GET_DUMPABLE, 0, 0, 0, 0) == 1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill the caller when its parent ends; `parent` is the parent's pid."""
    syscall("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it has ended already, and no signal will come
        os.kill(os.getpid(), signal.SIGKILL)


def close_descriptors(keep: Iterable[int]) -> None:
    """Close all descriptors but `keep`, by one close_range(2) for each gap."""
    first = 0
    for fd in sorted(set(keep)):
        if fd > first:
            syscall("close_range", first, fd - 1, 0)
        first = fd + 1
    syscall("close_range", first, _LAST_DESCRIPTOR, 0)


def join_new_session_keyring() -> None:
    """Give the caller an empty session keyring of its own: keyctl(2)."""
    syscall("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)


def working_directory() -> bytes:
    """Return what getcwd(2) says: ``(unreachable)`` begins a directory outside the root."""
    buffer = ctypes.create_string_buffer(_PATH_MAX)
    syscall("getcwd", buffer, _PATH_MAX)
    return buffer.value


def sealed_program(name: str, image: bytes) -> int:
    """Return a close-on-exec descriptor of an executable that nobody can ever change.

    It is a memory file: nobody finds it by a path, and a write fails with EPERM, also through
    ``/proc/PID/exe``: memfd_create(2), F_ADD_SEALS of fcntl(2).
    """
    flags = os.MFD_CLOEXEC | _MFD_ALLOW_SEALING
    try:
        fd = os.memfd_create(name, flags | _MFD_EXEC)
        seals = _SEALS | _SEAL_EXEC
    except OSError:  # before Linux 6.3
        fd = os.memfd_create(name, flags)
        seals = _SEALS
    try:
        os.write(fd, image)
        fcntl.fcntl(fd, _F_ADD_SEALS, seals)
    except BaseException:
        os.close(fd)
        raise
    return fd


class Strings:
    """An argument or environment vector in the form that execve(2) takes."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._array = (ctypes.c_char_p * (len(texts) + 1))(*map(os.fsencode, texts), None)
        self.address = ctypes.addressof(self._array)


def execute(program: int, arguments: Strings, environment: Strings) -> Never:
    """Replace this process by the program that descriptor `program` holds: execveat(2)."""
    syscall("execveat", program, b"", arguments.address, environment.address, _AT_EMPTY_PATH)
    raise AssertionError("execveat returned")


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySets(ctypes.Structure):
    """Two struct __user_cap_data_struct: the low 32 bits, then the high."""

    _fields_ = tuple(
        (f"{name}_{half}", ctypes.c_uint32)
        for half in ("low", "high")
        for name in ("effective", "permitted", "inheritable")
    )


def permitted_capabilities() -> int:
    """Return the caller's permitted capabilities as a bit mask."""
    sets = _CapabilitySets()
    syscall("capget", _CapabilityHeader(_CAPABILITY_VERSION_3, 0), sets)
    return int(sets.permitted_low | sets.permitted_high << 32)


def set_capabilities(effective: int, permitted: int, inheritable: int = 0) -> None:
    """Make the masks the caller's sets of capabilities: capset(2)."""
    masks = (effective, permitted, inheritable)
    low, high = [mask & 0xFFFFFFFF for mask in masks], [mask >> 32 for mask in masks]
    syscall("capset", _CapabilityHeader(_CAPABILITY_VERSION_3, 0), _CapabilitySets(*low, *high))


def raise_ambient_capabilities(mask: int) -> None:
    """Put `mask` in the ambient set; it has to be permitted and inheritable."""
    for number in range(_CAPABILITIES):
        if mask >> number & 1:
            syscall("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0)


def limit_capabilities(mask: int) -> None:
    """Take all but `mask` out of the bounding set, and clear the ambient set."""
    for number in range(_CAPABILITIES):
        if mask >> number & 1:
            continue
        try:
            syscall("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0)
        except OSError as e:
            if e.errno != errno.EINVAL:
                raise
            break  # the kernel's last capability was the one before
    syscall("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def keep_capabilities(keep: bool) -> None:
    """Say whether the permitted set outlives the change to an ordinary user."""
    syscall("prctl", _PR_SET_KEEPCAPS, int(keep), 0, 0, 0)


def set_no_new_privileges() -> None:
    """Make execve(2) never give more than the caller has, for good: PR_SET_NO_NEW_PRIVS."""
    syscall("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
