# SPDX-License-Identifier: Apache-2.0
"""What a container sees of itself and of the host, with nothing but the default flags."""

import os
import re
import socket
import sys

import pytest

from tests.system.place import Place

DOCKER_CAPABILITIES = "00000000a80425fb"
MASKED_FILES = ("kcore", "keys", "timer_list", "latency_stats", "sched_debug")
MASKED_DIRECTORIES = ("/proc/acpi", "/proc/scsi", "/sys/firmware")
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/sys")
DEVICES = [
    "console", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr",
    "stdin", "stdout", "tty", "urandom", "zero",
]  # fmt: skip


@pytest.fixture(params=["run", "exec"])
def inside(request: pytest.FixtureRequest, minidock: Place):
    """Run a script in a new container, or in one that runs; give stdout and stderr as one."""
    words = ("run", "--rm", "base")
    if request.param == "exec":
        minidock("run", "-d", "--name", "box", "base", "sleep", "60")
        words = ("exec", "box")

    def run(script: str) -> str:
        return minidock.result(*words, "sh", "-c", f"exec 2>&1\n{script}").text

    return run


def test_privileges(inside):
    """Docker's capabilities and no ambient ones, a seccomp filter, the usual umask."""
    status = dict(
        line.split(":\t", 1)
        for line in inside("cat /proc/self/status").splitlines()
        if "\t" in line
    )
    for name in ("CapEff", "CapPrm", "CapBnd"):
        assert status[name] == DOCKER_CAPABILITIES, name
    assert status["CapAmb"] == "0" * 16
    assert status["CapInh"] == "0" * 16
    assert (status["Seccomp"], status["NoNewPrivs"], status["Umask"]) == ("2", "0", "0022")
    assert status["SigBlk"] == "0" * 16


def test_proc_and_sys(inside):
    """Files that tell or change too much are masked or read-only."""
    out = inside(
        "for f in " + " ".join(MASKED_FILES) + "; do cat /proc/$f | wc -c; done\n"
        "for d in " + " ".join(MASKED_DIRECTORIES) + "; do ls $d 2>/dev/null | wc -l; done"
    )
    assert set(out.split()) <= {"0"} or "No such file" in out
    assert not re.search("^[1-9]", out, re.MULTILINE)
    mounts = inside("cat /proc/self/mounts")
    options = {line.split()[1]: line.split()[3].split(",") for line in mounts.splitlines()}
    for path in READ_ONLY:
        if os.path.exists(path):
            assert "ro" in options[path], path
    assert "Read-only file system" in inside("echo 1 > /proc/sys/kernel/panic")


def test_devices(inside):
    """/dev has what docker's has; nodes can be made, and not opened."""
    names = inside("ls /dev").split()
    assert names in (DEVICES, [name for name in DEVICES if name != "console"])
    out = inside("mknod /disk b 8 0 && cat /disk; mknod /mem c 1 1 && cat /mem; rm /disk /mem")
    assert out.count("Operation not permitted") == 2
    assert inside("echo x > /dev/full") != ""


def test_what_is_denied(inside):
    """Mounts, new namespaces, the kernel's keys and its log are not for containers."""
    for command in (
        "mount -t tmpfs none /tmp",
        "umount /proc/sys",
        "unshare -m true",
        "unshare -U true",
        "nsenter -t 1 -m true",
        "dmesg",
        "chroot / mount -t proc proc /proc",
        "swapoff /tmp",
        "hostname other",
    ):
        out = inside(f"{command}; echo status $?")
        assert re.search("ermitted|denied", out), (command, out)
        assert "status 0" not in out, command


def test_processes(inside):
    """Pid 1 and all others are the container's; nothing of the host's interpreter is seen."""
    out = inside(
        "for p in /proc/[0-9]*; do readlink $p/exe; done | sort -u; echo; ls -l /proc/self/fd"
    )
    programs, files = out.split("\n\n")
    assert programs == "/bin/busybox"
    opened = [line.split(" -> ")[1] for line in files.splitlines() if " -> " in line]
    assert [name for name in opened if not name.startswith(("pipe:", "/dev/null"))] == (
        [name for name in opened if re.fullmatch(r"/proc/\d+/fd", name)]
    )
    assert "python" not in inside("cat /proc/1/maps /proc/1/cmdline /proc/1/environ")


def test_identity(inside):
    """A host name, hosts and mounts of its own; nothing of the host's environment or paths."""
    out = inside("hostname; cat /etc/hostname; env; cat /proc/self/mountinfo /proc/self/cgroup")
    name, again, *rest = out.splitlines()
    assert re.fullmatch("[0-9a-f]{12}", name)
    assert name == again
    assert os.uname().nodename not in (name, again)
    assert not [line for line in rest if "MINIDOCK" in line]


def test_the_host_keeps_its_processes(minidock: Place):
    """A fork or a signal to all reaches nobody outside of the container."""
    minidock("run", "-d", "--name", "other", "base", "sleep", "60")
    minidock.result("run", "--rm", "base", "sh", "-c", "kill -9 -1")
    assert minidock.state("other")["Running"] is True


def test_signals_are_as_after_a_boot(minidock: Place):
    """What the caller ignores or blocks is not handed on, SIGPIPE of Python's above all."""
    out = minidock("run", "--rm", "base", "cat", "/proc/self/status")
    assert re.findall("Sig(?:Ign|Blk):\t(.*)", out) == ["0" * 16] * 2


def test_a_socket_family_that_is_denied(minidock: Place):
    """AF_ALG, the kernel's door to its ciphers, is shut; the usual families are not."""
    binds = []
    for path in {"/lib", "/lib64", "/usr/lib", os.path.realpath(sys.base_prefix)}:
        if os.path.isdir(path):
            binds += ["-v", f"{path}:{path}:ro"]
    python = os.path.realpath(sys.executable)
    script = (
        "import socket, sys\n"
        "try: socket.socket(int(sys.argv[1]), socket.SOCK_SEQPACKET).close()\n"
        "except PermissionError: print('denied')\n"
    )
    run = ("run", "--rm", *binds, "base", python, "-I", "-c", script)
    assert minidock(*run, str(int(socket.AF_UNIX))) == ""
    assert minidock(*run, str(int(socket.AF_ALG))) == "denied\n"
