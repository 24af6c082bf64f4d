# SPDX-License-Identifier: Apache-2.0
"""The size of a terminal's window, see ioctl_tty(2)."""

from fcntl import ioctl
from struct import Struct
from termios import TIOCGWINSZ, TIOCSWINSZ

from minidock.values import NamedTuple


class WindowSize(NamedTuple):
    """Size of a terminal in characters; zeros where nobody has set it."""

    rows: int
    columns: int


_WINSIZE = Struct("HHHH")  # rows, columns, and two unused sizes in pixels


def window_size(fd: int) -> WindowSize:
    """Return the size of terminal `fd`; raise OSError (ENOTTY) where it is none."""
    raw = ioctl(fd, TIOCGWINSZ, bytes(_WINSIZE.size))
    return WindowSize(*_WINSIZE.unpack(raw)[:2])


def screen_size(fd: int | None) -> WindowSize | None:
    """Return the size of the terminal `fd` if there is one, else None."""
    if fd is None:
        return None
    try:
        return window_size(fd)
    except OSError:
        return None


def set_window_size(fd: int, size: WindowSize) -> None:
    """Set the size of terminal `fd`; its foreground process group gets SIGWINCH."""
    ioctl(fd, TIOCSWINSZ, _WINSIZE.pack(*size, 0, 0))
