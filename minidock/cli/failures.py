# SPDX-License-Identifier: Apache-2.0
"""How a command line can be wrong, and the exit status of each kind of failure.

The statuses are docker's: 125 for a flag that can't be meant (and for everything that keeps
``run`` from starting the container), 1 for the rest. Texts are docker's too.
"""

from minidock.annotations import Self
from minidock.errors import Cancelled, CommandNotExecutable, CommandNotFound, Disconnected

FLAG_STATUS = 125
CANCELLED_STATUS = 130


class UsageError(Exception):
    """A command line that can't be meant.

    Attributes:
        message: what is wrong, in docker's words.
        status: the exit status of the process.
        path: the full name of the command, ``minidock run``, if its help says more.
        usage: its usage line.
    """

    status = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.path = ""
        self.usage = ""

    def at(self, path: str, usage: str) -> Self:
        """Say in which command it is, and return the same error."""
        self.path, self.usage = path, usage
        return self


class FlagError(UsageError):
    """A flag that does not exist, lacks its value, or has one that can't be meant."""

    status = FLAG_STATUS


class ArgumentError(UsageError):
    """Too few or too many arguments, or a command that does not exist."""


class Refused(UsageError):
    """A refusal that docker prints without any prefix."""


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
        case UsageError():
            return error.status
        case CommandNotFound():
            return 127
        case CommandNotExecutable():
            return 126
        case Cancelled() | KeyboardInterrupt():
            return CANCELLED_STATUS
        case Disconnected():
            return 1
    return FLAG_STATUS if starts else 1
