# SPDX-License-Identifier: Apache-2.0
"""Rules for devices on cgroup version 2: an eBPF program in the kernel decides.

The kernel runs it at each open(2) and mknod(2) of a device file; what it returns is 0 to refuse
and 1 to allow: linux/bpf.h struct bpf_cgroup_dev_ctx, kernel documentation
bpf/standardization/instruction-set.rst.
"""

import os
import struct
from collections.abc import Sequence

from minidock.linux import bpf
from minidock.runtime.cgroup_plan import DeviceRule

_ACCESS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_MKNOD, _READ, _WRITE
_KINDS = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_BLOCK, _CHAR; the kind "a" is both

# Operations: the class in the lowest three bits, then the operand and the operation.
_LOAD_WORD = 0x61  # dst = *(u32 *)(src + offset)
_AND = 0x54  # dst &= immediate, 32 bits
_SHIFT_RIGHT = 0x74  # dst >>= immediate, 32 bits
_COPY = 0xBC  # dst = src, 32 bits
_SET = 0xB4  # dst = immediate, 32 bits
_UNLESS_EQUAL = 0x56  # if dst != immediate, 32 bits
_UNLESS_SAME = 0x5E  # if dst != src, 32 bits
_EXIT = 0x95

_RESULT, _CONTEXT, _KIND, _WANTED, _MAJOR, _MINOR = range(6)  # registers; _CONTEXT is reused
_SCRATCH = _CONTEXT


def compile_rules(rules: Sequence[DeviceRule]) -> bytes:
    """Return the program that allows what `rules` allow and refuses everything else.

    One rule has to allow all that is wanted at once, except that those of the same devices
    count as one, as in version 1.
    """
    code = [
        # The first word of the context has the kind in its lower half, the access in the upper.
        _instruction(_LOAD_WORD, _KIND, _CONTEXT, offset=0),
        _instruction(_LOAD_WORD, _MAJOR, _CONTEXT, offset=4),
        _instruction(_LOAD_WORD, _MINOR, _CONTEXT, offset=8),
        _instruction(_COPY, _WANTED, _KIND),
        _instruction(_SHIFT_RIGHT, _WANTED, immediate=16),
        _instruction(_AND, _KIND, immediate=0xFFFF),
    ]
    for (kind, major, minor), access in _merge(rules).items():
        code += _rule(kind, major, minor, access)
    code += [_instruction(_SET, _RESULT, immediate=0), _instruction(_EXIT)]
    return b"".join(code)


def _merge(rules: Sequence[DeviceRule]) -> dict[tuple[str, int, int], int]:
    merged: dict[tuple[str, int, int], int] = {}
    for rule in rules:
        key = (rule.kind, rule.major, rule.minor)
        bits = sum(_ACCESS[letter] for letter in set(rule.access))
        merged[key] = merged.get(key, 0) | bits
    return merged


def _rule(kind: str, major: int, minor: int, access: int) -> list[bytes]:
    """Return the instructions that allow what the rule does, and else go on behind them."""
    comparisons = []
    if kind in _KINDS:
        comparisons.append((_KIND, _KINDS[kind]))
    comparisons += [
        (register, n) for register, n in ((_MAJOR, major), (_MINOR, minor)) if n >= 0
    ]
    code = []
    rest = len(comparisons) + 5  # instructions of this rule that are still to come
    for register, number in comparisons:
        rest -= 1
        code.append(_instruction(_UNLESS_EQUAL, register, offset=rest, immediate=number))
    return [
        *code,
        _instruction(_COPY, _SCRATCH, _WANTED),
        _instruction(_AND, _SCRATCH, immediate=access),
        _instruction(_UNLESS_SAME, _SCRATCH, _WANTED, offset=2),
        _instruction(_SET, _RESULT, immediate=1),
        _instruction(_EXIT),
    ]


def _instruction(
    operation: int,
    destination: int = 0,
    source: int = 0,
    *,
    offset: int = 0,
    immediate: int = 0,
) -> bytes:
    """Return a struct bpf_insn; in its second byte the source is the upper half."""
    registers = destination | source << 4
    return struct.pack("<BBhI", operation, registers, offset, immediate)


def attach(cgroup: str, rules: Sequence[DeviceRule]) -> None:
    """Put `rules` in force for the processes in directory `cgroup`, and those to come.

    Raises:
        OSError: the kernel refuses, see `bpf`.
    """
    program = bpf.load_device_program(compile_rules(rules))
    try:
        bpf.attach_device_program(program, cgroup)
    finally:
        os.close(program)
