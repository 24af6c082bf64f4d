# SPDX-License-Identifier: Apache-2.0
"""The user's side of a session with a program."""

from minidock.values import NamedTuple


class Streams(NamedTuple):
    """The user's descriptors, and what may be done with them.

    `stdin` None sends nothing and leaves the program's input as it is. `terminal` says that
    stdin is a terminal to be put in raw mode, `screen` is a terminal whose size the program's
    terminal has, None if there is none. `detach_keys` are the bytes that leave the program
    running, looked for in a terminal only; empty for none.
    """

    stdin: int | None
    stdout: int
    stderr: int
    terminal: bool = False
    screen: int | None = None
    detach_keys: bytes = b""
    forward_signals: bool = True
