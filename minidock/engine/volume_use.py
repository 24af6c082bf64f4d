# SPDX-License-Identifier: Apache-2.0
"""Which containers have a volume, and what goes with the last of them."""

from collections.abc import Iterable, Sequence
from functools import partial

from minidock.engine.mount_points import MountPoint, mount_points
from minidock.errors import Conflict, DataCorrupted, NotFound
from minidock.store import journal
from minidock.store.containers import ContainerDamaged
from minidock.store.store import Store


def users(store: Store) -> dict[str, list[str]]:
    """Return the ids of the containers that have each volume, by the volume's name.

    Raises:
        ContainerDamaged: of one it can't be told, so no volume may be taken for unused.
    """
    for container_id in store.containers.damaged():
        raise ContainerDamaged(container_id, "nobody knows its volumes")
    found: dict[str, list[str]] = {}
    for container in store.containers.all():
        for name in sorted({point.name for point in mount_points(container.record)} - {""}):
            found.setdefault(name, []).append(container.id)
    return found


def users_of(store: Store, name: str) -> Sequence[str]:
    """Return the ids of the containers that have the volume `name`; raise as users()."""
    return users(store).get(name, ())


def release(store: Store, points: Iterable[MountPoint]) -> None:
    """Remove the anonymous volumes of a container that is gone; one in use elsewhere stays."""
    for name in sorted({point.name for point in points if point.anonymous}):
        try:
            store.volumes.remove(name, partial(users_of, store, name))
        except (Conflict, NotFound, DataCorrupted):
            continue
        journal.volume(store.layout, "destroy", name)
