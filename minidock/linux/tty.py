# SPDX-License-Identifier: Apache-2.0
"""Terminals: raw mode and window size, see termios(3) and ioctl_tty(2)."""

import contextlib
import fcntl
import struct
import termios
import tty
from collections.abc import Iterator

from minidock.values import NamedTuple


class WindowSize(NamedTuple):
    """Size of a terminal in characters; zeros where nobody has set it."""

    rows: int
    columns: int


_WINSIZE = struct.Struct("HHHH")  # rows, columns, and two unused sizes in pixels


def window_size(fd: int) -> WindowSize:
    """Return the size of terminal `fd`; raise OSError (ENOTTY) where it is none."""
    raw = fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(_WINSIZE.size))
    return WindowSize(*_WINSIZE.unpack(raw)[:2])


def set_window_size(fd: int, size: WindowSize) -> None:
    """Set the size of terminal `fd`; its foreground process group gets SIGWINCH."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, _WINSIZE.pack(*size, 0, 0))


@contextlib.contextmanager
def raw_mode(fd: int) -> Iterator[None]:
    """Pass the bytes of terminal `fd` on as they are typed until the block ends.

    What was typed ahead stays to be read. Raises termios.error where `fd` is no terminal.
    """
    saved = termios.tcgetattr(fd)
    try:
        tty.setraw(fd, termios.TCSANOW)
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(fd, termios.TCSANOW, saved)
