# SPDX-License-Identifier: Apache-2.0
"""What watches a container: restarts, health, its log's size, and the watcher's own death."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.system.place import Place, lives, wait_for

LARGEST = 6 << 10
"""Kilobytes of private memory that a monitor may take."""


def start(minidock: Place, *words: str) -> None:
    """Start a container called box."""
    minidock("run", "-d", "--name", "box", "--network", "none", *words)


def becomes(minidock: Place, status: str) -> None:
    wait_for(lambda: minidock.state("box")["Status"] == status, lambda: minidock("ps", "-a"))


def row(minidock: Place) -> str:
    return minidock("ps", "-a", "--format", "{{.Status}}").strip()


def is_small(pid: int) -> bool:
    with open(f"/proc/{pid}/cmdline") as file:
        return "minidock.runtime.slim" in file.read()


def small_monitor(minidock: Place) -> int:
    """Return the monitor of the only container, when it has become small."""
    (monitor,) = minidock.monitors()
    wait_for(lambda: is_small(monitor) and monitor in minidock.monitors(), "a small monitor")
    return monitor


def kill_monitor(minidock: Place, monitor: int) -> None:
    os.kill(monitor, signal.SIGKILL)
    wait_for(lambda: not lives(monitor), "the monitor's death")


def test_on_failure(minidock: Place):
    """Three restarts are four runs; their output is one log."""
    start(minidock, "--restart", "on-failure:3", "base", "sh", "-c", "echo run; exit 5")
    becomes(minidock, "exited")
    document = minidock.inspect("box")
    assert (document["RestartCount"], document["State"]["ExitCode"]) == (3, 5)
    policy = {"Name": "on-failure", "MaximumRetryCount": 3}
    assert document["HostConfig"]["RestartPolicy"] == policy
    assert minidock("logs", "box") == "run\n" * 4
    minidock("start", "box")  # begins to count anew
    wait_for(lambda: minidock("logs", "box") == "run\n" * 8, "four more runs")


def test_success_is_no_failure(minidock: Place):
    """on-failure leaves a container alone that ended well; the caller gets the first status."""
    command = ("run", "--network", "none", "--restart", "on-failure", "--name", "box", "base")
    assert minidock.result(*command, "echo", "once") == (0, b"once\n", b"")
    assert minidock.state("box")["Status"] == "exited"
    assert minidock.inspect("box")["RestartCount"] == 0


def restarting(minidock: Place, times: int = 4) -> None:
    """Have a container wait for its next start, the longer the more `times` it has had one."""
    start(minidock, "--restart", "always", "base", "sh", "-c", "echo run; exit 5")
    wait_for(lambda: minidock.inspect("box")["RestartCount"] >= times, "restarts")
    becomes(minidock, "restarting")


def test_backoff(minidock: Place):
    """While it waits it counts as running, and does not do what a running one does."""
    restarting(minidock, 5)
    state = minidock.state("box")
    assert (state["Running"], state["Restarting"], state["Pid"]) == (True, True, 0)
    assert minidock("ps", "--format", "{{.Status}}").startswith("Restarting (5) ")
    assert minidock("ps", "-q", "--filter", "status=restarting")
    assert "is restarting, wait until" in minidock.refused(1, "exec", "box", "true")
    assert "restarting container, wait" in minidock.refused(1, "attach", "box")
    assert "cannot remove a restarting container" in minidock.refused(1, "rm", "box")
    assert minidock("start", "box") == "box\n"
    minidock("rm", "-f", "box")
    wait_for(lambda: not minidock.monitors(), "the end of the monitor")


@pytest.mark.parametrize("verb", [("stop",), ("kill",), ("kill", "-s", "HUP")])
def test_end_of_the_backoff(minidock: Place, verb: tuple[str, ...]):
    """Stop and kill end it at once, and the container stays as it is."""
    restarting(minidock)
    assert minidock(*verb, "box") == "box\n"
    assert minidock.monitors() == []
    assert row(minidock).startswith("Exited (5) ")
    minidock("rm", "box")


def test_stopped_by_hand(minidock: Place):
    """Always starts again what ended by itself, not what a user stopped; a boot does."""
    start(
        minidock,
        "--restart",
        "always",
        "base",
        "sh",
        "-c",
        "trap 'exit 3' TERM; sleep 60 & wait",
    )
    os.kill(minidock.state("box")["Pid"], signal.SIGKILL)
    wait_for(lambda: minidock.inspect("box")["RestartCount"] == 1, "a restart")
    becomes(minidock, "running")
    minidock("stop", "box")
    assert minidock.monitors() == []
    assert minidock.state("box")["Status"] == "exited"
    assert minidock("system", "restore") == "box\n"
    assert minidock("system", "restore") == ""
    assert minidock.state("box")["Running"]


def test_unless_stopped(minidock: Place):
    """It is started at boot unless a user stopped it."""
    start(minidock, "--restart", "unless-stopped", "base", "sleep", "60")
    minidock("kill", "box")
    assert minidock("system", "restore") == ""
    minidock("start", "box")
    (monitor,) = minidock.monitors()
    kill_monitor(minidock, monitor)
    os.kill(minidock.state("box")["Pid"], signal.SIGKILL)
    becomes(minidock, "exited")
    assert minidock("system", "restore") == "box\n"


def test_restart_keeps_network_and_ports(minidock: Place):
    """The next run has them too, by a monitor that had become small."""
    minidock(
        "run", "-d", "--name", "box", "--restart", "always", "-p", "80", "base", "sleep", "60"
    )
    small_monitor(minidock)
    os.kill(minidock.state("box")["Pid"], signal.SIGKILL)
    wait_for(lambda: minidock.inspect("box")["RestartCount"] == 1, "a restart")
    becomes(minidock, "running")
    assert minidock("port", "box").startswith("80/tcp -> 0.0.0.0:")
    assert "eth0" in minidock("exec", "box", "ip", "link")


def test_small_monitor(minidock: Place):
    """It takes little memory, serves as before, and cleans up behind a container with --rm."""
    loop = "while :; do echo tick; sleep 0.05; done"
    minidock("run", "-d", "--rm", "--name", "box", "-p", "80", "base", "sh", "-c", loop)
    monitor = small_monitor(minidock)
    with open(f"/proc/{monitor}/smaps_rollup") as file:
        private = sum(int(line.split()[1]) for line in file if line.startswith("Private_"))
    assert private < LARGEST
    assert minidock("exec", "box", "echo", "inside") == "inside\n"
    with minidock.background("attach", "box") as client:
        assert client.stdout.readline() == b"tick\n"
        minidock("stop", "-t", "0", "box")
        client.stdout.read()
        assert client.wait(20) == 137
    minidock.assert_clean()


def no_backoff(minidock: Place) -> None:
    start(minidock, "--restart", "always", "base", "sleep", "60")
    small_monitor(minidock)


@pytest.mark.parametrize("prepare", [no_backoff, restarting], ids=["small", "backoff"])
def test_death_of_the_monitor(minidock: Place, prepare: Callable[[Place], None]):
    """Ps tells the truth, the container obeys, and nothing is left of it."""
    prepare(minidock)
    runs = prepare is no_backoff
    (monitor,) = minidock.monitors()
    kill_monitor(minidock, monitor)
    assert row(minidock).startswith("Up " if runs else "Exited (5) ")
    if runs:
        assert minidock("exec", "box", "echo", "inside") == "inside\n"
        minidock("stop", "-t", "0", "box")
        assert row(minidock).startswith("Exited (255) ")
    minidock("start", "box")
    minidock("rm", "-f", "box")
    minidock.assert_clean()


def health(minidock: Place) -> dict[str, Any]:
    return minidock.state("box")["Health"]


def test_health(minidock: Place):
    """starting, healthy, unhealthy: in ps, in filters and in inspect."""
    start(
        minidock,
        *(
            "--health-cmd",
            "cat /tmp/fine",
            "--health-interval",
            "100ms",
            "--health-retries",
            "2",
        ),
        *("--health-start-period", "60s", "--health-start-interval", "100ms"),
        *("base", "sleep", "60"),
    )
    wait_for(lambda: len(health(minidock)["Log"]) >= 3, "failures that do not count")
    assert (health(minidock)["Status"], health(minidock)["FailingStreak"]) == ("starting", 0)
    assert row(minidock).endswith("(health: starting)")
    minidock("exec", "box", "sh", "-c", "echo well > /tmp/fine")
    wait_for(lambda: health(minidock)["Status"] == "healthy", lambda: health(minidock))
    assert row(minidock).endswith("(healthy)")
    assert {"ExitCode": 0, "Output": "well\n"}.items() <= health(minidock)["Log"][-1].items()
    small_monitor(minidock)
    minidock("exec", "box", "rm", "/tmp/fine")
    wait_for(lambda: health(minidock)["Status"] == "unhealthy", lambda: health(minidock))
    assert minidock("ps", "--filter", "health=unhealthy", "--format", "{{.Names}}") == "box\n"
    assert minidock("ps", "-q", "--filter", "health=healthy") == ""
    entry = health(minidock)["Log"][-1]
    assert entry["ExitCode"] == 1
    assert "No such file" in entry["Output"]
    assert len(health(minidock)["Log"]) <= 5


def test_check_that_takes_too_long(minidock: Place):
    """It is killed, and that is a failure."""
    limits = ("--health-interval", "50ms", "--health-timeout", "200ms", "--health-retries", "1")
    start(minidock, "--health-cmd", "echo begun; sleep 60", *limits, "base", "sleep", "60")
    wait_for(lambda: health(minidock)["Status"] == "unhealthy", lambda: health(minidock))
    entry = health(minidock)["Log"][0]
    assert entry["ExitCode"] == -1
    assert entry["Output"] == "Health check exceeded timeout (200ms): begun\n"


def test_no_healthcheck(minidock: Place):
    """Without a check there is nothing to tell."""
    start(minidock, "--no-healthcheck", "base", "sleep", "60")
    assert row(minidock).startswith("Up ")
    assert not row(minidock).endswith(")")
    assert minidock("ps", "-q", "--filter", "health=none")
    assert "Unrecognised filter" in minidock.refused(1, "ps", "--filter", "health=fine")


def test_size_of_the_log(minidock: Place):
    """The log keeps the newest lines and takes no more than the options allow."""
    loop = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done"
    options = ("--log-opt", "max-size=20k", "--log-opt", "max-file=2")
    minidock("run", "--name", "box", "--network", "none", *options, "base", "sh", "-c", loop)
    directory = os.path.dirname(minidock.inspect("box")["LogPath"])
    files = [name for name in os.listdir(directory) if name.startswith("container.log")]
    assert len(files) == 2
    assert sum(os.path.getsize(f"{directory}/{name}") for name in files) <= 40_000
    lines = minidock("logs", "box").splitlines()
    first = int(lines[0].split()[1])
    assert lines == [f"line {number}" for number in range(first, 3000)]
    assert first > 1000


def test_following_a_log_that_is_rotated(minidock: Place):
    """Each line comes once, whatever file it is in when."""
    loop = "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); sleep 0.003; done"
    options = ("--log-opt", "max-size=10k", "--log-opt", "max-file=3")
    start(minidock, *options, "base", "sh", "-c", loop)
    followed = minidock("logs", "-f", "box").splitlines()
    assert followed == [f"line {number}" for number in range(400)]


def test_log_options_are_checked(minidock: Place):
    """What docker refuses is refused with its text, and nothing is left."""
    command = ("create", "--network", "none", "--log-opt")
    error = minidock.refused(125, *command, "foo=1", "base", "true")
    assert "unknown log opt 'foo' for json-file log driver" in error
    assert minidock("ps", "-aq") == ""
    minidock(
        "run", "--name", "box", "--network", "none", "--log-driver", "none", "base", "true"
    )
    assert "does not support reading" in minidock.refused(1, "logs", "box")


def test_oom(minidock: Place):
    """A container killed for want of memory says so, its next run not."""
    grow = "[ -e /tmp/done ] && exit 0; touch /tmp/done; x=aaaaaaaa; while :; do x=$x$x; done"
    result = minidock.result(
        "run", "--name", "box", "--network", "none", "-m", "16m", "base", "sh", "-c", grow
    )
    if "memory" in result.errors:
        pytest.skip("no limit of memory here")
    assert result.status == 137
    assert minidock.state("box")["OOMKilled"]
    minidock("start", "-a", "box")
    assert (minidock.state("box")["ExitCode"], minidock.state("box")["OOMKilled"]) == (0, False)
