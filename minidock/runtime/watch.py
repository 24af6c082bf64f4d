# SPDX-License-Identifier: Apache-2.0
"""One run of a container's program, watched: streams, clients, health."""

from __future__ import annotations

from minidock.annotations import TYPE_CHECKING
from minidock.linux.sockets import Socket
from minidock.runtime.log_writer import LogWriter
from minidock.runtime.monitor_plan import MonitorPlan, Probe, Schedule
from minidock.runtime.supervisor import Member, Program, Supervisor
from minidock.values import NamedTuple

if TYPE_CHECKING:
    from minidock.runtime.probes import Prober
    from minidock.runtime.supervisor import Tick


class Run(NamedTuple):
    """A run and its parts. `keep` are descriptors to be closed when it has ended."""

    supervisor: Supervisor
    listener: Socket
    log: LogWriter | None
    keep: tuple[int, ...]
    prober: Prober | None

    def watch(self, *also: Tick) -> int:
        """Serve until the program has ended; return its exit status.

        Each of `also` is called like the supervisor's own tick.
        """
        ticks = (*also, self.prober.tick) if self.prober else also

        def tick() -> float | None:
            return min((wait for each in ticks if (wait := each()) is not None), default=None)

        return self.supervisor.run(tick, self.prober.ended if self.prober else _nothing)


def watched(
    plan: MonitorPlan,
    program: Program,
    listener: Socket,
    log: LogWriter | None,
    keep: tuple[int, ...],
    members: tuple[Member, ...] = (),
    schedule: Schedule | None = None,
) -> Run:
    """Return the run of a program that has begun, with the clients it has already."""
    supervisor = Supervisor(
        program,
        listener,
        log,
        input_ends=plan.stdin_once and not plan.terminal,
        members=members,
    )
    prober = _prober(plan.probe, schedule) if plan.probe else None
    return Run(supervisor, listener, log, keep, prober)


def _prober(probe: Probe, schedule: Schedule | None) -> Prober:
    from minidock.runtime.probes import Prober  # few containers have a check

    return Prober(probe, schedule)


def _nothing(_pid: int, _status: int) -> None:
    pass
