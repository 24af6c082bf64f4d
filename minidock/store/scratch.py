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
    # The lock is taken before the directory has its name, so that no sweep sees it unlocked.
    early = f"{layout.locks}/scratch.lock"
    with Lock(early, shared=True):
        os.mkdir(path, 0o700)
        lock = Lock(f"{path}/lock")
        lock.__enter__()
    try:
        yield path
    finally:
        lock.release()
        remove(path)


def sweep(layout: Layout) -> None:
    """Remove the directories whose makers are gone; do nothing while one is being made."""
    names = os.listdir(layout.temporary)
    early = Lock(f"{layout.locks}/scratch.lock")
    if not names or not early.try_acquire():
        return
    try:
        for name in names:
            _sweep_one(f"{layout.temporary}/{name}")
    finally:
        early.release()


def _sweep_one(path: str) -> None:
    lock = Lock(f"{path}/lock")
    try:
        abandoned = lock.try_acquire()
    except OSError:  # gone already, or no directory
        abandoned = True
    if abandoned:
        lock.release()
        remove(path)
