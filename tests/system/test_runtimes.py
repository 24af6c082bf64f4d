# SPDX-License-Identifier: Apache-2.0
"""Containers by another runtime: ``--runtime`` runc, crun, and our own by its command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.oci_schema import check
from tests.system.place import REPOSITORY, Place, lives, wait_for
from tests.system.runtimes import own_runtime
from tests.system.terminal import Terminal

QUIET = ("--network", "none")
TRAP = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done"


@pytest.fixture(params=["runc", "crun", "own"])
def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The value of ``--runtime``."""
    if request.param == "own":
        return own_runtime(tmp_path)
    if shutil.which(request.param) is None:
        pytest.skip(f"needs {request.param}")
    return request.param


@pytest.fixture
def one(tmp_path: Path) -> str:
    """A value of ``--runtime``, for what is the same whichever it is."""
    return own_runtime(tmp_path)


def bundle(place: Place, name: str) -> str:
    """Return the directory of a container's files."""
    return os.path.join(place.root, "containers", place.inspect(name)["Id"])


def test_output_and_status(minidock: Place, runtime: str):
    """Streams are separate, input arrives, the exit status is the program's own."""
    words = ("run", "--rm", "-i", *QUIET, "--runtime", runtime, "base", "sh", "-c")
    result = minidock.result(*words, "cat; echo err >&2; exit 7", stdin=b"in\n")
    assert result == (7, b"in\n", b"err\n")
    assert minidock.result(*words, "kill -9 $$; sleep 9 & kill -9 $!; wait $!").status == 137


@pytest.mark.parametrize(
    ("status", "command"), [(127, "nosuch"), (126, "/etc"), (126, "/etc/not-a-program")]
)
def test_commands_that_are_none(minidock: Place, runtime: str, status: int, command: str):
    """What can't be executed is told in one line, with docker's statuses; nothing is left."""
    error = minidock.refused(status, "run", *QUIET, "--runtime", runtime, "base", command)
    assert error.startswith("minidock: OCI runtime create failed: ")
    (name,) = minidock("ps", "-aq", "--filter", "status=created").split()
    assert minidock.state(name)["ExitCode"] == status
    assert not os.path.exists(f"{bundle(minidock, name)}/runtime")


def test_life(minidock: Place, runtime: str):
    """Start, exec, pause, stop, start again: as with our own; the host sees no mount."""
    words = ("--name", "box", *QUIET, "--memory", "64m", "--runtime", runtime, "base")
    minidock("run", "-d", *words, "sh", "-c", TRAP)
    minidock.await_log("box", "ready")
    assert minidock.inspect("box")["HostConfig"]["Runtime"] == runtime
    with open("/proc/self/mountinfo") as file:
        assert minidock.root not in file.read()
    assert minidock("exec", "box", "cat", "/proc/1/comm") == "sh\n"
    assert minidock.result("exec", "box", "sh", "-c", "exit 3").status == 3
    minidock("pause", "box")
    assert minidock.state("box")["Status"] == "paused"
    minidock("unpause", "box")
    minidock("update", "--memory", "32m", "--memory-swap", "32m", "box")
    assert "32MiB" in minidock("stats", "--no-stream", "box")
    minidock("stop", "box")
    assert minidock.state("box")["ExitCode"] == 9
    assert not os.path.exists(f"{bundle(minidock, 'box')}/runtime")
    minidock("start", "box")
    minidock("kill", "box")
    minidock("wait", "box")
    assert minidock.state("box")["ExitCode"] == 137


def test_terminal(minidock: Place, runtime: str):
    """The terminal is the container's own, of the size of the user's."""
    words = ("run", "-it", "--rm", *QUIET, "--runtime", runtime, "base", "sh")
    environment = minidock.environment
    with Terminal([*minidock.words, *words], environment, rows=30, columns=90) as terminal:
        terminal.expect("# ")
        terminal.type("until stty size | grep '30 90'; do sleep 0.1; done; tty\r")
        terminal.expect("\n30 90\r\n/dev/pts/0\r\n")
        terminal.type("exit 5\r")
        assert terminal.ends() == 5


def test_network(minidock: Place, one: str):
    """The bridge's network is attached before the program runs."""
    address = minidock("run", "--rm", "--runtime", one, "base", "ip", "-4", "addr")
    assert "eth0" in address


def test_namespaces_of_another(minidock: Place, runtime: str):
    """A container of another runtime joins one of ours, its processes and its shared memory."""
    script = "echo secret >/dev/shm/file; echo ready; sleep 1000"
    minidock(
        "run", "-d", "--name", "first", *QUIET, "--ipc", "shareable", "base", "sh", "-c", script
    )
    minidock.await_log("first", "ready")
    flags = [f"--{kind}=container:first" for kind in ("network", "pid", "ipc")]
    words = ("run", "--rm", *flags, "--runtime", runtime, "base", "sh", "-c")
    assert minidock(*words, "cat /dev/shm/file /proc/1/comm") == "secret\nsleep\n"


def test_shortage_of_memory_is_told(minidock: Place, one: str):
    """The control group that the runtime uses is the one that minidock looks at."""
    script = "dd if=/dev/zero of=/dev/shm/x bs=1M count=60"
    words = ("--name", "box", *QUIET, "--memory", "16m", "--memory-swap", "16m")
    result = minidock.result("run", *words, "--runtime", one, "base", "sh", "-c", script)
    assert result.status != 0
    assert minidock.state("box")["OOMKilled"] is True


def test_restart_policy(minidock: Place, one: str):
    """Each new start is the runtime's too."""
    words = ("--name", "box", *QUIET, "--restart", "on-failure:2", "--runtime", one)
    minidock("run", "-d", *words, "base", "sh", "-c", "echo once more; exit 4")
    wait_for(lambda: minidock.inspect("box")["RestartCount"] == 2, "two restarts")
    wait_for(lambda: not minidock.state("box")["Running"], "the end")
    assert minidock("logs", "box") == "once more\n" * 3
    assert minidock.state("box")["ExitCode"] == 4


def test_killed_monitor(minidock: Place, one: str):
    """What the runtime keeps goes with the container, whoever has to remove it."""
    words = ("--name", "box", *QUIET, "--runtime", one)
    minidock("run", "-d", *words, "base", "sleep", "1000")
    directory = bundle(minidock, "box")
    pid = minidock.state("box")["Pid"]
    (monitor,) = minidock.monitors()
    os.kill(monitor, signal.SIGKILL)
    wait_for(lambda: not lives(monitor), "the monitor's end")
    assert os.path.isdir(f"{directory}/runtime")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not lives(pid), "the container's end")
    assert minidock.state("box")["ExitCode"] == 255
    assert not os.path.isdir(f"{directory}/runtime")


@pytest.mark.parametrize("name", ["nosuch-runtime", "relative/path", "/etc/passwd"])
def test_unknown_runtime(minidock: Place, name: str):
    """A runtime that is not there is refused when the container is made."""
    error = minidock.refused(125, "create", "--runtime", name, "base")
    assert f"unknown or invalid runtime name: {name}" in error
    assert minidock("ps", "-aq") == ""


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("-t", "--read-only", "-u", "bob", "--cap-drop", "ALL"),
        ("--privileged", "--memory", "64m", "--pids-limit", "50"),
        ("--tmpfs", "/t", "--ulimit", "nofile=100:200", "--sysctl", "kernel.msgmax=5000"),
    ],
)
def test_config_json(minidock: Place, flags: tuple[str, ...]):
    """The bundle of a container of our own is one by the specification."""
    minidock("run", "-d", "--name", "box", *QUIET, *flags, "base", "sleep", "60")
    with open(f"{bundle(minidock, 'box')}/config.json") as file:
        check(json.load(file))


BY_HAND = """
import os, sys
from minidock.linux import mounts, namespaces

pid, place, *words = sys.argv[1:]
here = os.getcwd()
own, its = (os.open(f"/proc/{who}/ns/mnt", os.O_RDONLY) for who in ("self", pid))
namespaces.setns(its, namespaces.CLONE_NEWNS)
tree = mounts.clone_tree(os.open("/", os.O_PATH))
namespaces.setns(own, namespaces.CLONE_NEWNS)
os.chdir(here)
namespaces.unshare(namespaces.CLONE_NEWNS)
mounts.make_slave()
if os.path.ismount("/sys/fs/cgroup/unified"):  # refused by crun
    mounts.detach("/sys/fs/cgroup/unified")
mounts.attach(tree, os.open(place, os.O_PATH))
os.execvp(words[0], words)
"""


def test_bundle_by_hand(minidock: Place, runtime: str, tmp_path: Path):
    """Who mounts the root where config.json says can run the bundle."""
    script = "[ -e /second ] && cat /second && exit 6; echo 2 >/second; echo ready; sleep 60"
    minidock("run", "-d", "--name", "box", *QUIET, "base", "sh", "-c", script)
    minidock.await_log("box", "ready")
    with open(f"{bundle(minidock, 'box')}/config.json") as file:
        config = json.load(file)
    config["linux"]["cgroupsPath"] = f"/minidock-test-{os.getpid()}"  # the other is in use
    (tmp_path / "config.json").write_text(json.dumps(config))
    where = (str(minidock.state("box")["Pid"]), config["root"]["path"])
    words = (runtime, "--root", str(tmp_path / "state"), "run", "by-hand")
    done = subprocess.run(
        [sys.executable, "-c", BY_HAND, *where, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": REPOSITORY},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (6, b"2\n"), done.stderr
