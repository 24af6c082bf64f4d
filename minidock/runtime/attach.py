# SPDX-License-Identifier: Apache-2.0
"""The client's side of a container: its streams are the user's, see channel.py."""

import contextlib
import os
import select
import signal
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType

from minidock.errors import Conflict, Disconnected, MinidockError, Unavailable
from minidock.linux.sockets import AF_UNIX, SOCK_SEQPACKET, Socket
from minidock.linux.tty import raw_mode
from minidock.linux.window import WindowSize, window_size
from minidock.runtime import channel
from minidock.runtime.channel import Connection
from minidock.runtime.monitor_plan import SOCKET
from minidock.runtime.streams import Streams

_BLOCK = channel.MAX_PAYLOAD

# Docker forwards all but CHLD, PIPE and URG. TTIN and TTOU would come again at once; WINCH is
# for programs without a terminal of their own.
_FORWARDED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGTERM,
    signal.SIGCONT,
    signal.SIGTSTP,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGWINCH,
    signal.SIGIO,
    signal.SIGPWR,
    *range(signal.SIGRTMIN, signal.SIGRTMAX + 1),
)
_DEADLY = (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)
_INSISTING = (signal.SIGINT, signal.SIGTERM)
_PATIENCE = 3  # signals of _INSISTING that show that the program does not mind them

Handler = Callable[[int, FrameType | None], None]

Resized = Callable[[WindowSize], None]

Kill = Callable[[int], None]
"""Sends a signal to the container; a MinidockError means that it is too late."""


class NotAttachable(Conflict):
    """No monitor listens: the container does not run."""


class MonitorLost(Unavailable):
    """The monitor went away without the program's exit status."""


class OutputLost(Disconnected):
    """A stream of the user's can't be written any more; the text is docker's.

    Attributes:
        closed: nobody reads it, as after ``| head``; else it is such as a full disk.
    """

    def __init__(self, stream: str, error: OSError) -> None:
        super().__init__(f"write /dev/{stream}: {(error.strerror or '').lower()}")
        self.closed = isinstance(error, BrokenPipeError)


class Insisted(Disconnected):
    """The user wants to leave a program that takes no notice; the text is docker's."""

    def __init__(self) -> None:
        super().__init__(f"\ngot {_PATIENCE} SIGTERM/SIGINTs, forcefully exiting")


class DetachKeys:
    """Finds a sequence of keys in what is typed; holds a beginning of it back."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return the bytes to pass on now, and whether the sequence followed them."""
        if not self._keys:
            return data, False
        text = self._held + data
        found = text.find(self._keys)
        if found >= 0:
            self._held = b""
            return text[:found], True
        longest = min(len(text), len(self._keys) - 1)
        held = next((n for n in range(longest, 0, -1) if self._keys.startswith(text[-n:])), 0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held], False


def connect(directory: str) -> Connection:
    """Return a connection to the monitor of the container whose state is in `directory`.

    Raises:
        NotAttachable: no monitor listens there.
    """
    client = Socket(AF_UNIX, SOCK_SEQPACKET)
    connection = Connection(client)
    try:
        with short_path(directory) as path:
            client.connect(path)
        if connection.receive().kind == channel.ATTACHED:
            return connection
    except OSError:
        pass
    connection.close()
    raise NotAttachable("the container is not running")


def knock(directory: str) -> None:
    """Make a monitor that waits look at the state in `directory`.

    Raises:
        OSError: no monitor listens there.
    """
    client = Socket(AF_UNIX, SOCK_SEQPACKET)
    try:
        with short_path(directory) as path:
            client.connect(path)
    finally:
        client.close()


@contextlib.contextmanager
def short_path(directory: str, name: str = SOCKET) -> Iterator[str]:
    """Give a socket in `directory` a path that fits: unix(7) allows 107 bytes."""
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{name}"
    finally:
        os.close(fd)


def relay(
    connection: Connection, streams: Streams, kill: Kill, *, repaint: bool = False
) -> int | None:
    """Pass bytes between the user and the program until that exits; close `connection`.

    Output is written with write(2) that may wait: a user who does not read stops the program,
    as in a pipe. With `repaint` a program on a terminal is made to show again what it shows.

    Returns:
        The program's exit status, None after the detach keys.

    Raises:
        MonitorLost: the connection broke before the exit status came.
        OutputLost, Insisted: the user's side ended first.
    """
    session = _Session(connection, streams)
    try:
        with user_side(streams, kill, session.resize, repaint=repaint):
            return session.run()
    finally:
        connection.close()


class _Session:
    def __init__(self, connection: Connection, streams: Streams) -> None:
        self._connection = connection
        self._streams = streams
        self._keys = DetachKeys(streams.detach_keys if streams.terminal else b"")
        self._stdin = streams.stdin
        self._outputs = {
            channel.STDOUT: Output(streams.stdout, "stdout"),
            channel.STDERR: Output(streams.stderr, "stderr"),
        }
        # Only a full channel makes it longer than empty; then stdin is not read.
        self._queue: deque[tuple[int, bytes]] = deque()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        if self._stdin is not None:
            self._poll.register(self._stdin, select.POLLIN)

    def resize(self, size: WindowSize) -> None:
        """Tell the monitor the size of the user's terminal.

        Runs in a signal handler, so at any point of `_flush`: it must not flush itself.
        """
        payload = channel.SIZE.pack(*size)
        if not self._connection.send(channel.RESIZE, payload):
            self._queue.append((channel.RESIZE, payload))

    def run(self) -> int | None:
        """Relay until the program exits or the user detaches."""
        while True:
            self._watch()
            for fd, events in self._poll.poll():
                if fd == self._connection.fileno():
                    if events & select.POLLOUT:
                        self._flush()
                    if events & ~select.POLLOUT and (status := self._receive()) is not None:
                        return status
                elif not self._read_stdin():
                    return None

    def _watch(self) -> None:
        full = bool(self._queue)
        self._poll.modify(self._connection, select.POLLIN | (select.POLLOUT if full else 0))
        if self._stdin is not None:
            if full:
                self._unregister_stdin()
            else:
                self._poll.register(self._stdin, select.POLLIN)

    def _unregister_stdin(self) -> None:
        with contextlib.suppress(KeyError):
            assert self._stdin is not None
            self._poll.unregister(self._stdin)

    def _receive(self) -> int | None:
        """Take what is there; return the exit status if that is it."""
        try:
            kind, payload = self._connection.receive(wait=False)
        except BlockingIOError:
            return None
        if output := self._outputs.get(kind):
            output.write(payload)
        elif kind == channel.EXITED:
            return int(channel.STATUS.unpack(payload)[0])
        elif kind == channel.END:
            raise MonitorLost("the container's monitor went away")
        return None

    def _read_stdin(self) -> bool:
        """Pass on what the user typed; tell whether they stay."""
        assert self._stdin is not None
        data = read_input(self._stdin)
        if not data:
            self._unregister_stdin()
            self._stdin = None
            self._send(channel.STDIN_CLOSE)
            return True
        passed, detached = self._keys.feed(data)
        if passed:
            self._send(channel.STDIN, passed)
        if detached:
            self._send(channel.DETACH)
        return not detached

    def _send(self, kind: int, payload: bytes = b"") -> None:
        self._queue.append((kind, payload))
        self._flush()

    def _flush(self) -> None:
        try:
            while self._queue and self._connection.send(*self._queue[0]):
                self._queue.popleft()
        except ConnectionError:  # what it sent before it went is still to be read
            self._queue.clear()


class Output:
    """A stream of the user's, `name` in messages."""

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self._name = name

    def write(self, data: memoryview) -> None:
        """Write all of `data`, waiting where the descriptor can take no more.

        Raises:
            OutputLost: nobody reads it any more, or its disk is full.
        """
        while data:
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:  # someone else made the user's descriptor non-blocking
                _wait(self.fd, select.POLLOUT)
            except OSError as e:
                raise OutputLost(self._name, e) from e


def _wait(fd: int, event: int) -> None:
    poll = select.poll()
    poll.register(fd, event)
    poll.poll()


def read_input(fd: int) -> bytes:
    """Return what the user typed, empty at the end of it; a stream that fails has ended.

    Called when poll(2) says that it would not wait.
    """
    while True:
        try:
            return os.read(fd, _BLOCK)
        except BlockingIOError:
            _wait(fd, select.POLLIN)
        except OSError:
            return b""


@contextlib.contextmanager
def signals_held(streams: Streams) -> Iterator[None]:
    """Keep signals that are to be forwarded pending until there is a program to get them.

    For the time in which it is started; `relay` lets them come. SIGQUIT is not among them, for
    a user who has had enough of waiting.
    """
    held = set(_FORWARDED) - {signal.SIGQUIT} if streams.forward_signals else set()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextlib.contextmanager
def user_side(
    streams: Streams, kill: Kill, resized: Resized, *, repaint: bool = False
) -> Iterator[None]:
    """Hold the user's terminal in raw mode and forward signals until the block ends.

    `resized` gets the size of `streams.screen` now and whenever it changes; with `repaint` a
    wrong one before, for a program that draws anew only when the size changes.

    A signal that ends this process unwinds the block first, so that the terminal is restored.
    """
    handlers: dict[int, Handler] = {}
    if streams.forward_signals:
        handlers |= dict.fromkeys(_FORWARDED, _forwarder(kill))
    elif streams.terminal:
        handlers |= dict.fromkeys(_DEADLY, _leave)
    with contextlib.ExitStack() as stack:
        if streams.terminal and streams.stdin is not None:
            stack.enter_context(raw_mode(streams.stdin))
        if streams.screen is not None:
            tell_size = _size_teller(streams.screen, resized)
            handlers[signal.SIGWINCH] = tell_size
            if repaint:
                _tell_wrong_size(streams.screen, resized)
            tell_size(signal.SIGWINCH, None)
        stack.enter_context(_handled(handlers))
        yield


def _forwarder(kill: Kill) -> Handler:
    asked = 0

    def forward(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked += number in _INSISTING
        if asked >= _PATIENCE:
            raise Insisted
        with contextlib.suppress(MinidockError):
            kill(number)

    return forward


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _tell_wrong_size(terminal: int, resized: Resized) -> None:
    with contextlib.suppress(OSError):
        rows, columns = window_size(terminal)
        resized(WindowSize(rows + 1, columns + 1))


def _size_teller(terminal: int, resized: Resized) -> Handler:
    def tell_size(_number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):  # the terminal or the program may be gone
            resized(window_size(terminal))

    return tell_size


@contextlib.contextmanager
def _handled(handlers: dict[int, Handler]) -> Iterator[None]:
    """Handle signals until the block ends; one that is ignored (nohup) stays ignored."""
    previous = {}
    try:
        for number, handler in handlers.items():
            old = signal.getsignal(number)
            if old is not signal.SIG_IGN:
                previous[number] = old
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, previous)
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, signal.SIG_DFL if old is None else old)
