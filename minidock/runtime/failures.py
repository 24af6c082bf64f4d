# SPDX-License-Identifier: Apache-2.0
"""Errors on their way from one process to another, as JSON."""

import json
from typing import Any

from minidock import errors
from minidock.errors import MinidockError, SystemFailure

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
