# SPDX-License-Identifier: Apache-2.0
"""Waiting for a process that was started in the foreground, with the user's streams."""

import os

from minidock.runtime import attach, console
from minidock.runtime.launch import Launched
from minidock.runtime.streams import Streams

_STDIN, _STDOUT, _STDERR = 0, 1, 2


def follow(launched: Launched) -> int:
    """Wait for the process, signals forwarded and its terminal relayed; return its status."""

    def kill(number: int) -> None:
        try:
            os.kill(launched.pid, number)
        except ProcessLookupError:
            pass

    if launched.console >= 0:
        interactive = os.isatty(_STDIN)
        streams = Streams(
            _STDIN,
            _STDOUT,
            _STDERR,
            terminal=interactive,
            screen=_STDIN if interactive else None,
            forward_signals=not interactive,
        )
        ends = console.open_console(launched.console, open_stdin=True)
        return console.relay(launched, ends, streams, kill)
    own = Streams(None, _STDOUT, _STDERR)
    with attach.user_side(own, kill, lambda _size: None):
        return launched.wait()
