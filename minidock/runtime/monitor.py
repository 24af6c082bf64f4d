# SPDX-License-Identifier: Apache-2.0
"""The monitor: one process per container that is its parent, its log and its door.

It is forked from the command that starts the container, see seed.py, and outlives it. It reads
the program's output, writes the log, serves the clients (see channel.py) and, when the program
has exited, records that through `Hooks`. While it lives it holds a lock, see monitor_lock.py.

The order at the start: `create`, `attach`, the gate opens (the program is executed), `started`,
then the caller learns of it. At the end: the output is drained, the socket goes, `exited`, the
lock is let go, then the clients learn the status. Where the container is to be started again
the lock stays, and after a pause it begins anew.

This module is the start, beginning.py that of each run, lifetime.py what comes after it,
supervisor.py the event loop of one run, and slim.py makes the process small meanwhile.
"""

import contextlib
import gc
import json
import os
from collections.abc import Callable

from minidock.errors import Cancelled
from minidock.linux.libc import syscall
from minidock.linux.signals import shield
from minidock.runtime import channel, monitor_lock
from minidock.runtime.beginning import Begun, begin, listen
from minidock.runtime.channel import Connection
from minidock.runtime.failures import as_error, noting_errors, pack_error
from minidock.runtime.hooks import Hooks
from minidock.runtime.interpreter import name_process
from minidock.runtime.lifetime import Life, go_on, unlink_socket
from minidock.runtime.monitor_plan import NAME, MonitorPlan
from minidock.runtime.supervisor import Member
from minidock.runtime.watch import watched

_PR_SET_CHILD_SUBREAPER = 36


def supervise(
    plan: MonitorPlan,
    make_hooks: Callable[[MonitorPlan], Hooks],
    caller: Connection,
    *,
    attach: bool,
) -> None:
    """Be the monitor of the container that `plan` has, and return after its end.

    The process is a child of init's in a session of its own, with /dev/null for its streams.
    `caller` learns how the start went; with `attach` it is a client too.
    """
    with noting_errors(plan.directory):
        _become_monitor()
        _run(plan, make_hooks, caller, attach)


def _become_monitor() -> None:
    shield()
    syscall("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    name_process(NAME)
    gc.freeze()  # a collection would write to, and so copy, all memory shared with the caller


def _run(
    plan: MonitorPlan,
    make_hooks: Callable[[MonitorPlan], Hooks],
    caller: Connection,
    attach: bool,
) -> None:
    try:
        hooks = make_hooks(plan)
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
