# SPDX-License-Identifier: Apache-2.0
"""``pause`` and ``unpause``, and how a container is kept still for ``commit``.

Two locks are held where a container is stopped or let go: ``freeze.lock``, so that the end of a
commit does not wake a container that was paused meanwhile, and then that of its state.
"""

import contextlib
from collections.abc import Iterator

from minidock.engine import liveness
from minidock.errors import Conflict, MinidockError
from minidock.runtime import cgroups
from minidock.runtime.workers import undone
from minidock.store.containers import (
    PAUSED,
    RESTARTING,
    RUNNING,
    Container,
    ContainerState,
)


class AlreadyPaused(Conflict):
    """The container is paused; the text is docker's."""

    def __init__(self, container: Container) -> None:
        super().__init__(f"Container {container.id} is already paused")


class NotPaused(Conflict):
    """The container is not paused; the text is docker's."""

    def __init__(self, container: Container) -> None:
        super().__init__(f"Container {container.id} is not paused")


def pause(container: Container) -> None:
    """Stop all processes of a container where they are.

    Raises:
        NotRunning, AlreadyPaused, Conflict for one that is restarting
        FreezerMissing: there is no cgroup for it here.
        CgroupFailure: the kernel refuses; the container goes on.
    """
    with container.freeze_lock(), container.lock():
        state = container.state
        if state.status == PAUSED:
            raise AlreadyPaused(container)
        if state.status == RESTARTING:
            raise Conflict(
                f"Container {container.id} is restarting, wait until the container is running"
            )
        if state.status != RUNNING:
            raise liveness.NotRunning(container)
        # The record first: what it calls paused can be unpaused, whatever becomes of us.
        container.set_state(state._replace(status=PAUSED))
        try:
            cgroups.freeze(state.cgroups)
        except MinidockError:
            container.set_state(state)
            raise


def unpause(container: Container) -> None:
    """Let the processes of a paused container go on; raise NotPaused or CgroupFailure."""
    with container.freeze_lock():
        if not resume(container):
            raise NotPaused(container)


def resume(container: Container) -> bool:
    """Let a container go on that has got a signal; tell whether it was paused."""
    with container.lock():
        state = container.state
        if state.status != PAUSED:
            return False
        cgroups.thaw(state.cgroups)
        container.set_state(state._replace(status=RUNNING))
        return True


@contextlib.contextmanager
def frozen(container: Container, state: ContainerState, wanted: bool) -> Iterator[None]:
    """Keep the processes of a container from changing anything, if `wanted`.

    One that is paused stays so afterwards.
    """
    if not wanted or state.status not in (RUNNING, PAUSED) or not state.cgroups:
        yield
        return
    # One at a time: the first to finish would let the container go on under the second. And
    # whatever ends this process, the container must not stay as it is.
    with container.freeze_lock():
        state = container.state
        if state.status != RUNNING:
            yield
            return
        with undone(lambda: liveness.thaw(state)):
            cgroups.freeze(state.cgroups)
            yield
