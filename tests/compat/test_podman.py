# SPDX-License-Identifier: Apache-2.0
"""podman with our runtime: what its users see is what they see with runc."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.system.images import MOUNT_POINTS, base_layer
from tests.system.place import require, wait_for
from tests.system.runtimes import own_runtime

pytestmark = [
    pytest.mark.root,
    pytest.mark.oracle,
    pytest.mark.skipif(bool(require()), reason=require()),
    pytest.mark.skipif(not shutil.which("podman"), reason="needs podman"),
    pytest.mark.skipif(not shutil.which("runc"), reason="needs runc"),
]

# podman raises these limits, which needs a capability that root may not have here.
LIMITS = ("--ulimit", "nofile=1024", "--ulimit", "nproc=1000")
STATUS = "grep -E '^(Cap|Seccomp|NoNew)' /proc/self/status"
CGROUP = "cat /sys/fs/cgroup/{0}/{1} /sys/fs/cgroup/{1} 2>/dev/null"


class Result(NamedTuple):
    status: int
    out: str
    err: str


class Podman:
    """podman with a state of its own and one runtime."""

    def __init__(self, directory: Path, runtime: str) -> None:
        self._directory = directory
        self._words = (
            *("podman", "--root", f"{directory}/root", "--runroot", f"{directory}/run"),
            *("--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"),
            *("--events-backend", "none", "--runtime", runtime),
        )

    def __call__(self, *words: str, given: bytes = b"") -> Result:
        done = subprocess.run(
            [*self._words, *words],
            input=given,
            capture_output=True,
            env={"PATH": os.environ["PATH"], "HOME": str(self._directory)},
            timeout=60,
            check=False,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    def run(self, *words: str, given: bytes = b"") -> Result:
        return self("run", "--network", "none", *LIMITS, *words, given=given)


@pytest.fixture(scope="module")
def podmen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Podman, Podman]]:
    """Podman with our runtime, and with runc, on one image ``base``."""
    directory = tmp_path_factory.mktemp("podman")
    ours = Podman(directory, own_runtime(directory))
    theirs = Podman(directory, "runc")
    imported = ours("import", "-", "base", given=base_layer(*MOUNT_POINTS))
    assert imported.status == 0, imported.err
    if theirs.run("--rm", "base", "true").status != 0:
        pytest.skip("podman can't run a container here")
    yield ours, theirs
    ours("rm", "-fa", "-t", "0")
    subprocess.run(["umount", "-q", f"{directory}/root"], check=False)
    for group, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
        if "/libpod_parent" in group:
            with contextlib.suppress(OSError):  # another podman is there
                os.rmdir(group)


LINES = (
    "base sh -c 'echo out; echo err >&2; exit 3'",
    "base nosuch",
    "base /etc",
    "base /nosuch/x",
    f'--user 1000:1000 base sh -c "id; {STATUS}"',
    f'--user bob --cap-add NET_ADMIN base sh -c "id; {STATUS}"',
    f'--cap-drop ALL base sh -c "{STATUS}"',
    f'--security-opt no-new-privileges --security-opt seccomp=unconfined base sh -c "{STATUS}"',
    "--read-only base sh -c 'echo > /x || echo > /tmp/y && ls /tmp'",
    "--tmpfs /etc:size=1m base sh -c 'ls /etc/passwd; grep -c \" /etc tmpfs\" /proc/mounts'",
    "-v {0}:/v -v {0}:/r:ro base sh -c 'cat /v/file; echo 2 >/v/new; cat /r/new; echo >/r/x'",
    "--device /dev/loop0:/dev/it:r base sh -c 'ls -l /dev/it | cut -c1-10; echo > /dev/it'",
    "--sysctl net.ipv4.ip_forward=1 --sysctl kernel.msgmax=5000 base"
    " cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax",
    "--memory 64m base sh -c '" + CGROUP.format("memory", "memory.limit_in_bytes") + "'",
    "--pids-limit 20 base sh -c '" + CGROUP.format("pids", "pids.max") + "'",
    "--cgroupns private base cat /proc/self/cgroup",
    "--hostname box --umask 0077 -w /tmp -e A=1 --group-add 7 base"
    " sh -c 'hostname; umask; pwd; id -G; echo $A $HOME'",
    "--privileged base sh -c 'ls /dev | wc -l; touch /sys/kernel/x 2>&1 | grep -c ermi'",
    "--pid host --ipc host --uts host base sh -c 'readlink /proc/self/ns/pid; hostname'",
    "--init base cat /proc/1/comm",
)


@pytest.mark.parametrize("line", LINES)
def test_same_as_with_runc(podmen: tuple[Podman, Podman], line: str, tmp_path: Path):
    """Status and output are the same."""
    if "loop0" in line and not os.path.exists("/dev/loop0"):
        pytest.skip("not here")
    words = [word.strip("'\"") for word in re.findall(r"'[^']*'|\"[^\"]*\"|\S+", line)]
    results = []
    for podman in podmen:
        directory = tmp_path / str(len(results))
        directory.mkdir()
        (directory / "file").write_text("1\n")
        result = podman.run("--rm", *(w.replace("{0}", str(directory)) for w in words))
        results.append((result.status, result.out))
    assert results[0] == results[1]


def test_input_and_terminal(podmen: tuple[Podman, Podman]):
    """Input arrives; a terminal is the container's first."""
    for podman in podmen:
        assert podman.run("--rm", "-i", "base", "cat", given=b"text\n")[:2] == (0, "text\n")
        assert podman.run("--rm", "-t", "base", "tty")[:2] == (0, "/dev/pts/0\r\n")


def test_life(podmen: tuple[Podman, Podman]):
    """A detached container: exec, pause, stats, top, stop, start, kill, rm."""
    podman = podmen[0]
    script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    assert podman.run("-d", "--name", "box", "base", "sh", "-c", script).status == 0
    wait_for(lambda: podman("logs", "box").out == "ready\n", "the log")
    assert podman("exec", "box", "sh", "-c", "id -u; exit 5")[:2] == (5, "0\n")
    assert podman("exec", "-u", "bob", "-w", "/tmp", "box", "pwd").out == "/tmp\n"
    assert podman("exec", "-i", "box", "cat", given=b"text").out == "text"
    assert podman("exec", "-t", "box", "tty").out == "/dev/pts/0\r\n"
    assert podman("exec", "box", "nosuch").status == 127
    assert podman("exec", "-d", "box", "sh", "-c", "echo > /made").status == 0
    wait_for(lambda: podman("exec", "box", "ls", "/made").status == 0, "the detached command")
    assert podman("pause", "box").status == 0
    assert podman("inspect", "-f", "{{.State.Status}}", "box").out == "paused\n"
    assert podman("unpause", "box").status == 0
    assert "box" in podman("stats", "--no-stream", "box").out
    assert podman("stop", "box").status == 0
    assert podman("wait", "box").out == "9\n"
    assert podman("start", "box").status == 0
    assert podman("kill", "box").status == 0
    assert podman("wait", "box").out == "137\n"
    assert podman("rm", "box").status == 0


def test_shared_namespaces(podmen: tuple[Podman, Podman]):
    """A container joins those of another one by their paths."""
    podman = podmen[0]
    assert podman.run("-d", "--name", "first", "base", "sleep", "60").status == 0
    kinds = ("net", "ipc", "pid")
    script = "; ".join(f"readlink /proc/self/ns/{kind}" for kind in kinds)
    joined = ("--network", "--ipc", "--pid")
    flags = [word for flag in joined for word in (flag, "container:first")]
    second = podman("run", "--rm", *LIMITS, *flags, "base", "sh", "-c", script)
    assert second.out == podman("exec", "first", "sh", "-c", script).out
    assert len(second.out.split()) == 3
    assert podman("rm", "-ft", "0", "first").status == 0
