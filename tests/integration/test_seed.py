# SPDX-License-Identifier: Apache-2.0
"""A process that will be a monitor waits for its plan, and holds nothing of its parent's."""

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from minidock.runtime.hooks import Hooks
from minidock.runtime.monitor_plan import MonitorPlan
from minidock.runtime.seed import MonitorDied, plant
from tests.unit.runtime_io.programs import Box, Recorder


class Birth:
    """Tells the pid of the process that it is called in; gives hooks that record."""

    def __init__(self, directory: str, *arguments: str) -> None:
        self._reader, self._writer = os.pipe()
        self._hooks = Recorder(directory, *arguments)

    def __call__(self) -> Callable[[MonitorPlan], Hooks]:
        os.write(self._writer, str(os.getpid()).encode())
        return lambda _: self._hooks

    def await_pid(self) -> int:
        """Return the pid; the process waits for its plan then."""
        pid = int(os.read(self._reader, 100))
        os.close(self._reader)
        os.close(self._writer)
        return pid


def has_ended(pidfd: int) -> bool:
    """Tell whether a process has ended, after some time if need be."""
    ended = bool(select.select([pidfd], [], [], 20)[0])
    os.close(pidfd)
    return ended


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(str(tmp_path))


def test_grows(box: Box) -> None:
    """With a plan it is the container's monitor, whatever signals came before."""
    birth = Birth(box.directory, "/bin/sh", "-c", "exit 3")
    seed = plant(birth)
    pid = birth.await_pid()
    pidfd = os.pidfd_open(pid)
    assert os.getsid(pid) != os.getsid(0)
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    assert seed.grow(MonitorPlan("c", box.directory), attach=False).connection is None
    assert has_ended(pidfd)
    assert box.recorded("monitor") == str(pid)
    assert box.recorded("exited") == "3"


def test_ends_with_its_parent(box: Box) -> None:
    """Without a plan it ends when the command does, however that ends."""
    birth = Birth(box.directory)
    reader, writer = os.pipe()
    parent = os.fork()
    if parent == 0:
        try:
            seed = plant(birth)
            os.close(writer)
            os.read(reader, 1)
        finally:
            os._exit(bool(seed))
    pidfd = os.pidfd_open(birth.await_pid())
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert has_ended(pidfd)
    assert os.listdir(box.directory) == []
    os.close(reader)
    os.close(writer)


def test_has_died(box: Box) -> None:
    """One that was killed is an error of the start."""
    birth = Birth(box.directory, "/bin/true")
    seed = plant(birth)
    pid = birth.await_pid()
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert has_ended(pidfd)
    with pytest.raises(MonitorDied):
        seed.grow(MonitorPlan("c", box.directory), attach=True)
