# SPDX-License-Identifier: Apache-2.0
"""Pipes and pseudo-terminals between a program and its parent.

A program never gets descriptors of the user's: with a terminal among them it could type into
it (TIOCSTI, CVE-2017-5226 and its like).
"""

import errno
import os
import select

from minidock.annotations import Protocol
from minidock.linux.window import WindowSize, set_window_size
from minidock.runtime.attach import Kill, Output, read_input, user_side
from minidock.runtime.child import Stdio
from minidock.runtime.streams import Streams
from minidock.values import NamedTuple

_BLOCK = 1 << 16
_SPLICE = 1 << 20


class Started(Protocol):
    """A program in a process of its own, as launch and enter return it."""

    @property
    def pid(self) -> int:
        """Process id as this process sees it."""

    @property
    def pidfd(self) -> int:
        """Readable when the process has exited, see pidfd_open(2)."""

    @property
    def console(self) -> int:
        """Master of its pseudo-terminal, -1 without one."""

    def start(self) -> None:
        """Let the program be executed; raise a MinidockError where that fails."""

    def kill(self) -> None:
        """Send SIGKILL; nothing happens when it has exited."""

    def wait(self) -> int:
        """Wait for the exit and return the status, 128 + the signal that killed it."""


class Ends(NamedTuple):
    """The parent's ends of a program's streams, non-blocking; -1 for one that is not there.

    With a terminal `stdin` and `stdout` are descriptors of its master.
    """

    stdin: int
    stdout: int
    stderr: int


def open_pipes(open_stdin: bool) -> tuple[Stdio, Ends]:
    """Return a program's descriptors and the other ends; stdin is /dev/null if not open."""
    stdin, stdin_end = (
        os.pipe2(os.O_CLOEXEC)
        if open_stdin
        else (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), -1)
    )
    stdout_end, stdout = os.pipe2(os.O_CLOEXEC)
    stderr_end, stderr = os.pipe2(os.O_CLOEXEC)
    ends = Ends(stdin_end, stdout_end, stderr_end)
    for fd in ends:
        if fd >= 0:
            os.set_blocking(fd, False)
    return Stdio(stdin, stdout, stderr), ends


def open_console(master: int, open_stdin: bool) -> Ends:
    """Return the ends for pseudo-terminal `master`; they are copies of it.

    Two copies, since what waits for input and what waits for room are told apart by descriptor.
    """
    os.set_blocking(master, False)
    return Ends(os.dup(master) if open_stdin else -1, os.dup(master), -1)


def relay(started: Started, ends: Ends, streams: Streams, kill: Kill) -> int:
    """Pass bytes between the user and a child of this process until that exits.

    For a program whose parent is the user's own process, and that ends with it: ``exec``
    without a terminal. `ends` are closed; there are no detach keys.

    Returns:
        The program's exit status.

    Raises:
        OutputLost, Insisted: the user's side ended first; the program finds its pipes closed.
    """
    session = _Session(started, ends, streams)
    try:
        with user_side(streams, kill, session.resize):
            return session.run()
    finally:
        session.close()


class _Session:
    def __init__(self, started: Started, ends: Ends, streams: Streams) -> None:
        self._started = started
        self._input = ends.stdin
        self._pending = b""
        self._stdin = streams.stdin if ends.stdin >= 0 else None
        self._flows = {ends.stdout: Flow(ends.stdout, Output(streams.stdout, "stdout"))}
        if ends.stderr >= 0:
            self._flows[ends.stderr] = Flow(ends.stderr, Output(streams.stderr, "stderr"))

    def resize(self, size: WindowSize) -> None:
        """Give the program's terminal the size of the user's."""
        if self._started.console >= 0:
            set_window_size(self._started.console, size)

    def close(self) -> None:
        """Close the parent's ends."""
        self._close_input()
        for fd in self._flows:
            os.close(fd)
        self._flows.clear()

    def run(self) -> int:
        """Relay until the program exits."""
        while True:
            ready = dict(self._wait())
            if self._started.pidfd in ready:
                for flow in self._flows.values():
                    flow.drain()
                return self._started.wait()
            for fd in ready:
                if fd == self._stdin:
                    self._read_stdin()
                elif fd == self._input:
                    self._write_input()
                elif not self._flows[fd].move():
                    os.close(fd)
                    del self._flows[fd]

    def _wait(self) -> list[tuple[int, int]]:
        poll = select.poll()
        poll.register(self._started.pidfd, select.POLLIN)
        for fd in self._flows:
            poll.register(fd, select.POLLIN)
        if self._pending:
            poll.register(self._input, select.POLLOUT)
        elif self._stdin is not None:
            poll.register(self._stdin, select.POLLIN)
        return poll.poll()

    def _read_stdin(self) -> None:
        assert self._stdin is not None
        self._pending = read_input(self._stdin)
        if self._pending:
            self._write_input()
        else:
            self._stdin = None
            if self._started.console < 0:  # a terminal has no end of input to pass on
                self._close_input()

    def _write_input(self) -> None:
        try:
            self._pending = self._pending[os.write(self._input, self._pending) :]
        except BlockingIOError:
            pass
        except OSError:  # the program reads no more
            self._pending = b""
            self._stdin = None
            self._close_input()

    def _close_input(self) -> None:
        if self._input >= 0:
            os.close(self._input)
            self._input = -1


class Flow:
    """Bytes from a program's end to the user's stream, by splice(2) where both allow it."""

    def __init__(self, source: int, output: Output) -> None:
        self._source = source
        self._output = output
        self._splices = True

    def move(self) -> bool:
        """Move what is there; tell whether more may come.

        Raises:
            BlockingIOError: nothing is there.
            OutputLost: the user's stream can't be written.
        """
        if self._splices:
            try:
                return os.splice(self._source, self._output.fd, _SPLICE) > 0
            except BlockingIOError:
                # Empty source, or a user's descriptor that someone made non-blocking.
                pass
            except OSError:
                # Neither end is a pipe, the file is open for appending, or the user's end is
                # closed: write(2) finds out which.
                self._splices = False
        try:
            data = os.read(self._source, _BLOCK)
        except OSError as e:
            if e.errno != errno.EIO:  # what a master says when no process has the terminal
                raise
            return False
        self._output.write(memoryview(data))
        return bool(data)

    def drain(self) -> None:
        """Move all that is there now, for a program that has exited."""
        try:
            while self.move():
                pass
        except BlockingIOError:
            pass
