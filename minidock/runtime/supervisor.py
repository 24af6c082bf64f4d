# SPDX-License-Identifier: Apache-2.0
"""The monitor's event loop while the container's program runs.

It is imported by the small interpreter that a monitor becomes, see slim.py: what it imports
costs memory for each container that runs.
"""

from __future__ import annotations

import os
import select
import time

from minidock.annotations import TYPE_CHECKING
from minidock.errors import DataCorrupted
from minidock.linux import sockets
from minidock.linux.signals import set_wakeup_fd
from minidock.linux.sockets import Socket
from minidock.linux.window import WindowSize, set_window_size
from minidock.runtime import channel
from minidock.runtime.channel import Connection
from minidock.runtime.log_writer import LogWriter
from minidock.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Tick = Callable[[], float | None]
    """Does what is due; called before each wait, returns the seconds to the next call."""

    OnChild = Callable[[int, int], object]
    """Is told the pid and the exit status of a child."""

_BLOCK = channel.MAX_PAYLOAD
_BACKLOG = 1 << 20  # bytes that wait for a client other than the caller before it is dropped
_HANGUP = select.EPOLLHUP | select.EPOLLERR


class Program(NamedTuple):
    """The container's first process, and the monitor's ends of its streams.

    Descriptors, -1 for one that is not there. With a terminal `stdin` and `stdout` are copies
    of `console`, its master.
    """

    pid: int
    pidfd: int
    console: int
    stdin: int
    stdout: int
    stderr: int


class Member(NamedTuple):
    """A client: its connection, and whether it is the caller, who started the container."""

    connection: Connection
    is_caller: bool


class _Client:
    """A connection and what waits to be sent on it."""

    def __init__(self, connection: Connection, is_caller: bool) -> None:
        self.connection = connection
        self.is_caller = is_caller
        self.detached = False
        self.queue: list[tuple[int, bytes]] = []
        self.queued = 0


class Supervisor:
    """The event loop: output to the log and the clients, input from the clients.

    Back-pressure: while the caller has not taken what it was sent, no output is read. Other
    clients have a queue of _BACKLOG bytes and are dropped when it is full. While the program
    does not take its input, no messages of clients are read.
    """

    def __init__(
        self,
        program: Program,
        listener: Socket,
        log: LogWriter | None,
        *,
        input_ends: bool,
        members: Iterable[Member] = (),
    ) -> None:
        self._program = program
        self._listener = listener
        self._log = log
        self._input = program.stdin
        self._input_ends = input_ends
        self._pending = b""
        self._input_ended = False
        self._paused = False
        self._clients: list[_Client] = []
        self._sources: dict[int, tuple[str, int]] = {}
        self._handlers: dict[int, Callable[[int], object]] = {}
        self._epoll = select.epoll()
        self._add_source(program.stdout, "stdout", channel.STDOUT)
        self._add_source(program.stderr, "stderr", channel.STDERR)
        self._register(listener.fileno(), self._accept)
        self._bell, self._rope = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        set_wakeup_fd(self._rope, warn_on_full_buffer=False)
        self._register(self._bell, self._reap)
        for member in members:
            self._add_client(_Client(*member))

    def run(self, tick: Tick, on_child: OnChild) -> int:
        """Serve until the program has exited and its output is read; return its status.

        `on_child` is told of each other child that has ended.
        """
        self._on_child = on_child
        self._reap_children()  # those that ended before there was a bell to ring
        exited = False
        self._register(self._program.pidfd, lambda _events: None)
        while not exited or self._sources:
            exited |= self._program.pidfd in self._dispatch(None if exited else tick())
            if exited:
                self._drain()
        self._unregister(self._program.pidfd)
        return exit_status(os.waitpid(self._program.pid, 0)[1])

    def is_quiet(self) -> bool:
        """Tell whether nothing is on its way between the program and its clients."""
        return not self._pending and not any(client.queue for client in self._clients)

    @property
    def program(self) -> Program:
        """The program with the streams that are still open."""
        stdout, stderr = (
            fd if fd in self._sources else -1
            for fd in (self._program.stdout, self._program.stderr)
        )
        return self._program._replace(stdin=self._input, stdout=stdout, stderr=stderr)

    @property
    def members(self) -> tuple[Member, ...]:
        """The clients at this moment."""
        return tuple(Member(c.connection, c.is_caller) for c in self._clients)

    def end_output(self) -> None:
        """Complete the log, and take no new clients."""
        if self._log is not None:
            self._log.close()
        self._unregister(self._listener.fileno())

    def say_farewell(self, status: int, patience: float | None = None) -> None:
        """Tell the clients the exit status; wait until each has it or has gone.

        At most `patience` seconds if that is given.
        """
        self._close_input()
        for client in tuple(self._clients):
            self._send(client, channel.EXITED, channel.STATUS.pack(status))
        deadline = None if patience is None else time.monotonic() + patience
        while any(client.queue for client in self._clients):
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            self._dispatch(left)

    def close(self) -> None:
        """Close the descriptors of this run: the clients', the program's and the loop's."""
        for client in tuple(self._clients):
            client.connection.close()
        self._clients.clear()
        set_wakeup_fd(-1)
        for fd in (*self.program[1:], self._bell, self._rope):  # all but the pid
            if fd >= 0:
                os.close(fd)
        self._epoll.close()

    def _dispatch(self, timeout: float | None = None) -> set[int]:
        """Wait for events and handle them; return the descriptors that had one."""
        ready = self._epoll.poll(timeout)
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
            accepted = sockets.accept(self._listener)
        except OSError:  # the client has gone already, or no descriptor is left
            return
        if sockets.peer_user(accepted) not in (0, os.geteuid()):
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
                client.queued -= len(client.queue.pop(0)[1])
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
        if self._program.console >= 0 and len(payload) == channel.SIZE.size:
            size = WindowSize(*channel.SIZE.unpack(payload))
            try:
                set_window_size(self._program.console, size)
            except OSError:
                pass

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
        if self._input_ends:
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
        os.read(self._bell, _BLOCK)
        self._reap_children()

    def _reap_children(self) -> None:
        """Take the exit status of children but the container's init."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            while (child := os.waitid(os.P_ALL, 0, options)) is not None:
                if child.si_pid == self._program.pid:
                    return
                _, status = os.waitpid(child.si_pid, 0)
                self._on_child(child.si_pid, exit_status(status))
        except ChildProcessError:
            pass


def exit_status(status: int) -> int:
    """Return the exit status that a status of waitpid(2) stands for, 128 + n after signal n."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
