# SPDX-License-Identifier: Apache-2.0
"""The compiler from a policy to a classic BPF program for seccomp(2).

A program reads a struct seccomp_data: int nr, u32 arch, u64 instruction_pointer, u64 args[6].
The number of the call is looked up by binary search over ranges of numbers with one verdict.
Jumps only lead forward, and every path ends in a return.
"""

import struct
from collections.abc import Iterable, Mapping
from itertools import pairwise

from minidock.errors import Unsupported
from minidock.linux.seccomp import MAX_INSTRUCTIONS
from minidock.linux.syscalls import MACHINES, Abi, numbers
from minidock.runtime.seccomp_policy import (
    ALLOW,
    ENOSYS,
    ERRNO,
    KILL_PROCESS,
    LOG,
    TRACE,
    Condition,
    Policy,
)
from minidock.values import NamedTuple

# linux/bpf_common.h: class | size or operation | mode or source
_LOAD = 0x20  # LD | W | ABS: A = word at k
_AND = 0x54  # ALU | AND | K: A &= k
_JUMP = 0x05  # JMP | JA
_IF_EQUAL = 0x15  # JMP | JEQ | K
_IF_GREATER = 0x25  # JMP | JGT | K
_IF_AT_LEAST = 0x35  # JMP | JGE | K
_RETURN = 0x06  # RET | K

_NUMBER = 0  # offsets in struct seccomp_data
_ARCHITECTURE = 4
_ARGUMENTS = 16

_MAX_OFFSET = 255  # of a conditional jump; _JUMP has 32 bits
_WORD = 0xFFFFFFFF
_NUMBERS_OF_ABI = 0x10000  # more than any ABI has, but for arm's private calls at 0xF0000

_Instruction = tuple[int, int, int, int]  # code, offset if true, offset if false, k


class UnsupportedMachine(Unsupported):
    """The numbers of this machine's system calls are not known."""


class FilterTooLong(Unsupported):
    """The profile has more rules than a BPF program can hold."""


class _Verdict(NamedTuple):
    """The action of the first alternative whose conditions hold, or else `otherwise`."""

    otherwise: int
    alternatives: tuple[tuple[tuple[Condition, ...], int], ...] = ()


def compile_policy(
    policy: Policy, machine: str, capabilities: int, kernel: tuple[int, int]
) -> bytes:
    """Return `policy` as an array of struct sock_filter.

    Args:
        policy: what to compile.
        machine: as uname(2) has it.
        capabilities: the container's, as a mask.
        kernel: major and minor version.

    Raises:
        UnsupportedMachine: the table of system calls has not got `machine`.
        FilterTooLong: the program exceeds what the kernel accepts.
    """
    abis = MACHINES.get(machine)
    if abis is None:
        raise UnsupportedMachine(
            f"seccomp filters for {machine} are not supported",
            hint="use --security-opt seccomp=unconfined",
        )
    verdicts = _verdicts(policy, machine, capabilities, kernel)
    code = _return(KILL_PROCESS)
    for audit in dict.fromkeys(abi.audit for abi in reversed(abis)):
        siblings = [abi for abi in abis if abi.audit == audit]
        block = [(_LOAD, 0, 0, _NUMBER), *_search(_ranges(policy, siblings, verdicts))]
        code = _branch(_IF_EQUAL, audit, yes=block, no=code)
    code.insert(0, (_LOAD, 0, 0, _ARCHITECTURE))
    if len(code) > MAX_INSTRUCTIONS:
        raise FilterTooLong(
            f"the seccomp profile needs {len(code)} instructions, "
            f"at most {MAX_INSTRUCTIONS} are possible"
        )
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _verdicts(
    policy: Policy, machine: str, capabilities: int, kernel: tuple[int, int]
) -> dict[str, _Verdict]:
    """Return what the rules in force say of each call that they name."""
    verdicts: dict[str, _Verdict] = {}
    for rule in policy.rules:
        if rule.action == policy.default or not rule.guard.holds(machine, capabilities, kernel):
            continue
        for name in rule.names:
            before = verdicts.get(name, _Verdict(policy.default))
            if name in verdicts and not before.alternatives:
                continue  # an earlier rule without conditions
            if rule.conditions:
                alternatives = (*before.alternatives, (rule.conditions, rule.action))
                verdicts[name] = _Verdict(policy.default, alternatives)
            else:
                verdicts[name] = _Verdict(rule.action)
    return verdicts


def _ranges(
    policy: Policy, abis: Iterable[Abi], verdicts: Mapping[str, _Verdict]
) -> list[tuple[int, _Verdict]]:
    """Return the numbers at which the verdict changes, ascending from 0, with the new one."""
    default = _Verdict(policy.default)
    points = {}
    for abi in abis:
        if abi.name not in policy.abis:
            points[abi.base] = _Verdict(KILL_PROCESS)
            continue
        points[abi.base] = default
        points |= _points(policy, abi, verdicts)
    points[_WORD] = default  # -1: a tracer has cancelled the call
    ascending = sorted(points.items())
    return ascending[:1] + [b for a, b in pairwise(ascending) if a[1] != b[1]]


def _points(policy: Policy, abi: Abi, verdicts: Mapping[str, _Verdict]) -> dict[int, _Verdict]:
    """Return where the verdicts on the calls of one ABI begin and end."""
    default = _Verdict(policy.default)
    table = numbers(abi.name)
    ends = {}
    begins = {}
    for name, verdict in verdicts.items():
        if name in table:
            begins[table[name]] = verdict
            ends[table[name] + 1] = default
    end = abi.base + _NUMBERS_OF_ABI
    if policy.default & ~0xFFFF not in (ALLOW, LOG, TRACE):
        named = {table[name] for rule in policy.rules for name in rule.names if name in table}
        newest = max((number for number in named if number < end), default=end - 1)
        ends |= {newest + 1: _Verdict(ERRNO | ENOSYS), end: default}
    return ends | begins


def _search(ranges: list[tuple[int, _Verdict]]) -> list[_Instruction]:
    """Return the code that finds the range of A and does what its verdict says."""
    if len(ranges) == 1:
        return _decide(ranges[0][1])
    middle = len(ranges) // 2
    return _branch(
        _IF_AT_LEAST,
        ranges[middle][0],
        yes=_search(ranges[middle:]),
        no=_search(ranges[:middle]),
    )


def _branch(
    test: int, value: int, *, yes: list[_Instruction], no: list[_Instruction]
) -> list[_Instruction]:
    """Return the code that goes on with `yes` if A compares to `value`, else with `no`."""
    if len(no) <= _MAX_OFFSET:
        return [(test, len(no), 0, value), *no, *yes]
    return [(test, 0, 1, value), (_JUMP, 0, 0, len(no)), *no, *yes]


def _return(action: int) -> list[_Instruction]:
    return [(_RETURN, 0, 0, action)]


def _decide(verdict: _Verdict) -> list[_Instruction]:
    code = []
    for conditions, action in verdict.alternatives:
        code += _alternative(conditions, action)
    return code + _return(verdict.otherwise)


_HOLDS = "holds"
_FAILS = "fails"
_NEXT = "next"  # not known yet
_Test = tuple[int, str, str, int]  # code, exit if true, exit if false, k


def _alternative(conditions: tuple[Condition, ...], action: int) -> list[_Instruction]:
    """Return the code that returns `action` if all conditions hold, and else falls through."""
    blocks = [_compare(condition) for condition in conditions]
    end = sum(map(len, blocks)) + 1  # past the return
    code: list[_Instruction] = []
    for block in blocks:
        targets = {_HOLDS: len(code) + len(block), _FAILS: end}
        for test, yes, no, k in block:
            following = len(code) + 1
            code.append(
                (
                    test,
                    targets.get(yes, following) - following,
                    targets.get(no, following) - following,
                    k,
                )
            )
    return code + _return(action)


def _compare(condition: Condition) -> list[_Test]:
    """Return the tests of one condition: BPF has 32 bits, so the high word goes first."""
    operator = condition.operator
    negated = {"ne": "eq", "lt": "ge", "le": "gt"}.get(operator)
    yes, no = (_FAILS, _HOLDS) if negated else (_HOLDS, _FAILS)
    operator = negated or operator

    # The last word decides; an equal high word leaves it open.
    last = {"eq": _IF_EQUAL, "gt": _IF_GREATER, "ge": _IF_AT_LEAST}[operator]
    offset = _ARGUMENTS + 8 * condition.argument
    code: list[_Test] = []
    if condition.mask >> 32 or condition.value >> 32:
        code += _load(offset + 4, condition.mask >> 32)
        if operator != "eq":
            code.append((_IF_GREATER, yes, _NEXT, condition.value >> 32))
        code.append((_IF_EQUAL, _NEXT, no, condition.value >> 32))
    code += _load(offset, condition.mask & _WORD)
    code.append((last, yes, no, condition.value & _WORD))
    return code


def _load(offset: int, mask: int) -> list[_Test]:
    code: list[_Test] = [(_LOAD, _NEXT, _NEXT, offset)]
    if mask != _WORD:
        code.append((_AND, _NEXT, _NEXT, mask))
    return code
