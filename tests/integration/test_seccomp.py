"""The compiled filter in the kernel: a child loads it and tries what is denied."""

import ctypes
import errno
import os
import platform
import socket

import pytest

from minidock.linux import seccomp as kernel
from minidock.linux.capabilities import DOCKER_DEFAULT, mask
from minidock.linux.libc import syscall
from minidock.linux.syscalls import MACHINES, numbers
from minidock.runtime import seccomp

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading a filter needs CAP_SYS_ADMIN"),
    pytest.mark.skipif(platform.machine() not in MACHINES, reason="no table of system calls"),
]

MACHINE = platform.machine()
NUMBERS = numbers(MACHINES[MACHINE][0].name)
CLONE_NEWUSER = 0x10000000
libc = ctypes.CDLL(None, use_errno=True)


def number(name: str, *arguments: int) -> int:
    """Make a raw call and return its errno, 0 if it went well."""
    padded = [ctypes.c_ulong(value) for value in arguments]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *padded)
    return ctypes.get_errno() if result == -1 else 0


def filtered(probe, capabilities: int = DOCKER_DEFAULT) -> int:
    """Return what `probe` returns (0 to 255) in a child that has loaded the filter."""
    program = seccomp.compile_default(MACHINE, capabilities, (6, 1))
    pid = os.fork()
    if pid == 0:
        try:
            kernel.load(program)
            os._exit(probe())
        finally:
            os._exit(255)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("unshare", (CLONE_NEWUSER,), errno.EPERM),
        ("clone", (CLONE_NEWUSER | 17, 0, 0, 0, 0), errno.EPERM),
        ("clone3", (0, 0), errno.ENOSYS),
        ("mount", (0, 0, 0, 0, 0), errno.EPERM),
        ("bpf", (0, 0, 0), errno.EPERM),
        ("keyctl", (0, 0, 0, 0, 0), errno.EPERM),
        ("io_uring_setup", (1, 0), errno.EPERM),
        ("personality", (0x0040000,), errno.EPERM),
        ("socket", (38, 5, 0), errno.EPERM),
        ("socket", (1 << 32 | 38, 5, 0), errno.EPERM),
        ("socket", (40, 1, 0), errno.EPERM),
        ("setns", (0, 0), errno.EPERM),
    ],
)
def test_denied(name, arguments, expected):
    """Root with every capability, and the filter alone refuses."""
    assert filtered(lambda: number(name, *arguments)) == expected


def test_denied_calls_work_without_the_filter():
    """The test above means something: here the kernel's own answers are different."""
    assert number("clone3", 0, 0) == errno.EINVAL
    assert number("mount", 0, 0, 0, 0, 0) == errno.EFAULT
    assert number("keyctl", 0, 0, 0, 0, 0) == errno.EINVAL


def test_sys_admin_opens_namespaces():
    """With CAP_SYS_ADMIN the same calls reach the kernel."""
    admin = mask(["CAP_SYS_ADMIN"])
    assert filtered(lambda: number("clone3", 0, 0), admin) == errno.EINVAL
    assert filtered(lambda: number("mount", 0, 0, 0, 0, 0), admin) == errno.EFAULT


def test_ordinary_work_goes_on(tmp_path):
    """Files, threads, children, pipes, sockets and time are as before."""

    def work() -> int:
        path = tmp_path / "file"
        path.write_text("text")
        os.chown(path, 1, 1)
        os.link(path, tmp_path / "link")
        left, right = socket.socketpair()
        left.sendall(b"ping")
        assert right.recv(4) == b"ping"
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
        pid = os.fork()
        if pid == 0:
            os.execv("/bin/true", ["true"])
        assert os.waitpid(pid, 0)[1] == 0
        assert path.read_text() == "text"
        return 7

    assert filtered(work) == 7


def test_filter_is_inherited():
    """A program started by execve(2) is filtered too, and reports mode 2."""
    script = ["grep", "-q", "^Seccomp:.*2$", "/proc/self/status"]
    assert filtered(lambda: os.spawnv(os.P_WAIT, "/bin/grep", script)) == 0
    assert os.spawnv(os.P_WAIT, "/bin/grep", script) == 1


@pytest.mark.skipif(MACHINE != "x86_64", reason="int 0x80 is of x86")
def test_32_bit_calls_are_filtered():
    """mount(2) and clone3(2) by int 0x80 meet the same policy."""
    mmap = libc.mmap
    mmap.restype = ctypes.c_void_p
    i386 = numbers("i386")

    def by_interrupt(name: str) -> int:
        call = i386[name].to_bytes(4, "little")
        # push rbx; mov eax, number; xor ebx, ecx, edx, esi, edi; int 0x80; pop rbx; ret
        code = b"\x53\xb8" + call + b"\x31\xdb\x31\xc9\x31\xd2\x31\xf6\x31\xff\xcd\x80\x5b\xc3"
        address = mmap(None, ctypes.c_size_t(4096), 7, 0x22, -1, ctypes.c_long(0))
        ctypes.memmove(address, code, len(code))
        return -ctypes.CFUNCTYPE(ctypes.c_int)(address)() & 0xFF

    assert filtered(lambda: by_interrupt("mount")) == errno.EPERM
    assert filtered(lambda: by_interrupt("clone3")) == errno.ENOSYS
    assert filtered(lambda: by_interrupt("sched_yield")) == 0


@pytest.mark.parametrize("program", [b"", b"1234567", bytes(8 * 4097), bytes(8)])
def test_wrong_programs_are_refused(program):
    """What is no program is EINVAL, and the process goes on unfiltered."""

    def probe() -> int:
        try:
            kernel.load(program)
        except OSError as e:
            return e.errno or 0
        return 0

    pid = os.fork()
    if pid == 0:
        os._exit(probe())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == errno.EINVAL


def test_needs_privilege_or_no_new_privs():
    """Without CAP_SYS_ADMIN, a filter can be loaded once no_new_privs is set."""
    program = seccomp.compile_default(MACHINE, 0, (6, 1))

    def attempt(no_new_privs: bool) -> int:
        pid = os.fork()
        if pid:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        try:
            os.setuid(65534)
            if no_new_privs:
                syscall("prctl", 38, 1, 0, 0, 0)
            kernel.load(program)
            os._exit(0)
        except OSError as e:
            os._exit(e.errno or 255)

    assert attempt(no_new_privs=False) == errno.EACCES
    assert attempt(no_new_privs=True) == 0
