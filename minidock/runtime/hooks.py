# SPDX-License-Identifier: Apache-2.0
"""What the engine does inside a monitor."""

from contextlib import AbstractContextManager

from minidock.annotations import Protocol
from minidock.errors import MinidockError
from minidock.runtime.child import Stdio
from minidock.runtime.console import Started
from minidock.values import NamedTuple


class Outcome(NamedTuple):
    """How a start went: descriptors that are the monitor's from now on, and warnings.

    The monitor closes them when the program has ended.
    """

    keep: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()


class Hooks(Protocol):
    """What the engine does inside the monitor.

    When `started` returns, the monitor closes all descriptors that are not its own.
    """

    def create(self, stdio: Stdio | None) -> Started:
        """Make the container's init, which waits; with a terminal it gets no `stdio`."""

    def attach(self, started: Started) -> None:
        """Prepare what needs the init's namespaces: the network."""

    def started(self, started: Started) -> Outcome:
        """Record that the program runs."""

    def failed(self, error: MinidockError) -> None:
        """Undo and record a start that raised `error`."""

    def exited(self, status: int) -> float | None:
        """Record the exit and free what the container had.

        Returns:
            The seconds until it is to be started again, None if it is not.
        """

    def again(self) -> AbstractContextManager[bool]:
        """Hold what a start needs to be alone; give False if it is not wanted any more."""
