# SPDX-License-Identifier: Apache-2.0
"""A monitor before it has a container, and the command's side of a start.

What a monitor needs takes as long to import as a command takes to find out what is wanted. So
a command that will start a container forks early: on another processor the child imports, then
waits for its plan. Without one, when the command ends, it ends too.
"""

import contextlib
import errno
import json
import marshal
import os
from collections.abc import Callable

from minidock.annotations import TYPE_CHECKING
from minidock.errors import SystemFailure
from minidock.runtime import channel, detached
from minidock.runtime.channel import Connection
from minidock.runtime.failures import unpack_error
from minidock.runtime.monitor_plan import MonitorPlan, plain
from minidock.values import NamedTuple

if TYPE_CHECKING:
    from minidock.runtime.hooks import Hooks

Birth = Callable[[], Callable[[MonitorPlan], "Hooks"]]
"""Imports what the hooks need; returns what makes them, both in the process of the monitor."""


class MonitorDied(SystemFailure):
    """The monitor ended before it could say how the start went."""


class Spawned(NamedTuple):
    """A started container: the caller's connection if it wanted one, and warnings."""

    connection: Connection | None
    warnings: tuple[str, ...]


class Seed:
    """A process that will be a monitor."""

    def __init__(self, child: int, connection: Connection) -> None:
        self._child = child
        self._connection = connection

    def grow(self, plan: MonitorPlan, *, attach: bool) -> Spawned:
        """Start a container with this monitor; return when its program is executed.

        A caller that goes away before that (KeyboardInterrupt or another exception, SIGKILL)
        cancels the start; afterwards the container is independent of it.

        Returns:
            With `attach` the caller's connection, which gets all output from the first byte on,
            and is waited for when it does not read.

        Raises:
            MinidockError: what the hooks or the start raised in the monitor, as its kind.
            MonitorDied: the monitor was killed meanwhile.
        """
        try:
            with contextlib.suppress(ConnectionError):  # it has died, as will be seen at once
                self._connection.send(channel.PLAN, marshal.dumps((plain(plan), attach)))
            os.waitpid(self._child, 0)
            warnings = _await_start(self._connection)
        except BaseException:
            self._connection.close()
            raise
        if attach:
            return Spawned(self._connection, warnings)
        self._connection.close()
        return Spawned(None, warnings)


def plant(birth: Birth) -> Seed:
    """Fork a process that will be a monitor; the caller has one thread."""
    _open_standard_descriptors()
    ours, theirs = channel.pair()

    def wait_for_plan() -> None:
        ours.close()
        detached.let_go()
        _wait_for_plan(theirs, birth)

    child = detached.fork(wait_for_plan)
    theirs.close()
    return Seed(child, ours)


def _open_standard_descriptors() -> None:
    """Put /dev/null where 0, 1 or 2 is closed: what is opened next must not land there."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)


def _wait_for_plan(caller: Connection, birth: Birth) -> None:
    """Become the monitor of what comes."""
    from minidock.runtime import monitor  # not in the command, which has no use for it

    make_hooks = birth()
    kind, payload = caller.receive()
    if kind == channel.PLAN:
        values, attach = marshal.loads(payload)  # noqa: S302  from our own parent
        monitor.supervise(MonitorPlan.of(values), make_hooks, caller, attach=attach)


def _await_start(monitor: Connection) -> tuple[str, ...]:
    kind, payload = monitor.receive()
    if kind == channel.FAILED:
        raise unpack_error(bytes(payload))
    if kind != channel.STARTED:
        hint = "it was killed; the kernel's log may tell of a shortage of memory"
        raise MonitorDied("start the container's monitor", errno.EOWNERDEAD, hint=hint)
    return tuple(json.loads(bytes(payload)))
