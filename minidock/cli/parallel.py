# SPDX-License-Identifier: Apache-2.0
"""Doing one thing to many containers at the same time.

With threads, for most of the time is spent on waiting. None of them may start a process, as a
child is forked from a program of one thread.
"""

from collections.abc import Callable, Iterator, Sequence
from threading import Thread

_AT_ONCE = 50
"""As many as docker does at once."""

Action = Callable[[str], str | None]


class Job(Thread):
    """An action for one name."""

    def __init__(self, action: Action, name: str) -> None:
        super().__init__(daemon=True)  # a user who interrupts does not wait for the others
        self._action = action
        self._name = name
        self._result: str | None = None
        self._error: Exception | None = None

    def run(self) -> None:
        """Do it."""
        try:
            self._result = self._action(self._name)
        except Exception as e:  # noqa: BLE001  it is raised again in `outcome`
            self._error = e

    def outcome(self) -> str | None:
        """Wait for the end; return what the action has returned or raise what it has raised."""
        self.join()
        if self._error:
            raise self._error
        return self._result


def run_all(names: Sequence[str], action: Action) -> Iterator[Job]:
    """Do `action` for each of `names`; give the jobs in that order."""
    for start in range(0, len(names), _AT_ONCE):
        jobs = [Job(action, name) for name in names[start : start + _AT_ONCE]]
        for job in jobs:
            job.start()
        yield from jobs
