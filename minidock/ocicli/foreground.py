# SPDX-License-Identifier: Apache-2.0
"""Waiting for a process that was started in the foreground, with the user's streams."""

import os
from collections.abc import Callable

from minidock.runtime import attach, console
from minidock.runtime.launch import Launched
from minidock.runtime.streams import Streams

_STDIN, _STDOUT, _STDERR = 0, 1, 2


def follow(launched: Launched, start: Callable[[], None]) -> int:
    """Call `start` and wait for the process, its terminal relayed; return its status.

    Signals are passed on from before the start.
    """

    def kill(number: int) -> None:
        try:
            os.kill(launched.pid, number)
        except ProcessLookupError:
            pass

    interactive = launched.console >= 0 and os.isatty(_STDIN)
    own = Streams(None, _STDOUT, _STDERR)
    with attach.user_side(own, kill, lambda _size: None):
        start()
        if launched.console < 0:
            return launched.wait()
        streams = own._replace(
            stdin=_STDIN,
            terminal=interactive,
            screen=_STDIN if interactive else None,
            forward_signals=not interactive,
        )
        ends = console.open_console(launched.console, open_stdin=True)
        return console.relay(launched, ends, streams, kill)
