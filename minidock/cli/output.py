# SPDX-License-Identifier: Apache-2.0
"""What goes to the user: results to stdout, everything else to stderr.

Each call flushes: a monitor process may be forked between two of them, and a reader of the
pipe sees each result as soon as it is there.
"""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

from minidock.annotations import TextIO
from minidock.cli.failures import StdoutClosed
from minidock.errors import MinidockError


def prepare() -> None:
    """Make stdin, stdout and stderr usable, whatever the caller has closed.

    Text is UTF-8 whatever the locale, and bytes of paths that are not UTF-8 go out as they are.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            # Or else the next file that is opened would get the number, and be taken for it.
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - open to the end
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")


def out(text: str) -> None:
    """Write a line of results; raise StdoutClosed when nobody reads any more."""
    with writing_results():
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def out_bytes(data: bytes) -> None:
    """Write `data` to stdout as it is; raise StdoutClosed when nobody reads any more."""
    with writing_results():
        _write_bytes(sys.stdout, data)


@contextlib.contextmanager
def writing_results() -> Iterator[None]:
    """Turn the news that nobody reads stdout any more into StdoutClosed."""
    try:
        yield
    except BrokenPipeError as e:
        raise StdoutClosed from e


def err(text: str) -> None:
    """Write a line to stderr; one that nobody can read is dropped."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:  # EPIPE, or EIO where the terminal has gone
        pass


def err_bytes(data: bytes) -> None:
    """Write `data` to stderr as it is; bytes that nobody can read are dropped."""
    try:
        _write_bytes(sys.stderr, data)
    except BrokenPipeError:
        pass


def _write_bytes(stream: TextIO, data: bytes) -> None:
    stream.buffer.write(data)
    stream.buffer.flush()


def warn(message: str) -> None:
    """Write a warning as docker words it."""
    err(f"WARNING: {printable(message)}")


def report(error: MinidockError, prefix: str = "Error: ") -> None:
    """Write an error and, on a line of its own, its hint."""
    err(prefix + printable(error.message))
    if error.hint:
        err(f"hint: {printable(error.hint)}")


def printable(text: str, *, keep: str = "\n\t") -> str:
    r"""Return `text` with control characters as ``\x1b``: a name must not drive a terminal.

    Those in `keep` stay, and so do bytes that are not UTF-8, which come as lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(c if _is_harmless(c) or c in keep else repr(c)[1:-1] for c in text)


def _is_harmless(character: str) -> bool:
    return character.isprintable() or "\udc80" <= character <= "\udcff"


def each_at_once(names: Sequence[str], action: Callable[[str], str | None]) -> int:
    """Do what `each` does, for many names at the same time; the output is in their order."""
    if len(names) < 2:
        return each(names, action)
    from minidock.cli.parallel import run_all  # threads, for more than one name

    jobs = run_all(names, action)
    return each(names, lambda _name: next(jobs).outcome())


def each(names: Iterable[str], action: Callable[[str], str | None]) -> int:
    """Do `action` for every name, printing what it returns; return 1 if any failed.

    A failure is one line on stderr and does not keep the others from being done.
    """
    status = 0
    for name in names:
        try:
            line = action(name)
        except MinidockError as e:
            report(e)
            status = 1
        else:
            if line is not None:
                out(line)
    return status
