# SPDX-License-Identifier: Apache-2.0
"""The state of a container whose monitor may have died."""

from minidock.config import Config
from minidock.engine import liveness
from minidock.errors import DataCorrupted, SystemFailure
from minidock.store import journal
from minidock.store.containers import (
    LIVE,
    RESTARTING,
    Container,
    ContainerNotFound,
    ContainerState,
)
from minidock.store.store import Store


def reconcile(config: Config, store: Store, container: Container) -> ContainerState:
    """Return the state, having recorded an end that no monitor lived to record.

    Raises:
        ContainerNotFound: it was removed meanwhile.
        DataCorrupted: the state can't be read, and the container runs.
    """
    try:
        state = container.state
        if _is_so(container, state):
            return state
        state = liveness.await_record(container)
        if _is_so(container, state):
            return state
    except DataCorrupted:
        # A state is not synced: the power may have gone before it was on disk.
        if liveness.monitor_alive(container):
            raise
        state = ContainerState(started=container.record.created)
    state = liveness.ended(state)
    try:
        return _record_end(config, store, container, state)
    except (OSError, SystemFailure):
        return state  # such as a full disk: it has ended all the same


def _is_so(container: Container, state: ContainerState) -> bool:
    """Tell whether there is what `state` says: a process, or a monitor that will start one."""
    if state.status == RESTARTING:
        return liveness.monitor_alive(container)
    return state.status not in LIVE or liveness.init_alive(state)


def _record_end(
    config: Config, store: Store, container: Container, state: ContainerState
) -> ContainerState:
    from minidock.engine.ending import finish  # the runtime, for what mostly is no case

    with container.lock():
        try:
            now = container.state
            if _is_so(container, now):
                return now  # another process was faster
        except DataCorrupted:
            pass
        journal.container(store.layout, container, "die", exitCode=state.exit_code)
        finish(config, store, container, state)
    if container.record.host.get("AutoRemove"):
        raise ContainerNotFound(container.id)
    return state
