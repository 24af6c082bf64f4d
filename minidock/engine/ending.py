# SPDX-License-Identifier: Apache-2.0
"""What is due when a container has ended.

A small monitor imports this when it has come so far, while somebody waits for the end: it has
to do without the rest of the runtime.
"""

import contextlib
import time
from binascii import crc32
from collections.abc import Mapping

from minidock.annotations import TYPE_CHECKING, Any
from minidock.config import Config
from minidock.engine import restarts
from minidock.engine.records import has_other_runtime
from minidock.errors import DataCorrupted
from minidock.runtime import cgroups
from minidock.store import journal
from minidock.store.containers import EXITED, RESTARTING, Container, ContainerState
from minidock.store.store import Store

if TYPE_CHECKING:
    from minidock.network.bridge import Bridge

USUAL_ROOT = "/var/lib/minidock"


def record_exit(
    config: Config, store: Store, container: Container, status: int, known: ContainerState
) -> float | None:
    """Record that a container has exited with `status`, and give back what it had.

    `known` is its state for the case that the stored one can't be read.

    Returns:
        The seconds until it is to be started again, None if it is not.

    Raises:
        ContainerNotFound: it was removed meanwhile.
    """
    with container.lock():
        try:
            state = container.state  # others pause or stop it meanwhile
        except DataCorrupted:
            state = known
        state = state._replace(
            status=EXITED,
            pid=0,
            exit_code=status,
            oom_killed=cgroups.oom_kills(state.cgroups) > state.oom_kills,
            finished=time.time(),
        )
        pause = restarts.pause_after(_current_host(store, container), state)
        if pause is not None:
            number = state.restarts + 1
            state = state._replace(status=RESTARTING, restarts=number, backoff=pause)
        _tell(store, container, state)
        finish(config, store, container, state)
    return pause


def _tell(store: Store, container: Container, state: ContainerState) -> None:
    layout = store.layout
    if state.oom_killed:
        journal.container(layout, container, "oom")
    took, status = int(state.finished - state.started), state.exit_code
    journal.container(layout, container, "die", exitCode=status, execDuration=took)
    networked = state.endpoint is not None
    journal.parts(layout, container, ("unmount", "disconnect"), networked=networked)


def _current_host(store: Store, container: Container) -> Mapping[str, Any]:
    """Return the HostConfig with what `update` has changed meanwhile."""
    if container.record.host["AutoRemove"]:
        return container.record.host  # a restart policy is refused then
    return store.containers.find(container.id).record.host


def finish(config: Config, store: Store, container: Container, state: ContainerState) -> None:
    """Give back what the container had, and record `state`; the caller holds its lock."""
    with contextlib.ExitStack() as steps:  # the later ones are taken if the first fail
        if container.record.host.get("AutoRemove") and not container.is_kept:
            steps.callback(_remove, store, container)
        else:
            steps.callback(container.set_state, state._replace(endpoint=None, cgroups=()))
        if state.cgroups:
            steps.callback(cgroups.remove, state.cgroups)
        if has_other_runtime(container.record.host):
            from minidock.engine import runtimes  # few containers have another runtime

            steps.callback(runtimes.delete, container)
        if state.endpoint:
            steps.callback(bridge_of(config, store).release, container.id)


def _remove(store: Store, container: Container) -> None:
    """Remove a container as ``--rm`` does."""
    name = container.name
    store.containers.remove(container)
    journal.container(store.layout, container, "destroy", name=name)
    if container.record.mounts:
        from minidock.engine.mount_points import mount_points  # only containers with mounts
        from minidock.engine.volume_use import release  # likewise

        release(store, mount_points(container.record))


def bridge_of(config: Config, store: Store) -> "Bridge":
    """Return the bridge of this store; a root of its own has a bridge of its own."""
    from minidock.network.bridge import Bridge, BridgeSettings  # 10 ms, not for host and none

    name = bridge_name(store.layout.root)
    return Bridge(BridgeSettings(store.layout.network, name, config.bridge_subnet))


def bridge_name(root: str) -> str:
    """Return the name of the bridge of the state directory `root`, at most 15 characters."""
    if root == USUAL_ROOT:
        return "minidock0"
    return f"minidock-{crc32(root.encode()) & 0xFFFFFF:06x}"
