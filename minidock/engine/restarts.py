# SPDX-License-Identifier: Apache-2.0
"""Restart policies: whether a container that has ended is started again, and when."""

import contextlib
import time
from collections.abc import Mapping

from minidock.annotations import Any
from minidock.engine import liveness
from minidock.store.containers import CREATED, EXITED, RESTARTING, Container, ContainerState

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 60.0
_LONG_RUN = 10.0  # seconds after which a container counts as one that works


def policy_of(host: Mapping[str, Any]) -> str:
    """Return the name of the policy of a HostConfig: no, always, unless-stopped, on-failure."""
    return str((host.get("RestartPolicy") or {}).get("Name") or "no")


def is_wanted(host: Mapping[str, Any], state: ContainerState) -> bool:
    """Tell whether the policy of a HostConfig wants another start after the end in `state`.

    Whether a user has stopped the container counts for `unless-stopped` alone: it is asked at
    the boot of the machine too.
    """
    match policy_of(host):
        case "always":
            return True
        case "unless-stopped":
            return not state.stopped
        case "on-failure":
            most = int(host["RestartPolicy"].get("MaximumRetryCount") or 0)
            return state.exit_code != 0 and (most == 0 or state.restarts < most)
    return False


def pause_after(host: Mapping[str, Any], state: ContainerState) -> float | None:
    """Return the seconds to the next start of a container with the end in `state`.

    None if there is none. It doubles with each start, until one has lasted.
    """
    if state.stopped or not is_wanted(host, state):
        return None
    if state.finished - state.started >= _LONG_RUN or state.backoff == 0:
        return _FIRST_PAUSE
    return min(state.backoff * 2, _LONGEST_PAUSE)


def is_due_at_boot(host: Mapping[str, Any], state: ContainerState) -> bool:
    """Tell whether a container is to be started when the machine has been."""
    return state.status == EXITED and state.started > 0 and is_wanted(host, state)


def forbid(container: Container) -> ContainerState:
    """Note that a user ends the container; return its state, ended if it was restarting.

    Raises:
        ContainerNotFound: it was removed meanwhile.
    """
    state = container.state
    if policy_of(container.record.host) == "no" and state.status != RESTARTING:
        return state
    with container.lock():
        state = container.state
        if state.status in (CREATED, EXITED):
            return state
        waiting = state.status == RESTARTING
        state = state._replace(stopped=True, status=EXITED if waiting else state.status)
        container.set_state(state)
    if waiting:
        _send_home(container)
    return state


def _send_home(container: Container) -> None:
    """Wait until the monitor of a container that is not to be started again has gone."""
    from minidock.runtime import attach  # most commands talk to no monitor

    deadline = time.monotonic() + liveness.RECORD_WAIT
    while liveness.monitor_alive(container) and time.monotonic() < deadline:
        with contextlib.suppress(OSError):  # it does not listen yet
            attach.knock(container.directory)
        time.sleep(0.005)
