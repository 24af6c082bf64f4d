# SPDX-License-Identifier: Apache-2.0
"""Union mounts by overlayfs: Documentation/filesystems/overlayfs.rst of the kernel."""

import errno
import os
from contextlib import ExitStack

from minidock.errors import SystemFailure
from minidock.linux import mounts
from minidock.values import NamedTuple

_PAGE = 4096
"""Bytes that the options of one mount(2) may have."""


class OverlayPlan(NamedTuple):
    """One union of directories. `lowers`: top first. `upper` empty means that nobody writes."""

    lowers: tuple[str, ...]
    upper: str
    work: str
    read_only: bool


def plan(
    lowers: tuple[str, ...], upper: str, work: str, read_only: bool = False
) -> OverlayPlan:
    """Return the union of image layers `lowers` (top first) with changes going to `upper`.

    `work` is an empty directory on the file system of `upper`, for the kernel.
    """
    return OverlayPlan(lowers, upper, work, read_only)


def mount(plan: OverlayPlan, *, nodev: bool = False) -> int:
    """Return a descriptor of the union as a detached mount.

    Devices in it work unless `nodev`: a device control group is to guard them, the caller asks
    for `nodev` where there is none.

    Raises:
        SystemFailure: with the kernel's own words, where it has some.
    """
    try:
        fd = _mount(plan)
        attributes = mounts.MOUNT_ATTR_RDONLY if plan.read_only else 0
        attributes |= mounts.MOUNT_ATTR_NODEV if nodev else 0
        if attributes:
            mounts.set_attributes(fd, attributes)
    except OSError as e:
        raise SystemFailure.of("mount the layers", e) from e
    return fd


def view(lowers: tuple[str, ...]) -> int:
    """Return a read-only detached mount of image layers (top first), without devices.

    One layer is a bind mount of its directory. In it a whiteout would be a device 0:0, but the
    lowest layer has nothing to hide.

    Raises:
        SystemFailure: the kernel refuses.
    """
    if len(lowers) > 1:
        return mount(plan(lowers, "", "", read_only=True), nodev=True)
    try:
        with ExitStack() as opened:
            layer = _open(lowers[0], opened)
            fd = mounts.clone_tree(layer)
            mounts.set_attributes(
                fd,
                mounts.MOUNT_ATTR_RDONLY | mounts.MOUNT_ATTR_NODEV | mounts.MOUNT_ATTR_NOSUID,
                propagation=mounts.MS_PRIVATE,
            )
    except OSError as e:
        raise SystemFailure.of("mount the layer", e) from e
    return fd


def _mount(plan: OverlayPlan) -> int:
    """Mount by the names ``/proc/self/fd/N``: short, and no colon or comma to escape."""
    with ExitStack() as opened:
        lowers = [_open(path, opened) for path in plan.lowers]
        options: list[tuple[str, str | None]] = []
        if plan.upper:
            options.append(("upperdir", _name(_open(plan.upper, opened))))
            options.append(("workdir", _name(_open(plan.work, opened))))
        # Changes must be complete in the upper directory to be committed, and what an image
        # says in trusted.overlay.redirect must lead nowhere.
        options += [("index", "off"), ("metacopy", "off"), ("redirect_dir", "nofollow")]
        if not _takes_layers_singly(os.uname().release):
            return mount_by_page(plan, lowers, options)
        layers = (("lowerdir+", _name(fd)) for fd in lowers)
        return mounts.open_filesystem("overlay", [("source", "overlay"), *layers, *options])


def _takes_layers_singly(release: str) -> bool:
    """Tell whether a kernel has ``lowerdir+``, as Linux 6.5 and later have.

    An older one takes any option of fsconfig(2), refuses when the mount is made, and writes a
    line of its log each time.
    """
    major, minor = release.split(".")[:2]
    return (int(major), int(minor)) >= (6, 5)


def mount_by_page(
    plan: OverlayPlan, lowers: list[int], options: list[tuple[str, str | None]]
) -> int:
    """Mount with all layers in one option, as kernels before 6.5 need it.

    A parameter of fsconfig(2) has 256 bytes at most, the options of mount(2) a page: enough for
    127 layers. The mount is on the top directory for a moment, and copied from there.
    """
    place = plan.upper or plan.lowers[0]
    layers = ":".join(map(_name, lowers))
    text = ",".join([f"lowerdir={layers}", *(f"{key}={value}" for key, value in options)])
    if len(text) >= _PAGE:
        raise OSError(errno.E2BIG, f"{len(lowers)} layers", place)
    mounts.mount("overlay", place, "overlay", text)
    try:
        fd = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            tree = mounts.clone_tree(fd)
        finally:
            os.close(fd)
    finally:
        mounts.detach(place)
    mounts.set_attributes(tree, 0, propagation=mounts.MS_PRIVATE)
    return tree


def _open(path: str, opened: ExitStack) -> int:
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    opened.callback(os.close, fd)
    return fd


def _name(fd: int) -> str:
    return f"/proc/self/fd/{fd}"
