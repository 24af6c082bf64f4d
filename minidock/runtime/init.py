# SPDX-License-Identifier: Apache-2.0
"""The first process of a container: from a forked child to the container's program.

The order is the protection: namespaces, control groups, mounts inside the root by descriptors,
masks, pivot_root(2), then limits, privileges and the filter, then a program that is not Python.
"""

import os
from collections.abc import Mapping
from typing import Never

from minidock.fs.rooted import RootedDir
from minidock.linux import interfaces, mounts, namespaces
from minidock.linux.openat import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2
from minidock.oci.runtime import Spec
from minidock.runtime import child, commands, messages
from minidock.runtime.child import Channel
from minidock.runtime.messages import Reporter
from minidock.runtime.mounts import (
    DEVICES,
    Masks,
    Step,
    finish_dev,
    make_device,
    make_read_only,
    open_new,
    place,
)
from minidock.values import NamedTuple


class Plan(NamedTuple):
    """What init works through.

    `root` is the detached mount of the root, attached at `mountpoint`. `prepared` are detached
    mounts by the index of their step. `cgroup` are files to join.
    """

    spec: Spec
    root: int
    mountpoint: str
    steps: tuple[Step, ...]
    prepared: Mapping[int, int]
    seccomp: bytes
    cgroup: tuple[str, ...]


class Init:
    """The child's work; `run` is the body for `child.run`."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._spec = plan.spec

    def run(self, channel: Channel, reporter: Reporter) -> Never:
        """Build the container around this process, wait for the gate, become the program."""
        process = self._spec.process
        self._enter_namespaces(reporter)
        root = RootedDir(self._plan.root)
        self._mount(root, channel, reporter)
        reporter.at(messages.WORKING_DIRECTORY)
        commands.prepare_working_directory(root, process.cwd)
        reporter.at(messages.LOOKUP)
        program = commands.locate(
            root, process.args[0], commands.search_path(process.env), process.cwd, process.user
        )
        self._change_root(root, reporter)
        self._set_names(reporter)
        reporter.at(messages.GATE)
        reporter.send(messages.WAITING)
        child.wait_for_gate(channel.gate)
        reporter.at(messages.SETUP)
        child.become(process, program, self._plan.seccomp, channel, reporter)

    def _enter_namespaces(self, reporter: Reporter) -> None:
        reporter.at(messages.OOM_SCORE)
        _set_oom_score(self._spec.process.oom_score_adj, reporter)
        reporter.at(messages.NAMESPACES)
        flags = 0
        for namespace in self._spec.linux.namespaces:
            if namespace.type == "pid":
                continue  # the parent's part: a process can't change its own
            flag = namespaces.FLAGS[namespace.type]
            if namespace.path:
                _join(namespace.path, flag)
            else:
                flags |= flag
        # The cgroup namespace shows the group that its maker is in, so the group comes first.
        # It waits for RCU: meanwhile the parent may set up the network.
        namespaces.unshare(flags & ~namespaces.CLONE_NEWCGROUP)
        if flags & namespaces.CLONE_NEWNET:
            interfaces.bring_up("lo")
        reporter.send(messages.READY)
        reporter.at(messages.CGROUP)
        child.join_cgroups(self._plan.cgroup)
        namespaces.unshare(flags & namespaces.CLONE_NEWCGROUP)

    def _mount(self, root: RootedDir, channel: Channel, reporter: Reporter) -> None:
        reporter.at(messages.ROOT)
        linux = self._spec.linux
        mounts.make_private()
        mountpoint = os.open(self._plan.mountpoint, os.O_PATH | os.O_DIRECTORY)
        masks = Masks(mountpoint) if linux.masked_paths else None
        mounts.attach(root.fd, mountpoint, self._plan.mountpoint)
        for index, step in enumerate(self._plan.steps):
            reporter.at(messages.MOUNT, index)
            self._perform(root, step, index, reporter)
        if channel.terminal:
            reporter.at(messages.CONSOLE)
            _bind_console(root)
        for index, path in enumerate(linux.readonly_paths):
            reporter.at(messages.READ_ONLY, index)
            make_read_only(root, path)
        for index, path in enumerate(linux.masked_paths):
            reporter.at(messages.MASK, index)
            assert masks is not None
            masks.hide(root, path)

    def _perform(self, root: RootedDir, step: Step, index: int, reporter: Reporter) -> None:
        mount = self._plan.prepared.get(index, -1)
        if mount < 0:
            mount = open_new(step)
        if step.is_dev:
            self._make_devices(mount, step, reporter)
            reporter.at(messages.MOUNT, index)
        if step.fstype == "proc":
            self._set_sysctls(mount, reporter)
            reporter.at(messages.MOUNT, index)
        place(root, step, mount)
        os.close(mount)

    def _make_devices(self, dev: int, step: Step, reporter: Reporter) -> None:
        for index, device in enumerate((*DEVICES, *self._spec.linux.devices)):
            reporter.at(messages.DEVICE, index)
            make_device(dev, device)
        if self._spec.process.terminal:
            os.close(
                os.open("console", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o620, dir_fd=dev)
            )
        finish_dev(dev, step)

    def _set_sysctls(self, proc: int, reporter: Reporter) -> None:
        """Write the sysctls through a procfs that is still ours alone (CVE-2025-52881)."""
        for index, (name, value) in enumerate(self._spec.linux.sysctl.items()):
            reporter.at(messages.SYSCTL, index)
            path = "sys/" + name.replace(".", "/")
            fd = openat2(proc, path, os.O_WRONLY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
            try:
                os.write(fd, value.encode())
            finally:
                os.close(fd)

    def _change_root(self, root: RootedDir, reporter: Reporter) -> None:
        reporter.at(messages.PIVOT)
        if self._spec.root_readonly:
            mounts.set_attributes(root.fd, mounts.MOUNT_ATTR_RDONLY)
        mounts.pivot_root(root.fd)

    def _set_names(self, reporter: Reporter) -> None:
        reporter.at(messages.HOSTNAME)
        if self._spec.hostname:
            namespaces.sethostname(self._spec.hostname)
        if self._spec.domainname:
            namespaces.setdomainname(self._spec.domainname)


def _join(path: str, flag: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        namespaces.setns(fd, flag)
    finally:
        os.close(fd)


def _set_oom_score(score: int | None, reporter: Reporter) -> None:
    """Set oom_score_adj; to lower it needs CAP_SYS_RESOURCE, without it's a warning."""
    if score is None:
        return
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, str(score).encode())
    except PermissionError as e:
        reporter.send(messages.WARNING, e.errno or 0)
    finally:
        os.close(fd)


def _bind_console(root: RootedDir) -> None:
    """Show the terminal as /dev/console, bound by its descriptor (CVE-2025-52565)."""
    try:
        target = root.open("/dev/console", os.O_PATH | os.O_NOFOLLOW)
    except FileNotFoundError:
        return  # the user's own /dev
    terminal = mounts.clone_tree(0)
    mounts.attach(terminal, target, "/dev/console")
    os.close(terminal)
    os.close(target)
