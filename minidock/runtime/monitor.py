# SPDX-License-Identifier: Apache-2.0
"""The monitor: one process per container that is its parent, its log and its door.

It is forked from the process that starts the container and outlives it. It reads the program's
output, writes the log, serves the clients (see channel.py) and, when the program has exited,
records that through `Hooks`. While it lives it holds a lock, see monitor_lock.py.

The order at the start: `create`, `attach`, the gate opens (the program is executed), `started`,
then the caller learns of it. At the end: the output is drained, the socket goes, `exited`, the
lock is let go, then the clients learn the status. Where the container is to be started again
the lock stays, and after a pause it begins anew.

This module is the start, beginning.py that of each run, lifetime.py what comes after it,
supervisor.py the event loop of one run, and slim.py makes the process small meanwhile.
"""

import contextlib
import errno
import gc
import json
import os
import signal
from collections.abc import Iterator
from typing import Never

from minidock.errors import Cancelled, SystemFailure
from minidock.linux.libc import syscall
from minidock.linux.signals import shield
from minidock.runtime import channel, monitor_lock
from minidock.runtime.beginning import Begun, begin, listen
from minidock.runtime.channel import Connection
from minidock.runtime.failures import as_error, noting_errors, pack_error, unpack_error
from minidock.runtime.hooks import Hooks
from minidock.runtime.interpreter import name_process
from minidock.runtime.lifetime import Life, go_on, unlink_socket
from minidock.runtime.monitor_plan import NAME, MonitorPlan
from minidock.runtime.supervisor import Member
from minidock.runtime.watch import watched
from minidock.values import NamedTuple

_PR_SET_CHILD_SUBREAPER = 36


class MonitorDied(SystemFailure):
    """The monitor ended before it could say how the start went."""


class Spawned(NamedTuple):
    """A started container: the caller's connection if it wanted one, and warnings."""

    connection: Connection | None
    warnings: tuple[str, ...]


def spawn(plan: MonitorPlan, hooks: Hooks, *, attach: bool) -> Spawned:
    """Start a container with a monitor of its own; return when its program is executed.

    A caller that goes away before that (KeyboardInterrupt or another exception, SIGKILL)
    cancels the start; afterwards the container is independent of it.

    Returns:
        With `attach` the caller's connection, which gets all output from the first byte on, and
        is waited for when it does not read.

    Raises:
        MinidockError: what the hooks or the start raised in the monitor, as its kind.
        MonitorDied: the monitor was killed meanwhile.
    """
    _open_standard_descriptors()
    ours, theirs = channel.pair()
    with _signals_blocked():
        child = os.fork()
        if child == 0:
            ours.close()
            _detach_and_run(plan, hooks, theirs, attach)
    theirs.close()
    try:
        os.waitpid(child, 0)
        warnings = _await_start(ours)
    except BaseException:
        ours.close()
        raise
    if attach:
        return Spawned(ours, warnings)
    ours.close()
    return Spawned(None, warnings)


def _open_standard_descriptors() -> None:
    """Put /dev/null where 0, 1 or 2 is closed: what is opened next must not land there."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)


def _await_start(monitor: Connection) -> tuple[str, ...]:
    kind, payload = monitor.receive()
    if kind == channel.FAILED:
        raise unpack_error(bytes(payload))
    if kind != channel.STARTED:
        hint = "it was killed; the kernel's log may tell of a shortage of memory"
        raise MonitorDied("start the container's monitor", errno.EOWNERDEAD, hint=hint)
    return tuple(json.loads(bytes(payload)))


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Keep signals pending, so that none hits a child that is not yet a monitor."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _detach_and_run(plan: MonitorPlan, hooks: Hooks, caller: Connection, attach: bool) -> Never:
    """Become a process of init's in a session of its own, and the monitor."""
    try:
        os.setsid()
        if os.fork() == 0:
            with noting_errors(plan.directory):
                _become_monitor()
                _run(plan, hooks, caller, attach)
    finally:
        os._exit(0)  # the frames and buffers above belong to the caller


def _become_monitor() -> None:
    shield()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)
    os.chdir("/")
    syscall("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    name_process(NAME)
    gc.freeze()  # a collection would write to, and so copy, all memory shared with the caller


def _run(plan: MonitorPlan, hooks: Hooks, caller: Connection, attach: bool) -> None:
    try:
        lock = monitor_lock.take(plan.directory, plan.container)
        try:
            listener = listen(plan.directory)
            begun = _begin(plan, hooks, caller)
        except BaseException as e:
            with noting_errors(plan.directory):
                hooks.failed(as_error(e))
            os.close(lock)
            raise
    except BaseException as e:  # noqa: BLE001  it is raised again in the caller
        caller.send(channel.FAILED, pack_error(as_error(e)))
        return
    with contextlib.suppress(ConnectionError):
        caller.send(channel.STARTED, json.dumps(begun.outcome.warnings).encode())
    if not attach:
        caller.close()
    _close_others(begun, (lock, listener.fileno(), caller.fileno()))
    members = (Member(caller, is_caller=True),) if attach else ()
    run = watched(plan, begun.program, listener, begun.log, begun.outcome.keep, members)
    go_on(Life(plan, hooks, lock), run)


def _begin(plan: MonitorPlan, hooks: Hooks, caller: Connection) -> Begun:
    try:
        return begin(plan, hooks, lambda: _check_caller(caller))
    except BaseException:
        unlink_socket(plan.directory)
        raise


def _check_caller(caller: Connection) -> None:
    """Raise Cancelled if the caller has gone away."""
    try:
        kind = caller.receive(wait=False).kind
    except BlockingIOError:
        return
    if kind == channel.END:
        raise Cancelled("the start was interrupted")


def _close_others(begun: Begun, keep: tuple[int, ...]) -> None:
    """Close what the caller had open: someone may wait for the end of its pipes."""
    _, *program = begun.program
    own = {0, 1, 2, *program, *begun.outcome.keep, *keep}
    if begun.log is not None:
        own.add(begun.log.fileno())
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in own:
            with contextlib.suppress(OSError):  # the one that listed
                os.close(int(name))
