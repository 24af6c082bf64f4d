# SPDX-License-Identifier: Apache-2.0
"""A monitor's life: run after run of one container until none is wanted."""

import contextlib
import os
import select
import time
from collections.abc import Callable
from typing import Protocol

from minidock.errors import MinidockError
from minidock.linux import sockets
from minidock.linux.sockets import Socket
from minidock.linux.window import set_window_size
from minidock.runtime.attach import SOCKET, short_path
from minidock.runtime.child import Stdio
from minidock.runtime.console import Started, open_console, open_pipes
from minidock.runtime.failures import as_error, noting_errors
from minidock.runtime.log_writer import LogWriter
from minidock.runtime.monitor_plan import MonitorPlan
from minidock.runtime.supervisor import Program
from minidock.runtime.watch import Run, watched
from minidock.values import NamedTuple

_PATIENCE = 5.0  # seconds that clients of a run have to take its end before the next one


class Outcome(NamedTuple):
    """How a start went: descriptors that are the monitor's from now on, and warnings.

    The monitor closes them when the program has ended.
    """

    keep: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()


class Hooks(Protocol):
    """What the engine does inside the monitor.

    At the first start they have a copy of the caller's memory. Descriptors of the caller's can
    be used until `started` returns, then the monitor closes all that are not its own.
    """

    def create(self, stdio: Stdio | None) -> Started:
        """Make the container's init, which waits; with a terminal it gets no `stdio`."""

    def attach(self, started: Started) -> None:
        """Prepare what needs the init's namespaces: the network."""

    def started(self, started: Started) -> Outcome:
        """Record that the program runs."""

    def failed(self, error: MinidockError) -> None:
        """Undo and record a start that raised `error`."""

    def exited(self, status: int) -> float | None:
        """Record the exit and free what the container had.

        Returns:
            The seconds until it is to be started again, None if it is not.
        """

    def again(self) -> contextlib.AbstractContextManager[bool]:
        """Hold what a start needs to be alone; give False if it is not wanted any more."""


class Life(NamedTuple):
    """What a monitor has from its beginning to its end; `lock` is a descriptor."""

    plan: MonitorPlan
    hooks: Hooks
    lock: int


class Begun(NamedTuple):
    """A program that has been executed."""

    program: Program
    log: LogWriter | None
    outcome: Outcome


def begin(plan: MonitorPlan, hooks: Hooks, check: Callable[[], None]) -> Begun:
    """Start the container's program; `check` is called before it is executed.

    Raises:
        MinidockError, OSError: what a hook, the start or `check` raised; the process is gone.
    """
    log = LogWriter(plan.log) if plan.log is not None else None
    stdio, ends = (None, None) if plan.terminal else open_pipes(plan.open_stdin)
    started = hooks.create(stdio)
    try:
        if stdio is not None:
            stdio.close()
        if ends is None:
            ends = open_console(started.console, plan.open_stdin)
            if plan.size is not None:
                set_window_size(started.console, plan.size)
        hooks.attach(started)
        check()
        started.start()
        outcome = hooks.started(started)
    except BaseException:
        started.kill()
        started.wait()
        raise
    return Begun(Program(started.pid, started.pidfd, started.console, *ends), log, outcome)


def go_on(life: Life, run: Run | None) -> None:
    """Do all that follows the first start: this run, its end, and further runs."""
    while run is not None:
        status = run.watch(_Settling(life, run).tick)
        run = after(life, run, status)


class _Settling:
    """Makes the monitor small once a run has lasted."""

    def __init__(self, life: Life, run: Run) -> None:
        self._life = life
        self._run = run
        self._pause = life.plan.settling
        self._due = time.monotonic() + self._pause if life.plan.revive else None

    def tick(self) -> float | None:
        """Become small if it is time; return the seconds until it may be."""
        if self._due is None:
            return None
        left = self._due - time.monotonic()
        if left > 0:
            return left
        if not self._run.supervisor.is_quiet():
            return self._pause
        self._due = None
        from minidock.runtime import slim  # not for programs that end before

        slim.shrink(self._life, self._run)
        return None


def after(life: Life, run: Run, status: int) -> Run | None:
    """End a run whose program exited with `status`; return the next one, begun, if any."""
    run.supervisor.end_output()
    run.listener.close()
    unlink_socket(life.plan.directory)
    for fd in run.keep:
        os.close(fd)
    pause = None
    with noting_errors(life.plan.directory):
        pause = life.hooks.exited(status)
    if pause is None:
        os.close(life.lock)
        run.supervisor.say_farewell(status)
        return None
    due = time.monotonic() + pause
    run.supervisor.say_farewell(status, _PATIENCE)
    run.supervisor.close()
    with noting_errors(life.plan.directory):
        return _run_again(life, due)
    return None


def listen(directory: str) -> Socket:
    """Return a listening socket in the state directory, for its owner only."""
    unlink_socket(directory)
    listener = Socket(sockets.AF_UNIX, sockets.SOCK_SEQPACKET)
    mask = os.umask(0o177)
    try:
        with short_path(directory) as path:
            listener.bind(path)
    finally:
        os.umask(mask)
    listener.listen()
    listener.setblocking(False)
    return listener


def unlink_socket(directory: str) -> None:
    """Remove the socket in the state directory if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(directory, SOCKET))


def _run_again(life: Life, due: float) -> Run | None:
    """Start the container at the time `due`; return None if that is not wanted any more."""
    listener = listen(life.plan.directory)
    try:
        begun = _begin_again(life, listener, due)
    except BaseException:
        unlink_socket(life.plan.directory)
        raise
    if begun is None:
        unlink_socket(life.plan.directory)
        return None
    return watched(life.plan, begun.program, listener, begun.log, begun.outcome.keep)


def _begin_again(life: Life, listener: Socket, due: float) -> Begun | None:
    while True:
        _await_knock(listener, due)
        with life.hooks.again() as wanted:
            if not wanted:
                return None
            if time.monotonic() < due:
                continue
            try:
                return begin(life.plan, life.hooks, lambda: None)
            except Exception as e:
                life.hooks.failed(as_error(e))
                raise


def _await_knock(listener: Socket, due: float) -> None:
    """Wait until somebody connects, but not longer than to the time `due`.

    Who has taken a restart back knocks, so that the monitor looks. There is nothing to attach
    to meanwhile.
    """
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    if poll.poll(max(0.0, due - time.monotonic()) * 1000):
        with contextlib.suppress(OSError):
            sockets.accept(listener).close()
