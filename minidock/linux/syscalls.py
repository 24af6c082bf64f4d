# SPDX-License-Identifier: Apache-2.0
"""The system call interfaces (ABIs) of a machine, and the numbers of their calls."""

from minidock.values import NamedTuple


class Abi(NamedTuple):
    """One way into the kernel.

    `audit` is the AUDIT_ARCH_* value that seccomp(2) filters see. The numbers of its calls
    start at `base`: x32 shares the audit value of x86_64, its numbers have one bit more.
    """

    name: str
    audit: int
    base: int = 0


X32_BIT = 0x40000000

MACHINES = {
    "x86_64": (
        Abi("x86_64", 0xC000003E),
        Abi("i386", 0x40000003),
        Abi("x32", 0xC000003E, X32_BIT),
    ),
    "aarch64": (Abi("aarch64", 0xC00000B7), Abi("arm", 0x40000028)),
}
"""The ABIs that a kernel serves, by uname(2)'s machine; the native one first."""


def numbers(abi: str) -> dict[str, int]:
    """Return the numbers of all system calls of `abi`, by name."""
    from minidock.linux.syscall_table import ABIS, TABLE  # 500 lines, for cache misses only

    column = 1 + ABIS.index(abi)
    found = {}
    for line in TABLE.splitlines():
        fields = line.split()
        if fields[column] != "-":
            found[fields[0]] = int(fields[column])
    return found
