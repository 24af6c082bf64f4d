# SPDX-License-Identifier: Apache-2.0
"""Garbage: blobs and layers that no image and no container needs."""

import os

from minidock.errors import DataCorrupted, NotFound
from minidock.fs.locks import Lock
from minidock.oci.descriptor import Descriptor
from minidock.oci.digest import ChainID, DiffID, Digest, chain_ids, hex_of
from minidock.store.blobs import BlobStore
from minidock.store.chains import EMPTY_CHAIN
from minidock.store.containers import ContainerStore
from minidock.store.images import ImageStore
from minidock.store.layout import Layout
from minidock.store.unpacked import UnpackedStore
from minidock.values import NamedTuple


class Collected(NamedTuple):
    """What was deleted; `freed` are the bytes of blobs."""

    blobs: tuple[Digest, ...] = ()
    layers: tuple[DiffID, ...] = ()
    freed: int = 0


class _Marks:
    """What must stay."""

    def __init__(self) -> None:
        self.blobs: set[str] = set()
        self.layers: set[str] = set()
        self.chains: set[str] = {hex_of(EMPTY_CHAIN)}


def collect(
    layout: Layout,
    blobs: BlobStore,
    images: ImageStore,
    unpacked: UnpackedStore,
    containers: ContainerStore,
) -> Collected | None:
    """Delete what nothing refers to; return None, having done nothing, while a lease is held.

    What an image or a container needs that can't be read is unknown: as long as there is one,
    nothing is deleted.
    """
    exclusive = Lock(layout.gc_lock)
    if not exclusive.try_acquire():
        return None
    try:
        marks = _mark(images, containers)
        return _sweep(layout, blobs, unpacked, marks) if marks else Collected()
    finally:
        exclusive.release()


def _mark(images: ImageStore, containers: ContainerStore) -> _Marks | None:
    if containers.damaged():
        return None
    marks = _Marks()
    roots = [entry.manifest for entry in images.entries()]
    for container in containers.all():
        record = container.record
        roots.append(Descriptor(record.manifest_type, record.manifest, 0))
    for manifest in roots:
        try:
            stored = images.read(manifest)
        except (NotFound, DataCorrupted):
            return None
        marks.blobs |= {hex_of(manifest.digest), hex_of(stored.id)}
        marks.blobs |= {hex_of(layer.digest) for layer in stored.layers}
        marks.layers |= {hex_of(diff_id) for diff_id in stored.image.diff_ids}
        marks.chains |= {hex_of(chain) for chain in chain_ids(stored.image.diff_ids)}
    return marks


def _sweep(
    layout: Layout, blobs: BlobStore, unpacked: UnpackedStore, marks: _Marks
) -> Collected:
    freed = 0
    gone_blobs: list[Digest] = []
    gone_layers: list[DiffID] = []
    for name in os.listdir(layout.blobs):
        if name not in marks.blobs:
            digest = Digest(f"sha256:{name}")
            freed += blobs.remove(digest)
            gone_blobs.append(digest)
    for name in os.listdir(layout.layers):
        if name not in marks.layers:
            diff_id = DiffID(f"sha256:{name}")
            unpacked.remove(diff_id)
            gone_layers.append(diff_id)
    for name in os.listdir(layout.chains):
        if name not in marks.chains:
            unpacked.remove_chain(ChainID(f"sha256:{name}"))
    return Collected(tuple(gone_blobs), tuple(gone_layers), freed)
