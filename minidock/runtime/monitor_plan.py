# SPDX-License-Identifier: Apache-2.0
"""What a monitor is told about its container; it outlives the process that it was made in."""

from __future__ import annotations

from minidock.annotations import Any
from minidock.linux.window import WindowSize
from minidock.runtime.log_writer import LogFile
from minidock.values import NamedTuple

NAME = "minidock-mon"
"""What ps(1) calls a monitor."""

SOCKET = "attach.sock"
"""Name of the monitor's socket in the container's state directory."""


def plain(value: Any) -> Any:
    """Return `value` with plain tuples for named ones: marshal takes no others."""
    return tuple(map(plain, value)) if isinstance(value, tuple) else value


class Call(NamedTuple):
    """A function and the text that it takes, to be called in an interpreter to come."""

    module: str
    function: str
    text: str = ""

    def make(self) -> Any:
        """Import the module, call its function and return what that returns."""
        from importlib import import_module  # not before a small monitor's end

        return getattr(import_module(self.module), self.function)(self.text)


class Probe(NamedTuple):
    """A health check: what runs it in a process of its own, and when.

    Times are seconds: `first` from the start to the first check, `interval` from the end of one
    to the next, `start_interval` instead while checks end with the status STARTING.
    """

    call: Call
    first: float
    interval: float
    start_interval: float


STARTING = 10
"""Exit status of a process that has run a check and found the container still starting."""


class Schedule(NamedTuple):
    """Where a prober is: the check that runs, 0 for none, and when the next one is due.

    The time is that of CLOCK_MONOTONIC, which is the same in all processes.
    """

    pid: int
    due: float


class MonitorPlan(NamedTuple):
    """What the monitor does for one container.

    `directory` is the container's state directory, which exists. With `stdin_once` the
    program's input ends with that of the first client, or with the caller. `size` is the
    terminal's at the start. `log` None keeps no log. `revive` returns the hooks anew in another
    interpreter: the monitor becomes a small one, see slim.py, when a run has lasted for
    `settling` seconds. Without it the monitor stays what it was forked from.
    """

    container: str
    directory: str
    terminal: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    size: WindowSize | None = None
    log: LogFile | None = None
    revive: Call | None = None
    settling: float = 1.0
    probe: Probe | None = None

    @classmethod
    def of(cls, values: tuple[Any, ...]) -> MonitorPlan:
        """Return the plan of the same items, with plain tuples where it has named ones."""
        plan = cls(*values)
        return plan._replace(
            size=plan.size and WindowSize(*plan.size),
            log=plan.log and LogFile(*plan.log),
            revive=plan.revive and Call(*plan.revive),
            probe=plan.probe and Probe(Call(*plan.probe[0]), *plan.probe[1:]),
        )
