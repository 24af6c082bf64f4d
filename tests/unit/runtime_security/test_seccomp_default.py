"""Docker's default policy, compiled, against a plain reading of its rules."""

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidock.errors import Unsupported
from minidock.linux.capabilities import DOCKER_DEFAULT, NAMES, mask
from minidock.linux.seccomp import MAX_INSTRUCTIONS
from minidock.linux.syscalls import MACHINES, X32_BIT, Abi, numbers
from minidock.runtime import seccomp
from minidock.runtime.seccomp_policy import ALLOW, DEFAULT, ERRNO, KILL_PROCESS, Condition
from tests.unit.runtime_security.bpf import Call, run

EPERM = ERRNO | 1
ENOSYS = ERRNO | 38
KERNEL = (6, 1)
SYS_ADMIN = mask(["CAP_SYS_ADMIN"])
ABIS = [(machine, abi) for machine, abis in MACHINES.items() for abi in abis]
abis = pytest.mark.parametrize(("machine", "abi"), ABIS, ids=lambda v: getattr(v, "name", v))

compiled = functools.cache(seccomp.compile_default)
table = functools.cache(numbers)


def call(abi: Abi, name: str, *arguments: int) -> Call:
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    return Call(abi.audit, table(abi.name)[name], padded)


def decide(machine: str, abi: Abi, name: str, *arguments: int, caps: int = 0) -> int:
    return run(compiled(machine, caps, KERNEL), call(abi, name, *arguments)).action


def holds(condition: Condition, arguments: tuple[int, ...]) -> bool:
    left = arguments[condition.argument] & condition.mask
    right = condition.value
    return {
        "eq": left == right,
        "ne": left != right,
        "lt": left < right,
        "le": left <= right,
        "gt": left > right,
        "ge": left >= right,
    }[condition.operator]


def plain_reading(machine: str, caps: int, kernel: tuple[int, int], name: str, args) -> int:
    rules = [
        r for r in DEFAULT.rules if name in r.names and r.guard.holds(machine, caps, kernel)
    ]
    for rule in sorted(rules, key=lambda r: bool(r.conditions)):
        if all(holds(c, args) for c in rule.conditions):
            return rule.action
    return DEFAULT.default


INTERESTING = (0, 8, 37, 38, 39, 40, 41, 0x20000, 0x20008, 0x02000000, 0x10000000, 0xFFFFFFFF)
words = st.sampled_from(INTERESTING) | st.integers(0, 0xFFFFFFFF)
values = st.builds(
    lambda high, low: high << 32 | low, st.sampled_from((0, 0, 1)) | words, words
)


@given(
    st.sampled_from(ABIS),
    st.sampled_from((0, DOCKER_DEFAULT, SYS_ADMIN, (1 << len(NAMES)) - 1))
    | st.integers(0, (1 << len(NAMES)) - 1),
    st.sampled_from(((4, 7), (4, 8), KERNEL)),
    st.tuples(*[values] * 6),
)
def test_every_call_gets_what_the_rules_say(where, caps, kernel, arguments):
    """For each call of each ABI, whatever the arguments, capabilities and kernel."""
    machine, abi = where
    program = compiled(machine, caps, kernel)
    newest = max(
        number
        for name, number in table(abi.name).items()
        if any(name in rule.names for rule in DEFAULT.rules) and number - abi.base < 0x10000
    )
    for name, number in table(abi.name).items():
        expected = plain_reading(machine, caps, kernel, name, arguments)
        if newest < number < abi.base + 0x10000:
            expected = ENOSYS
        assert run(program, Call(abi.audit, number, arguments)).action == expected, name


@abis
def test_numbers_without_a_call(machine, abi):
    """A hole in the table is EPERM, a number after all known calls ENOSYS."""
    program = compiled(machine, DOCKER_DEFAULT, KERNEL)
    known = set(table(abi.name).values())
    holes = set(range(abi.base, abi.base + 400)) - known
    actions = {run(program, Call(abi.audit, hole)).action for hole in holes}
    assert actions <= {EPERM}
    for number in (600, 0xFFFF):
        assert run(program, Call(abi.audit, abi.base + number)).action == ENOSYS
    for number in (abi.base + 0x10000, 0xFFFFFFFF):
        assert run(program, Call(abi.audit, number)).action == EPERM


@abis
def test_namespaces_need_sys_admin(machine, abi):
    """clone(2) makes threads and children, but no namespaces; clone3(2) sends to clone(2)."""
    thread = 0x003D0F00  # pthread_create
    assert decide(machine, abi, "clone", thread) == ALLOW
    assert decide(machine, abi, "clone", 17) == ALLOW  # fork: SIGCHLD
    for bit in (17, 25, 26, 27, 28, 29, 30):
        assert decide(machine, abi, "clone", 17 | 1 << bit) == EPERM
        assert decide(machine, abi, "clone", 17 | 1 << bit, caps=SYS_ADMIN) == ALLOW
    assert decide(machine, abi, "clone3") == ENOSYS
    assert decide(machine, abi, "clone3", caps=SYS_ADMIN) == ALLOW
    for name in ("unshare", "setns", "mount", "umount2", "bpf", "open_tree"):
        assert decide(machine, abi, name, caps=DOCKER_DEFAULT) == EPERM
        assert decide(machine, abi, name, caps=SYS_ADMIN) == ALLOW


@abis
def test_socket_families(machine, abi):
    """AF_ALG and AF_VSOCK are denied, also with high bits that the kernel cuts off."""
    for family in (*range(46), 100):
        expected = EPERM if family in (38, 40) else ALLOW
        assert decide(machine, abi, "socket", family) == expected
        assert decide(machine, abi, "socket", 1 << 32 | family) == expected
        assert decide(machine, abi, "socket", 0xFFFFFFFF << 32 | family) == expected


@abis
def test_personalities(machine, abi):
    """Address randomization can't be switched off."""
    for persona in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF):
        assert decide(machine, abi, "personality", persona) == ALLOW
    for persona in (0x0040000, 0x40008, 1, 1 << 32):
        assert decide(machine, abi, "personality", persona) == EPERM


@abis
def test_never_allowed(machine, abi):
    """These stay denied with every capability (io_uring, keyrings, userfaultfd, kexec)."""
    everything = (1 << len(NAMES)) - 1
    for name in (
        "io_uring_setup",
        "io_uring_enter",
        "add_key",
        "request_key",
        "keyctl",
        "userfaultfd",
        "kexec_load",
        "swapon",
        "pivot_root",
        "move_pages",
    ):
        assert decide(machine, abi, name, caps=everything) == EPERM


@pytest.mark.parametrize(
    ("capability", "name"),
    [
        ("CAP_BPF", "bpf"),
        ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
        ("CAP_PERFMON", "perf_event_open"),
        ("CAP_SYSLOG", "syslog"),
        ("CAP_SYS_BOOT", "reboot"),
        ("CAP_SYS_CHROOT", "chroot"),
        ("CAP_SYS_MODULE", "finit_module"),
        ("CAP_SYS_NICE", "mbind"),
        ("CAP_SYS_PACCT", "acct"),
        ("CAP_SYS_PTRACE", "pidfd_getfd"),
        ("CAP_SYS_RAWIO", "iopl"),
        ("CAP_SYS_TIME", "clock_settime"),
        ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ],
)
def test_capability_opens_its_calls(capability, name):
    """A call that belongs to a capability is allowed with it and denied without."""
    abi = MACHINES["x86_64"][0]
    assert decide("x86_64", abi, name, caps=mask([capability])) == ALLOW
    assert decide("x86_64", abi, name) == EPERM


def test_old_kernels_have_no_ptrace():
    """Before Linux 4.8 ptrace(2) gets round a filter, so it needs CAP_SYS_PTRACE."""
    abi = MACHINES["x86_64"][0]
    ptrace = call(abi, "ptrace")
    assert run(compiled("x86_64", 0, (4, 7)), ptrace).action == EPERM
    assert run(compiled("x86_64", 0, (4, 8)), ptrace).action == ALLOW
    assert run(compiled("x86_64", mask(["CAP_SYS_PTRACE"]), (4, 7)), ptrace).action == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_foreign_interface_is_killed(machine):
    """A call by an architecture that is not the machine's ends the process."""
    foreign = 0x40000028 if machine == "x86_64" else 0xC000003E
    assert run(compiled(machine, 0, KERNEL), Call(foreign, 0)).action == KILL_PROCESS


@pytest.mark.parametrize("machine", MACHINES)
def test_program_is_small(machine):
    """It is far below the kernel's limit, and a call costs few steps."""
    program = compiled(machine, DOCKER_DEFAULT, KERNEL)
    assert len(program) // 8 < MAX_INSTRUCTIONS // 4
    abi = MACHINES[machine][0]
    for name in ("read", "write", "openat", "futex", "mmap"):
        assert run(program, call(abi, name)).steps <= 14


def test_x32_is_filtered_too():
    """A call by its x32 number is judged by its name; it is no way round the filter."""
    x32 = MACHINES["x86_64"][2]
    assert table("x32")["mount"] == table("x86_64")["mount"] | X32_BIT
    assert decide("x86_64", x32, "mount") == EPERM
    assert decide("x86_64", x32, "read") == ALLOW


def test_unknown_machine():
    """A machine without a table is refused and the hint says what can be done."""
    with pytest.raises(Unsupported) as error:
        seccomp.compile_default("sparc", 0, KERNEL)
    assert "sparc" in error.value.message
    assert "unconfined" in (error.value.hint or "")


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("6.1.0-18-amd64", (6, 1)),
        ("6.18.44-fc-v657", (6, 18)),
        ("5.10", (5, 10)),
        ("4.8-rc1", (4, 8)),
        ("weird", (0, 0)),
        ("x.1", (0, 0)),
        ("6.", (0, 0)),
    ],
)
def test_kernel_version(release, version):
    """The first two numbers count."""
    assert seccomp.kernel_version(release) == version
