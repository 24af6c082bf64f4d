# SPDX-License-Identifier: Apache-2.0
"""The mounts of a new container: which there are, and the volumes made and filled for them."""

import contextlib
import os
import time
from collections.abc import Iterator

from minidock.annotations import TYPE_CHECKING
from minidock.engine.mount_points import BIND, TMPFS, VOLUME, MountPoint, mount_points
from minidock.engine.options import BindMount, CreateOptions, TmpfsMount, VolumeMount
from minidock.engine.volume_use import release
from minidock.errors import InvalidArgument, SystemFailure
from minidock.fs.atomic import random_hex
from minidock.store import journal
from minidock.store.images import StoredImage
from minidock.store.store import Store
from minidock.store.volumes import ANONYMOUS, Volume, check_driver

if TYPE_CHECKING:
    from minidock.engine.copy_up import ImageFiles

Wanted = MountPoint | VolumeMount
"""A mount that is known already, or a volume that may have to be made."""


@contextlib.contextmanager
def provide(
    store: Store, options: CreateOptions, stored: StoredImage
) -> Iterator[tuple[MountPoint, ...]]:
    """Give the mounts of a new container, in whose image's volumes they begin as docker's do.

    Until the block ends nobody can remove the volumes; by then a record names them. If the
    block fails, the new volumes without a name go.

    Raises:
        ContainerNotFound: of ``--volumes-from``.
        InvalidArgument, Unsupported: a volume can't be what is asked for.
    """
    wanted = plan(options, stored.image.config.volumes, _inherited(store, options))
    with contextlib.ExitStack() as held:
        provider = _Provider(store, stored, held, durable=not options.remove)
        try:
            yield tuple(map(provider.provide, wanted))
        except BaseException:
            held.close()
            release(store, provider.made)
            raise


def plan(
    options: CreateOptions, image_volumes: tuple[str, ...], inherited: tuple[MountPoint, ...]
) -> tuple[Wanted, ...]:
    """Return what is to be mounted, one for each destination.

    What the user names hides what another container has there; a volume that the image asks
    for is made where nothing else is.

    Raises:
        InvalidArgument: an image wants a volume for its root.
    """
    mounts: dict[str, Wanted] = {point.destination: point for point in inherited}
    for mount in (*options.binds, *options.mounts):
        mounts[mount.destination] = mount if isinstance(mount, VolumeMount) else _point(mount)
    taken = {mount.destination for mount in options.tmpfs}
    for path in taken:
        mounts.pop(path, None)
    for path in (*options.volumes, *image_volumes):
        destination = os.path.normpath(f"/{path.lstrip('/')}")
        if destination == "/":
            raise InvalidArgument(f"invalid volume '{path}': destination can't be '/'")
        if destination not in taken:
            mounts.setdefault(destination, VolumeMount("", destination))
    return tuple(mounts.values())


def _point(mount: BindMount | TmpfsMount) -> MountPoint:
    if isinstance(mount, TmpfsMount):
        read_only = "ro" in mount.options
        return MountPoint(
            TMPFS, "", mount.destination, read_only=read_only, options=mount.options
        )
    return MountPoint(
        BIND,
        mount.source,
        mount.destination,
        read_only=mount.read_only,
        mode="ro" if mount.read_only else "",
        propagation=mount.propagation,
    )


def _inherited(store: Store, options: CreateOptions) -> tuple[MountPoint, ...]:
    """Return the binds and volumes of the containers of ``--volumes-from``."""
    return tuple(
        point._replace(read_only=point.read_only or source.read_only, mode="")
        for source in options.volumes_from
        for point in mount_points(store.containers.find(source.container).record)
        if point.type != TMPFS
    )


class _Provider:
    """Makes what is wanted; `made` are the new volumes without a name."""

    def __init__(
        self,
        store: Store,
        image: StoredImage,
        held: contextlib.ExitStack,
        *,
        durable: bool,
    ) -> None:
        self._store = store
        self._image = image
        self._files: ImageFiles | None = None
        self._held = held
        self._durable = durable
        self.made: tuple[MountPoint, ...] = ()

    def provide(self, wanted: Wanted) -> MountPoint:
        """Return the mount, whose volume there is from now on."""
        if isinstance(wanted, VolumeMount):
            return self._volume(wanted)
        if wanted.type == VOLUME:
            # The other container may have gone with its volumes meanwhile.
            self._hold(VolumeMount(wanted.name, ""), anonymous=wanted.anonymous)
        return wanted

    def _volume(self, mount: VolumeMount) -> MountPoint:
        anonymous = not mount.source
        volume = self._hold(mount, anonymous=anonymous)
        point = MountPoint(
            VOLUME,
            volume.data,
            mount.destination,
            volume.name,
            read_only=mount.read_only or volume.read_only,
            mode=mount.modes or ("" if anonymous else "z"),  # as docker's local driver
            anonymous=anonymous,
            subpath=mount.subpath,
        )
        if anonymous:
            self.made += (point,)
        if not mount.nocopy and not mount.subpath:
            self._fill(volume, mount.destination)
        return point

    def _hold(self, mount: VolumeMount, *, anonymous: bool) -> Volume:
        check_driver(mount.driver)
        label = {ANONYMOUS: ""} if anonymous else {}
        begun = time.time()
        volume, lock = self._store.volumes.hold(
            mount.source or random_hex(32),
            labels={**mount.labels, **label},
            options=mount.options,
            durable=self._durable or not anonymous,
        )
        self._held.callback(lock.release)
        if volume.created >= begun:
            journal.volume(self._store.layout, "create", volume.name)
        return volume

    def _fill(self, volume: Volume, path: str) -> None:
        try:
            self._store.volumes.fill(volume, lambda target: self._copy(path, target))
        except OSError as e:
            raise SystemFailure.of(f"fill the volume {volume.name}", e) from e

    def _copy(self, path: str, target: int) -> bool:
        from minidock.engine.copy_up import ImageFiles  # only an empty volume needs it

        if self._files is None:
            self._files = ImageFiles(self._store, self._image.image.diff_ids)
            self._held.callback(self._files.close)
        return self._files.copy(path, target)
