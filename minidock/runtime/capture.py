# SPDX-License-Identifier: Apache-2.0
"""A program whose output is wanted, and whose time is limited."""

import contextlib
import os
import select
import time

from minidock.runtime.child import Stdio
from minidock.runtime.console import Started
from minidock.values import NamedTuple

_BLOCK = 1 << 16
_MILLISECONDS = 1000


class Captured(NamedTuple):
    """The exit status, None for a program that took too long, and what it wrote.

    `output` is the beginning of it, `complete` tells whether it is all.
    """

    status: int | None
    output: bytes
    complete: bool


def open_output() -> tuple[Stdio, int]:
    """Return a program's descriptors, and the end at which both its outputs are read.

    One pipe for both keeps them in order. The input is empty.
    """
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    end, output = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(end, False)
    return Stdio(null, output, output), end


def capture(started: Started, end: int, *, timeout: float, limit: int) -> Captured:
    """Wait for a program that was started on `open_output`; kill it after `timeout` seconds.

    `limit` is in bytes of output. `end` is closed. What the program leaves running is not
    waited for.
    """
    deadline = time.monotonic() + timeout
    reader = _Reader(end, limit)
    poll = select.poll()
    poll.register(started.pidfd, select.POLLIN)
    poll.register(end, select.POLLIN)
    in_time, ready = True, set[int]()
    while started.pidfd not in ready:
        left = deadline - time.monotonic()
        if in_time and left <= 0:
            in_time = False
            started.kill()
        ready = {fd for fd, _ in poll.poll(left * _MILLISECONDS if in_time else None)}
        if end in ready and not reader.read():
            poll.unregister(end)
    status = started.wait()
    reader.drain()
    os.close(end)
    return Captured(status if in_time else None, bytes(reader.kept), reader.complete)


class _Reader:
    """Keeps the beginning of what it reads."""

    def __init__(self, fd: int, limit: int) -> None:
        self.kept = bytearray()
        self.complete = True
        self._fd = fd
        self._limit = limit

    def read(self) -> bool:
        """Read a block; tell whether more may come.

        Raises:
            BlockingIOError: nothing is there.
        """
        block = os.read(self._fd, _BLOCK)
        room = self._limit - len(self.kept)
        self.kept += block[:room]
        self.complete &= len(block) <= room
        return bool(block)

    def drain(self) -> None:
        """Read what is there now, as far as it is wanted."""
        with contextlib.suppress(BlockingIOError):
            while self.complete and self.read():
                pass
