# SPDX-License-Identifier: Apache-2.0
"""Starting a container: the launcher's side of `init`.

`launch` returns when the namespaces exist, while the child goes on mounting; the network can be
attached to ``/proc/PID/ns/net`` meanwhile. `Launched.start` opens the gate. Where the launcher
is to end before that, the two meet at fifos in a directory: `start_waiting` opens such a gate.
"""

import errno
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack

from minidock.annotations import Never
from minidock.errors import Conflict, InvalidArgument, MinidockError, SystemFailure
from minidock.linux import namespaces, processes
from minidock.linux.process_stat import start_time
from minidock.oci.runtime import Namespace, Process, Spec
from minidock.runtime import child, commands, messages
from minidock.runtime.child import Channel, Stdio
from minidock.runtime.final import open_program
from minidock.runtime.init import Init, Plan
from minidock.runtime.messages import Record, Reporter
from minidock.runtime.mounts import DEVICES, Step, open_new, open_source, plan
from minidock.runtime.terminals import open_terminal
from minidock.values import NamedTuple

GATE = "gate"
REPORT = "report"
"""The fifos of a container that a later process starts."""

Describe = Callable[[Record], MinidockError]
"""Turns a child's record into the error that it stands for."""


class MissingSource(InvalidArgument):
    """A bind mount's path does not exist on the host; the text is docker's."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f'invalid mount config for type "bind": bind source path does not exist: {path}'
        )


class NotWaiting(Conflict):
    """A container's first process is past its gate."""


class Bundle(NamedTuple):
    """A container to be started.

    `root` is the detached mount of its root; `mountpoint` an empty directory of the host, of
    this container alone, where init attaches it in its own mount namespace. `seccomp` is an
    array of struct sock_filter, empty for no filter. `cgroup` are the ``cgroup.procs`` or
    ``tasks`` files of the groups it joins. `namespaces` are descriptors, by type, of those the
    spec has paths for: a path with a process id could mean another process by now. `trees` are
    detached mounts, by the source of the mounts that they are for, likewise. One of these is
    /proc if a PID namespace is joined: it belongs to that of the process that mounts it, and
    this is never there. With `init` the first process is one of ours, and the program is its
    child; who joins a PID namespace finds one there.
    """

    container_id: str
    spec: Spec
    root: int
    mountpoint: str
    seccomp: bytes = b""
    cgroup: tuple[str, ...] = ()
    namespaces: Mapping[str, int] = {}
    trees: Mapping[str, int] = {}
    init: bool = False


class Handle:
    """A process in a container, a child of the caller or of one that has ended.

    Attributes:
        pid: as the launcher sees it. Of an entering process these three change in `start`.
        pidfd: a descriptor that stands for the process, see pidfd_open(2).
        start_time: clock ticks since boot; with the pid it names the process for good.
        console: the pseudoterminal's master, -1 without terminal; the caller closes it.
        warnings: what could not be done and is not needed, complete after `start`.
    """

    def __init__(self, pid: int, console: int = -1) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.start_time = start_time(pid)
        self.console = console
        self.warnings: tuple[str, ...] = ()
        self._status: int | None = None

    def kill(self) -> None:
        """Kill the process if it lives; the container goes with it."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def wait(self) -> int:
        """Wait for the end; return the exit status, 128 + n after signal n."""
        if self._status is None:
            _, status = os.waitpid(self.pid, 0)
            code = os.waitstatus_to_exitcode(status)
            self._status = code if code >= 0 else 128 - code
        return self._status


class Launched(Handle):
    """A process that waits for `start`, a child of the process that launched it."""

    def __init__(self, pid: int, report: int, gate: int, describe: Describe) -> None:
        super().__init__(pid)
        self._report = report
        self._gate = gate
        self._describe = describe

    def wait_ready(self) -> None:
        """Wait until the namespaces exist; raise what went wrong in the child."""
        self._until(messages.READY)

    def wait_built(self) -> None:
        """Wait until only the gate is in the way; raise what went wrong in the child."""
        self._until(messages.WAITING)

    def start(self) -> None:
        """Let the process go on; return once its program has been executed.

        Raises:
            CommandNotFound, CommandNotExecutable: there is no program, or it can't be executed.
            SystemFailure: what else went wrong in the child, which is reaped.
        """
        try:
            os.write(self._gate, b"\0")
        except BrokenPipeError:
            pass  # its last record says why it has gone
        self._close_gate()
        self._until(messages.EXECUTING)
        # The program that executes the container's makes the pipe close-on-exec.
        failure: Record | None = None
        while record := messages.receive(self._report):
            if record.kind == messages.FORKED and record.errno > 0:
                self._follow(record.errno)
            else:
                failure = record
        self._close_report()
        if failure:
            self._fail(failure._replace(errno=abs(failure.errno)))

    def _follow(self, pid: int) -> None:
        """Become the handle of child `pid`, which the process so far has made.

        A container that may trace can write such a record. What is no child of ours is not
        followed: it would get the signals that are meant for the container's process.
        """
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return
        try:
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            os.close(pidfd)
            return
        self.wait()
        self._status = None
        os.close(self.pidfd)
        self.pid = pid
        self.pidfd = pidfd
        self.start_time = start_time(pid)

    def failure(self) -> MinidockError | None:
        """Kill the process; return the error that it had met by itself, if any."""
        self.kill()  # so that the report ends
        while record := messages.receive(self._report):
            if record.kind == messages.FAILED:
                return self._describe(record)
        return None

    def close(self) -> None:
        """Close the descriptors, but for `console`; a process not yet started exits."""
        self._close_gate()
        self._close_report()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def _until(self, kind: int) -> None:
        while record := messages.receive(self._report):
            if record.kind == kind:
                return
            if record.kind == messages.FAILED:
                self._fail(record)
            if record.kind == messages.WARNING:
                self.warnings += (_warning(self._describe(record)),)
        status = self.wait()
        raise SystemFailure(f"start the container (exit status {status})", errno.ECHILD)

    def _fail(self, record: Record) -> Never:
        self.wait()
        raise self._describe(record)

    def _close_gate(self) -> None:
        if self._gate >= 0:
            os.close(self._gate)
            self._gate = -1

    def _close_report(self) -> None:
        if self._report >= 0:
            os.close(self._report)
            self._report = -1


def launch(bundle: Bundle, stdio: tuple[int, int, int] | None, meeting: str = "") -> Launched:
    """Start a container's first process; return it when its namespaces exist.

    It has a terminal if the spec says so, else `stdio`, else /dev/null. Nothing is mounted in
    the caller's mount namespace. The caller must have one thread, and 0, 1 and 2 open. With
    `meeting`, a directory, the process outlives the caller and waits there for `start_waiting`.

    Raises:
        MissingSource: a bind mount's source does not exist.
        SystemFailure: a step failed.
    """
    spec = bundle.spec
    steps = plan(spec.mounts, _hierarchies())
    with ExitStack() as opened, ExitStack() as on_failure:
        prepared = _open_sources(steps, bundle.trees, opened)
        master = -1
        if spec.process.terminal:
            devpts = _devpts(steps, prepared, opened)
            try:
                master, terminal = open_terminal(devpts)
            except OSError as e:
                raise SystemFailure.of("make a terminal", e) from e
            on_failure.callback(os.close, master)
            opened.callback(os.close, terminal)
            stdio = Stdio(terminal, terminal, terminal)
        work = Plan(
            spec,
            bundle.root,
            bundle.mountpoint,
            steps,
            prepared,
            bundle.namespaces,
            bundle.seccomp,
            bundle.cgroup,
        )

        joins = "pid" in bundle.namespaces

        def move() -> None:
            _set_pid_namespace(spec.linux.namespaces)

        launched = spawn(
            Init(work).run,
            stdio,
            (bundle.root, *prepared.values(), *bundle.namespaces.values()),
            Forking(
                spec.process.terminal,
                bundle.init and not joins,
                None if joins else move,
                meeting,
            ),
            _Describer(spec, steps),
        )
        launched.console = master
        on_failure.pop_all()
    return launched


class Forking(NamedTuple):
    """How a child begins. With a `terminal` 0, 1 and 2 are one; `init` is as in Bundle.

    `pid_namespace` moves the caller's next children; the caller is moved back. Without it the
    child joins one, and its program goes on in another child of the caller. `meeting` is the
    directory of the fifos by which a later process starts the child, if that is so.
    """

    terminal: bool
    init: bool = False
    pid_namespace: Callable[[], None] | None = None
    meeting: str = ""


def spawn(
    body: Callable[[Channel, Reporter], Never],
    stdio: tuple[int, int, int] | None,
    keep: Iterable[int],
    how: Forking,
    describe: Describe,
) -> Launched:
    """Fork a child that runs `body`; return it when it says that it is in its namespaces.

    The child is made by fork(2), not by clone(2) with flags, as only os.fork puts right
    Python's own state in the child. It has 0, 1, 2, `keep` and its channel open.
    """
    with ExitStack() as opened, ExitStack() as on_failure:
        if how.meeting:
            report, report_end, gate_end, gate = _fifos(how.meeting, on_failure, opened)
        else:
            report, report_end = _pipe(on_failure, opened)
            gate_end, gate = _pipe(opened, on_failure)
        fork = how.pid_namespace is None
        program = open_program(fork=fork, terminal=how.terminal and fork, init=how.init)
        opened.callback(os.close, program)
        if stdio is None:
            null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            opened.callback(os.close, null)
            stdio = Stdio(null, null, null)
        stdio = Stdio(*stdio)
        channel = Channel(report_end, gate_end, program, stdio, how.terminal, fork, how.init)
        try:
            pid = _fork(
                lambda: child.run(channel, body, keep), how.pid_namespace or _same_namespace
            )
        except OSError as e:
            raise SystemFailure.of("start a process", e) from e
        launched = Launched(pid, report, gate, describe)
        on_failure.pop_all()
    try:
        launched.wait_ready()
    except BaseException:
        launched.close()
        raise
    return launched


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    reader.callback(os.close, ends[0])
    writer.callback(os.close, ends[1])
    return ends


def _fifos(directory: str, ours: ExitStack, theirs: ExitStack) -> tuple[int, int, int, int]:
    """Return what two pipes would be: report and its other end, the gate's other end and it.

    The child has both fifos open both ways: it neither sees an end nor is told of one (SIGPIPE)
    while nobody is there.
    """
    paths = [f"{directory}/{name}" for name in (REPORT, GATE)]
    for path in paths:
        os.mkfifo(path, 0o600)
    report = _open_fifo(paths[0], os.O_RDONLY)
    ours.callback(os.close, report)
    report_end, gate_end = (os.open(path, os.O_RDWR | os.O_CLOEXEC) for path in paths)
    theirs.callback(os.close, report_end)
    theirs.callback(os.close, gate_end)
    gate = _open_fifo(paths[1], os.O_WRONLY)
    ours.callback(os.close, gate)
    return report, report_end, gate_end, gate


def _open_fifo(path: str, access: int) -> int:
    """Open a fifo without waiting for the other side; ENXIO where nobody reads."""
    fd = os.open(path, access | os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(fd, True)
    return fd


def start_waiting(meeting: str, process: Process) -> tuple[str, ...]:
    """Let a container's first process go on, launched by whoever with directory `meeting`.

    It can be done once.

    Returns:
        Warnings, once the program has been executed.

    Raises:
        NotWaiting: it has been started before, or has ended.
        CommandNotFound, CommandNotExecutable, SystemFailure: as `Launched.start`.
    """
    with ExitStack() as opened:
        try:
            report = _open_fifo(f"{meeting}/{REPORT}", os.O_RDONLY)
            opened.callback(os.close, report)
            gate = _open_fifo(f"{meeting}/{GATE}", os.O_WRONLY)
            opened.callback(os.close, gate)
            os.unlink(f"{meeting}/{GATE}")
        except OSError as e:
            raise NotWaiting("the container does not wait to be started") from e
        os.write(gate, b"\0")
        executing = False
        warnings: list[str] = []
        while record := messages.receive(report):
            executing |= record.kind == messages.EXECUTING
            if record.kind == messages.FAILED:
                raise describe(record, process)
            if record.kind == messages.WARNING:
                warnings.append(describe(record, process).message)
    if not executing:
        raise SystemFailure("start the container", errno.ECHILD)
    return tuple(warnings)


def _fork(run: Callable[[], Never], pid_namespace: Callable[[], None]) -> int:
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    dumpable = processes.is_dumpable()
    try:
        # The child begins untraceable: in an entered namespace there is no moment when a
        # process of the container could open its descriptors (CVE-2016-9962).
        processes.set_dumpable(False)
        pid_namespace()
        if pid := os.fork():
            return pid
        run()
    finally:
        namespaces.setns(own, namespaces.CLONE_NEWPID)
        processes.set_dumpable(dumpable)
        os.close(own)


def _same_namespace() -> None:
    """Leave the next child where its parent is."""


def _set_pid_namespace(wanted: tuple[Namespace, ...]) -> None:
    for namespace in wanted:
        if namespace.type != "pid":
            continue
        if namespace.path:
            namespaces.join(namespace.path, namespaces.CLONE_NEWPID)
        else:
            namespaces.unshare(namespaces.CLONE_NEWPID)


def _hierarchies() -> tuple[str, ...]:
    """Return the cgroup v1 hierarchies, lowest number first: ``id:controllers:path``."""
    with open("/proc/self/cgroup", "rb", buffering=0) as file:
        lines = file.read().decode().splitlines()
    names = [line.split(":", 2)[1] for line in lines]
    return tuple(name for name in reversed(names) if name)


def _open_sources(
    steps: tuple[Step, ...], trees: Mapping[str, int], opened: ExitStack
) -> dict[int, int]:
    prepared = {}
    for index, step in enumerate(steps):
        tree = trees.get(step.source, -1)
        if not step.is_bind and tree < 0:
            continue
        try:
            prepared[index] = open_source(step, tree)
        except FileNotFoundError as e:
            raise MissingSource(step.source) from e
        except OSError as e:
            raise SystemFailure.of("open the bind mount", e) from e
        opened.callback(os.close, prepared[index])
    return prepared


def _devpts(steps: tuple[Step, ...], prepared: dict[int, int], opened: ExitStack) -> int:
    """Return a directory of terminals: the container's new devpts, made now, or the host's."""
    for index, step in enumerate(steps):
        if step.fstype == "devpts":
            prepared[index] = open_new(step)
            opened.callback(os.close, prepared[index])
            return prepared[index]
    fd = os.open("/dev/pts", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    opened.callback(os.close, fd)
    return fd


def _warning(error: MinidockError) -> str:
    if isinstance(error, SystemFailure) and error.stage == messages.STAGES[messages.RLIMIT]:
        return f"{error.path} is lowered to the limit that minidock was started with"
    return error.message


class _Describer:
    """Turns a record of init into an error that names the thing."""

    def __init__(self, spec: Spec, steps: tuple[Step, ...]) -> None:
        self._process = spec.process
        self._names: dict[int, Sequence[str]] = {
            messages.MOUNT: [step.destination for step in steps],
            messages.DEVICE: [device.path for device in (*DEVICES, *spec.linux.devices)],
            messages.SYSCTL: list(spec.linux.sysctl),
            messages.MASK: spec.linux.masked_paths,
            messages.READ_ONLY: spec.linux.readonly_paths,
        }

    def __call__(self, record: Record) -> MinidockError:
        names = self._names.get(record.stage)
        return describe(record, self._process, names[record.item] if names else "")


def describe(record: Record, process: Process, name: str = "") -> MinidockError:
    """Return the error that `record` stands for; `name` is the thing its item points to."""
    command = process.args[0]
    if record.stage == messages.LOOKUP:
        return commands.refusal(command, record.errno)
    if record.stage == messages.EXEC:
        return commands.exec_refusal(command, record.errno)
    if record.stage == messages.WORKING_DIRECTORY:
        return commands.directory_refusal(process.cwd, record.errno)
    if record.stage == messages.RLIMIT:
        name = process.rlimits[record.item].type
    if record.stage == messages.OOM_SCORE:
        name = str(process.oom_score_adj)
    if record.stage == messages.APPARMOR:
        name = process.apparmor_profile
    stage = messages.STAGES[record.stage]
    if not record.errno:
        return SystemFailure(f"{stage}: unexpected error in the container's init", errno.EPROTO)
    return SystemFailure(stage, record.errno, path=name)
