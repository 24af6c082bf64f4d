# SPDX-License-Identifier: Apache-2.0
"""Joining namespaces of another container: ``container:X`` as a mode of one."""

import contextlib
import os
from collections.abc import Callable, Iterator

from minidock.engine import liveness
from minidock.engine.isolation import CONTAINER, Joined, Sharing, sharing, shm_of_host
from minidock.engine.options import CreateOptions
from minidock.errors import Conflict, SystemFailure
from minidock.oci.runtime import SHM
from minidock.runtime.foreign import clone_proc, clone_shm
from minidock.store.containers import Container
from minidock.store.store import Store

_FILES = {"network": "net", "pid": "pid", "ipc": "ipc"}
_NOT_RUNNING = {
    "network": "cannot join network of a non running container: {id}",
    "pid": "container {id} is not running",
    "ipc": "can't join IPC of container {id}: container {id} is not running",
}


def with_ids(store: Store, options: CreateOptions) -> CreateOptions:
    """Return `options` with ids for the names in modes; a name may mean another one later.

    Raises:
        ContainerNotFound
    """

    def resolved(mode: str) -> str:
        if not mode.startswith(CONTAINER):
            return mode
        return CONTAINER + store.containers.find(mode.removeprefix(CONTAINER)).id

    return options._replace(
        network=resolved(options.network),
        pid_mode=resolved(options.pid_mode),
        ipc_mode=resolved(options.ipc_mode),
    )


def network_owner(store: Store, container: Container) -> Container:
    """Return the container whose network, host name and files for it `container` has.

    Raises:
        ContainerNotFound: it was removed.
    """
    while owner := sharing(container.record.host).joined.get("network"):
        container = store.containers.find(owner)
    return container


@contextlib.contextmanager
def opened(store: Store, wanted: Sharing) -> Iterator[Joined]:
    """Give the namespaces `wanted`, open as long as the context.

    Raises:
        ContainerNotFound: one of the containers was removed.
        Conflict: one does not run, or does not share its IPC namespace; docker's texts.
    """
    with contextlib.ExitStack() as held:
        host = list(wanted.host)
        paths, namespaces, trees = {}, {}, {}
        shm = shm_of_host(wanted.host)
        for kind, container_id in wanted.joined.items():
            container = store.containers.find(container_id)
            path, fd = _open(container, kind, _FILES[kind])
            held.callback(os.close, fd)
            if kind == "ipc":
                _check_ipc(container)
                shm = f"{path.removesuffix('/ns/ipc')}/root{SHM}"
                trees[shm] = _take(container, held, clone_shm)
            if _is_own(fd, _FILES[kind]):
                host.append(kind)  # what would change it would change the host
                continue
            paths[kind], namespaces[kind] = path, fd
            if kind == "pid":
                trees["proc"] = _take(container, held, clone_proc)
        yield Joined(tuple(host), paths, namespaces, shm, trees)


def _check_ipc(container: Container) -> None:
    mode = str(container.record.host.get("IpcMode") or "private")
    if mode in ("private", "none"):
        raise Conflict(
            f"can't join IPC of container {container.id}: non-shareable IPC "
            "(hint: use IpcMode:shareable for the donor container)"
        )


def _open(container: Container, kind: str, name: str) -> tuple[str, int]:
    """Return path and descriptor of a namespace of a running container."""
    state = container.state
    refusal = Conflict(_NOT_RUNNING[kind].format(id=container.id))
    if not state.pid:
        raise refusal
    path = f"/proc/{state.pid}/ns/{name}"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as e:
        raise refusal from e
    except OSError as e:
        raise SystemFailure.of("open the namespace", e) from e
    # It lives now, so it did when it was opened: no other process can have had its number.
    if not liveness.init_alive(state):
        os.close(fd)
        raise refusal
    return path, fd


def _take(container: Container, held: contextlib.ExitStack, clone: Callable[[int], int]) -> int:
    """Return what `clone` takes out of the mount namespace of a running container."""
    _, namespace = _open(container, "pid", "mnt")
    try:
        tree = clone(namespace)
    except OSError as e:
        raise SystemFailure.of("share the mount", e) from e
    finally:
        os.close(namespace)
    held.callback(os.close, tree)
    return tree


def _is_own(fd: int, name: str) -> bool:
    return os.path.samestat(os.fstat(fd), os.stat(f"/proc/self/ns/{name}"))
