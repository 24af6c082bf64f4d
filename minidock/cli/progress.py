# SPDX-License-Identifier: Apache-2.0
"""The progress of a pull: docker's lines on a pipe, moving bars on a terminal."""

import contextlib
import time
from collections.abc import Iterator

from minidock import progress as events
from minidock.annotations import TYPE_CHECKING, TextIO
from minidock.cli.units import human_size
from minidock.oci.digest import Digest, hex_of
from minidock.progress import Event, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_SHORT = 12


def short(digest: Digest) -> str:
    """Return the 12 digits that docker shows of a layer."""
    return hex_of(digest)[:_SHORT]


def plain(out: TextIO) -> Progress:
    """Return a progress that writes docker's lines for a pipe."""

    def write(event: Event) -> None:
        line = _line(event)
        if line:
            out.write(line + "\n")
            out.flush()

    return write


def _line(event: Event) -> str:
    match event:
        case events.Resolving(target, name):
            return f"{target}: Pulling from {name}"
        case events.LayerExists(digest):
            return f"{short(digest)}: Already exists"
        case events.LayerWaiting(digest):
            return f"{short(digest)}: Pulling fs layer"
        case events.LayerVerified(digest):
            return f"{short(digest)}: Download complete"
        case events.LayerDone(digest):
            return f"{short(digest)}: Pull complete"
        case events.Retrying(what, reason, delay):
            return f"{what}: {reason}, trying again in {delay:.0f} s"
        case events.Warned(message):
            return f"WARNING: {message}"
    return ""


@contextlib.contextmanager
def live(out: TextIO) -> Iterator[Progress]:
    """Give a progress that shows a moving line for each layer and one for all of them."""
    from rich.console import Console  # 60 ms that only a terminal pays
    from rich.progress import BarColumn, TextColumn  # likewise
    from rich.progress import Progress as Bars  # likewise

    console = Console(file=out, highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    with Bars(*columns, console=console, refresh_per_second=10) as bars:
        yield _Display(bars).show


class _Display:
    """The lines of one pull."""

    def __init__(self, bars: "Bars") -> None:
        self._bars = bars
        self._tasks: dict[Digest, TaskID] = {}
        self._sizes: dict[Digest, int] = {}
        self._done: dict[Digest, int] = {}
        self._total: TaskID | None = None
        self._began = time.monotonic()

    def show(self, event: Event) -> None:
        """Bring one event to the screen."""
        match event:
            case events.LayerWaiting(digest, size):
                self._set(digest, "Waiting", 0, size, human_size(size))
            case events.LayerExists(digest):
                self._set(digest, "Already exists", 1, 1, "")
            case events.LayerDownloading(digest, done, size):
                detail = f"{human_size(done)}/{human_size(size)}"
                self._set(digest, "Downloading", done, size, detail)
            case events.LayerExtracting(digest, done, size):
                detail = f"{human_size(done)}/{human_size(size)}"
                self._set(digest, "Extracting", done, size, detail)
            case events.LayerVerified(digest):
                self._set(digest, "Download complete", 1, 1, "")
            case events.LayerDone(digest):
                self._set(digest, "Pull complete", 1, 1, human_size(self._sizes.get(digest, 0)))
            case _:
                self._bars.console.print(_line(event), markup=False)

    def _set(self, digest: Digest, state: str, done: int, size: int, detail: str) -> None:
        text = f"{short(digest)}: {state:<17}"
        if digest not in self._tasks:
            self._tasks[digest] = self._bars.add_task(text, total=size, detail=detail)
        self._bars.update(
            self._tasks[digest], description=text, completed=done, total=size, detail=detail
        )
        if state in ("Waiting", "Downloading", "Extracting"):
            self._sizes[digest] = size
            self._done[digest] = done
        elif digest in self._sizes:
            self._done[digest] = self._sizes[digest]
        if state != "Waiting":  # the total stands below the layers, so they come first
            self._show_total()

    def _show_total(self) -> None:
        size, done = sum(self._sizes.values()), sum(self._done.values())
        if not size:
            return
        speed = done / max(time.monotonic() - self._began, 0.001)
        left = f", {(size - done) / speed:.0f} s left" if 0 < done < size else ""
        detail = f"{human_size(done)}/{human_size(size)}, {human_size(speed)}/s{left}"
        text = f"{'total':<31}"
        if self._total is None:
            self._total = self._bars.add_task(text, total=size, detail=detail)
        self._bars.update(self._total, completed=done, total=size, detail=detail)
