# SPDX-License-Identifier: Apache-2.0
"""The first process of a container: from a forked child to the container's program.

The order is the protection: namespaces, control groups, mounts inside the root by descriptors,
masks, pivot_root(2), then limits, privileges and the filter, then a program that is not Python.
"""

import os
from collections.abc import Mapping

from minidock.annotations import Never
from minidock.fs.rooted import RootedDir
from minidock.linux import interfaces, mounts, namespaces
from minidock.linux.openat import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2
from minidock.oci.runtime import Spec
from minidock.runtime import child, commands, messages, users
from minidock.runtime.child import Channel
from minidock.runtime.messages import Reporter
from minidock.runtime.mounts import (
    DEVICES,
    Covers,
    Step,
    fill,
    finish_dev,
    is_below_dev,
    make_console,
    make_device,
    make_read_only,
    open_new,
    place,
    with_mode_of_place,
)
from minidock.values import NamedTuple


class Plan(NamedTuple):
    """What init works through.

    `root` is the detached mount of the root, attached at `mountpoint`. `prepared` are detached
    mounts by the index of their step, `namespaces` those to join by their type. `cgroup` are
    files to join.
    """

    spec: Spec
    root: int
    mountpoint: str
    steps: tuple[Step, ...]
    prepared: Mapping[int, int]
    namespaces: Mapping[str, int]
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
        process = users.with_home(root, process)
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
        process = self._spec.process
        child.set_oom_score(process.oom_score_adj, reporter)
        child.confine(process.apparmor_profile, reporter)
        reporter.at(messages.NAMESPACES)
        flags = 0
        for namespace in self._spec.linux.namespaces:
            held = self._plan.namespaces.get(namespace.type)
            if namespace.type == "pid" and held is None:
                continue  # the parent's part: a process can't change its own
            flag = namespaces.FLAGS[namespace.type]
            if namespace.path:
                # The processes of another container never see this one: only what the last
                # program forks is in their namespace, as with exec.
                namespaces.join(namespace.path, flag, held)
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
        elsewhere = [device for device in linux.devices if not is_below_dev(device)]
        covers = Covers(mountpoint) if linux.masked_paths or elsewhere else None
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
        if covers:
            self._cover(root, covers, reporter)

    def _cover(self, root: RootedDir, covers: Covers, reporter: Reporter) -> None:
        linux = self._spec.linux
        for index, device in enumerate(linux.devices, len(DEVICES)):
            if not is_below_dev(device):
                reporter.at(messages.DEVICE, index)
                covers.put_device(root, device)
        for index, path in enumerate(linux.masked_paths):
            reporter.at(messages.MASK, index)
            covers.hide(root, path)

    def _perform(self, root: RootedDir, step: Step, index: int, reporter: Reporter) -> None:
        mount = self._plan.prepared.get(index, -1)
        if mount < 0:
            mount = open_new(with_mode_of_place(root, step))
        if step.is_dev:
            self._make_devices(mount, step, reporter)
            reporter.at(messages.MOUNT, index)
        if step.copies:
            fill(root, step, mount)
        if step.fstype == "proc":
            self._set_sysctls(mount, reporter)
            reporter.at(messages.MOUNT, index)
        place(root, step, mount)
        os.close(mount)

    def _make_devices(self, dev: int, step: Step, reporter: Reporter) -> None:
        for index, device in enumerate((*DEVICES, *self._spec.linux.devices)):
            if is_below_dev(device):
                reporter.at(messages.DEVICE, index)
                make_device(dev, device)
        if self._spec.process.terminal:
            make_console(dev)
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
