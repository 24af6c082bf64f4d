# SPDX-License-Identifier: Apache-2.0
"""Limits, pausing, and looking at what a container does, from the command line."""

import json
import os
import time

import pytest

from minidock.runtime.cgroup_plan import discover
from tests.system.place import Place, wait_for

LAYOUT = discover()
CONTROLLERS = {name for h in LAYOUT.v1 for name in h.controllers}
if LAYOUT.unified:
    CONTROLLERS.update(LAYOUT.unified.controllers)
COUNTING = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"


def needs(*controllers: str):
    missing = set(controllers) - CONTROLLERS
    return pytest.mark.skipif(bool(missing), reason=f"no cgroup for {missing}")


def start(minidock: Place, name: str, *words: str) -> str:
    """Start a container that is left running; return its id."""
    return minidock("run", "-d", "--network", "none", "--name", name, *words).strip()


@needs("memory")
def test_out_of_memory(minidock: Place) -> None:
    """Who takes more than is allowed is killed, and the container remembers why."""
    words = (
        "--name",
        "greedy",
        "-m",
        "20m",
        "--memory-swap",
        "20m",
        "base",
        "tail",
        "/dev/zero",
    )
    assert minidock.result("run", "--network", "none", *words).status == 137
    state = minidock.state("greedy")
    assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)
    minidock("start", "greedy")
    assert minidock("wait", "greedy") == "137\n"
    start(minidock, "modest", "-m", "20m", "base", "sh", "-c", "exit 3")
    minidock("wait", "modest")
    assert minidock.state("modest")["OOMKilled"] is False


@needs("pids", "cpuset", "cpu")
def test_limits_inside(minidock: Place) -> None:
    """Processes and processors are as few as the flags say."""
    flags = ("--pids-limit", "5", "--cpuset-cpus", "0", "--cpus", "0.5", "-c", "300")
    words = ("run", "--rm", "--network", "none", *flags, "base", "sh", "-c")
    assert minidock(*words, "nproc") == "1\n"
    forks = minidock.result(*words, "for i in 1 2 3 4 5 6; do sleep 1 & done; echo all")
    assert "can't fork" in forks.errors
    assert forks.text == ""


def test_limits_that_contradict(minidock: Place) -> None:
    """Nothing is made, and docker's text says why."""
    small = minidock.refused(125, "create", "-m", "20m", "--memory-swap", "10m", "base")
    assert "Minimum memoryswap limit should be larger than memory limit, see usage" in small
    both = minidock.refused(125, "run", "--cpus", "1", "--cpu-period", "5000", "base", "true")
    assert "Conflicting options: Nano CPUs and CPU Period cannot both be set" in both
    assert minidock("ps", "-aq") == ""


def test_pause(minidock: Place) -> None:
    """A paused container does nothing until it is unpaused; docker's texts say so."""
    container = start(minidock, "web", "base", "sh", "-c", COUNTING)
    minidock.await_log("web", "3")
    assert minidock("pause", "web") == "web\n"
    assert minidock("ps", "--format", "{{.Status}}").endswith("(Paused)\n")
    assert (minidock.state("web")["Status"], minidock.state("web")["Paused"]) == (
        "paused",
        True,
    )
    already = minidock.refused(1, "pause", "web")
    assert already == f"Error: Container {container} is already paused\n"
    assert "is paused, unpause the container before exec" in minidock.refused(
        1, "exec", "web", "true"
    )
    assert "cannot start a paused container" in minidock.refused(1, "start", "web")
    assert "You cannot remove a paused container" in minidock.refused(1, "rm", "web")
    before = minidock("logs", "web")
    minidock("commit", "web", "still")
    time.sleep(0.1)
    assert minidock("logs", "web") == before
    assert minidock.state("web")["Paused"] is True
    assert minidock("unpause", "web") == "web\n"
    wait_for(lambda: minidock("logs", "web") != before, "the container goes on")
    unpaused = minidock.refused(1, "unpause", "web")
    assert unpaused == f"Error: Container {container} is not paused\n"


@pytest.mark.parametrize("how", [("stop", "-t", "20"), ("kill",), ("rm", "-f")])
def test_end_of_a_paused_container(minidock: Place, how: tuple[str, ...]) -> None:
    """Its signal reaches it."""
    start(
        minidock, "web", "base", "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.01; done"
    )
    minidock("pause", "web")
    assert minidock(*how, "web") == "web\n"
    if how[0] != "rm":
        state = minidock.state("web")
        assert (state["Status"], state["Paused"]) == ("exited", False)
        assert state["ExitCode"] == (5 if how[0] == "stop" else 137)


def test_signal_lets_go_on(minidock: Place) -> None:
    """As in docker a signal ends the pause, unless another is the container's stop signal."""
    start(minidock, "web", "base", "sleep", "100")
    start(minidock, "other", "--stop-signal", "INT", "base", "sleep", "100")
    minidock("pause", "web", "other")
    minidock("kill", "-s", "USR1", "web", "other")
    assert minidock.state("web")["Paused"] is False
    assert minidock.state("other")["Paused"] is True


def test_pausing_what_does_not_run(minidock: Place) -> None:
    """The text is docker's."""
    container = minidock("create", "--name", "web", "base", "true").strip()
    assert (
        minidock.refused(1, "pause", "web") == f"Error: Container {container} is not running\n"
    )


def test_pausing_what_is_restarting(minidock: Place) -> None:
    """It runs at some moments only, so that it is refused; the text is docker's."""
    container = start(minidock, "web", "--restart", "always", "base", "false")
    wait_for(
        lambda: (
            "is restarting, wait until the container is running"
            in minidock.result("pause", "web").errors
        ),
        f"{container} restarts",
    )


@needs("memory", "pids")
def test_update_of_a_running_container(minidock: Place) -> None:
    """Its processes and those to come are limited, and all cgroups go with it."""
    start(minidock, "web", "base", "sleep", "100")
    assert minidock("update", "-m", "20m", "--pids-limit", "10", "web") == "web\n"
    host = minidock.inspect("web")["HostConfig"]
    assert (host["Memory"], host["PidsLimit"]) == (20 << 20, 10)
    # as much again is to be had as swap where there is some
    greedy = minidock.result("exec", "web", "tail", "/dev/zero")
    assert greedy.status == 137
    (row,) = minidock("stats", "--no-stream", "--format", "{{.MemUsage}}").splitlines()
    assert row.endswith(" / 20MiB")
    minidock("pause", "web")
    assert minidock("update", "-c", "300", "web") == "web\n"
    minidock("rm", "-f", "web")
    wait_for(lambda: not minidock.left_over(), minidock.left_over)


def test_update_of_a_stopped_container(minidock: Place) -> None:
    """The next start has the new limits; what contradicts them is refused and not recorded."""
    container = minidock(
        "create", "--network", "none", "--name", "web", "base", "nproc"
    ).strip()
    minidock("update", "--cpuset-cpus", "0", "--restart", "on-failure:2", "web")
    assert minidock("start", "-a", "web") == ("1\n" if "cpuset" in CONTROLLERS else "2\n")
    minidock("update", "--cpus", "1", "web")
    refusal = minidock.refused(1, "update", "--cpu-quota", "5000", "web")
    assert refusal == (
        f"Error: Cannot update container {container}: Conflicting options: CPU Quota cannot be "
        "updated as NanoCPUs has already been set\n"
    )
    host = minidock.inspect("web")["HostConfig"]
    assert host["CpuQuota"] == 0
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}


def test_stats(minidock: Place) -> None:
    """Who works shows, who does not as well; what does not run only if asked for."""
    start(minidock, "busy", "base", "sh", "-c", "while :; do :; done")
    start(minidock, "idle", "base", "sleep", "100")
    minidock("create", "--name", "new", "base", "true")
    rows = minidock("stats", "--no-stream", "--format", "json").splitlines()
    shown = {row["Name"]: row for row in map(json.loads, rows)}
    assert list(shown) == ["idle", "busy"]
    assert float(shown["busy"]["CPUPerc"].rstrip("%")) > float(
        shown["idle"]["CPUPerc"].rstrip("%")
    )
    for row in shown.values():
        assert row["PIDs"] == "1"
        assert not row["MemUsage"].startswith("0B")
    every = minidock("stats", "-a", "--no-stream", "--format", "{{.Name}} {{.PIDs}}")
    assert every == "new 0\nidle 1\nbusy 1\n"
    named = minidock("stats", "--no-stream", "--format", "{{.Container}}", "new", "busy")
    assert named == "new\nbusy\n"
    assert "No such container: nosuch" in minidock.refused(1, "stats", "--no-stream", "nosuch")


def test_top(minidock: Place) -> None:
    """All processes of the container and none of the host, and no program of the image."""
    script = "rm /bin/ps; sleep 1000 & sleep 2000; true"
    start(minidock, "web", "base", "sh", "-c", script)

    def lines(*options: str) -> list[list[str]]:
        return [line.split() for line in minidock("top", "web", *options).splitlines()]

    with minidock.background("exec", "web", "sleep", "3000"):
        wait_for(lambda: len(lines()) == 5, "a shell and three that sleep")
        titles, *rows = lines()
        assert titles == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
        assert all(os.path.exists(f"/proc/{row[1]}") for row in rows)
        names = sorted(name for _, name in lines("-o", "pid,comm")[1:])
        assert names == ["sh", "sleep", "sleep", "sleep"]
    assert "unsupported option '-Z'" in minidock.refused(1, "top", "web", "-Z")
    minidock("kill", "web")
    assert "is not running" in minidock.refused(1, "top", "web")
