# SPDX-License-Identifier: Apache-2.0
"""``export``."""

import contextlib
import os
from collections.abc import Iterator

from minidock.cli.command import command
from minidock.cli.failures import Refused
from minidock.cli.flags import value
from minidock.cli.output import writing_results
from minidock.cli.session import Session
from minidock.cli.streams import stdout_is_terminal
from minidock.errors import InvalidArgument, SystemFailure
from minidock.fs.atomic import random_hex, write_all

_STDOUT = 1


class _Fd:
    """A descriptor that takes all it is given."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes, /) -> None:
        write_all(self._fd, data)


@command(
    "Export a container's filesystem as a tar archive",
    "[OPTIONS] CONTAINER",
    (1, 1),
    "container export",
    "export",
)
@value("-o", "--output", kind="string", help="Write to a file, instead of STDOUT")
def export(session: Session, /, arguments: tuple[str, ...], output: str) -> None:
    """Write a container's files as a tar."""
    (name,) = arguments
    if not output:
        if stdout_is_terminal():
            raise Refused(
                "cowardly refusing to save to a terminal. Use the -o flag or redirect"
            )
        with writing_results():
            session.engine.containers.export(name, _Fd(_STDOUT))
        return
    with _whole_file(output) as fd:
        session.engine.containers.export(name, _Fd(fd))


@contextlib.contextmanager
def _whole_file(path: str) -> Iterator[int]:
    """Give a descriptor of what becomes file `path` if all goes well."""
    if os.path.isdir(path):
        raise InvalidArgument(f'failed to export container: "{path}" is a directory')
    parent = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(parent):
        raise InvalidArgument(
            "failed to export container: invalid output path: "
            f'directory "{parent}" does not exist'
        )
    temporary = f"{path}.tmp-{random_hex(6)}"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise SystemFailure.of("export", e) from e
    try:
        try:
            yield fd
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
