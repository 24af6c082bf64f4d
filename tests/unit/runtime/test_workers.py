# SPDX-License-Identifier: Apache-2.0
"""Jobs in forked children."""

import os
import signal
import time

import pytest

from minidock.errors import DataCorrupted, MinidockError, SystemFailure
from minidock.runtime.workers import Emit, Job, run_all, undone


def ignore(_event: list[object]) -> None:
    """Take an event."""


def failing(error: BaseException) -> Job:
    def run(_emit: Emit) -> None:
        raise error

    return run


def returning(value: object) -> Job:
    return lambda _emit: value


def sleeping(_emit: Emit) -> None:
    time.sleep(60)


def test_results_are_in_the_order_of_the_jobs() -> None:
    """However many run at once."""
    jobs = [returning(number) for number in range(5)]
    assert run_all(jobs, 2, ignore) == [0, 1, 2, 3, 4]
    assert run_all([], 2, ignore) == []


def test_events_arrive() -> None:
    """Each job's in its own order."""
    events: list[object] = []

    def job(emit: Emit) -> None:
        for number in range(1000):
            emit([number, "x" * 100])

    run_all([job], 1, events.append)
    assert [event[0] for event in events] == list(range(1000))  # type: ignore[index]


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (DataCorrupted("bad layer"), DataCorrupted, "bad layer"),
        (OSError(28, "No space left on device"), SystemFailure, "no space left on device"),
        (ValueError("surprise"), MinidockError, "internal error in a worker: ValueError"),
    ],
)
def test_error_of_a_job_ends_the_others(
    error: BaseException, kind: type[MinidockError], text: str
) -> None:
    """It is raised as the kind it was, and no child is left."""
    with pytest.raises(kind, match=text):
        run_all([sleeping, failing(error), sleeping], 3, ignore)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_killed_worker_is_an_error() -> None:
    """The signal is named."""
    with pytest.raises(MinidockError, match="killed by SIGKILL"):
        run_all([lambda _emit: os.kill(os.getpid(), signal.SIGKILL)], 1, ignore)


def test_workers_die_with_their_parent() -> None:
    """SIGKILL of the command leaves no process."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    parent = os.fork()
    if parent == 0:
        os.close(read_end)

        def job(_emit: Emit) -> None:
            os.write(write_end, b"x")
            time.sleep(60)

        run_all([job], 1, ignore)
    os.close(write_end)
    assert os.read(read_end, 1) == b"x"
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert os.read(read_end, 1) == b""  # the last process that had the pipe is gone
    os.close(read_end)


def test_undone_at_the_end_and_after_an_error() -> None:
    """Once, by the process itself."""
    calls: list[int] = []
    with undone(lambda: calls.append(os.getpid())):
        assert calls == []
    with pytest.raises(KeyError), undone(lambda: calls.append(os.getpid())):
        raise KeyError
    assert calls == [os.getpid()] * 2


def test_undone_after_sigkill() -> None:
    """A guard does it, also when the whole process group is killed."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    parent = os.fork()
    if parent == 0:
        os.setsid()
        with undone(lambda: os.write(write_end, b"undone")):
            os.killpg(0, signal.SIGKILL)
    os.close(write_end)
    os.waitpid(parent, 0)
    assert os.read(read_end, 16) == b"undone"
    assert os.read(read_end, 16) == b""
    os.close(read_end)
