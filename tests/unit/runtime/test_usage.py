"""Where the figures of `stats` come from."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from minidock.runtime import proc
from minidock.runtime.usage import measure

V1 = {
    "cgroup.procs": "",
    "cpuacct.usage": "123456789\n",
    "memory.usage_in_bytes": "5000000\n",
    "memory.stat": "cache 7\ntotal_inactive_file 1000000\n",
    "blkio.throttle.io_service_bytes_recursive": (
        "8:0 Read 4096\n8:0 Write 512\n8:0 Total 4608\n8:16 Read 1\nTotal 4609\n"
    ),
    "pids.current": "5\n",
    "cpu.stat": "nr_periods 3\n",
}
V2 = {
    "cgroup.procs": "",
    "cpu.stat": "usage_usec 2000\nuser_usec 1\n",
    "memory.current": "5000000\n",
    "memory.stat": "anon 7\ninactive_file 1000000\n",
    "io.stat": "8:0 rbytes=4096 wbytes=512 rios=1 wios=1\n8:16 rbytes=1 wbytes=0\n",
    "pids.current": "5\n",
}


def write(directory, files) -> tuple[str, ...]:
    for name, text in files.items():
        (directory / name).write_text(text)
    return (str(directory),)


@pytest.fixture
def child() -> Iterator[int]:
    """A process that waits, with a child of its own."""
    words = ["sh", "-c", "sleep 100 & echo; read end; kill $!"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, **pipes) as process:
        process.stdout.read(1)
        yield process.pid
        process.stdin.close()


@pytest.mark.parametrize(("files", "cpu"), [(V1, 123456789), (V2, 2_000_000)])
def test_cgroups_that_count(tmp_path, files, cpu):
    """Both versions; file pages that are dropped first are no use of memory."""
    usage = measure(write(tmp_path, files), os.getpid(), memory_counted=True)
    assert usage.cpu == cpu
    assert usage.memory == 4_000_000
    assert (usage.read, usage.written) == (4097, 512)
    assert usage.tasks == 5


def test_memory_that_nobody_counted(tmp_path, child):
    """The files say little when the controller came later: the processes are asked."""
    files = {**V2, "cgroup.procs": f"{child}\n"}
    usage = measure(write(tmp_path, files), child, memory_counted=False)
    assert 0 < usage.memory < 4_000_000


def test_processes(child):
    """Without cgroups the descendants are added up."""
    usage = measure((), child, memory_counted=False)
    assert usage.tasks == 2
    assert usage.memory > 0
    assert len(proc.members((), child)) == 2


def test_the_network_of_the_host_is_not_the_containers(child):
    """As in docker, nothing is counted then."""
    usage = measure((), child, memory_counted=False)
    assert (usage.received, usage.sent) == (0, 0)


def test_process_that_has_ended():
    """What is gone uses nothing."""
    with subprocess.Popen(["true"]) as process:
        pass
    usage = measure((), process.pid, memory_counted=False)
    assert usage == type(usage)()


def test_names_with_parentheses(tmp_path):
    """A process may be called anything."""
    program = tmp_path / "a) R (b"
    program.write_text("#!/bin/sh\ncat\n")
    program.chmod(0o700)
    with subprocess.Popen([program], stdin=subprocess.PIPE) as process:
        try:
            while (stat := proc.read_stat(process.pid)).name != "a) R (b":
                pass
            assert stat.parent == os.getpid()
        finally:
            process.stdin.close()
