# SPDX-License-Identifier: Apache-2.0
"""The door to the kernel: raw system calls that raise OSError with errno and path."""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long

MACHINE = os.uname().machine

# System calls newer than 5.0 have one number on every architecture; the rest is per machine.
_COMMON = {
    "pidfd_send_signal": 424,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_open": 434,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "mount_setattr": 442,
}
_NUMBERS = {
    "x86_64": {
        "bpf": 321,
        "clone": 56,
        "pivot_root": 155,
        "keyctl": 250,
        "setns": 308,
        "capget": 125,
        "capset": 126,
        "prctl": 157,
        "seccomp": 317,
        "execveat": 322,
        "syncfs": 306,
        "unshare": 272,
        "mknodat": 259,
        "getcwd": 79,
        "mount": 165,
        "umount2": 166,
        "sethostname": 170,
        "setdomainname": 171,
    },
    "aarch64": {
        "bpf": 280,
        "clone": 220,
        "pivot_root": 41,
        "keyctl": 219,
        "setns": 268,
        "capget": 90,
        "capset": 91,
        "prctl": 167,
        "seccomp": 277,
        "execveat": 281,
        "syncfs": 267,
        "unshare": 97,
        "mknodat": 33,
        "getcwd": 17,
        "mount": 40,
        "umount2": 39,
        "sethostname": 161,
        "setdomainname": 162,
    },
}
NUMBERS = _COMMON | _NUMBERS.get(MACHINE, {})

Argument = int | bytes | None | ctypes.Array[ctypes.c_char] | ctypes.Structure


def syscall(name: str, *arguments: Argument, path: str | None = None) -> int:
    """Make system call `name`; return what it returns.

    Integers are passed as longs, bytes as pointers to them, structures and arrays by address.

    Raises:
        OSError: with the errno, and `path` for the message; ENOSYS where `name` is not known.
    """
    number = NUMBERS.get(name, -1)
    result: int = _syscall(ctypes.c_long(number), *map(_pass, arguments))
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), path)
    return result


def _pass(argument: Argument) -> object:
    if isinstance(argument, int):
        return ctypes.c_long(argument)
    if isinstance(argument, ctypes.Structure):
        return ctypes.byref(argument)
    return argument
