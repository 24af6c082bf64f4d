# SPDX-License-Identifier: Apache-2.0
"""The files of a container as it sees them: while it runs its own root, else its layers."""

import contextlib
import os
from collections.abc import Iterator

from minidock.engine import liveness, mounting
from minidock.engine.mount_points import TMPFS
from minidock.engine.start import mount_root
from minidock.fs.rooted import RootedDir
from minidock.oci.runtime import Mount
from minidock.runtime import enter, spec, view
from minidock.store.containers import PAUSED, RUNNING, Container, ContainerState
from minidock.store.store import Store

_OWN_FILES = ("hosts", "hostname", "resolv.conf")


@contextlib.contextmanager
def opened(store: Store, container: Container, state: ContainerState) -> Iterator[RootedDir]:
    """Give the root of a container's files, its mounts in their places.

    One that does not run can't be started or removed meanwhile.

    Raises:
        ContainerNotFound: it was removed with its end.
        MissingSource: a path that it mounts does not exist.
        SystemFailure
    """
    root = _running(state)
    if root is None:
        with container.lock():
            state = container.state
            root = _running(state)  # started while the lock was waited for
            if root is None:
                with _stopped(store, container, state) as root:
                    yield root
                return
    with root:
        yield root


def _running(state: ContainerState) -> RootedDir | None:
    """Return the root of a running container, None if it does not run."""
    if state.status not in (RUNNING, PAUSED) or not liveness.init_alive(state):
        return None
    try:
        return enter.open_root(enter.Target(state.pid, state.start_time))
    except enter.NotRunning:
        return None


@contextlib.contextmanager
def _stopped(store: Store, container: Container, state: ContainerState) -> Iterator[RootedDir]:
    read_only = bool(container.record.host["ReadonlyRootfs"])
    root = mount_root(store, container, state, nodev=True)
    with contextlib.ExitStack() as held:
        held.callback(os.close, root)
        mounts = _mounts(container, held)
        with view.assembled(root, container.mountpoint, mounts, read_only=read_only) as files:
            yield files


def _mounts(container: Container, held: contextlib.ExitStack) -> tuple[Mount, ...]:
    """Return the mounts with something in them: a tmpfs ends with its container."""
    own = mounting.mounts(container.record, held, nodev=True)
    mounts = {mount.destination: mount for mount in own if mount.type != TMPFS}
    for name in _OWN_FILES:  # made at the first start
        path = f"/etc/{name}"
        if path not in mounts and os.path.exists(container.file(name)):
            mounts[path] = spec.bind_mount(container.file(name), path)
    return tuple(sorted(mounts.values(), key=lambda mount: mount.destination.count("/")))
