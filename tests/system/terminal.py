# SPDX-License-Identifier: Apache-2.0
"""A person at a terminal: a pseudo-terminal that a program runs on."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence

PATIENCE = 20


class Terminal:
    """A terminal with a program on it; a context manager that kills what still runs."""

    def __init__(
        self, words: Sequence[str], environment: Mapping[str, str], rows: int, columns: int
    ) -> None:
        self._master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self._slave = slave  # held, so that the settings outlive the program
        self._seen = ""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *words],
            env={**environment, "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.close()

    def close(self) -> None:
        """Close the window: the program is hung up."""
        os.close(self._master)
        os.close(self._slave)

    def resize(self, rows: int, columns: int) -> None:
        """Change the size, which tells the foreground process by SIGWINCH."""
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def type(self, text: str) -> None:
        """Press the keys of `text`."""
        os.write(self._master, text.encode())

    def expect(self, text: str) -> str:
        """Wait until `text` is shown; return what was shown since the last call, up to it."""
        deadline = time.monotonic() + PATIENCE
        while text not in self._seen:
            left = deadline - time.monotonic()
            readable, _, _ = select.select([self._master], [], [], max(left, 0))
            assert readable, f"expected {text!r}, saw {self._seen!r}"
            self._seen += os.read(self._master, 65536).decode(errors="replace")
        shown, _, self._seen = self._seen.partition(text)
        return shown

    def ends(self) -> int:
        """Return the exit status, after checking that the terminal is as it was before."""
        status = self.process.wait(PATIENCE)
        assert termios.tcgetattr(self._slave) == self.before
        return status
