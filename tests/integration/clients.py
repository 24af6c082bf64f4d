# SPDX-License-Identifier: Apache-2.0
"""Users of a monitor: with pipes, and at a terminal."""

import contextlib
import os
import pty
import select
import signal
import termios
import threading
import time
from collections.abc import Callable

from minidock import errors
from minidock.linux.window import WindowSize, set_window_size
from minidock.runtime.attach import MonitorLost
from minidock.runtime.streams import Streams

KEYS = b"\x10\x11"
LEFT = 99
"""Exit status of a client that left by the detach keys."""


def eventually(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds; fail after a time that no machine needs."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came true")


def no_kill(_number: int) -> None:
    raise errors.Conflict("too late")


class Capture:
    """A user who reads stdout and stderr in the background; `stdin` is given as bytes."""

    def __init__(self, stdin: bytes | None = None) -> None:
        self._data: dict[int, bytes] = {}
        self._files: list[int] = []
        self._threads = []
        self.stdout, self.stderr = (self._reader(number) for number in (1, 2))
        self.stdin = None if stdin is None else self._writer(stdin)

    def __enter__(self) -> "Capture":
        return self

    def __exit__(self, *_error: object) -> None:
        for fd in self._files:
            os.close(fd)
        for thread in self._threads:
            thread.join()

    def streams(self) -> Streams:
        return Streams(self.stdin, self.stdout, self.stderr)

    def read(self) -> tuple[bytes, bytes]:
        """End the streams and return what came."""
        self.__exit__()
        self._files, self._threads = [], []
        return self._data[1], self._data[2]

    def _reader(self, number: int) -> int:
        source, sink = os.pipe()
        self._files.append(sink)

        def work() -> None:
            with open(source, "rb") as file:
                self._data[number] = file.read()

        self._start(work)
        return sink

    def _writer(self, data: bytes) -> int:
        source, sink = os.pipe()
        self._files.append(source)

        def work() -> None:
            with contextlib.suppress(BrokenPipeError), open(sink, "wb") as file:
                file.write(data)

        self._start(work)
        return source

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work)
        thread.start()
        self._threads.append(thread)


class Terminal:
    """A user at a terminal: `client` runs in a process whose three streams are the terminal."""

    def __init__(self, client: Callable[[Streams], int | None]) -> None:
        self._master, self._slave = pty.openpty()
        set_window_size(self._master, WindowSize(33, 101))
        self.mode = termios.tcgetattr(self._slave)
        self._pid = os.fork()
        if self._pid == 0:
            code = 98
            try:
                fd = self._slave
                status = client(Streams(fd, fd, fd, terminal=True, screen=fd, detach_keys=KEYS))
                code = LEFT if status is None else status
            except MonitorLost:
                code = 97
            except SystemExit as e:
                code = int(str(e.code))
            finally:
                os._exit(code)
        self.screen = b""

    def type(self, data: bytes) -> None:
        os.write(self._master, data)

    def expect(self, text: bytes) -> None:
        while text not in self.screen:
            assert select.select([self._master], [], [], 30)[0], self.screen
            self.screen += os.read(self._master, 4096)

    def resize(self, rows: int, columns: int) -> None:
        set_window_size(self._master, WindowSize(rows, columns))
        self.kill(signal.SIGWINCH)  # it is not the session's terminal, so nobody else does

    def kill(self, number: int) -> None:
        os.kill(self._pid, number)

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self._slave)[3] & termios.ICANON

    def leave(self) -> int:
        """Wait for the client; return its exit status. The terminal must be as before."""
        status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        mode = termios.tcgetattr(self._slave)
        os.close(self._slave)
        os.close(self._master)
        assert mode == self.mode
        return status
