# SPDX-License-Identifier: Apache-2.0
"""Showing a pull: its own output for ``pull``, a by-product on stderr for ``run``."""

import contextlib
import sys

from minidock.annotations import TextIO
from minidock.cli.output import err, printable, warn
from minidock.progress import Event, Progress, Resolving, Warned


def show(out: TextIO, *, terminal: bool) -> contextlib.AbstractContextManager[Progress]:
    """Return a context that gives the Progress which draws on `out`."""
    if terminal:
        from minidock.cli.progress import live  # rich costs 60 ms

        return live(out)
    from minidock.cli.progress import plain  # not every run pulls

    return contextlib.nullcontext(plain(out))


class LatePull:
    """A Progress on stderr that says and loads nothing until a pull begins.

    `image` is the name in docker's form; `missing` says that a pull means it was not there.
    Use it as a context: the end closes the drawing.
    """

    def __init__(self, image: str, *, missing: bool, quiet: bool, terminal: bool) -> None:
        self._image = image
        self._missing = missing
        self._quiet = quiet
        self._terminal = terminal
        self._draw: Progress | None = None
        self._drawing = contextlib.ExitStack()

    def __enter__(self) -> "LatePull":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish the drawing, if there is one."""
        self._draw = None
        self._drawing.close()

    def __call__(self, event: Event) -> None:
        """Take an event of the engine."""
        if self._draw is None and isinstance(event, Resolving) and not self._quiet:
            self._begin()
        if self._draw is not None:
            self._draw(event)
        elif isinstance(event, Warned):
            warn(event.message)

    def _begin(self) -> None:
        if self._missing:
            err(f"Unable to find image '{printable(self._image)}' locally")
        drawing = show(sys.stderr, terminal=self._terminal)
        self._draw = self._drawing.enter_context(drawing)
