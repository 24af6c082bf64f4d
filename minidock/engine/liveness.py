# SPDX-License-Identifier: Apache-2.0
"""Whether a container's processes live, and how to signal and await them.

A process is named by its pid, its start time and the boot (proc_pid_stat(5) field 22), so that
a number used again by another process is never signalled.
"""

import contextlib
import os
import re
import select
import signal
import time
from collections.abc import Mapping

from minidock.annotations import Any
from minidock.errors import (
    CommandNotExecutable,
    CommandNotFound,
    Conflict,
    InvalidArgument,
    MinidockError,
    SystemFailure,
    Unsupported,
)
from minidock.linux.process_stat import living_since
from minidock.store.containers import EXITED, LIVE, RESTARTING, Container, ContainerState
from minidock.store.unpacked import boot_id

_SIGNAL = r"([0-9]{1,3}|(?:SIG)?([A-Z]+[0-9]?))((?<=RTMIN)\+[0-9]+|(?<=RTMAX)-[0-9]+)?"
UNKNOWN_EXIT = 255
RECORD_WAIT = 10.0
"""Seconds that a monitor may take from the end of init to the record of it."""


class NotRunning(Conflict):
    """The container does not run; the text is docker's."""

    def __init__(self, container: Container, prefix: str = "") -> None:
        super().__init__(f"{prefix}Container {container.id} is not running")


class InvalidSignal(InvalidArgument):
    """Not the name or number of a signal; the text is docker's."""

    def __init__(self, text: str) -> None:
        super().__init__(f"Invalid signal: {text}")


def parse_signal(text: str) -> int:
    """Return the number of a signal given as 9, KILL or SIGKILL; raise InvalidSignal."""
    match = re.fullmatch(_SIGNAL, text.upper())
    if match is None:
        raise InvalidSignal(text)
    name, offset = match[2] or match[1], int(match[3] or 0)
    if name.isdigit():
        number = int(name)
    elif name in ("RTMIN", "RTMAX"):
        number = int(signal.Signals[f"SIG{name}"]) + offset
    elif f"SIG{name}" in signal.Signals.__members__:
        number = int(signal.Signals[f"SIG{name}"])
    else:
        raise InvalidSignal(text)
    if not 0 < number <= signal.SIGRTMAX or (offset and number < signal.SIGRTMIN):
        raise InvalidSignal(text)
    return number


def stop_signal(config: Mapping[str, Any]) -> int:
    """Return the signal that ends a container; SIGTERM if its image names none there is."""
    try:
        return parse_signal(config.get("StopSignal") or "TERM")
    except InvalidSignal:
        return signal.SIGTERM


def init_alive(state: ContainerState) -> bool:
    """Tell whether the init that `state` names lives."""
    return (
        state.pid > 0
        and living_since(state.pid) == state.start_time
        and state.boot_id == boot_id()
    )


def monitor_alive(container: Container) -> bool:
    """Tell whether the container's monitor holds its lock."""
    from minidock.runtime import monitor_lock  # ps of containers that live asks no monitor

    return monitor_lock.is_held(container.directory)


def open_init(state: ContainerState) -> int:
    """Return a pidfd of the container's init, or -1 when it is gone."""
    if state.status not in LIVE:
        return -1
    try:
        pidfd = os.pidfd_open(state.pid)
    except ProcessLookupError:
        return -1
    # The pidfd is held, so a pid that still has the right start time can't be another's.
    if not init_alive(state):
        os.close(pidfd)
        return -1
    return pidfd


def signal_init(state: ContainerState, number: int) -> bool:
    """Send a signal to init; tell whether it was there."""
    pidfd = open_init(state)
    if pidfd < 0:
        return False
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


def thaw(state: ContainerState) -> None:
    """Let a container go on, if it is still there and can be stopped at all."""
    from minidock.runtime import cgroups  # ps needs none

    with contextlib.suppress(SystemFailure, Unsupported):
        cgroups.thaw(state.cgroups)


def await_init(state: ContainerState, timeout: float | None) -> bool:
    """Wait until init has ended, `timeout` seconds at most; tell whether it has."""
    pidfd = open_init(state)
    if pidfd < 0:
        return True
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(None if timeout is None else max(0, timeout * 1000)))
    finally:
        os.close(pidfd)


def await_record(container: Container) -> ContainerState:
    """Return the state once it says that the container has ended.

    Called after init's end. Gives up, with the state as it is, when the monitor is gone.
    """
    deadline = time.monotonic() + RECORD_WAIT
    pause = 0.001
    while True:
        state = container.state
        if state.status not in LIVE:
            return state
        if not monitor_alive(container) or time.monotonic() > deadline:
            return container.state
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def await_exit(container: Container) -> int | None:
    """Wait for the monitor to tell the exit status; None if it is not there or dies."""
    from minidock.runtime import attach, channel  # only wait needs them

    try:
        connection = attach.connect(container.directory)
    except (OSError, MinidockError):
        return None
    try:
        while True:
            kind, payload = connection.receive()
            if kind == channel.EXITED:
                return int(channel.STATUS.unpack(payload)[0])
            if kind == channel.END:
                return None
    finally:
        connection.close()


def await_monitor(container: Container) -> None:
    """Wait until the monitor of a container that has ended is gone too.

    It lets its lock go a moment after it has recorded the end.
    """
    deadline = time.monotonic() + RECORD_WAIT
    while monitor_alive(container) and time.monotonic() < deadline:
        time.sleep(0.001)


def is_live(container: Container) -> bool:
    """Tell whether more output may come: the container runs or its end is being recorded."""
    try:
        state = container.state
    except MinidockError:
        return False
    # As in docker the output of one run ends with it, also where another one follows.
    return state.status in LIVE and (init_alive(state) or monitor_alive(container))


def is_used(container: Container, state: ContainerState) -> bool:
    """Tell whether a container in `state` needs its image: it runs or is going to."""
    if state.status == RESTARTING:
        return monitor_alive(container)
    return state.status in LIVE and init_alive(state)


def ended(state: ContainerState) -> ContainerState:
    """Return `state` for a container whose end, or last end, nobody recorded."""
    if state.status == RESTARTING:
        return state._replace(status=EXITED)
    return state._replace(status=EXITED, pid=0, exit_code=UNKNOWN_EXIT, finished=time.time())


def exit_status_of(error: MinidockError) -> int:
    """Return the exit status docker records for a container that could not be started."""
    if isinstance(error, CommandNotFound):
        return 127
    if isinstance(error, CommandNotExecutable):
        return 126
    return 128
