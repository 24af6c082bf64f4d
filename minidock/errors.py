# SPDX-License-Identifier: Apache-2.0
"""The kinds of error, nothing else.

Concrete errors live beside the code that raises them and subclass one of these kinds; front
ends look at the kinds only.

::

    MinidockError(message, hint=None)
    ├── InvalidArgument        bad reference, option value, name, filter
    ├── NotFound               image, container, blob, file in an image
    ├── Conflict               name taken, container running, image in use
    ├── Unauthorized           the registry asks for credentials
    ├── Forbidden              the registry or the kernel refuses
    ├── Unavailable            registry, network, timeout; a retry may help
    ├── Unsupported            media type, driver or kernel feature missing
    ├── DataCorrupted          digest, size or format mismatch
    ├── SystemFailure          a system call refused: errno, path and stage
    ├── CommandNotFound        the container's command does not exist     (exit status 127)
    ├── CommandNotExecutable   it exists and can't be executed            (exit status 126)
    ├── Disconnected           the user's side of a session is gone       (exit status 1)
    └── Cancelled              the user interrupted                       (exit status 130)
"""

import os


class MinidockError(Exception):
    """An error the user can understand: a message naming the thing, and maybe a hint.

    The message starts in lower case unless docker's text does not, and has no final period.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidArgument(MinidockError):
    """A value the user gave can't be meant."""


class NotFound(MinidockError):
    """The named thing does not exist."""


class Conflict(MinidockError):
    """The state of something else forbids it."""


class Unauthorized(MinidockError):
    """The registry wants credentials it did not get."""


class Forbidden(MinidockError):
    """The registry or the kernel refuses, whatever the credentials."""


class Unavailable(MinidockError):
    """The other side does not answer; trying again may help."""


class Unsupported(MinidockError):
    """minidock, or this place, can't do that."""


class DataCorrupted(MinidockError):
    """Stored or received bytes are not what their name promises."""


class SystemFailure(MinidockError):
    """A system call failed in a known step.

    Attributes:
        errno: the error number, see errno(3).
        stage: what was being done, e.g. ``mount /proc``.
    """

    def __init__(
        self, stage: str, errno: int, *, path: str = "", hint: str | None = None
    ) -> None:
        where = f" {path}" if path else ""
        super().__init__(f"{stage}{where}: {os.strerror(errno).lower()}", hint=hint)
        self.errno = errno
        self.stage = stage
        self.path = path

    @classmethod
    def of(cls, stage: str, error: OSError, *, hint: str | None = None) -> "SystemFailure":
        """Return the failure of `stage` that `error` describes."""
        path = error.filename if isinstance(error.filename, str) else ""
        return cls(stage, error.errno or 0, path=path, hint=hint)


class CommandNotFound(MinidockError):
    """The container's command is not in its file system."""


class CommandNotExecutable(MinidockError):
    """The container's command can't be executed."""


class Disconnected(MinidockError):
    """The user's streams have ended before the program, which goes on without them."""


class Cancelled(MinidockError):
    """The user interrupted the work."""
