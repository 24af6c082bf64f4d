# SPDX-License-Identifier: Apache-2.0
"""seccomp(2): put a filter on this thread's system calls."""

import ctypes
import errno

from minidock.linux.libc import syscall

INSTRUCTION_SIZE = 8
"""Bytes of a struct sock_filter."""
MAX_INSTRUCTIONS = 4096
"""BPF_MAXINSNS: longer programs are refused."""

_SECCOMP_SET_MODE_FILTER = 1
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2


class _Program(ctypes.Structure):
    """A struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def load(program: bytes) -> None:
    """Filter this thread's system calls by `program`, an array of struct sock_filter, for good.

    Children inherit the filter, execve(2) keeps it.

    Raises:
        OSError: EACCES without CAP_SYS_ADMIN and without no_new_privs; EINVAL for a program
            that the kernel refuses, or a kernel without seccomp filters.
    """
    count, rest = divmod(len(program), INSTRUCTION_SIZE)
    if rest or not 0 < count <= MAX_INSTRUCTIONS:
        raise OSError(errno.EINVAL, f"a seccomp filter of {len(program)} bytes")
    # c_char_p points to the bytes themselves: nothing is copied.
    argument = _Program(count, program)
    try:
        syscall("seccomp", _SECCOMP_SET_MODE_FILTER, 0, argument)
    except OSError as e:
        if e.errno != errno.ENOSYS:  # before Linux 3.17
            raise
        syscall("prctl", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, argument, 0, 0)
