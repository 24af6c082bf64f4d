# SPDX-License-Identifier: Apache-2.0
"""What the first process of a container and an entering process have in common.

This code runs in a forked child. Before it sees a file of the image it ends all importing: a
module found in the image would run with the host's rights (CVE-2019-14271).
"""

import errno
import fcntl
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable

from minidock.annotations import Never
from minidock.fs.rooted import RootedDir
from minidock.linux import capabilities, mounts, processes, seccomp
from minidock.oci.runtime import Process, Rlimit
from minidock.runtime import messages
from minidock.runtime.final import INIT, REPORT_FD
from minidock.runtime.messages import Reporter
from minidock.values import NamedTuple

_PIPE_MAGIC = 0x50495045
_TIOCSCTTY = 0x540E
_FIRST_FREE = 10
_FAILURE = 125
_RLIM64_INFINITY = 1 << 63
_RLIMIT_LOCKS = 10  # asm-generic/resource.h; the module resource leaves it out
_APPARMOR_EXEC = "/proc/self/attr/apparmor/exec"
_LSM_EXEC = "/proc/self/attr/exec"  # before Linux 5.8 the first module's alone
_SYS_ADMIN = capabilities.mask(("CAP_SYS_ADMIN",))
_UNCATCHABLE = (signal.SIGKILL, signal.SIGSTOP)


class Stdio(NamedTuple):
    """The descriptors that become 0, 1 and 2 of a process without a terminal."""

    stdin: int
    stdout: int
    stderr: int

    def close(self) -> None:
        """Close all three, once the process has its copies."""
        for fd in set(self):
            os.close(fd)


class Channel(NamedTuple):
    """The child's pipe ends, what it finally executes, and its 0, 1, 2.

    `terminal` says that the latter are the other end of a pseudoterminal, `fork` that `program`
    goes on in a child, which begins the session, `init` that it does so and stays as reaper.py
    says.
    """

    report: int
    gate: int
    program: int
    stdio: Stdio
    terminal: bool
    fork: bool
    init: bool = False


def run(
    channel: Channel, body: Callable[[Channel, Reporter], Never], keep: Iterable[int]
) -> Never:
    """Be the child: settle down, call `body`, report what it raises, and exit.

    `body` gets the channel with its descriptors out of the way of 0 to 3. It and `keep` are the
    only descriptors left.
    """
    reporter = Reporter(channel.report)
    try:
        channel = _move_descriptors(channel, keep)
        reporter.fd = channel.report
        _settle(channel)
        body(channel, reporter)
    except OSError as e:
        reporter.send(messages.FAILED, e.errno or 0)
    except BaseException:  # noqa: BLE001 - nothing may reach the interpreter's own handler
        reporter.send(messages.FAILED)
    finally:
        os._exit(_FAILURE)


def _move_descriptors(channel: Channel, keep: Iterable[int]) -> Channel:
    """Close what the child inherited by accident: other containers' pipes, locks, terminals."""
    own = (channel.report, channel.gate, channel.program, *channel.stdio)
    processes.close_descriptors((*own, *keep))
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE) for fd in own]
    report, gate, program, *stdio = moved
    for number, fd in enumerate(stdio):
        os.dup2(fd, number)
    processes.close_descriptors((0, 1, 2, report, gate, program, *keep))
    return channel._replace(report=report, gate=gate, program=program, stdio=Stdio(0, 1, 2))


def _settle(channel: Channel) -> None:
    gc.disable()  # a finalizer of the parent's objects would close a descriptor of ours
    for importing in (sys.meta_path, sys.path, sys.path_hooks):
        importing.clear()
    os.setsid()  # nothing in a container has the user's terminal, not even before its execve(2)
    if channel.terminal and not channel.fork:
        fcntl.ioctl(0, _TIOCSCTTY, 0)
    for number in signal.valid_signals() - set(_UNCATCHABLE):
        signal.signal(number, signal.SIG_DFL)  # Python ignores SIGPIPE and SIGXFSZ
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0)


def join_cgroups(files: Iterable[str]) -> None:
    """Write this process into each ``cgroup.procs`` or ``tasks`` file."""
    for path in files:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"0")
        finally:
            os.close(fd)


def set_oom_score(score: int | None, reporter: Reporter) -> None:
    """Set oom_score_adj; to lower it needs CAP_SYS_RESOURCE, without it's a warning.

    None, and the usual 0 where it can't be had, leave the caller's.
    """
    if score is None:
        return
    reporter.at(messages.OOM_SCORE)
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, str(score).encode())
    except PermissionError as e:
        if score:
            reporter.send(messages.WARNING, e.errno or 0)
    finally:
        os.close(fd)


def confine(profile: str, reporter: Reporter) -> None:
    """Have the next execve(2) enter AppArmor profile `profile`; an empty one is none.

    To be called in the host's mount namespace: another /proc could be no procfs at all, and the
    process would go on unconfined (CVE-2019-16884).
    """
    if not profile:
        return
    reporter.at(messages.APPARMOR)
    path = _APPARMOR_EXEC if os.path.exists(_APPARMOR_EXEC) else _LSM_EXEC
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if mounts.filesystem_magic(fd) != mounts.PROC_MAGIC:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), path)
        os.write(fd, b"exec " + os.fsencode(profile))
    finally:
        os.close(fd)


def wait_for_gate(gate: int) -> None:
    """Wait for the launcher's go; exit without a word if it has gone."""
    if not os.read(gate, 1):
        os._exit(_FAILURE)


def become(
    process: Process, program: str, filters: bytes, channel: Channel, reporter: Reporter
) -> Never:
    """Turn this process, in its final root, into in-root file `program` run as `process`."""
    first, environment = program, process.env
    if channel.init:
        first, environment = INIT, (*environment, f"_={program}")
    arguments = processes.Strings((first, *process.args))
    variables = processes.Strings(environment)
    _new_keyring()
    _own_pipes(process.user.uid, channel.terminal)
    os.dup2(channel.report, REPORT_FD)
    reporter.fd = REPORT_FD
    # Before the directory is entered: /proc/self/fd of this process must lead nowhere
    # (CVE-2024-21626).
    processes.close_descriptors((0, 1, 2, REPORT_FD, channel.program))
    reporter.at(messages.WORKING_DIRECTORY)
    _enter_directory(process.cwd)
    os.umask(process.user.umask)
    _limit(process.rlimits, reporter)  # after the last descriptor: there may be few
    _drop_privileges(process, filters, reporter)
    reporter.at(messages.EXEC)
    reporter.send(messages.EXECUTING)
    processes.execute(channel.program, arguments, variables)


def _new_keyring() -> None:
    try:
        processes.join_new_session_keyring()
    except OSError as e:
        if e.errno not in (errno.ENOSYS, errno.EPERM):
            raise


def _limit(limits: tuple[Rlimit, ...], reporter: Reporter) -> None:
    for index, limit in enumerate(limits):
        reporter.at(messages.RLIMIT, index)
        named = limit.type != "RLIMIT_LOCKS"
        number = getattr(resource, limit.type) if named else _RLIMIT_LOCKS
        wanted = _rlim(limit.soft), _rlim(limit.hard)
        try:
            resource.setrlimit(number, wanted)
        except ValueError:  # EPERM: above the inherited hard limit, without CAP_SYS_RESOURCE
            reporter.send(messages.WARNING, errno.EPERM)
            highest = resource.getrlimit(number)[1]
            resource.setrlimit(number, (_lower(wanted[0], highest), _lower(wanted[1], highest)))


def _rlim(value: int) -> int:
    return resource.RLIM_INFINITY if value < 0 or value >= _RLIM64_INFINITY else value


def _lower(value: int, highest: int) -> int:
    if highest == resource.RLIM_INFINITY:
        return value
    return highest if value == resource.RLIM_INFINITY else min(value, highest)


def _own_pipes(uid: int, terminal: bool) -> None:
    """Give the user the pipes and the terminal, so that it can open /dev/stdout."""
    for fd in (0, 1, 2):
        if terminal or mounts.filesystem_magic(fd) == _PIPE_MAGIC:
            os.fchown(fd, uid, -1)


def _enter_directory(path: str) -> None:
    """Change to `path` with the rights of root, as runc does."""
    with RootedDir.at("/") as root:
        fd = root.open(path, os.O_PATH | os.O_DIRECTORY)
    os.fchdir(fd)
    os.close(fd)
    if not processes.working_directory().startswith(b"/"):  # "(unreachable)..."
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _drop_privileges(process: Process, filters: bytes, reporter: Reporter) -> None:
    reporter.at(messages.PRIVILEGES)
    user, wanted = process.user, process.capabilities
    processes.limit_capabilities(capabilities.mask(wanted.bounding))
    processes.keep_capabilities(True)
    os.setgroups(user.additional_gids)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    processes.keep_capabilities(False)
    held = processes.permitted_capabilities()
    permitted = capabilities.mask(wanted.permitted) & held
    effective = capabilities.mask(wanted.effective) & permitted
    inheritable = capabilities.mask(wanted.inheritable) & held
    if process.no_new_privileges:
        processes.set_no_new_privileges()
    elif filters:
        # Without no_new_privs the filter needs CAP_SYS_ADMIN, so that goes last.
        admin = held & _SYS_ADMIN
        processes.set_capabilities(effective | admin, permitted | admin, inheritable)
        reporter.at(messages.SECCOMP)
        seccomp.load(filters)
    processes.set_capabilities(effective, permitted, inheritable)
    if wanted.ambient:
        reporter.at(messages.PRIVILEGES)
        processes.raise_ambient_capabilities(
            capabilities.mask(wanted.ambient) & permitted & inheritable
        )
    if process.no_new_privileges and filters:
        reporter.at(messages.SECCOMP)
        seccomp.load(filters)
