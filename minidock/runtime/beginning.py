# SPDX-License-Identifier: Apache-2.0
"""How a run of a container begins: the first one, and those after a pause."""

import contextlib
import os
import select
import time
from collections.abc import Callable

from minidock.linux import sockets
from minidock.linux.sockets import Socket
from minidock.linux.window import set_window_size
from minidock.runtime.attach import short_path
from minidock.runtime.console import open_console, open_pipes
from minidock.runtime.failures import as_error
from minidock.runtime.hooks import Hooks, Outcome
from minidock.runtime.lifetime import Life, unlink_socket
from minidock.runtime.log_writer import LogWriter
from minidock.runtime.monitor_plan import MonitorPlan
from minidock.runtime.supervisor import Program
from minidock.runtime.watch import Run, watched
from minidock.values import NamedTuple


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


def run_again(life: Life, due: float) -> Run | None:
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
