# SPDX-License-Identifier: Apache-2.0
"""``cp``."""

import os
import sys
import time

from minidock.annotations import Any
from minidock.cli.command import command
from minidock.cli.failures import Refused
from minidock.cli.flags import BOOL, Flag, switch
from minidock.cli.output import err, printable, warn, writing_results
from minidock.cli.session import Session
from minidock.cli.streams import stderr_is_terminal, stdout_is_terminal
from minidock.cli.units import human_size
from minidock.engine.options import CopyOptions
from minidock.fs.atomic import write_all
from minidock.progress import Copying, Event, Warned

_STDIN, _STDOUT = 0, 1
_REFRESH = 0.075
"""Seconds between two looks of the moving line, as docker has it."""


class _Stdin:
    def read(self, size: int, /) -> bytes:
        return os.read(_STDIN, size)


class _Stdout:
    def write(self, data: bytes, /) -> None:
        write_all(_STDOUT, data)


@command(
    "Copy files/folders between a container and the local filesystem\n\n"
    "Use '-' as the source to read a tar archive from stdin\n"
    "and extract it to a directory destination in a container.\n"
    "Use '-' as the destination to stream a tar archive of a\n"
    "container source to stdout.",
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n"
    "\tminidock cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    (2, 2),
    "container cp",
    "cp",
)
@switch("-a", "--archive", help="Archive mode (copy all uid/gid information)")
@switch("-L", "--follow-link", help="Always follow symlinks in SRC_PATH")
@Flag(
    ("-q", "--quiet"),
    BOOL,
    None,
    "Suppress progress output during copy. Progress output is automatically suppressed if no "
    "terminal is attached",
    alone="true",
)
def cp(
    session: Session, /, arguments: tuple[str, ...], quiet: bool | None, **given: Any
) -> None:
    """Copy out of a container, or into one."""
    source, target = arguments
    for what, text in (("source", source), ("destination", target)):
        if not text:
            raise Refused(f"{what} can not be empty")
    from_container, from_path = split_argument(source)
    to_container, to_path = split_argument(target)
    if from_container and to_container:
        raise Refused("copying between containers is not supported")
    if not from_container and not to_container:
        raise Refused("must specify at least one container source")
    options = CopyOptions(given["archive"], given["follow_link"])
    if quiet is None:
        quiet = not stdout_is_terminal()
    if from_container:
        _out(session, from_container, from_path, to_path, options, quiet=quiet)
    else:
        _in(session, from_path, to_container, to_path, options, quiet=quiet)


def split_argument(text: str) -> tuple[str, str]:
    """Return the container and the path of ``CONTAINER:PATH``; no container for a local path.

    A local path with a colon in it begins with ``/`` or ``.``.
    """
    container, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")):
        return "", text
    return container, path


def local_path(path: str) -> str:
    """Return `path` from the root, with the ``/`` or ``/.`` that it ends in."""
    whole = os.path.abspath(path)
    if os.path.basename(path) == ".":
        return f"{whole.rstrip('/')}/."
    return f"{whole.rstrip('/')}/" if path.endswith("/") else whole


def _out(
    session: Session, name: str, path: str, target: str, options: CopyOptions, *, quiet: bool
) -> None:
    containers = session.engine.containers
    if target == "-":
        with writing_results():
            containers.copy_out(name, path, _Stdout(), options, _Line("", quiet=True).show)
        return
    local = local_path(target)
    line = _Line("Copying from container - ", quiet=quiet)
    line.finish(containers.copy_out(name, path, local, options, line.show), local)


def _in(
    session: Session, source: str, name: str, path: str, options: CopyOptions, *, quiet: bool
) -> None:
    line = _Line("Copying to container - ", quiet=quiet)
    given = _Stdin() if source == "-" else local_path(source)
    done = session.engine.containers.copy_in(name, given, path, options, line.show)
    line.finish(done, f"{name}:{path}")


class _Line:
    """How far a copy is, on a terminal; and what came of it, unless it is to be quiet."""

    def __init__(self, title: str, *, quiet: bool) -> None:
        self._title = title
        self._quiet = quiet
        self._moves = not quiet and stderr_is_terminal()
        self._next = 0.0

    def show(self, event: Event) -> None:
        """Take what the copy tells."""
        match event:
            case Warned(message):
                warn(message)
            case Copying(done) if self._moves and time.monotonic() >= self._next:
                self._write(f"{self._title}{human_size(done)}")
                self._next = time.monotonic() + _REFRESH

    def finish(self, done: int, target: str) -> None:
        """Say that `done` bytes are at `target`."""
        if self._moves:
            self._write("")
        if not self._quiet:
            err(f"Successfully copied {human_size(done)} to {printable(target, keep='')}")

    def _write(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
