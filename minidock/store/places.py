# SPDX-License-Identifier: Apache-2.0
"""Places for a container's mounts, in a layer of its own between the image and its changes.

A mount needs a directory or a file to cover. Made in the writable layer it would be a change of
the container, which ``diff`` shows and ``commit`` keeps.
"""

import errno
import os
import stat
from collections.abc import Mapping

from minidock.fs.atomic import make_directory, write_file
from minidock.store.chains import (
    ABSENT,
    DIRECTORY,
    GONE,
    OPAQUE,
    ancestors,
    copy_metadata,
    kind_of,
)
from minidock.store.layout import Layout
from minidock.store.scratch import scratch

_PATH_MAX = 4096


def build(
    layout: Layout, target: str, lowers: tuple[str, ...], wanted: Mapping[str, int]
) -> None:
    """Make the layer `target` on top of `lowers` (top first) if a place is missing in them.

    `wanted` are absolute destinations and what to make there: S_IFDIR or S_IFREG with a mode.
    One below another is a matter of what is mounted there. One that a symbolic link leads to is
    left to be made in the container's writable layer, where the kernel follows the link.

    Raises:
        OSError: ENAMETOOLONG for a path that no system call would take; an image may have such.
    """
    if os.path.exists(target):
        return
    paths = {destination.strip("/"): kind for destination, kind in wanted.items()}
    if any(len(path) >= _PATH_MAX for path in paths):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    free = {
        path: kind
        for path, kind in paths.items()
        if not paths.keys() & set(ancestors(path)) and _is_free(lowers, path)
    }
    if not free:
        return
    with scratch(layout) as temporary:
        tree = f"{temporary}/places"
        make_directory(tree, 0o755)
        parents = {parent for path in free for parent in ancestors(path)}
        for path in sorted(parents):
            make_directory(f"{tree}/{path}", 0o755)
        for path, kind in free.items():
            mode = stat.S_IMODE(kind)
            if stat.S_ISDIR(kind):
                make_directory(f"{tree}/{path}", mode)
            else:
                write_file(f"{tree}/{path}", b"", mode=mode, durable=False)
        for path in (*sorted(parents, reverse=True), "."):  # times after what is inside
            source = _shown(lowers, path)
            if source:
                copy_metadata(source, f"{tree}/{path}")
        os.rename(tree, target)


def _shown(lowers: tuple[str, ...], path: str) -> str:
    """Return the directory whose metadata the union shows at `path`, empty for none."""
    for lower in lowers:
        kind = kind_of(lower, path)
        if kind != ABSENT:
            return f"{lower}/{path}" if kind in (DIRECTORY, OPAQUE) else ""
    return ""


def _is_free(lowers: tuple[str, ...], path: str) -> bool:
    """Tell whether the union has nothing at `path`, and only directories on the way there."""
    for part in ancestors(path):
        kind = _kind(lowers, part)
        if kind in (ABSENT, GONE):
            return True
        if kind not in (DIRECTORY, OPAQUE):
            return False
    return _kind(lowers, path) in (ABSENT, GONE)


def _kind(lowers: tuple[str, ...], path: str) -> str:
    """Return what the union has at `path`: see chains.kind_of()."""
    kinds = (kind_of(lower, path) for lower in lowers)
    return next((kind for kind in kinds if kind != ABSENT), ABSENT)
