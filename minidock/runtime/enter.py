# SPDX-License-Identifier: Apache-2.0
"""Running one more process in a running container: ``exec``.

All that needs the container's files (user, directory, command, terminal) is looked up through
its root before its namespaces are entered; after that nothing is read from it but the program.

The Python process joins all namespaces, but into that of processes only its children go: the
container never sees it, nor its descriptors (CVE-2016-9962, CVE-2019-5736). The last program
forks.

The kernel ends a container's first process only after the entered ones are reaped: whoever
launched them has to wait for them.
"""

import errno
import os
from collections.abc import Callable
from contextlib import ExitStack

from minidock.annotations import Never
from minidock.errors import Conflict, SystemFailure
from minidock.fs.rooted import RootedDir
from minidock.linux import capabilities, namespaces
from minidock.linux.process_stat import living_since, start_time
from minidock.oci.runtime import Capabilities, Process, Rlimit
from minidock.runtime import child, commands, messages, users
from minidock.runtime.child import Channel, Stdio
from minidock.runtime.launch import Forking, Launched, describe, spawn
from minidock.runtime.messages import Reporter
from minidock.runtime.spec import merge_environment
from minidock.runtime.terminals import open_terminal
from minidock.values import NamedTuple

_NAMESPACES = (
    namespaces.CLONE_NEWNS
    | namespaces.CLONE_NEWUTS
    | namespaces.CLONE_NEWIPC
    | namespaces.CLONE_NEWNET
    | namespaces.CLONE_NEWCGROUP
    | namespaces.CLONE_NEWPID
)


class NotRunning(Conflict):
    """The container's first process has ended."""


class Target(NamedTuple):
    """The container's first process; the time, as in `Launched`, tells a reused pid."""

    pid: int
    start_time: int


class EnterProcess(NamedTuple):
    """What to run. `user` is a text as in ``--user``, `groups` as in ``--group-add``.

    `env` are ``NAME=value`` texts, later ones win; HOME is added. `capabilities` is a bit mask.
    `cgroup` are files to join. `seccomp` is as in Bundle.
    """

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: str = ""
    groups: tuple[str, ...] = ()
    capabilities: int = 0
    no_new_privileges: bool = False
    rlimits: tuple[Rlimit, ...] = ()
    oom_score_adj: int | None = None
    apparmor_profile: str = ""
    seccomp: bytes = b""
    terminal: bool = False
    cgroup: tuple[str, ...] = ()


def enter(
    target: Target, process: EnterProcess, stdio: tuple[int, int, int] | None
) -> Launched:
    """Start `process` in the container of `target`; it waits for `Launched.start`.

    Raises:
        NotRunning: the container has ended.
        UnknownUser, UnknownGroup, InvalidUser: see `users.resolve`.
        CommandNotFound, CommandNotExecutable: no such command, or no such directory.
        SystemFailure: a step failed.
    """
    return _enter(
        target, lambda root: _resolve(root, process), process.seccomp, process.cgroup, stdio
    )


def enter_resolved(
    target: Target,
    process: Process,
    seccomp: bytes,
    cgroup: tuple[str, ...],
    stdio: tuple[int, int, int] | None,
) -> Launched:
    """Start `process`, whose user is known by its ids, as `enter` does one to be looked up."""
    return _enter(target, lambda root: users.with_home(root, process), seccomp, cgroup, stdio)


def _enter(
    target: Target,
    resolve: Callable[[RootedDir], Process],
    seccomp: bytes,
    cgroup: tuple[str, ...],
    stdio: tuple[int, int, int] | None,
) -> Launched:
    with ExitStack() as opened, ExitStack() as on_failure:
        pidfd = _open_target(target)
        opened.callback(os.close, pidfd)
        root = opened.enter_context(_open_root(target))
        resolved = resolve(root)
        _check_directory(root, resolved.cwd)
        program = commands.find(
            root,
            resolved.args[0],
            commands.search_path(resolved.env),
            resolved.cwd,
            resolved.user,
        )
        master = -1
        if resolved.terminal:
            master, terminal = _new_terminal(root)
            on_failure.callback(os.close, master)
            opened.callback(os.close, terminal)
            stdio = Stdio(terminal, terminal, terminal)
        entering = _Entering(pidfd, resolved, program, seccomp, cgroup)
        launched = spawn(
            entering.run,
            stdio,
            (pidfd,),
            Forking(resolved.terminal),
            lambda record: describe(record, resolved),
        )
        launched.console = master
        on_failure.pop_all()
    return launched


class _Entering(NamedTuple):
    """The child's work."""

    pidfd: int
    process: Process
    program: str
    seccomp: bytes
    cgroup: tuple[str, ...]

    def run(self, channel: Channel, reporter: Reporter) -> Never:
        child.set_oom_score(self.process.oom_score_adj, reporter)
        child.confine(self.process.apparmor_profile, reporter)
        reporter.at(messages.CGROUP)
        child.join_cgroups(self.cgroup)
        reporter.at(messages.NAMESPACES)
        namespaces.setns(self.pidfd, _NAMESPACES)
        reporter.send(messages.READY)
        reporter.at(messages.GATE)
        child.wait_for_gate(channel.gate)
        reporter.at(messages.SETUP)
        child.become(self.process, self.program, self.seccomp, channel, reporter)


def _open_target(target: Target) -> int:
    """Return a pidfd of the target; the check comes after, when the pid can't change hands."""
    try:
        pidfd = os.pidfd_open(target.pid)
    except ProcessLookupError as e:
        raise NotRunning("the container is not running") from e
    try:
        same = start_time(target.pid) == target.start_time
    except ProcessLookupError:
        same = False
    if not same:
        os.close(pidfd)
        raise NotRunning("the container is not running")
    return pidfd


def open_root(target: Target) -> RootedDir:
    """Return the root of a running container, with all that is mounted in it.

    Raises:
        NotRunning: it has ended.
        SystemFailure: its root can't be opened.
    """
    pidfd = _open_target(target)
    try:
        root = _open_root(target)
        if living_since(target.pid) == target.start_time:
            return root
        root.close()  # the pid may have been another's by then
    finally:
        os.close(pidfd)
    raise NotRunning("the container is not running")


def _open_root(target: Target) -> RootedDir:
    try:
        return RootedDir.at(f"/proc/{target.pid}/root")
    except OSError as e:
        if e.errno in (errno.ENOENT, errno.ESRCH):
            raise NotRunning("the container is not running") from e
        raise SystemFailure.of("open the container's root", e) from e


def _check_directory(root: RootedDir, path: str) -> None:
    try:
        os.close(root.open(path, os.O_PATH | os.O_DIRECTORY))
    except OSError as e:
        raise commands.directory_refusal(path, e.errno or 0) from e


def _resolve(root: RootedDir, process: EnterProcess) -> Process:
    user = users.resolve(root, process.user, process.groups)
    return Process(
        args=process.args,
        env=merge_environment({}, process.env, user.home),
        cwd=process.cwd,
        user=user.ids,
        terminal=process.terminal,
        capabilities=Capabilities.of(capabilities.names(process.capabilities), user.uid),
        no_new_privileges=process.no_new_privileges,
        rlimits=process.rlimits,
        oom_score_adj=process.oom_score_adj,
        apparmor_profile=process.apparmor_profile,
    )


def _new_terminal(root: RootedDir) -> tuple[int, int]:
    try:
        devpts = root.open("/dev/pts", os.O_PATH | os.O_DIRECTORY)
        try:
            return open_terminal(devpts)
        finally:
            os.close(devpts)
    except OSError as e:
        raise SystemFailure.of("make a terminal", e) from e
