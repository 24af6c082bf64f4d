# SPDX-License-Identifier: Apache-2.0
"""The user's terminal and descriptors, as the engine wants them."""

import os

from minidock.cli.failures import Refused
from minidock.cli.session import Session
from minidock.errors import InvalidArgument
from minidock.runtime.streams import Streams
from minidock.values import NamedTuple

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q"
_CONTROL = {
    "@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31,
}  # fmt: skip
_DELETE = 127


DETACHED = Streams(None, _STDOUT, _STDERR, forward_signals=False)
"""For a process that nobody will wait for."""


class Wanted(NamedTuple):
    """What a session wants of the user's terminal.

    `attach` is the streams to connect; `tty` says that the container has a terminal;
    `detach_keys` is as on the command line, empty for the default.
    """

    attach: frozenset[str] = frozenset(("stdout", "stderr"))
    tty: bool = False
    detach_keys: str = ""
    forward_signals: bool = True


def open_streams(session: Session, wanted: Wanted) -> Streams:
    """Return the descriptors for `wanted`; those that are not attached lead to /dev/null.

    Raises:
        Refused: the container's terminal wants our stdin, and that is none.
        InvalidArgument: bad detach keys.
    """
    stdin = "stdin" in wanted.attach
    terminal = stdin and wanted.tty
    if terminal:
        check_terminal()
    return Streams(
        stdin=_STDIN if stdin else None,
        stdout=_STDOUT if "stdout" in wanted.attach else _null(),
        stderr=_STDERR if "stderr" in wanted.attach else _null(),
        terminal=terminal,
        screen=_screen() if wanted.tty else None,
        detach_keys=_detach_keys(session, wanted) if terminal else b"",
        forward_signals=wanted.forward_signals,
    )


def _screen() -> int | None:
    """Return a descriptor of the user's terminal, if there is one."""
    return next((fd for fd in (_STDOUT, _STDIN) if os.isatty(fd)), None)


def _detach_keys(session: Session, wanted: Wanted) -> bytes:
    text = wanted.detach_keys or session.docker_setting("detachKeys") or _DEFAULT_DETACH_KEYS
    return parse_detach_keys(text)


def check_terminal() -> None:
    """Raise Refused if stdin is no terminal."""
    if not os.isatty(_STDIN):
        raise Refused("the input device is not a TTY")


def stdout_is_terminal() -> bool:
    """Tell whether results go to a terminal."""
    return os.isatty(_STDOUT)


def stderr_is_terminal() -> bool:
    """Tell whether messages go to a terminal."""
    return os.isatty(_STDERR)


def _null() -> int:
    return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def parse_detach_keys(text: str) -> bytes:
    """Return the bytes of ``ctrl-p,ctrl-q``: comma-separated characters or ctrl- with one.

    Raises:
        InvalidArgument: naming the key.
    """
    return bytes(_key(key) for key in text.split(","))


def _key(key: str) -> int:
    if len(key) == 1 and key.isascii():
        return ord(key)
    if key == "DEL":
        return _DELETE
    prefix, _, letter = key.lower().rpartition("-")
    if prefix == "ctrl" and len(letter) == 1:
        if "a" <= letter <= "z":
            return ord(letter) - ord("a") + 1
        if letter in _CONTROL:
            return _CONTROL[letter]
    raise InvalidArgument(
        f"invalid detach keys: unknown key {key!r}",
        hint="keys are single characters, DEL, or ctrl- and one of a-z @ [ \\ ] ^ _",
    )
