# SPDX-License-Identifier: Apache-2.0
"""What a monitor does with an error: it tells the caller, or else a file."""

import contextlib
import os
from collections.abc import Iterator

from minidock.errors import MinidockError, SystemFailure
from minidock.fs.atomic import write_file

FILE = "monitor.error"
"""Name of the file in the state directory."""


def as_error(error: BaseException) -> MinidockError:
    """Return `error` as one that can be told to the user."""
    if isinstance(error, MinidockError):
        return error
    if isinstance(error, OSError):
        return SystemFailure.of("start the container", error)
    return MinidockError(f"internal error in the monitor: {type(error).__name__}: {error}")


@contextlib.contextmanager
def noting_errors(directory: str) -> Iterator[None]:
    """Write an error of the block to a file in `directory`, for there is nobody to tell."""
    try:
        yield
    except Exception as e:  # noqa: BLE001  the monitor has to go on
        note(directory, e)


def note(directory: str, error: Exception) -> None:
    """Write `error` to a file in `directory`."""
    with contextlib.suppress(OSError):
        path = os.path.join(directory, FILE)
        write_file(path, f"{type(error).__name__}: {error}\n".encode(), durable=False)
