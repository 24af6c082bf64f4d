# SPDX-License-Identifier: Apache-2.0
"""Unpacked layers, a cache beside the blobs that can always be rebuilt from them.

A layer is published before its files are on disk; ``layer.json`` then names the boot it was
unpacked in. Once the file system has been synced the name is taken out. A layer that names an
earlier boot may have lost data with the power, so it counts as missing.

A tar may leave out the entry of a directory it puts files in. Overlayfs takes a directory's
metadata from the topmost layer that has it, so such an implied directory would hide the mode
and owner that a lower layer gave. ``chains/`` holds, for the stacks that need it, a topmost
layer of bare directories with the metadata that should be seen.
"""

import os
import stat
from typing import NamedTuple

from minidock.errors import DataCorrupted
from minidock.fs.atomic import make_directory, read_file, write_file
from minidock.fs.trees import remove
from minidock.oci.descriptor import json_list
from minidock.oci.digest import ChainID, DiffID, chain_ids
from minidock.oci.manifest import dump_json, load_json
from minidock.store.layout import Layout
from minidock.store.scratch import scratch


class LayerMissing(DataCorrupted):
    """A layer of an image is not unpacked here."""

    def __init__(self, diff_id: DiffID) -> None:
        super().__init__(f"layer {diff_id} is not unpacked", hint="pull the image again")


class LayerRecord(NamedTuple):
    """What ``layer.json`` says; `size` is in bytes, `boot` is empty once synced."""

    size: int
    entries: int
    implied: tuple[str, ...]
    boot: str

    def to_json(self) -> bytes:
        """Return the record's bytes."""
        return dump_json(self._asdict())

    @classmethod
    def from_json(cls, raw: bytes) -> "LayerRecord":
        """Parse a record; raise InvalidDocument."""
        fields = load_json(raw, "layer.json")
        return cls(
            int(fields.get("size") or 0),
            int(fields.get("entries") or 0),
            tuple(str(path) for path in json_list(fields.get("implied"), "implied")),
            str(fields.get("boot") or ""),
        )


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
        return record if record.boot in ("", boot_id()) else None

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

        Raises:
            LayerMissing
        """
        records: list[LayerRecord] = []
        for diff_id in diff_ids:
            record = self.record(diff_id)
            if record is None:
                raise LayerMissing(diff_id)
            records.append(record)
        trees = tuple(self.tree(diff_id) for diff_id in diff_ids)
        top = self._metadata_layer(diff_ids, trees, tuple(records))
        return (*top, *reversed(trees))

    def _metadata_layer(
        self,
        diff_ids: tuple[DiffID, ...],
        trees: tuple[str, ...],
        records: tuple[LayerRecord, ...],
    ) -> tuple[str, ...]:
        if not any(record.implied for record in records):
            return ()
        directory = self._layout.chain(chain_ids(diff_ids)[-1])
        if not os.path.exists(directory):
            sources = implied_sources(trees, records)
            self._build_metadata_layer(directory, sources)
        tree = f"{directory}/diff"
        return (tree,) if os.listdir(tree) else ()

    def _build_metadata_layer(self, directory: str, sources: dict[str, str]) -> None:
        with scratch(self._layout) as temporary:
            tree = f"{temporary}/chain/diff"
            make_directory(tree)
            for path in sorted(sources):  # parents before children
                make_directory(f"{tree}/{path}", 0o755)
            for path in sorted(sources, reverse=True):
                copy_metadata(sources[path], f"{tree}/{path}")
            try:
                os.rename(f"{temporary}/chain", directory)
            except OSError:
                if not os.path.exists(directory):  # else another process was faster
                    raise

    def remove_chain(self, chain_id: ChainID) -> None:
        """Delete a stack's directories of metadata."""
        remove(self._layout.chain(chain_id))


def implied_sources(trees: tuple[str, ...], records: tuple[LayerRecord, ...]) -> dict[str, str]:
    """Return which directory each implied path should look like, lowest layer first.

    `trees` and `records` are lowest first. Each ancestor of such a path is returned as well,
    with what it should look like, since the metadata layer needs its entry too.
    """
    wanted: dict[str, str] = {}
    paths = {path for record in records for path in record.implied}
    for path in paths | {parent for child in paths for parent in _ancestors(child)}:
        for tree, record in zip(reversed(trees), reversed(records), strict=True):
            verdict = _looks(tree, path)
            if verdict in ("directory", "opaque") and path not in record.implied:
                wanted[path] = f"{tree}/{path}"
                break
            if verdict in ("hidden", "opaque"):
                break
    tops = {p for p in paths if p in wanted}
    return {
        path: source
        for path, source in wanted.items()
        if any(p == path or p.startswith(f"{path}/") for p in tops)
    }


def _ancestors(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts))]


def _looks(tree: str, path: str) -> str:
    """Tell what `path` is in one layer.

    "directory", "opaque" for a directory that hides those below, "absent", or "hidden" when
    something here keeps the layers below from being seen.
    """
    opaque = False
    for part in (*_ancestors(path), path):
        try:
            status = os.lstat(f"{tree}/{part}")
        except (FileNotFoundError, NotADirectoryError):
            return "hidden" if opaque else "absent"
        if not stat.S_ISDIR(status.st_mode):
            return "hidden"
        opaque = opaque or _is_opaque(f"{tree}/{part}")
    return "opaque" if opaque else "directory"


def _is_opaque(path: str) -> bool:
    try:
        return os.getxattr(path, "trusted.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False


def copy_metadata(source: str, target: str) -> None:
    """Give directory `target` the owner, mode, attributes and times of `source`."""
    status = os.lstat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source, follow_symlinks=False):
        if not name.startswith(("trusted.overlay.", "user.overlay.")):
            os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
