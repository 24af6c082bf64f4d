# SPDX-License-Identifier: Apache-2.0
"""The parent of an entered process that may outlive its user's command line.

Someone has to reap it, or the container could not end (see enter.py), to hold its terminal, as
it would be hung up otherwise, and to read what it writes there, as it would stop. So a command
on a terminal, which its user may leave, and one that is detached get a small process of their
own; it ends with them. It talks with the command line as a monitor does, see channel.py.
"""

import contextlib
import errno
import gc
import os
import select
import signal
from collections import deque
from collections.abc import Callable

from minidock.errors import DataCorrupted, SystemFailure
from minidock.linux.processes import close_descriptors
from minidock.linux.window import WindowSize, set_window_size
from minidock.runtime import channel, detached
from minidock.runtime.channel import Connection
from minidock.runtime.console import Started
from minidock.runtime.failures import as_error, pack_error, unpack_error

_NAME = b"minidock-exec"
_BLOCK = channel.MAX_PAYLOAD
_LAST_BLOCKS = 16  # read at most after the end: others may go on writing to the terminal

Launch = Callable[[], Started]
"""Makes the process, which waits; called in the keeper, which becomes its parent."""


class KeeperDied(SystemFailure):
    """The keeper ended before it could say how the start went."""


def spawn(launch: Launch, size: WindowSize | None = None) -> Connection:
    """Start a process with a keeper of its own; return when its program is executed.

    Its terminal, if it has one, has `size` from the beginning. It ends with nobody: closing
    the connection, which is to be relayed or closed, leaves it running.

    Raises:
        MinidockError: what `launch` or the start raised, as its kind.
        KeeperDied: the keeper was killed meanwhile.
    """
    ours, theirs = channel.pair()

    def keep() -> None:
        _become_keeper(theirs)
        _run(launch, size, theirs)

    child = detached.fork(keep)
    theirs.close()
    try:
        os.waitpid(child, 0)
        _await_start(ours)
    except BaseException:
        ours.close()
        raise
    return ours


def _await_start(keeper: Connection) -> None:
    kind, payload = keeper.receive()
    if kind == channel.FAILED:
        raise unpack_error(bytes(payload))
    if kind != channel.STARTED:
        raise KeeperDied("start the command's keeper", errno.EOWNERDEAD)


def _become_keeper(client: Connection) -> None:
    detached.let_go()
    close_descriptors((0, 1, 2, client.fileno()))  # someone may wait for the end of its pipes
    with open("/proc/self/comm", "wb", buffering=0) as file:
        file.write(_NAME)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    gc.freeze()  # a collection would write to, and so copy, all memory shared with the caller


def _run(launch: Launch, size: WindowSize | None, client: Connection) -> None:
    try:
        started = launch()
        if started.console >= 0:
            os.set_blocking(started.console, False)
            if size is not None:
                set_window_size(started.console, size)
        started.start()
    except BaseException as e:  # noqa: BLE001  it is raised again in the caller
        with contextlib.suppress(ConnectionError):
            client.send(channel.FAILED, pack_error(as_error(e, "exec")))
        return
    session = _Session(started, client)
    session.send(channel.STARTED)
    session.run()


class _Session:
    """A process, its terminal if it has one, and its user as long as they stay.

    Back-pressure: while the user has not taken what they were sent, the terminal is not read;
    while the process does not take its input, the user is not.
    """

    def __init__(self, started: Started, client: Connection) -> None:
        self._started = started
        self._console = started.console
        self._client: Connection | None = client
        self._queue: deque[tuple[int, bytes]] = deque()
        self._pending = b""

    def run(self) -> None:
        """Serve until the process has exited and its user knows, or has gone."""
        while self._started.pidfd not in (ready := self._wait()):
            self._serve(ready)
        for _ in range(_LAST_BLOCKS):
            if self._console >= 0 and not self._read_console():
                break
        self.send(channel.EXITED, channel.STATUS.pack(self._started.wait()))
        while self._queue and self._client:
            self._flush_when_ready(self._client)

    def send(self, kind: int, payload: bytes = b"") -> None:
        """Send a message to the user, or have it wait; one that has gone gets none."""
        if self._client:
            self._queue.append((kind, payload))
            self._flush(self._client)

    def _wait(self) -> dict[int, int]:
        """Wait for events; return them by descriptor."""
        poll = select.poll()
        poll.register(self._started.pidfd, select.POLLIN)
        if self._client:
            events = 0 if self._pending else select.POLLIN
            poll.register(self._client, events | (select.POLLOUT if self._queue else 0))
        events = 0 if self._queue else select.POLLIN
        events |= select.POLLOUT if self._pending else 0
        if self._console >= 0 and events:
            poll.register(self._console, events)
        return dict(poll.poll())

    def _serve(self, ready: dict[int, int]) -> None:
        if events := ready.get(self._console, 0):
            if events & select.POLLOUT:
                self._write_input()
            if events & ~select.POLLOUT:
                self._read_console()
        if self._client and (events := ready.get(self._client.fileno(), 0)):
            if events & select.POLLOUT:
                self._flush(self._client)
            elif events & select.POLLIN:
                self._receive(self._client)
            else:
                self._leave()

    def _read_console(self) -> bool:
        """Take one block of output; tell whether there was one."""
        try:
            data = os.read(self._console, _BLOCK)
        except BlockingIOError:
            return False
        except OSError:  # EIO: no process has the terminal open any more
            self._console = -1
            return False
        self.send(channel.STDOUT, data)
        return bool(data)

    def _write_input(self) -> None:
        try:
            self._pending = self._pending[os.write(self._console, self._pending) :]
        except BlockingIOError:
            pass
        except OSError:
            self._pending = b""

    def _receive(self, client: Connection) -> None:
        try:
            kind, payload = client.receive(wait=False)
        except BlockingIOError:
            return
        except DataCorrupted:
            kind, payload = channel.END, memoryview(b"")
        if kind == channel.STDIN and self._console >= 0:
            self._pending = bytes(payload)
            self._write_input()
        elif kind == channel.RESIZE and len(payload) == channel.SIZE.size:
            with contextlib.suppress(OSError):
                set_window_size(self._console, WindowSize(*channel.SIZE.unpack(payload)))
        elif kind in (channel.DETACH, channel.END):
            self._leave()

    def _flush_when_ready(self, client: Connection) -> None:
        poll = select.poll()
        poll.register(client, select.POLLOUT)
        poll.poll()
        self._flush(client)

    def _flush(self, client: Connection) -> None:
        try:
            while self._queue and client.send(*self._queue[0]):
                self._queue.popleft()
        except ConnectionError:
            self._leave()

    def _leave(self) -> None:
        """Go on without the user."""
        if self._client:
            self._client.close()
        self._client = None
        self._queue.clear()
