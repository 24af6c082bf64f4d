# SPDX-License-Identifier: Apache-2.0
"""bpf(2): load a program that decides on devices, and attach it to a cgroup of version 2."""

import ctypes
import os

from minidock.linux.libc import syscall

INSTRUCTION_SIZE = 8
"""Bytes of a struct bpf_insn."""

_BPF_PROG_LOAD = 5
_BPF_PROG_ATTACH = 8
_BPF_PROG_TYPE_CGROUP_DEVICE = 15
_BPF_CGROUP_DEVICE = 6
_BPF_F_ALLOW_MULTI = 2


class _LoadAttributes(ctypes.Structure):
    """The beginning of union bpf_attr for BPF_PROG_LOAD; the kernel takes the rest for 0."""

    _fields_ = (
        ("program_type", ctypes.c_uint32),
        ("instruction_count", ctypes.c_uint32),
        ("instructions", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buffer", ctypes.c_uint64),
        ("kernel_version", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    )


class _AttachAttributes(ctypes.Structure):
    """The beginning of union bpf_attr for BPF_PROG_ATTACH."""

    _fields_ = (
        ("target", ctypes.c_uint32),
        ("program", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    )


def load_device_program(program: bytes) -> int:
    """Return a descriptor of `program`, an array of struct bpf_insn; the caller closes it.

    Raises:
        OSError: EPERM without CAP_BPF and CAP_NET_ADMIN, or without CAP_SYS_ADMIN; EINVAL or
            EACCES for a program that the kernel refuses; ENOSYS for a kernel without bpf(2).
    """
    code = ctypes.create_string_buffer(program, len(program))
    licensed = ctypes.create_string_buffer(b"Apache-2.0")
    attributes = _LoadAttributes(
        _BPF_PROG_TYPE_CGROUP_DEVICE,
        len(program) // INSTRUCTION_SIZE,
        ctypes.addressof(code),
        ctypes.addressof(licensed),
    )
    return syscall("bpf", _BPF_PROG_LOAD, attributes, ctypes.sizeof(attributes))


def attach_device_program(program: int, cgroup: str) -> None:
    """Let the program of descriptor `program` decide for the processes in directory `cgroup`.

    Programs of cgroups above, and others attached there, are asked too: one that refuses is
    enough. It stays as long as the cgroup.

    Raises:
        OSError: EPERM without CAP_NET_ADMIN or CAP_SYS_ADMIN, EBADF where it is no cgroup.
    """
    directory = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        attributes = _AttachAttributes(
            directory, program, _BPF_CGROUP_DEVICE, _BPF_F_ALLOW_MULTI
        )
        syscall("bpf", _BPF_PROG_ATTACH, attributes, ctypes.sizeof(attributes))
    finally:
        os.close(directory)
