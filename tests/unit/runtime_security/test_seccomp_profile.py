"""Seccomp profiles in docker's format."""

import json

import pytest

from minidock.errors import InvalidArgument, Unsupported
from minidock.linux.capabilities import mask
from minidock.linux.syscalls import MACHINES, Abi, numbers
from minidock.runtime.seccomp import compile_profile
from minidock.runtime.seccomp_policy import ALLOW, ERRNO, KILL_PROCESS, KILL_THREAD, LOG, TRACE
from tests.unit.runtime_security.bpf import Call, run

X86_64, I386, X32 = MACHINES["x86_64"]


def compiled(rules=(), *, caps=0, kernel=(6, 1), machine="x86_64", **profile) -> bytes:
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": list(rules)} | profile
    return compile_profile(json.dumps(profile).encode(), machine, caps, kernel)


def decide(program: bytes, name: str, *arguments: int, abi: Abi = X86_64) -> int:
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    return run(program, Call(abi.audit, numbers(abi.name)[name], padded)).action


def rule(*names, action="SCMP_ACT_ALLOW", **more):
    return {"names": list(names), "action": action} | more


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ({"action": "SCMP_ACT_ALLOW"}, ALLOW),
        ({"action": "SCMP_ACT_LOG"}, LOG),
        ({"action": "SCMP_ACT_KILL"}, KILL_THREAD),
        ({"action": "SCMP_ACT_KILL_PROCESS"}, KILL_PROCESS),
        ({"action": "SCMP_ACT_TRACE", "errnoRet": 7}, TRACE | 7),
        ({"action": "SCMP_ACT_ERRNO", "errnoRet": 2}, ERRNO | 2),
        ({"action": "SCMP_ACT_ERRNO"}, ERRNO | 1),
        ({"action": "SCMP_ACT_ERRNO", "errnoRet": 0}, ERRNO | 0),
    ],
)
def test_actions(action, value):
    """Each action is the kernel's return value; the errno is EPERM unless given."""
    program = compiled([{"names": ["chmod"]} | action])
    assert decide(program, "chmod") == value


def test_default_action():
    """What no rule names gets the default, with its own errno."""
    assert decide(compiled(defaultErrnoRet=13), "read") == ERRNO | 13
    assert decide(compiled(defaultAction="SCMP_ACT_ALLOW"), "read") == ALLOW


def test_newer_calls_are_enosys_where_calls_are_denied():
    """An allow-list lets newer C libraries fall back; a deny-list lets everything new pass."""
    allowing = compiled([rule("openat2")])
    denying = compiled([rule("openat2", action="SCMP_ACT_ERRNO")], defaultAction="SCMP_ACT_LOG")
    assert decide(allowing, "openat2") == ALLOW
    assert decide(allowing, "mseal") == ERRNO | 38
    assert decide(allowing, "read") == ERRNO | 1
    assert decide(denying, "mseal") == LOG


@pytest.mark.parametrize(
    ("operator", "passing", "failing"),
    [
        ("SCMP_CMP_EQ", [5 << 32 | 7], [7, 5 << 32, 5 << 32 | 8, 6 << 32 | 7]),
        ("SCMP_CMP_NE", [7, 5 << 32 | 6, 6 << 32 | 7], [5 << 32 | 7]),
        ("SCMP_CMP_LT", [0, 5 << 32 | 6, 4 << 32 | 9], [5 << 32 | 7, 6 << 32]),
        ("SCMP_CMP_LE", [5 << 32 | 7, 4 << 32 | 9], [5 << 32 | 8, 6 << 32]),
        ("SCMP_CMP_GT", [5 << 32 | 8, 6 << 32], [5 << 32 | 7, 4 << 32 | 9]),
        ("SCMP_CMP_GE", [5 << 32 | 7, 6 << 32], [5 << 32 | 6, 4 << 32 | 9]),
    ],
)
def test_comparisons_are_unsigned_64_bit(operator, passing, failing):
    """Both words of an argument count."""
    argument = {"index": 2, "value": 5 << 32 | 7, "op": operator}
    program = compiled([rule("fcntl", args=[argument])])
    for value in passing:
        assert decide(program, "fcntl", 0, 0, value) == ALLOW, hex(value)
    for value in failing:
        assert decide(program, "fcntl", 0, 0, value) == ERRNO | 1, hex(value)


def test_masked_equality():
    """SCMP_CMP_MASKED_EQ compares the bits of value to valueTwo."""
    argument = {"index": 1, "value": 0xF0000000F, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}
    program = compiled([rule("fcntl", args=[argument])])
    assert decide(program, "fcntl", 0, 0xF3) == ALLOW
    assert decide(program, "fcntl", 0, 0xF4) == ERRNO | 1
    assert decide(program, "fcntl", 0, 1 << 32 | 3) == ERRNO | 1


def test_arguments_of_one_rule():
    """Conditions on different arguments must all hold, on one argument any of them."""
    both = [{"index": i, "value": 1, "op": "SCMP_CMP_EQ"} for i in (0, 1)]
    either = [{"index": 0, "value": v, "op": "SCMP_CMP_EQ"} for v in (1, 2)]
    program = compiled([rule("fcntl", args=both), rule("ioctl", args=either)])
    assert decide(program, "fcntl", 1, 1) == ALLOW
    assert decide(program, "fcntl", 1, 2) == ERRNO | 1
    assert decide(program, "fcntl", 2, 1) == ERRNO | 1
    assert decide(program, "ioctl", 1) == ALLOW
    assert decide(program, "ioctl", 2) == ALLOW
    assert decide(program, "ioctl", 3) == ERRNO | 1


def test_rules_without_conditions_win():
    """Wherever it stands, a rule without arguments beats one with; of two, the first."""
    condition = [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]
    program = compiled(
        [
            rule("ioctl", args=condition, action="SCMP_ACT_KILL"),
            rule("ioctl"),
            rule("ioctl", action="SCMP_ACT_LOG"),
        ]
    )
    assert decide(program, "ioctl", 1) == ALLOW


def test_includes_and_excludes():
    """Capabilities, architectures and the kernel's version switch rules on and off."""
    rules = [
        rule("mount", includes={"caps": ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT"]}),
        rule("chroot", excludes={"caps": ["CAP_SYS_ADMIN"]}),
        rule("read", includes={"arches": ["amd64"]}),
        rule("write", excludes={"arches": ["amd64"]}),
        rule("ptrace", includes={"minKernel": "4.8"}),
        rule("bpf", includes={"caps": ["CAP_OF_THE_FUTURE"]}),
    ]
    none = compiled(rules)
    admin = compiled(rules, caps=mask(["CAP_SYS_ADMIN"]))
    both = compiled(rules, caps=mask(["CAP_SYS_ADMIN", "CAP_SYS_CHROOT"]))
    assert [decide(p, "mount") == ALLOW for p in (none, admin, both)] == [False, False, True]
    assert [decide(p, "chroot") == ALLOW for p in (none, admin)] == [True, False]
    assert decide(none, "read") == ALLOW
    assert decide(none, "write") == ERRNO | 1
    assert decide(none, "ptrace") == ALLOW
    assert decide(compiled(rules, kernel=(4, 7)), "ptrace") == ERRNO | 1
    assert decide(both, "bpf") != ALLOW


def test_architectures():
    """Interfaces that the profile doesn't list are killed, the machine's own is always in."""
    rules = [rule("read")]
    alone = compiled(rules)
    listed = compiled(rules, architectures=["SCMP_ARCH_X86"])
    mapped = compiled(
        rules,
        archMap=[
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X32"]},
            {"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": None},
        ],
    )
    reached = {
        name: [decide(program, "read", abi=abi) == ALLOW for abi in (X86_64, I386, X32)]
        for name, program in {"alone": alone, "listed": listed, "mapped": mapped}.items()
    }
    assert reached == {
        "alone": [True, False, False],
        "listed": [True, True, False],
        "mapped": [True, False, True],
    }
    assert decide(alone, "read", abi=X32) == KILL_PROCESS
    assert decide(alone, "read", abi=I386) == KILL_PROCESS
    cancelled = Call(X86_64.audit, 0xFFFFFFFF)
    assert run(alone, cancelled).action == ERRNO | 1


def test_unknown_calls_are_left_out():
    """A profile may name calls of other machines."""
    program = compiled([rule("s390_runtime_instr", "read")])
    assert decide(program, "read") == ALLOW


def test_old_form_of_a_rule():
    """A rule can have one "name"."""
    program = compiled([{"name": "read", "action": "SCMP_ACT_ALLOW"}])
    assert decide(program, "read") == ALLOW


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"defaultAction": "SCMP_ACT_MAYBE"}',
        b'{"defaultAction": 7}',
        b'{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": "EPERM"}',
        b'{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 65536}',
        b'{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}}',
        b'{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": ["read"]}',
        b'{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],'
        b' "archMap": [{"architecture": "SCMP_ARCH_X86"}]}',
        b"[" * 100_000,
    ],
)
def test_broken_profiles_are_refused(raw):
    """A profile is understood as a whole or not used."""
    with pytest.raises(InvalidArgument):
        compile_profile(raw, "x86_64", 0, (6, 1))


@pytest.mark.parametrize(
    "entry",
    [
        {"names": ["read"]},
        {"names": [], "action": "SCMP_ACT_ALLOW"},
        {"names": [7], "action": "SCMP_ACT_ALLOW"},
        rule("read", name="write"),
        rule("read", args=[{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]),
        rule("read", args=[{"index": True, "value": 0, "op": "SCMP_CMP_EQ"}]),
        rule("read", args=[{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]),
        rule("read", args=[{"index": 0, "value": 1 << 64, "op": "SCMP_CMP_EQ"}]),
        rule("read", args=[{"index": 0, "value": 1.5, "op": "SCMP_CMP_EQ"}]),
        rule("read", args=[{"index": 0, "value": 1, "op": "=="}]),
        rule("read", includes={"minKernel": "new"}),
        rule("read", excludes={"minKernel": "4.8"}),
        rule("read", includes=["CAP_SYS_ADMIN"]),
    ],
)
def test_broken_rules_are_refused(entry):
    """A rule that can't be meant is an error, never a rule less."""
    with pytest.raises(InvalidArgument):
        compiled([entry])


def test_notify_is_unsupported():
    """There is no agent to notify."""
    with pytest.raises(Unsupported, match="SCMP_ACT_NOTIFY"):
        compiled([rule("read", action="SCMP_ACT_NOTIFY")])


def test_too_many_rules_are_refused():
    """A program that the kernel would refuse is not made."""
    rules = [
        rule("ioctl", args=[{"index": 1, "value": n << 33 | n, "op": "SCMP_CMP_EQ"}])
        for n in range(1000)
    ]
    with pytest.raises(Unsupported, match="4096"):
        compiled(rules)


def test_long_programs_jump_far():
    """A program whose parts are further away than a conditional jump reaches works."""
    rules = [
        rule(name, args=[{"index": 1, "value": n, "op": "SCMP_CMP_EQ"}])
        for n in range(100)
        for name in ("read", "ioctl", "openat2")
    ]
    program = compiled(rules, architectures=["SCMP_ARCH_X86"])
    assert len(program) // 8 > 2000
    for abi in (X86_64, I386):
        for name in ("read", "ioctl", "openat2"):
            assert decide(program, name, 0, 99, abi=abi) == ALLOW
            assert decide(program, name, 0, 100, abi=abi) == ERRNO | 1
        assert decide(program, "write", 0, 99, abi=abi) == ERRNO | 1
