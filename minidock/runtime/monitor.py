# SPDX-License-Identifier: Apache-2.0
"""The monitor: one process per container that is its parent, its log and its door.

It is forked from the process that starts the container and outlives it. It reads the program's
output, writes the log, serves the clients (see channel.py) and, when the program has exited,
records that through `Hooks`. While it lives it holds a lock on the file `LOCK` in the state
directory of the container; one without that lock held does not run, whatever its record says.
It is an open file description lock, see fcntl(2): others can ask for it without taking it, as
they could not with flock(2).

The order at the start: `create`, `attach`, the gate opens (the program is executed), `started`,
then the caller learns of it. At the end: the output is drained, the socket goes, `exited`, the
lock is let go, then the clients learn the status.
"""

import contextlib
import errno
import fcntl
import gc
import json
import os
import select
import signal
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Never, Protocol

from minidock.errors import Cancelled, Conflict, DataCorrupted, MinidockError, SystemFailure
from minidock.fs.atomic import read_file, write_file
from minidock.linux.libc import syscall
from minidock.linux.tty import WindowSize, set_window_size
from minidock.runtime import channel
from minidock.runtime.attach import SOCKET, short_path
from minidock.runtime.channel import Connection
from minidock.runtime.child import Stdio
from minidock.runtime.console import Ends, Started, open_console, open_pipes
from minidock.runtime.logs import LogFile, LogWriter
from minidock.values import NamedTuple

LOCK = "monitor.lock"
"""Name of the file in the state directory that is locked while the monitor lives."""

_ERRORS = "monitor.error"  # in the state directory: what went wrong with nobody to tell
_NAME = b"minidock-mon"
_PR_SET_CHILD_SUBREAPER = 36
_BLOCK = channel.MAX_PAYLOAD
_BACKLOG = 1 << 20  # bytes that wait for a client other than the caller before it is dropped
# struct flock of fcntl(2): type, whence, start, length (0 is to the end), pid.
_FLOCK = struct.Struct("@hhqqi4x")
_WHOLE_FILE = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
_UCRED = struct.Struct("iII")  # pid, uid, gid
_HANGUP = select.EPOLLHUP | select.EPOLLERR
_SHIELDED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD)


class AlreadyRunning(Conflict):
    """Another monitor supervises the container."""


class MonitorDied(SystemFailure):
    """The monitor ended before it could say how the start went."""


class MonitorPlan(NamedTuple):
    """What the monitor does for one container.

    `directory` is the container's state directory, which exists. With `stdin_once` the
    program's input ends with that of the first client, or with the caller. `size` is the
    terminal's at the start. `log` None keeps no log. `oom_file` is the cgroup's
    ``memory.events`` (v2) or ``memory.oom_control`` (v1), empty for none.
    """

    container: str
    directory: str
    terminal: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    size: WindowSize | None = None
    log: LogFile | None = None
    oom_file: str = ""


class Outcome(NamedTuple):
    """How a start went: descriptors to keep open while the program runs, and warnings."""

    keep: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()


class Spawned(NamedTuple):
    """A started container: the caller's connection if it wanted one, and warnings."""

    connection: Connection | None
    warnings: tuple[str, ...]


class Hooks(Protocol):
    """What the engine does inside the monitor; it has a copy of the caller's memory.

    Descriptors of the caller's can be used until `started` returns, then the monitor closes
    all that are not its own.
    """

    def create(self, stdio: Stdio | None) -> Started:
        """Make the container's init, which waits; with a terminal it gets no `stdio`."""

    def attach(self, started: Started) -> None:
        """Prepare what needs the init's namespaces: the network."""

    def started(self, started: Started) -> "Outcome":
        """Record that the program runs."""

    def failed(self, error: MinidockError) -> None:
        """Undo and record a start that raised `error`."""

    def exited(self, status: int, oom: bool) -> None:
        """Record the exit and free what the container had."""


def spawn(plan: MonitorPlan, hooks: Hooks, *, attach: bool) -> Spawned:
    """Start a container with a monitor of its own; return when its program is executed.

    A caller that goes away before that (KeyboardInterrupt or another exception, SIGKILL)
    cancels the start; afterwards the container is independent of it.

    Returns:
        With `attach` the caller's connection, which gets all output from the first byte on, and
        is waited for when it does not read.

    Raises:
        MinidockError: what the hooks or the start raised in the monitor, as its kind.
        MonitorDied: the monitor was killed meanwhile.
    """
    _open_standard_descriptors()
    ours, theirs = channel.pair()
    with _signals_blocked():
        child = os.fork()
        if child == 0:
            ours.close()
            _detach_and_run(plan, hooks, theirs, attach)
    theirs.close()
    try:
        os.waitpid(child, 0)
        warnings = _await_start(ours)
    except BaseException:
        ours.close()
        raise
    if attach:
        return Spawned(ours, warnings)
    ours.close()
    return Spawned(None, warnings)


def _open_standard_descriptors() -> None:
    """Put /dev/null where 0, 1 or 2 is closed: what is opened next must not land there."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)


def _await_start(monitor: Connection) -> tuple[str, ...]:
    kind, payload = monitor.receive()
    if kind == channel.FAILED:
        raise channel.unpack_error(bytes(payload))
    if kind != channel.STARTED:
        hint = "it was killed; the kernel's log may tell of a shortage of memory"
        raise MonitorDied("start the container's monitor", errno.EOWNERDEAD, hint=hint)
    return tuple(json.loads(bytes(payload)))


def is_alive(directory: str) -> bool:
    """Tell whether a monitor supervises the container whose state is in `directory`."""
    try:
        fd = os.open(os.path.join(directory, LOCK), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _WHOLE_FILE)
    finally:
        os.close(fd)
    return int(_FLOCK.unpack(answer)[0]) != fcntl.F_UNLCK


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Keep signals pending, so that none hits a child that is not yet a monitor."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _detach_and_run(plan: MonitorPlan, hooks: Hooks, caller: Connection, attach: bool) -> Never:
    """Become a process of init's in a session of its own, and the monitor."""
    try:
        os.setsid()
        if os.fork() == 0:
            with _noting_errors(plan):
                _become_monitor()
                _run(plan, hooks, caller, attach)
    finally:
        os._exit(0)  # the frames and buffers above belong to the caller


def _become_monitor() -> None:
    for number in _SHIELDED:  # handlers, not SIG_IGN: that one would be inherited by execve(2)
        signal.signal(number, _ignore)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)
    os.chdir("/")
    syscall("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with open("/proc/self/comm", "wb", buffering=0) as file:
        file.write(_NAME)
    gc.freeze()  # a collection would write to, and so copy, all memory shared with the caller


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass


class _Ready(NamedTuple):
    """What a started container's monitor works with."""

    started: Started
    ends: Ends
    listener: socket.socket
    log: LogWriter | None
    outcome: Outcome


def _run(plan: MonitorPlan, hooks: Hooks, caller: Connection, attach: bool) -> None:
    try:
        lock = _take_lock(plan)
        try:
            ready = _start(plan, hooks, caller)
        except BaseException as e:
            with _noting_errors(plan):
                hooks.failed(_as_error(e))
            os.close(lock)
            raise
    except BaseException as e:  # noqa: BLE001  it is raised again in the caller
        caller.send(channel.FAILED, channel.pack_error(_as_error(e)))
        return
    with contextlib.suppress(ConnectionError):
        caller.send(channel.STARTED, json.dumps(ready.outcome.warnings).encode())
    if not attach:
        caller.close()
    _close_others(ready, (lock, caller.fileno()))
    supervisor = _Supervisor(plan, ready, caller if attach else None)
    status = supervisor.run()
    supervisor.end_output()
    oom = _oom_killed(plan.oom_file)
    with _noting_errors(plan):
        hooks.exited(status, oom)
    os.close(lock)
    supervisor.say_farewell(status)


def _take_lock(plan: MonitorPlan) -> int:
    """Return a descriptor that holds the container's lock."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    fd = os.open(os.path.join(plan.directory, LOCK), flags, 0o600)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _WHOLE_FILE)
    except BlockingIOError as e:
        raise AlreadyRunning(f"container {plan.container} is already running") from e
    return fd


def _start(plan: MonitorPlan, hooks: Hooks, caller: Connection) -> _Ready:
    log = LogWriter(plan.log) if plan.log is not None else None
    listener = _listen(plan.directory)
    try:
        stdio, ends = (None, None) if plan.terminal else open_pipes(plan.open_stdin)
        started = hooks.create(stdio)
        try:
            if stdio is not None:
                stdio.close()
            if ends is None:
                ends = open_console(started.console, plan.open_stdin)
                if plan.size is not None:
                    set_window_size(started.console, plan.size)
            hooks.attach(started)
            _check_caller(caller)
            started.start()
            outcome = hooks.started(started)
        except BaseException:
            started.kill()
            started.wait()
            raise
    except BaseException:
        _unlink_socket(plan.directory)
        raise
    return _Ready(started, ends, listener, log, outcome)


def _listen(directory: str) -> socket.socket:
    """Return a listening socket in the state directory, for its owner only."""
    _unlink_socket(directory)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mask = os.umask(0o177)
    try:
        with short_path(directory) as path:
            listener.bind(path)
    finally:
        os.umask(mask)
    listener.listen()
    listener.setblocking(False)
    return listener


def _unlink_socket(directory: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(directory, SOCKET))


def _check_caller(caller: Connection) -> None:
    """Raise Cancelled if the caller has gone away."""
    try:
        kind = caller.receive(wait=False).kind
    except BlockingIOError:
        return
    if kind == channel.END:
        raise Cancelled("the start was interrupted")


def _close_others(ready: _Ready, keep: tuple[int, ...]) -> None:
    """Close what the caller had open: someone may wait for the end of its pipes."""
    own = {0, 1, 2, ready.started.pidfd, ready.started.console, ready.listener.fileno()}
    own |= {*ready.ends, *ready.outcome.keep, *keep}
    if ready.log is not None:
        own.add(ready.log.fileno())
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in own:
            with contextlib.suppress(OSError):  # the one that listed
                os.close(int(name))


def _as_error(error: BaseException) -> MinidockError:
    if isinstance(error, MinidockError):
        return error
    if isinstance(error, OSError):
        return SystemFailure.of("start the container", error)
    return MinidockError(f"internal error in the monitor: {type(error).__name__}: {error}")


@contextlib.contextmanager
def _noting_errors(plan: MonitorPlan) -> Iterator[None]:
    """Write an error of the block to a file, for there is nobody to tell."""
    try:
        yield
    except Exception as e:  # noqa: BLE001  the monitor has to go on
        with contextlib.suppress(OSError):
            path = os.path.join(plan.directory, _ERRORS)
            write_file(path, f"{type(e).__name__}: {e}\n".encode(), durable=False)


def _oom_killed(path: str) -> bool:
    """Tell whether the cgroup file at `path` counts a process killed for want of memory."""
    try:
        fields = read_file(path).split() if path else []
    except OSError:  # the cgroup is gone
        return False
    return b"oom_kill" in fields and fields[fields.index(b"oom_kill") + 1] != b"0"


class _Client:
    """A connection and what waits to be sent on it."""

    def __init__(self, connection: Connection, *, is_caller: bool) -> None:
        self.connection = connection
        self.is_caller = is_caller
        self.detached = False
        self.queue: deque[tuple[int, bytes]] = deque()
        self.queued = 0


class _Supervisor:
    """The event loop: output to the log and the clients, input from the clients.

    Back-pressure: while the caller has not taken what it was sent, no output is read. Other
    clients have a queue of _BACKLOG bytes and are dropped when it is full. While the program
    does not take its input, no messages of clients are read.
    """

    def __init__(self, plan: MonitorPlan, ready: _Ready, caller: Connection | None) -> None:
        self._plan = plan
        self._started = ready.started
        self._listener = ready.listener
        self._log = ready.log
        self._input = ready.ends.stdin
        self._pending = b""
        self._input_ended = False
        self._paused = False
        self._clients: list[_Client] = []
        self._sources: dict[int, tuple[str, int]] = {}
        self._handlers: dict[int, Callable[[int], object]] = {}
        self._epoll = select.epoll()
        self._add_source(ready.ends.stdout, "stdout", channel.STDOUT)
        self._add_source(ready.ends.stderr, "stderr", channel.STDERR)
        self._register(ready.listener.fileno(), self._accept)
        self._bell, rope = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(rope, warn_on_full_buffer=False)
        self._register(self._bell, self._reap)
        if caller is not None:
            self._add_client(_Client(caller, is_caller=True))

    def run(self) -> int:
        """Serve until the program has exited and its output is read; return its status."""
        exited = False
        self._register(self._started.pidfd, lambda _events: None)
        while not exited or self._sources:
            exited |= self._started.pidfd in self._dispatch()
            if exited:
                self._drain()
        self._unregister(self._started.pidfd)
        return self._started.wait()

    def end_output(self) -> None:
        """Complete the log, and take no new clients."""
        if self._log is not None:
            self._log.close()
        self._unregister(self._listener.fileno())
        self._listener.close()
        _unlink_socket(self._plan.directory)

    def say_farewell(self, status: int) -> None:
        """Tell the clients the exit status; wait until each has it or has gone."""
        self._close_input()
        for client in tuple(self._clients):
            self._send(client, channel.EXITED, channel.STATUS.pack(status))
        while any(client.queue for client in self._clients):
            self._dispatch()

    def _dispatch(self) -> set[int]:
        """Wait for events and handle them; return the descriptors that had one."""
        ready = self._epoll.poll()
        for fd, events in ready:
            if handler := self._handlers.get(fd):  # an earlier event may have closed it
                handler(events)
        return {fd for fd, _ in ready}

    def _register(
        self, fd: int, handler: Callable[[int], object], events: int = select.EPOLLIN
    ) -> None:
        self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def _unregister(self, fd: int) -> None:
        if self._handlers.pop(fd, None):
            self._epoll.unregister(fd)

    # Output

    def _add_source(self, fd: int, stream: str, kind: int) -> None:
        if fd >= 0:
            self._sources[fd] = stream, kind
            self._register(fd, lambda _events: self._pump(fd))

    def _close_source(self, fd: int) -> None:
        del self._sources[fd]
        self._unregister(fd)
        os.close(fd)

    def _pump(self, fd: int) -> bool:
        """Take one block of output; tell whether there was one."""
        stream, kind = self._sources[fd]
        try:
            data = os.read(fd, _BLOCK)
        except BlockingIOError:
            return False
        except OSError:  # EIO: no process has the terminal open any more
            data = b""
        if not data:
            self._close_source(fd)
            return False
        if self._log is not None:
            self._log.write(stream, data)
        for client in tuple(self._clients):
            self._send(client, kind, data)
        return True

    def _drain(self) -> None:
        """Read what the dead program left; do not wait for others that have the pipes."""
        for fd in tuple(self._sources):
            while not self._paused and self._pump(fd):
                pass
            if not self._paused and fd in self._sources:
                self._close_source(fd)

    def _pause(self, paused: bool) -> None:
        """Stop reading output, or go on."""
        if paused == self._paused:
            return
        self._paused = paused
        for fd, (stream, kind) in tuple(self._sources.items()):
            if paused:
                self._unregister(fd)
            else:
                self._add_source(fd, stream, kind)

    # Clients

    def _accept(self, _events: int) -> None:
        try:
            accepted, _ = self._listener.accept()
        except OSError:  # the client has gone already, or no descriptor is left
            return
        size = _UCRED.size
        peer = _UCRED.unpack(accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        if peer[1] not in (0, os.geteuid()):
            accepted.close()
            return
        client = _Client(Connection(accepted), is_caller=False)
        self._add_client(client)
        self._send(client, channel.ATTACHED)

    def _add_client(self, client: _Client) -> None:
        self._clients.append(client)
        self._register(client.connection.fileno(), lambda events: self._serve(client, events))
        self._watch(client)

    def _drop(self, client: _Client) -> None:
        self._clients.remove(client)
        self._unregister(client.connection.fileno())
        client.connection.close()
        client.queue.clear()
        if client.is_caller:
            self._pause(False)
            if not client.detached:
                self._end_input()

    def _watch(self, client: _Client) -> None:
        events = 0 if self._pending else select.EPOLLIN
        events |= select.EPOLLOUT if client.queue else 0
        self._epoll.modify(client.connection.fileno(), events)

    def _serve(self, client: _Client, events: int) -> None:
        if events & select.EPOLLOUT:
            self._flush(client)
        if client not in self._clients:
            return
        if events & select.EPOLLIN:
            self._receive(client)
        elif events & _HANGUP:
            self._drop(client)

    def _send(self, client: _Client, kind: int, payload: bytes = b"") -> None:
        try:
            if not client.queue and client.connection.send(kind, payload):
                return
        except ConnectionError:
            self._drop(client)
            return
        client.queue.append((kind, payload))
        client.queued += len(payload)
        if client.is_caller:
            self._pause(True)
        elif client.queued > _BACKLOG:
            self._drop(client)
            return
        self._watch(client)

    def _flush(self, client: _Client) -> None:
        try:
            while client.queue and client.connection.send(*client.queue[0]):
                client.queued -= len(client.queue.popleft()[1])
        except ConnectionError:
            self._drop(client)
            return
        if not client.queue:
            self._watch(client)
            if client.is_caller:
                self._pause(False)

    def _receive(self, client: _Client) -> None:
        try:
            kind, payload = client.connection.receive(wait=False)
        except BlockingIOError:
            return
        except DataCorrupted:
            kind, payload = channel.END, memoryview(b"")
        if kind == channel.STDIN:
            self._feed(bytes(payload))
        elif kind == channel.STDIN_CLOSE:
            self._end_input()
        elif kind == channel.RESIZE:
            self._resize(payload)
        else:
            client.detached = kind == channel.DETACH
            self._drop(client)

    def _resize(self, payload: memoryview) -> None:
        if self._started.console >= 0 and len(payload) == channel.SIZE.size:
            size = WindowSize(*channel.SIZE.unpack(payload))
            with contextlib.suppress(OSError):
                set_window_size(self._started.console, size)

    # Input

    def _feed(self, data: bytes) -> None:
        if self._input >= 0 and not self._input_ended:
            self._pending += data
            self._write_input(0)

    def _write_input(self, _events: int) -> None:
        waited = self._input in self._handlers
        try:
            self._pending = self._pending[os.write(self._input, self._pending) :]
        except BlockingIOError:
            pass
        except OSError:  # the program reads no more
            self._pending = b""
            self._input_ended = True
        if self._pending and not waited:
            self._register(self._input, self._write_input, select.EPOLLOUT)
        elif waited and not self._pending:
            self._unregister(self._input)
        if waited != bool(self._pending):
            for client in self._clients:
                self._watch(client)
        if self._input_ended and not self._pending:
            self._close_input()

    def _end_input(self) -> None:
        """End the program's input after what is pending, if it is to end with a client's."""
        if self._plan.stdin_once and not self._plan.terminal:
            self._input_ended = True
            if not self._pending:
                self._close_input()

    def _close_input(self) -> None:
        if self._input >= 0:
            self._pending = b""
            self._unregister(self._input)
            os.close(self._input)
            self._input = -1

    # Orphans

    def _reap(self, _events: int) -> None:
        """Take the exit status of children but the container's init."""
        os.read(self._bell, _BLOCK)
        with contextlib.suppress(ChildProcessError):
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            while (child := os.waitid(os.P_ALL, 0, options)) is not None:
                if child.si_pid == self._started.pid:
                    return
                os.waitpid(child.si_pid, 0)
