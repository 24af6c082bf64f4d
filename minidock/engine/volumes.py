# SPDX-License-Identifier: Apache-2.0
"""The verbs on volumes."""

from collections.abc import Mapping, Sequence
from functools import partial

from minidock.annotations import Any
from minidock.engine.clock import rfc3339
from minidock.engine.filters import unused_volume_filter, volume_filter
from minidock.engine.options import CreateVolume, Filters
from minidock.engine.views import PrunedVolumes, VolumeView
from minidock.engine.volume_use import users, users_of
from minidock.errors import Conflict, NotFound, SystemFailure
from minidock.fs.atomic import random_hex
from minidock.store import journal
from minidock.store.store import Store
from minidock.store.volumes import ANONYMOUS, LOCAL, Volume, check_driver


class Volumes:
    """The verbs on the volumes of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, options: CreateVolume) -> str:
        """Make a volume; return its name. One that there is already stays as it is.

        Raises:
            InvalidVolume, DriverNotFound, Unsupported
        """
        check_driver(options.driver)
        label = {} if options.name else {ANONYMOUS: ""}
        try:
            volume = self._store.volumes.create(
                options.name or random_hex(32),
                labels={**options.labels, **label},
                options=options.options,
            )
        except OSError as e:
            raise SystemFailure.of("make the volume", e) from e
        journal.volume(self._store.layout, "create", volume.name)
        return volume.name

    def list(self, filters: Filters) -> tuple[VolumeView, ...]:
        """Return the volumes by name; raise InvalidFilter."""
        accepts = volume_filter(filters)
        by_volume = users(self._store) if any(key == "dangling" for key, _ in filters) else {}
        views = (_view(volume, by_volume) for volume in self._store.volumes.all())
        return tuple(filter(accepts, views))

    def inspect(self, name: str) -> dict[str, Any]:
        """Return docker's description of a volume; raise VolumeNotFound."""
        volume = self._store.volumes.find(name)
        return {
            "CreatedAt": rfc3339(int(volume.created)),
            "Driver": LOCAL,
            "Labels": dict(volume.labels) or None,
            "Mountpoint": volume.data,
            "Name": volume.name,
            "Options": dict(volume.options) or None,
            "Scope": LOCAL,
        }

    def remove(self, name: str) -> None:
        """Delete a volume and its data.

        Raises:
            VolumeNotFound, VolumeInUse
        """
        try:
            self._store.volumes.remove(name, partial(users_of, self._store, name))
        except OSError as e:
            raise SystemFailure.of(f"remove the volume {name}", e) from e
        journal.volume(self._store.layout, "destroy", name)

    def prune(self, filters: Filters, *, everything: bool = False) -> PrunedVolumes:
        """Delete the volumes that no container has, unless `everything` only nameless ones.

        Raises:
            InvalidFilter
            ContainerDamaged: of one container nobody knows which it has.
        """
        accepts = unused_volume_filter(filters, everything=everything)
        by_volume = users(self._store)
        names, freed = [], 0
        for volume in self._store.volumes.all():
            if not accepts(_view(volume, by_volume)):
                continue
            try:
                size = self._store.volumes.size(volume)
                self.remove(volume.name)
            except (Conflict, NotFound, FileNotFoundError):
                continue  # taken or removed meanwhile
            names.append(volume.name)
            freed += size
        return PrunedVolumes(tuple(names), freed)


def _view(volume: Volume, by_volume: Mapping[str, Sequence[str]]) -> VolumeView:
    return VolumeView(
        volume.name,
        LOCAL,
        volume.data,
        volume.created,
        volume.labels,
        volume.anonymous,
        tuple(by_volume.get(volume.name, ())),
    )
