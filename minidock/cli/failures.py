# SPDX-License-Identifier: Apache-2.0
"""How a command line can be wrong, and the exit status of each kind of failure.

The statuses are docker's: 125 for a flag that can't be meant (and for everything that keeps
``run`` from starting the container), 1 for the rest. Texts are docker's too.
"""

import click

from minidock.errors import Cancelled, CommandNotExecutable, CommandNotFound

FLAG_STATUS = 125
CANCELLED_STATUS = 130


class FlagError(click.UsageError):
    """A flag that does not exist, lacks its value, or has one that can't be meant."""

    exit_code = FLAG_STATUS


class ArgumentError(click.UsageError):
    """Too few or too many arguments, or a command that does not exist."""

    exit_code = 1


class Refused(click.ClickException):
    """A refusal that docker prints without any prefix; the exit status is 1."""


class CommandFailed(Exception):
    """An error that ended a command; the error is the ``__cause__``.

    Attributes:
        path: the command's full name, ``minidock container run``.
        starts: whether the command was to start a container's process.
    """

    def __init__(self, path: str, *, starts: bool) -> None:
        super().__init__(path)
        self.path = path
        self.starts = starts


class StdoutClosed(Exception):
    """Whoever read our standard output has gone, as in ``minidock ps | head -1``."""


def exit_status(error: BaseException, *, starts: bool = False) -> int:
    """Return the process's exit status after `error`.

    `starts` says that the command was to start a container: whatever kept it from doing so is
    told apart from the container's own statuses by 125.
    """
    match error:
        case click.ClickException():
            return error.exit_code
        case CommandNotFound():
            return 127
        case CommandNotExecutable():
            return 126
        case Cancelled() | KeyboardInterrupt():
            return CANCELLED_STATUS
    return FLAG_STATUS if starts else 1
