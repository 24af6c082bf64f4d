# SPDX-License-Identifier: Apache-2.0
"""When a container's health is looked at."""

import time

from minidock.runtime import interpreter
from minidock.runtime.monitor_plan import STARTING, Probe, Schedule


class Prober:
    """Starts the health checks of one run of a container; one at a time."""

    def __init__(self, probe: Probe, schedule: Schedule | None = None) -> None:
        self._probe = probe
        self.schedule = schedule or Schedule(0, time.monotonic() + probe.first)

    def tick(self) -> float | None:
        """Start the check if it is due; return the seconds to the next, None if one runs."""
        pid, due = self.schedule
        if pid:
            return None
        left = due - time.monotonic()
        if left > 0:
            return left
        pid = interpreter.start(self._probe.call)
        self.schedule = Schedule(pid, 0.0)
        return None

    def ended(self, pid: int, status: int) -> None:
        """Take notice of a child that ended with `status`."""
        if pid == self.schedule.pid:
            probe = self._probe
            pause = probe.start_interval if status == STARTING else probe.interval
            self.schedule = Schedule(0, time.monotonic() + pause)
