# SPDX-License-Identifier: Apache-2.0
"""Terminals: raw mode, see termios(3)."""

import contextlib
import termios
import tty
from collections.abc import Iterator


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
