# SPDX-License-Identifier: Apache-2.0
"""A container's mounts: from the Spec to steps (pure), from a step to a mount in its place.

A destination is resolved by the kernel inside the container's root and mounted on by its
descriptor, so no symbolic link of the image, and no one who swaps a directory for a link
meanwhile, makes a mount or a file on the host (CVE-2021-30465, CVE-2024-45310).
"""

import errno
import os
import stat
from collections.abc import Collection

from minidock.fs.copying import copy_tree
from minidock.fs.rooted import RootedDir
from minidock.linux import mounts
from minidock.oci.runtime import LinuxDevice, Mount
from minidock.values import NamedTuple

_ATTRIBUTES = {
    "defaults": (0, 0),
    "ro": (mounts.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, mounts.MOUNT_ATTR_RDONLY),
    "nosuid": (mounts.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, mounts.MOUNT_ATTR_NOSUID),
    "nodev": (mounts.MOUNT_ATTR_NODEV, 0),
    "dev": (0, mounts.MOUNT_ATTR_NODEV),
    "noexec": (mounts.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, mounts.MOUNT_ATTR_NOEXEC),
    "noatime": (mounts.MOUNT_ATTR_NOATIME, 0),
    "atime": (0, mounts.MOUNT_ATTR_ATIME),
    "relatime": (0, mounts.MOUNT_ATTR_ATIME),
    "norelatime": (0, 0),
    "nostrictatime": (0, 0),
    "strictatime": (mounts.MOUNT_ATTR_STRICTATIME, 0),
    "nodiratime": (mounts.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, mounts.MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (mounts.MOUNT_ATTR_NOSYMFOLLOW, 0),
}
_PROPAGATION = {
    "private": mounts.MS_PRIVATE,
    "slave": mounts.MS_SLAVE,
    "shared": mounts.MS_SHARED,
    "unbindable": mounts.MS_UNBINDABLE,
}
OPTIONS = (
    *_ATTRIBUTES,
    *_PROPAGATION,
    *(f"r{name}" for name in _PROPAGATION),
    "bind",
    "rbind",
)
"""The mount options that are no parameters of a file system."""

_READ_ONLY = (
    mounts.MOUNT_ATTR_RDONLY
    | mounts.MOUNT_ATTR_NOSUID
    | mounts.MOUNT_ATTR_NODEV
    | mounts.MOUNT_ATTR_NOEXEC
)
_COPIED = ("user.", "security.capability")
_DIRECTORY = os.O_PATH | os.O_DIRECTORY

_IN_PROC = (
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
)
"""Where others than /proc may be mounted in it: what lxcfs replaces, as runc allows."""

DEVICES = (
    LinuxDevice("/dev/null", "c", 1, 3),
    LinuxDevice("/dev/zero", "c", 1, 5),
    LinuxDevice("/dev/full", "c", 1, 7),
    LinuxDevice("/dev/random", "c", 1, 8),
    LinuxDevice("/dev/urandom", "c", 1, 9),
    LinuxDevice("/dev/tty", "c", 5, 0),
)
"""The devices of every container: config-linux.md, "Default Devices"."""

_IN_DEV = ("/dev/mqueue", "/dev/pts", "/dev/shm")  # noqa: S108 - destinations in the container
"""The usual mounts in /dev."""

_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)


class Step(NamedTuple):
    """One mount. `source` is a host path for binds, else a name for mount(8) to show.

    `attributes` and `cleared` are MOUNT_ATTR_*, `propagation` is one of MS_PRIVATE and so on.
    `directories` and `links` (name, target) are made in a new tmpfs before anyone can see it;
    with `copies` it begins with what it hides, see `fill`.
    """

    destination: str
    fstype: str
    source: str = ""
    parameters: tuple[tuple[str, str | None], ...] = ()
    attributes: int = 0
    cleared: int = 0
    propagation: int = 0
    recursive: bool = False
    directories: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    copies: bool = False

    @property
    def is_bind(self) -> bool:
        """Whether a tree of the host is mounted, not a new file system."""
        return self.fstype == "bind"

    @property
    def is_dev(self) -> bool:
        """Whether this is the /dev that devices are made in."""
        return self.fstype == "tmpfs" and self.destination == "/dev"


def plan(wanted: Collection[Mount], hierarchies: tuple[str, ...]) -> tuple[Step, ...]:
    """Return the steps for the mounts of a Spec, in order.

    `hierarchies` are the caller's cgroup v1 hierarchies as /proc/self/cgroup names them; with
    none a mount of type ``cgroup`` is the unified one.
    """
    steps: list[Step] = []
    below_dev = {mount.destination for mount in wanted}.intersection(_IN_DEV)
    for mount in wanted:
        step = _step(mount)
        if step.fstype == "cgroup":
            steps += _cgroup_steps(step, hierarchies)
        elif step.is_dev:
            names = tuple(sorted(path.removeprefix("/dev/") for path in below_dev))
            steps.append(step._replace(directories=names, links=_LINKS))
        else:
            steps.append(step)
    return tuple(steps)


def _step(mount: Mount) -> Step:
    fstype = "bind" if {"bind", "rbind"} & set(mount.options) else mount.type
    step = Step(mount.destination, fstype, mount.source, propagation=mounts.MS_PRIVATE)
    parameters: list[tuple[str, str | None]] = []
    for option in mount.options:
        name = option.removeprefix("r")
        if option in _ATTRIBUTES:
            enable, disable = _ATTRIBUTES[option]
            step = step._replace(
                attributes=step.attributes & ~disable | enable,
                cleared=step.cleared & ~enable | disable,
            )
        elif option in _PROPAGATION or name in _PROPAGATION:
            step = step._replace(propagation=_PROPAGATION.get(option) or _PROPAGATION[name])
        elif option == "tmpcopyup" and step.fstype == "tmpfs":
            step = step._replace(copies=True)
        elif option in ("bind", "rbind"):
            step = step._replace(recursive=option == "rbind")
        elif not step.is_bind:
            key, separator, value = option.partition("=")
            parameters.append((key, value if separator else None))
    return step._replace(parameters=tuple(parameters))


def _cgroup_steps(step: Step, hierarchies: tuple[str, ...]) -> list[Step]:
    if not hierarchies:
        return [step._replace(fstype="cgroup2")]
    names = tuple(hierarchy.removeprefix("name=") for hierarchy in hierarchies)
    links = tuple(
        (controller, name) for name in names if "," in name for controller in name.split(",")
    )
    top = step._replace(
        fstype="tmpfs", parameters=(("mode", "755"),), directories=names, links=links
    )
    parts = [
        step._replace(
            destination=f"{step.destination}/{name}", parameters=_hierarchy(hierarchy)
        )
        for name, hierarchy in zip(names, hierarchies, strict=True)
    ]
    return [top, *parts]


def _hierarchy(hierarchy: str) -> tuple[tuple[str, str | None], ...]:
    if hierarchy.startswith("name="):
        return (("none", None), ("name", hierarchy.removeprefix("name=")))
    return tuple((controller, None) for controller in hierarchy.split(","))


def open_source(step: Step, tree: int = -1) -> int:
    """Return the detached mount of a bind: the host's tree, before the host is left.

    `tree` is a mount detached already, of which this gives a descriptor of its own.

    Raises:
        OSError: ENOENT for a missing source.
    """
    if tree >= 0:
        return _configured(os.dup(tree), step)
    fd = mounts.clone_tree(0, step.source, recursive=step.recursive)
    return _configured(fd, step)


def open_new(step: Step) -> int:
    """Return the detached mount of a new file system, with what belongs in it."""
    parameters = (("source", step.source or step.fstype), *step.parameters)
    fd = mounts.open_filesystem(step.fstype, parameters)
    for name in step.directories:
        os.mkdir(name, 0o755, dir_fd=fd)
    for name, target in step.links:
        os.symlink(target, name, dir_fd=fd)
    return fd if step.is_dev or step.copies else _configured(fd, step)


def fill(root: RootedDir, step: Step, mount: int) -> None:
    """Copy what the new tmpfs of `step` hides into it, then give it its attributes.

    That is the option ``tmpcopyup``, which podman asks for and all runtimes have.
    """
    try:
        hidden = root.open(step.destination, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        hidden = -1
    if hidden >= 0:
        try:
            copy_tree(hidden, mount, lambda name: name.startswith(_COPIED))
        finally:
            os.close(hidden)
    _configured(mount, step)


def with_mode_of_place(root: RootedDir, step: Step) -> Step:
    """Return a tmpfs that nobody gave a mode with that of the directory it hides, as runc does.

    Where there is none the kernel's 1777 stays.
    """
    if step.fstype != "tmpfs" or any(key == "mode" for key, _ in step.parameters):
        return step
    try:
        fd = root.open(step.destination, _DIRECTORY)
    except OSError:
        return step
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    os.close(fd)
    return step._replace(parameters=(*step.parameters, ("mode", f"{mode:o}")))


def _configured(fd: int, step: Step) -> int:
    try:
        mounts.set_attributes(
            fd,
            step.attributes,
            step.cleared,
            propagation=step.propagation,
            recursive=step.recursive,
        )
    except BaseException:
        os.close(fd)
        raise
    return fd


def place(root: RootedDir, step: Step, mount: int) -> None:
    """Put detached `mount` where `step` says inside `root`, making the place if needed.

    Raises:
        OSError: ENOTDIR for a /proc or /sys that is no real directory (CVE-2019-19921), EPERM
            for a place inside /proc, EBUSY for a destination that is the root itself.
    """
    target = _open_target(root, step, mount)
    try:
        if os.path.samestat(os.fstat(target), os.fstat(root.fd)):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), step.destination)
        if step.destination not in _IN_PROC and _is_proc(target):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), step.destination)
        mounts.attach(mount, target, step.destination)
    finally:
        os.close(target)


def _is_proc(fd: int) -> bool:
    return mounts.filesystem_magic(fd) == mounts.PROC_MAGIC


def _open_target(root: RootedDir, step: Step, mount: int) -> int:
    # O_NOFOLLOW with O_DIRECTORY refuses a link in the last place.
    follow = os.O_NOFOLLOW | os.O_DIRECTORY if step.fstype in ("proc", "sysfs") else 0
    try:
        return root.open(step.destination, os.O_PATH | follow)
    except FileNotFoundError:
        make_place(root, step.destination, is_directory=_is_directory(mount))
    return root.open(step.destination, os.O_PATH | follow)


def _is_directory(fd: int) -> bool:
    return stat.S_ISDIR(os.fstat(fd).st_mode)


def make_place(root: RootedDir, path: str, *, is_directory: bool) -> None:
    """Make directory or empty file `path` inside `root`, and its parents, mode 0755."""
    if is_directory:
        root.make_directories(path)
        return
    root.make_directories(os.path.dirname(path))
    parent, name = root.open_parent(path)
    try:
        flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_WRONLY
        os.close(os.open(name, flags, 0o755, dir_fd=parent))
    finally:
        os.close(parent)


def is_below_dev(device: LinuxDevice) -> bool:
    """Tell whether `device` belongs in the container's /dev."""
    return device.path.startswith("/dev/")


def make_device(dev: int, device: LinuxDevice) -> None:
    """Make a device file below the new, still private /dev that `dev` stands for.

    Raises:
        OSError: EINVAL for a path that is not below /dev.
    """
    parts = device.path.removeprefix("/dev/").split("/")
    if not is_below_dev(device) or {"", ".", ".."} & set(parts):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), device.path)
    for depth in range(1, len(parts)):
        try:
            os.mkdir("/".join(parts[:depth]), 0o755, dir_fd=dev)
        except FileExistsError:
            pass
    name = "/".join(parts)
    kind = stat.S_IFBLK if device.type == "b" else stat.S_IFCHR
    try:
        os.mknod(
            name, kind | device.file_mode, os.makedev(device.major, device.minor), dir_fd=dev
        )
    except FileExistsError:
        return  # asked for twice, as a default device and by the user
    os.chown(name, device.uid, device.gid, dir_fd=dev, follow_symlinks=False)


def make_console(dev: int) -> None:
    """Make the file that a terminal is bound to, unless ``console`` is a device asked for."""
    try:
        os.mknod("console", stat.S_IFREG | 0o620, dir_fd=dev)
    except FileExistsError:
        pass


def finish_dev(dev: int, step: Step) -> None:
    """Give the filled /dev the attributes that `step` asks for, such as read-only."""
    _configured(dev, step)


class Covers:
    """What is bound over paths of the root: a null device, an empty directory, more devices.

    They are our own. The host's /dev/null would let the container change its mode; the image's
    may be no device at all (CVE-2025-31133). A device made in the root itself would become part
    of the container's layer.
    """

    def __init__(self, place: int) -> None:
        """Make them; the tmpfs is attached to `place`, as only attached trees can be cloned."""
        self._fd = mounts.open_filesystem("tmpfs", (("mode", "755"),))
        os.mkdir("empty", 0o555, dir_fd=self._fd)
        make_device(self._fd, DEVICES[0])
        mounts.attach(self._fd, place)
        self._devices = 0

    def put_device(self, root: RootedDir, device: LinuxDevice) -> None:
        """Make `device` appear at its path in `root`, wherever that is."""
        name = f"device{self._devices}"
        self._devices += 1
        make_device(self._fd, device._replace(path=f"/dev/{name}"))
        node = mounts.clone_tree(self._fd, name)
        try:
            place(root, Step(device.path, "bind"), node)
        finally:
            os.close(node)

    def hide(self, root: RootedDir, path: str) -> None:
        """Cover `path` of `root` by something empty and read-only; a missing path is none."""
        target = _open_existing(root, path)
        if target < 0:
            return
        try:
            name = "empty" if _is_directory(target) else "null"
            cover = mounts.clone_tree(self._fd, name)
            try:
                # A null device on a nodev mount could not be opened, so that reading fails.
                nodev = mounts.MOUNT_ATTR_NODEV if name == "null" else 0
                mounts.set_attributes(cover, _READ_ONLY & ~nodev)
                mounts.attach(cover, target, path)
            finally:
                os.close(cover)
        finally:
            os.close(target)


def make_read_only(root: RootedDir, path: str) -> None:
    """Mount `path` of `root`, and all below it, on itself without the right to write."""
    target = _open_existing(root, path)
    if target < 0:
        return
    try:
        tree = mounts.clone_tree(target, recursive=True)
        try:
            mounts.set_attributes(tree, _READ_ONLY, recursive=True)
            mounts.attach(tree, target, path)
        finally:
            os.close(tree)
    finally:
        os.close(target)


def _open_existing(root: RootedDir, path: str) -> int:
    try:
        return root.open(path, os.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return -1
