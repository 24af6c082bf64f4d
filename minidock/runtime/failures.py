# SPDX-License-Identifier: Apache-2.0
"""Errors on their way from one process to another, or into a file."""

import contextlib
import json
import os
from collections.abc import Iterator

from minidock import errors
from minidock.annotations import Any
from minidock.errors import MinidockError, SystemFailure
from minidock.fs.atomic import write_file

FILE = "monitor.error"
"""Name of the file in a container's state directory with what nobody could be told."""

_LONGEST_TEXT = 8192


def pack_error(error: MinidockError) -> bytes:
    """Return the bytes of an error: the kind's name, message, hint, errno, stage and path."""
    kind = next(c for c in type(error).__mro__ if getattr(errors, c.__name__, None) is c)
    value: dict[str, Any] = {
        "kind": kind.__name__,
        "message": error.message[:_LONGEST_TEXT],
        "hint": error.hint and error.hint[:_LONGEST_TEXT],
    }
    if isinstance(error, SystemFailure):
        value |= {"errno": error.errno, "stage": error.stage, "path": error.path}
    return json.dumps(value).encode()


def unpack_error(payload: bytes) -> MinidockError:
    """Return the error that `pack_error` packed; its class is a kind of minidock.errors."""
    value = json.loads(payload)
    kind: type[MinidockError] = getattr(errors, value["kind"])
    if not issubclass(kind, SystemFailure):
        return kind(value["message"], hint=value["hint"])
    failure = kind(value["stage"], value["errno"], path=value["path"], hint=value["hint"])
    failure.message = value["message"]
    failure.args = (failure.message,)
    return failure


def as_error(error: BaseException, stage: str = "start the container") -> MinidockError:
    """Return `error`, met in `stage`, as one that can be told to the user."""
    if isinstance(error, MinidockError):
        return error
    if isinstance(error, OSError):
        return SystemFailure.of(stage, error)
    return MinidockError(f"internal error: {type(error).__name__}: {error}")


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
