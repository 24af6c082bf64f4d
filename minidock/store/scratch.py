# SPDX-License-Identifier: Apache-2.0
"""Directories for half-made things, which a later command sweeps if their maker dies."""

import contextlib
import os
from collections.abc import Iterator

from minidock.fs.atomic import random_hex
from minidock.fs.locks import Lock
from minidock.fs.trees import remove
from minidock.store.layout import Layout


@contextlib.contextmanager
def scratch(layout: Layout) -> Iterator[str]:
    """Give a new directory on the store's file system; remove what is left of it at the end."""
    path = f"{layout.temporary}/{random_hex(8)}"
    lock = Lock(path, directory=True)
    # No sweep runs while the directory has its name but not yet its lock.
    with Lock(f"{layout.locks}/scratch.lock", shared=True):
        os.mkdir(path, 0o700)
        lock.__enter__()
    try:
        yield path
    finally:
        try:
            remove(path)  # still locked: a sweep must not remove it at the same time
        finally:
            lock.release()


def sweep(layout: Layout) -> None:
    """Remove the directories whose makers are gone; do nothing while one is being made.

    What can't be removed, as on a read-only file system, is left for a later time.
    """
    names = os.listdir(layout.temporary)
    if not names:
        return
    with contextlib.suppress(OSError):
        early = Lock(f"{layout.locks}/scratch.lock")
        if not early.try_acquire():
            return
        try:
            for name in names:
                _sweep_one(f"{layout.temporary}/{name}")
        finally:
            early.release()


def _sweep_one(path: str) -> None:
    lock = Lock(path, directory=True)
    with contextlib.suppress(OSError):  # removed by its maker, or not to be removed
        if lock.try_acquire():
            try:
                remove(path)
            finally:
                lock.release()
