# SPDX-License-Identifier: Apache-2.0
"""Signals as the kernel has them: the half of the standard library's that is written in C.

The other half, signal.py, gives them names, which costs every process that stays a megabyte.
"""

from minidock.annotations import TYPE_CHECKING

if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

SHIELDABLE = (
    _signal.SIGHUP,
    _signal.SIGINT,
    _signal.SIGTERM,
    _signal.SIGQUIT,
    _signal.SIGCHLD,
)
"""Signals that end, or wake, a process that stays; SIGKILL and its like can't be helped."""

set_wakeup_fd = _signal.set_wakeup_fd


def shield() -> None:
    """Let none of SHIELDABLE end this process, and unblock them."""
    for number in SHIELDABLE:  # handlers, not SIG_IGN: that one would outlive execve(2)
        _signal.signal(number, _ignore)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def _ignore(_number: int, _frame: object) -> None:
    pass


def hold() -> None:
    """Keep SHIELDABLE pending until `shield`, also across execve(2), where handlers end."""
    _signal.pthread_sigmask(_signal.SIG_SETMASK, SHIELDABLE)
