# SPDX-License-Identifier: Apache-2.0
"""Processes that may outlive the command that makes them, and that nobody has to wait for."""

import os
import signal

from minidock.annotations import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def fork(body: "Callable[[], None]") -> int:
    """Run `body` in a process of init's, in a session of its own; the caller has one thread.

    `body` begins with all signals blocked, so that none hits it before it is ready for them.
    The child that is returned ends at once and is to be waited for.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        if child := os.fork():
            return child
        try:
            os.setsid()
            if os.fork() == 0:
                body()
        finally:
            os._exit(0)  # the frames and buffers above belong to the command
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def let_go() -> None:
    """Keep neither the command's streams open nor its directory in use."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)
    os.chdir("/")
