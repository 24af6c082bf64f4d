# SPDX-License-Identifier: Apache-2.0
"""Jobs side by side in forked children, so that Python code uses every core.

A child reports through a pipe: one JSON list a line, first the word ``event``, ``result`` or
``error``. A child that dies without a word is an error too.
"""

import contextlib
import json
import os
import select
import signal
from collections.abc import Callable, Iterator, Sequence

from minidock.annotations import Any
from minidock.errors import MinidockError, SystemFailure
from minidock.fs.atomic import write_all
from minidock.linux.processes import die_with_parent
from minidock.runtime.failures import pack_error, unpack_error
from minidock.values import NamedTuple

Emit = Callable[[list[Any]], None]
Job = Callable[[Emit], Any]
"""A job gets a function that sends a JSON list to the parent; its JSON result is returned."""


class _Child(NamedTuple):
    number: int
    pid: int
    pipe: int
    buffer: bytearray


def run_all(
    jobs: Sequence[Job],
    limit: int,
    on_event: Callable[[list[Any]], None],
    handed_over: tuple[int, ...] = (),
) -> list[Any]:
    """Run every job, at most `limit` at a time; return their results in the order of `jobs`.

    `handed_over` are descriptors of the jobs, such as the ends of a pipe between them; they are
    closed here once all jobs have been started.

    When one fails the others are ended and its error is raised. The caller must have no second
    thread: a fork copies only the calling one.

    Raises:
        MinidockError: what a job raised; SystemFailure for a child that was killed.
    """
    results: list[Any] = [None] * len(jobs)
    waiting = list(enumerate(jobs))
    running: dict[int, _Child] = {}
    poll = select.poll()
    try:
        while waiting or running:
            while waiting and len(running) < limit:
                index, job = waiting.pop(0)
                child = _start(index, job)
                running[child.pipe] = child
                poll.register(child.pipe, select.POLLIN)
            if not waiting:
                _close_all(handed_over)
                handed_over = ()
            for fd, _ in poll.poll():
                child = running[fd]
                data = os.read(fd, 1 << 16)
                child.buffer.extend(data)
                _take_lines(child, results, on_event)
                if not data:
                    poll.unregister(fd)
                    del running[fd]
                    os.close(fd)
                    _reap(child)
    finally:
        _close_all(handed_over)
        for child in running.values():
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
            os.close(child.pipe)
    return results


@contextlib.contextmanager
def undone(undo: Callable[[], None]) -> Iterator[None]:
    """Call `undo` at the end of the block, also if this process is killed in it.

    Then a forked guard calls it. The caller must have no second thread.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    guard = os.fork()
    if guard == 0:
        os.close(write_end)
        _stand_guard(read_end, undo)
    os.close(read_end)
    os.setpgid(guard, guard)  # what kills this process's group leaves the guard
    try:
        try:
            yield
        finally:
            undo()
            os.write(write_end, b"!")
    finally:
        os.close(write_end)
        os.waitpid(guard, 0)


def _stand_guard(pipe: int, undo: Callable[[], None]) -> None:
    """Wait for the parent's word, and do its work if it dies without one; never return."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if not os.read(pipe, 1):
            undo()
    finally:
        os._exit(0)


def _close_all(descriptors: tuple[int, ...]) -> None:
    for fd in descriptors:
        os.close(fd)


def _start(index: int, job: Job) -> _Child:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        _work(job, write_end, parent)
    os.close(write_end)
    return _Child(index, pid, read_end, bytearray())


def _work(job: Job, pipe: int, parent: int) -> None:
    """Run the job in the child; never return."""
    # The terminal's Ctrl-C reaches the parent too, which then ends its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(parent)

    def send(line: list[Any]) -> None:
        write_all(pipe, json.dumps(line).encode() + b"\n")

    code = 1
    try:
        result = job(lambda event: send(["event", event]))
        send(["result", result])
        code = 0
    except MinidockError as e:
        send(["error", pack_error(e).decode()])
    except OSError as e:
        send(["error", pack_error(SystemFailure.of("work on a layer", e)).decode()])
    except Exception as e:  # noqa: BLE001 - it is raised again in the parent
        error = MinidockError(f"internal error in a worker: {type(e).__name__}: {e}")
        send(["error", pack_error(error).decode()])
    finally:
        os._exit(code)  # no clean-up of what belongs to the parent


def _take_lines(
    child: _Child, results: list[Any], on_event: Callable[[list[Any]], None]
) -> None:
    while (end := child.buffer.find(b"\n")) >= 0:
        kind, value = json.loads(bytes(child.buffer[:end]))
        del child.buffer[: end + 1]
        if kind == "event":
            on_event(value)
        elif kind == "result":
            results[child.number] = value
        else:
            raise unpack_error(value.encode())


def _reap(child: _Child) -> None:
    _, status = os.waitpid(child.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        name = signal.Signals(-code).name
        raise MinidockError(f"a worker process was killed by {name}", hint="out of memory?")
    if code:
        raise MinidockError("a worker process ended without a result")
