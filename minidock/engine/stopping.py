# SPDX-License-Identifier: Apache-2.0
"""Whether it makes sense to wait after a stop signal."""

import signal
import time

from minidock.engine import liveness
from minidock.linux.process_status import drops_signal
from minidock.store.containers import PAUSED, ContainerState

_STARTUP = 2.0
"""Seconds from its start in which a program may be about to install its handlers."""

_PAUSE = 0.02


def heeds(state: ContainerState, number: int) -> bool:
    """Tell whether init takes notice of signal `number`, or has ended.

    A program that has just been started gets the time to install a handler, for a signal that
    comes before is lost.
    """
    if state.status == PAUSED:  # nothing is known before it goes on
        return True
    patience = min(state.started + _STARTUP - time.time(), _STARTUP)
    deadline = time.monotonic() + patience
    while drops_signal(state.pid, number):
        if time.monotonic() >= deadline:
            return False
        if liveness.await_init(state, _PAUSE):
            return True
    return True


def unheeded(name: str, number: int) -> str:
    """Return the warning that container `name` is killed without waiting."""
    what = signal.Signals(number).name if number in _NAMED else f"signal {number}"
    return f"{name}: process 1 has no handler for {what}, so it gets none: killed at once"


_NAMED = frozenset(map(int, signal.Signals))
