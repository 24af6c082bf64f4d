# SPDX-License-Identifier: Apache-2.0
"""The monitor over time: it becomes small, starts the program again, looks at its health."""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from minidock.linux.window import WindowSize
from minidock.runtime import attach, channel
from minidock.runtime.attach import MonitorLost, relay
from minidock.runtime.channel import Connection
from minidock.runtime.logs import read
from minidock.runtime.monitor_plan import SOCKET, Call, MonitorPlan, Probe
from minidock.runtime.streams import Streams
from tests.integration.clients import Capture, eventually, no_kill
from tests.unit.runtime_io import programs
from tests.unit.runtime_io.programs import Box, Recorder, spawn

SH = "/bin/sh"
LARGEST = 6 << 20
"""Bytes of private memory that a monitor may take."""


def private_memory(pid: int) -> int:
    with open(f"/proc/{pid}/smaps_rollup") as file:
        sizes = [line.split() for line in file if line.startswith("Private_")]
    return sum(int(size) for _, size, _ in sizes) << 10


def go(box: Box) -> None:
    (Path(box.directory) / "go").touch()


def until_go(box: Box) -> str:
    """Return a line of shell that waits for `go`."""
    return f"while [ ! -e {box.directory}/go ]; do sleep 0.02; done"


def finish(connection: Connection, status: int) -> bytes:
    """Relay until the program ends with `status`; return its stdout."""
    with Capture() as user:
        assert relay(connection, user.streams(), no_kill) == status
        return user.read()[0]


def knock(box: Box) -> None:
    with contextlib.suppress(OSError):  # it has looked already
        attach.knock(box.directory)


def texts(box: Box) -> list[bytes]:
    return [entry.data for entry in read(box.log)]


def test_monitor_becomes_small(box: Box, plan: MonitorPlan) -> None:
    """It is the same process with the same lock, and takes less memory; the end is as ever."""
    box.run_small(plan, "/bin/sleep", "60").close()
    eventually(box.is_small)
    assert box.is_alive()
    assert private_memory(box.monitor) < LARGEST
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        os.kill(box.monitor, number)
    box.kill()
    eventually(lambda: box.recorded("exited"))
    assert box.recorded("exited") == "137"
    eventually(lambda: not box.is_alive())
    assert not os.path.exists(os.path.join(box.directory, SOCKET))


def test_output_during_the_change(box: Box, plan: MonitorPlan) -> None:
    """Nothing that is written while the monitor becomes small is lost, doubled or cut."""
    loop = "i=0; while [ $i -lt 200 ]; do %s; i=$((i+1)); sleep 0.005; done"
    script = loop % "printf '%s' a$i; echo b"
    connection = box.run_small(plan, SH, "-c", script)
    with Capture() as user:
        eventually(box.is_small)
        assert relay(connection, user.streams(), no_kill) == 0
        out = user.read()[0]
    assert out.split() == [f"a{n}b".encode() for n in range(200)]
    assert b"".join(texts(box)) == out


def test_unfinished_line_outlives_the_change(box: Box, plan: MonitorPlan) -> None:
    """A line of which a half was written before the change is one line of the log."""
    script = f"printf 'one \\377'; {until_go(box)}; echo two"
    connection = box.run_small(plan, SH, "-c", script)
    assert bytes(connection.receive().payload) == b"one \xff"
    eventually(box.is_small)
    go(box)
    finish(connection, 0)
    assert texts(box) == ["one \N{REPLACEMENT CHARACTER}two\n".encode()]


def test_input_after_the_change(box: Box, plan: MonitorPlan) -> None:
    """The caller's input goes in before and after, and its end is the program's."""
    connection = box.run_small(plan._replace(open_stdin=True, stdin_once=True), "/bin/cat")
    assert connection.send(channel.STDIN, b"before\n")
    eventually(box.is_small)
    assert connection.send(channel.STDIN, b"after\n")
    assert connection.send(channel.STDIN_CLOSE)
    assert finish(connection, 0) == b"before\nafter\n"


def test_terminal_after_the_change(box: Box, plan: MonitorPlan) -> None:
    """The small monitor sets the terminal's size, and takes clients."""
    plan = plan._replace(terminal=True, open_stdin=True)
    box.run_small(plan, SH, "-c", "read x; stty size").close()
    eventually(box.is_small)
    client = attach.connect(box.directory)
    assert client.send(channel.RESIZE, channel.SIZE.pack(*WindowSize(44, 55)))
    assert client.send(channel.STDIN, b"x\r")
    assert finish(client, 0) == b"x\r\n44 55\r\n"


def test_small_monitor_reaps(box: Box, plan: MonitorPlan) -> None:
    """Children that ended during the change and after it are no zombies."""
    script = "for i in 1 2 3 4 5 6; do (sleep 0.1 & exec true); sleep 0.05; done; sleep 60"
    box.run_small(plan, SH, "-c", script).close()
    eventually(box.is_small)
    path = f"/proc/{box.monitor}/task/{box.monitor}/children"
    eventually(lambda: Path(path).read_text().split() == [box.recorded("started")])


def test_death_of_a_small_monitor(box: Box, plan: MonitorPlan) -> None:
    """SIGKILL ends its clients and lets its lock go; the program runs on."""
    connection = box.run_small(plan, "/bin/sleep", "60")
    eventually(box.is_small)
    os.kill(box.monitor, signal.SIGKILL)
    with pytest.raises(MonitorLost):
        relay(connection, Streams(None, 1, 2), no_kill)
    eventually(lambda: not box.is_alive())
    os.kill(int(box.recorded("started") or "0"), 0)
    box.kill()


def test_program_is_started_again(box: Box, plan: MonitorPlan) -> None:
    """As often as the hooks ask; the log has all, each client one run."""
    hooks = Recorder(box.directory, SH, "-c", "echo run; exit 3", pauses=(0.0, 0.02))
    connection = spawn(plan, hooks, attach=True).connection
    assert connection
    assert finish(connection, 3) == b"run\n"
    eventually(lambda: not box.is_alive())
    assert texts(box) == [b"run\n"] * 3


def test_small_monitor_starts_again(box: Box, plan: MonitorPlan) -> None:
    """A small monitor gets the hooks back, starts the program, and becomes small again."""
    script = f"echo run; {until_go(box)}; rm {box.directory}/go; exit 4"
    connection = box.run_small(plan, SH, "-c", script, pauses=(0.0,))
    eventually(box.is_small)
    first = box.recorded("started")
    go(box)
    assert finish(connection, 4) == b"run\n"
    eventually(lambda: box.recorded("started") != first)
    eventually(box.is_small)
    client = attach.connect(box.directory)
    assert private_memory(box.monitor) < LARGEST
    go(box)
    finish(client, 4)
    eventually(lambda: not box.is_alive())
    assert texts(box) == [b"run\n"] * 2


def test_restart_is_taken_back(box: Box, plan: MonitorPlan) -> None:
    """Who takes it back knocks, and need not wait for the end of the pause."""
    hooks = Recorder(box.directory, "/bin/true", pauses=(3600.0,))
    spawn(plan, hooks, attach=False)
    eventually(lambda: box.recorded("exited"))
    eventually(lambda: os.path.exists(os.path.join(box.directory, SOCKET)))
    knock(box)  # without a reason: it waits on
    assert box.is_alive()
    (Path(box.directory) / "stopped").touch()
    knock(box)
    eventually(lambda: not box.is_alive())
    assert not os.path.exists(os.path.join(box.directory, SOCKET))
    assert box.recorded("failed") is None


def test_restart_that_fails(box: Box, plan: MonitorPlan) -> None:
    """A program that can't be started again is a failed start, and the end."""
    program = Path(box.directory) / "program"
    program.write_text("#!/bin/sh\nrm $0\n")
    program.chmod(0o755)
    spawn(plan, Recorder(box.directory, str(program), pauses=(0.0, 0.0)), attach=False)
    eventually(lambda: box.recorded("failed"))
    assert (box.recorded("failed") or "").startswith("CommandNotFound")
    eventually(lambda: not box.is_alive())
    assert not os.path.exists(os.path.join(box.directory, SOCKET))


def test_client_that_never_reads_holds_no_restart(box: Box, plan: MonitorPlan) -> None:
    """The next run begins though a client has not taken all of the last one."""
    hooks = Recorder(box.directory, SH, "-c", f"{until_go(box)}; echo run", pauses=(0.0,))
    spawn(plan, hooks, attach=False)
    client = attach.connect(box.directory)
    go(box)
    eventually(lambda: not box.is_alive())
    assert texts(box) == [b"run\n"] * 2
    client.close()


@pytest.mark.parametrize("small", [False, True])
def test_health_is_checked(box: Box, plan: MonitorPlan, small: bool) -> None:
    """Checks are processes of their own, one after the other, by any monitor."""
    path = os.path.join(box.directory, "checks")
    call = Call(programs.__name__, "check", path)
    plan = plan._replace(probe=Probe(call, 0.0, interval=3600.0, start_interval=0.01))
    if small:
        box.run_small(plan, "/bin/sleep", "60").close()
        eventually(box.is_small)
    else:
        box.start(plan, "/bin/sleep", "60")
    Path(path).write_text("")
    eventually(lambda: (box.recorded("checks") or "").count("checked") >= 3)


def test_hooks_that_are_gone_are_noted(box: Box, plan: MonitorPlan) -> None:
    """A small monitor whose hooks can't be had says so in a file."""
    plan = plan._replace(revive=Call("minidock.no_such_module", "revive"), settling=0.0)
    spawn(plan, Recorder(box.directory, "/bin/sleep", "60"), attach=False)
    eventually(box.is_small)
    box.kill()
    eventually(lambda: not box.is_alive())
    assert "no_such_module" in (box.recorded("monitor.error") or "")
