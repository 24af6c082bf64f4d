# SPDX-License-Identifier: Apache-2.0
"""Unpacked layers, a cache beside the blobs that can always be rebuilt from them.

A layer is published before its files are on disk; ``layer.json`` then names the boot it was
unpacked in. Once the file system has been synced the name is taken out. A layer that names an
earlier boot may have lost data with the power, so it counts as missing.
"""

import os

from minidock.errors import DataCorrupted
from minidock.fs.atomic import read_file, write_file
from minidock.fs.trees import remove
from minidock.oci.digest import ChainID, DiffID, chain_ids
from minidock.store.chains import EMPTY_CHAIN, Layer, LayerRecord, build_top
from minidock.store.layout import Layout
from minidock.store.scratch import scratch


class LayerMissing(DataCorrupted):
    """A layer of an image is not unpacked here."""

    def __init__(self, diff_id: DiffID) -> None:
        super().__init__(f"layer {diff_id} is not unpacked", hint="pull the image again")


def boot_id() -> str:
    """Return what names this boot of the kernel (random(4), boot_id)."""
    return read_file("/proc/sys/kernel/random/boot_id").decode().strip()


class UnpackedStore:
    """The unpacked layers of one root."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def record(self, diff_id: DiffID) -> LayerRecord | None:
        """Return the layer's record, None if it is missing or not to be trusted."""
        try:
            record = LayerRecord.from_json(
                read_file(f"{self._layout.layer(diff_id)}/layer.json")
            )
        except (FileNotFoundError, DataCorrupted):
            return None
        return record if not record.boot or record.boot == boot_id() else None

    def tree(self, diff_id: DiffID) -> str:
        """Return the directory of the layer's tree."""
        return f"{self._layout.layer(diff_id)}/diff"

    def publish(self, directory: str, diff_id: DiffID, record: LayerRecord) -> None:
        """Make ``directory``, which holds ``diff/``, the layer `diff_id`.

        The loser of a race finds the winner's layer, which is the same.
        """
        write_file(f"{directory}/layer.json", record.to_json(), durable=False)
        target = self._layout.layer(diff_id)
        if os.path.exists(target) and self.record(diff_id) is None:
            self.remove(diff_id)
        try:
            os.rename(directory, target)
        except OSError:
            if self.record(diff_id) is None:
                raise

    def mark_synced(self, diff_ids: tuple[DiffID, ...]) -> None:
        """Record that the file system was synced after these layers were published."""
        for diff_id in diff_ids:
            record = self.record(diff_id)
            if record and record.boot:
                path = f"{self._layout.layer(diff_id)}/layer.json"
                write_file(path, record._replace(boot="").to_json(), durable=False)

    def remove(self, diff_id: DiffID) -> None:
        """Delete the layer; readers see it whole or not at all."""
        with scratch(self._layout) as directory:
            try:
                os.rename(self._layout.layer(diff_id), f"{directory}/layer")
            except FileNotFoundError:
                return

    def lowers(self, diff_ids: tuple[DiffID, ...]) -> tuple[str, ...]:
        """Return the directories whose union is the image, top first.

        The first is not the image's own, see chains.py. A layer that is there twice counts
        where it is on top: it covers all of itself, and overlayfs takes no directory twice.

        Raises:
            LayerMissing
        """
        layers = []
        for diff_id in reversed(dict.fromkeys(reversed(diff_ids))):
            record = self.record(diff_id)
            if record is None:
                raise LayerMissing(diff_id)
            layers.append(Layer(self.tree(diff_id), record))
        chain = chain_ids(diff_ids)[-1] if diff_ids else EMPTY_CHAIN
        top = self._layout.chain(chain)
        if not os.path.exists(top):
            build_top(self._layout, top, tuple(layers))
        return (f"{top}/diff", *(layer.tree for layer in reversed(layers)))

    def remove_chain(self, chain_id: ChainID) -> None:
        """Delete a stack's topmost layer."""
        remove(self._layout.chain(chain_id))
