# SPDX-License-Identifier: Apache-2.0
"""The whole store of one root."""

import os
from functools import cached_property

from minidock.annotations import TYPE_CHECKING
from minidock.errors import SystemFailure
from minidock.fs.atomic import make_directory, write_file
from minidock.fs.locks import Lock
from minidock.store import scratch
from minidock.store.blobs import BlobStore
from minidock.store.containers import ContainerStore
from minidock.store.images import ImageStore
from minidock.store.layout import Layout
from minidock.store.unpacked import UnpackedStore

if TYPE_CHECKING:
    from minidock.store.gc import Collected
    from minidock.store.volumes import VolumeStore

_EMPTY_INDEX = (
    b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
)


class Store:
    """The state below one root directory."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.blobs = BlobStore(layout)
        self.images = ImageStore(layout, self.blobs)
        self.unpacked = UnpackedStore(layout)
        self.containers = ContainerStore(layout)

    @cached_property
    def volumes(self) -> "VolumeStore":
        """The volumes."""
        from minidock.store.volumes import VolumeStore  # most containers have none

        return VolumeStore(self.layout)

    @classmethod
    def open(cls, root: str) -> "Store":
        """Return the store at `root`, made if need be; sweep what dead processes left.

        Raises:
            SystemFailure: the directory can't be made or read.
        """
        layout = Layout(root)
        try:
            if not os.path.exists(layout.index_file) or not os.path.isdir(layout.temporary):
                _create(layout)
            scratch.sweep(layout)
        except OSError as e:
            raise SystemFailure.of(
                "open the state directory", e, hint="--root chooses another directory"
            ) from e
        return cls(layout)

    def lease(self) -> Lock:
        """Return the shared lock under which blobs and layers are safe from gc."""
        return Lock(self.layout.gc_lock, shared=True)

    def collect(self) -> "Collected | None":
        """Delete what nothing refers to; None, and nothing done, while a lease is held."""
        from minidock.store import gc  # most commands make no garbage

        return gc.collect(self.layout, self.blobs, self.images, self.unpacked, self.containers)

    def sync(self) -> None:
        """Put everything written so far on disk (syncfs(2))."""
        from minidock.linux.libc import syscall  # ctypes costs 2 ms; most commands write little

        fd = os.open(self.layout.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            syscall("syncfs", fd)
        finally:
            os.close(fd)


def _create(layout: Layout) -> None:
    for directory in layout.directories:
        make_directory(directory)
    write_file(f"{layout.images}/oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    with Lock(layout.meta_lock):
        if not os.path.exists(layout.index_file):
            write_file(layout.index_file, _EMPTY_INDEX)
