# SPDX-License-Identifier: Apache-2.0
"""The topmost read-only layer of a stack, made by us when its first container starts.

A layer's tar may leave out the entry of a directory it puts files in. Overlayfs takes a
directory's metadata from the topmost layer that has it, so such an implied directory would hide
the mode and owner that a lower layer gave. And a container needs places for its mounts, which
must not count as its changes. So one more layer holds the directories of both kinds, with the
metadata that is to be seen, and the empty files of the second.
"""

import os
import stat

from minidock.fs.atomic import make_directory, write_file
from minidock.linux import overlayfs
from minidock.oci.descriptor import InvalidDocument, json_list
from minidock.oci.digest import ChainID
from minidock.oci.manifest import dump_json, load_json
from minidock.store.layout import Layout
from minidock.store.scratch import scratch
from minidock.values import NamedTuple

EMPTY_CHAIN = ChainID("sha256:" + "0" * 64)
"""Stands for the stack of an image without layers."""

MOUNT_DIRECTORIES = ("dev", "etc", "proc", "sys")
MOUNT_FILES = (".dockerenv", "etc/hostname", "etc/hosts", "etc/resolv.conf")
"""Where every container has mounts; tools look for the first to know that they are in one."""

MOUNT_TABLE = ("etc/mtab", "/proc/mounts")
"""The symbolic link that df(1) and its like read, and its target."""

_ROOT = "."


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
        size, entries = fields.get("size"), fields.get("entries")
        if not isinstance(size, int) or not isinstance(entries, int):
            raise InvalidDocument("invalid layer.json: expected numbers")
        return cls(
            size,
            entries,
            tuple(str(path) for path in json_list(fields.get("implied"), "implied")),
            str(fields.get("boot") or ""),
        )


class Layer(NamedTuple):
    """One unpacked layer: the directory of its tree, and its record."""

    tree: str
    record: LayerRecord


def build_top(layout: Layout, target: str, layers: tuple[Layer, ...]) -> None:
    """Make the topmost layer for the stack `layers`, lowest first, at `target`.

    Of two processes that do so at once, one wins.
    """
    sources = directory_sources(layers)
    with scratch(layout) as temporary:
        tree = f"{temporary}/chain/diff"
        make_directory(tree, 0o755)
        for path in sorted(sources):  # parents before children
            make_directory(f"{tree}/{path}", 0o755)
        for path in MOUNT_DIRECTORIES:
            if _is_free(layers, path):
                make_directory(f"{tree}/{path}", 0o755)
        for path in MOUNT_FILES:
            if _is_free(layers, path) and os.path.isdir(os.path.dirname(f"{tree}/{path}")):
                write_file(f"{tree}/{path}", b"", mode=0o644, durable=False)
        link, to = MOUNT_TABLE
        if _is_free(layers, link) and os.path.isdir(os.path.dirname(f"{tree}/{link}")):
            os.symlink(to, f"{tree}/{link}")
        for path in sorted(sources, reverse=True):  # times of parents after their children
            copy_metadata(sources[path], f"{tree}/{path}")
        try:
            os.rename(f"{temporary}/chain", target)
        except OSError:
            if not os.path.exists(target):
                raise


def directory_sources(layers: tuple[Layer, ...]) -> dict[str, str]:
    """Return which directory each path of the topmost layer should look like.

    Those are the paths some layer implied, the places of mounts, and all their parents; a path
    that is no directory in the union, or that no layer has metadata for, is left out.
    """
    paths = {path for layer in layers for path in layer.record.implied}
    paths |= {_ROOT, *MOUNT_DIRECTORIES}
    paths |= {parent for path in paths for parent in ancestors(path)}
    found = {path: _metadata_source(layers, path) for path in paths}
    return {path: source for path, source in found.items() if source}


def ancestors(path: str) -> list[str]:
    """Return the directories above a relative path, the topmost first."""
    parts = path.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts))]


def _metadata_source(layers: tuple[Layer, ...], path: str) -> str:
    """Return the topmost directory `path` that a layer had an entry for, empty for none."""
    for layer in reversed(layers):
        kind = kind_of(layer.tree, path)
        if kind in (DIRECTORY, OPAQUE) and path not in layer.record.implied:
            return f"{layer.tree}/{path}"
        if kind not in (DIRECTORY, ABSENT):
            return ""
    return ""


def _is_free(layers: tuple[Layer, ...], path: str) -> bool:
    """Tell whether the union has nothing at `path`."""
    for layer in reversed(layers):
        kind = kind_of(layer.tree, path)
        if kind != ABSENT:
            return kind == GONE
    return True


ABSENT, GONE, DIRECTORY, OPAQUE, OTHER = "absent", "gone", "directory", "opaque", "other"


def kind_of(tree: str, path: str) -> str:
    """Return what one layer makes of `path`.

    Absent leaves it to the layers below. Gone is a whiteout of it or of a parent, a parent that
    is no directory, or absence from an opaque parent.
    """
    opaque = False
    for part in (*ancestors(path), path):
        try:
            status = os.lstat(f"{tree}/{part}")
        except (FileNotFoundError, NotADirectoryError):
            return GONE if opaque else ABSENT
        if not stat.S_ISDIR(status.st_mode):
            is_gone = overlayfs.is_whiteout(status) or part != path
            return GONE if is_gone else OTHER
        opaque = opaque or overlayfs.is_opaque(f"{tree}/{part}")
    return OPAQUE if opaque else DIRECTORY


def copy_metadata(source: str, target: str) -> None:
    """Give directory `target` the owner, mode, attributes and times of `source`."""
    status = os.lstat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source, follow_symlinks=False):
        if not name.startswith(("trusted.overlay.", "user.overlay.")):
            os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
