# SPDX-License-Identifier: Apache-2.0
"""The files of a container that does not run, with its mounts, seen by nobody else.

They are put together in a mount namespace of their own. The caller stays in its own and holds
two descriptors, of the root and of the namespace: when these go, the kernel undoes the mounts.
"""

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack

from minidock.errors import SystemFailure
from minidock.fs.rooted import RootedDir
from minidock.linux import mounts, namespaces
from minidock.oci.runtime import Mount
from minidock.runtime.launch import MissingSource
from minidock.runtime.mounts import Step, open_source, place, plan


@contextlib.contextmanager
def assembled(
    root: int, mountpoint: str, binds: Collection[Mount], *, read_only: bool
) -> Iterator[RootedDir]:
    """Give detached mount `root` with `binds` in their places; it may be `read_only` itself.

    `mountpoint` is an empty directory of the host, of this container alone. Places that are
    missing are made.

    Raises:
        MissingSource: a bind mount's path does not exist on the host.
        SystemFailure: a step failed.
    """
    steps = plan(binds, ())
    with ExitStack() as opened:
        sources = [_open_source(step, opened) for step in steps]
        try:
            namespace = _assemble(root, mountpoint, zip(steps, sources, strict=True), read_only)
        except OSError as e:
            raise SystemFailure.of("mount the container's files", e) from e
        opened.callback(os.close, namespace)
        with RootedDir(os.dup(root)) as view:
            yield view


def _open_source(step: Step, opened: ExitStack) -> int:
    try:
        fd = open_source(step)
    except FileNotFoundError as e:
        raise MissingSource(step.source) from e
    except OSError as e:
        raise SystemFailure.of("open the bind mount", e) from e
    opened.callback(os.close, fd)
    return fd


def _assemble(
    root: int, mountpoint: str, binds: Iterable[tuple[Step, int]], read_only: bool
) -> int:
    """Mount all in a new namespace; return a descriptor of that, back in the caller's own."""
    with ExitStack() as undo:
        # setns(2) moves root and working directory to the namespace's.
        here = os.open(".", os.O_PATH | os.O_CLOEXEC)
        undo.callback(os.close, here)
        own = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        undo.callback(os.close, own)
        namespaces.unshare(namespaces.CLONE_NEWNS)
        undo.callback(os.fchdir, here)
        undo.callback(namespaces.setns, own, namespaces.CLONE_NEWNS)
        mounts.make_private()
        target = os.open(mountpoint, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        undo.callback(os.close, target)
        mounts.attach(root, target, mountpoint)
        inside = RootedDir(root)
        for step, source in binds:
            place(inside, step, source)
        if read_only:
            mounts.set_attributes(root, mounts.MOUNT_ATTR_RDONLY)
        return os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
