# SPDX-License-Identifier: Apache-2.0
"""A monitor's life: run after run of one container until none is wanted.

A small monitor imports this when its program has ended, while somebody waits for that.
"""

import os
import time

from minidock.annotations import TYPE_CHECKING
from minidock.runtime.failures import noting_errors
from minidock.runtime.monitor_plan import SOCKET, MonitorPlan
from minidock.runtime.watch import Run
from minidock.values import NamedTuple

if TYPE_CHECKING:
    from minidock.runtime.hooks import Hooks

_PATIENCE = 5.0  # seconds that clients of a run have to take its end before the next one


class Life(NamedTuple):
    """What a monitor has from its beginning to its end; `lock` is a descriptor."""

    plan: MonitorPlan
    hooks: "Hooks"
    lock: int


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
        from minidock.runtime.beginning import run_again  # most ends are the last

        return run_again(life, due)
    return None


def unlink_socket(directory: str) -> None:
    """Remove the socket in the state directory if it is there."""
    try:
        os.unlink(os.path.join(directory, SOCKET))
    except FileNotFoundError:
        pass
