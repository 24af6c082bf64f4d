# SPDX-License-Identifier: Apache-2.0
"""The machine code of --init, as an ordinary process, natively and by an emulator."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from minidock.linux.libc import MACHINE
from minidock.runtime import messages
from minidock.runtime.final import INIT, REPORT_FD, image
from minidock.runtime.messages import Record

EMULATOR = shutil.which("qemu-aarch64-static") or ""


class Ended(NamedTuple):
    status: int
    output: bytes
    record: Record | None


class Program:
    """The program on a disk, started with a report pipe."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = words

    def start(self, path: str, *arguments: str) -> "Running":
        return Running((*self._words, *arguments), {"_": path})

    def run(self, path: str, *arguments: str) -> Ended:
        return self.start(path, *arguments).end()


class Running:
    def __init__(self, words: tuple[str, ...], environment: dict[str, str]) -> None:
        self._report, report_end = os.pipe()
        output, output_end = os.pipe()
        self._output = os.fdopen(output, "rb")
        self._pid = os.posix_spawn(
            words[0],
            words,
            environment,
            file_actions=(
                (os.POSIX_SPAWN_DUP2, output_end, 1),
                (os.POSIX_SPAWN_DUP2, report_end, REPORT_FD),
            ),
        )
        os.close(report_end)
        os.close(output_end)

    def await_line(self) -> bytes:
        return self._output.readline()

    def send(self, number: int) -> None:
        os.kill(self._pid, number)

    def end(self) -> Ended:
        with self._output:
            output = self._output.read()
        record = messages.receive(self._report)
        os.close(self._report)
        return Ended(os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1]), output, record)


@pytest.fixture(params=[MACHINE, "aarch64 emulated"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Program]:
    machine, _, emulated = request.param.partition(" ")
    if emulated and not EMULATOR:
        pytest.skip("needs qemu-aarch64-static")
    path = tmp_path / "init"
    path.write_bytes(image(machine, init=True))
    path.chmod(0o755)
    return Program((EMULATOR, str(path)) if emulated else (str(path),))


def shell(script: str) -> tuple[str, ...]:
    return "/bin/sh", "sh", "-c", script


@pytest.mark.parametrize("status", [0, 1, 42, 127, 255])
def test_the_status_is_the_childs(program: Program, status: int) -> None:
    """Whatever the child exits with; the report pipe says nothing."""
    assert program.run(*shell(f"echo $0; exit {status}")) == (status, b"sh\n", None)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_the_status_tells_the_childs_signal(program: Program, number: int) -> None:
    """128 and the number, as shells have it."""
    assert program.run(*shell(f"kill -{int(number)} $$")).status == 128 + number


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGTERM,
        signal.SIGRTMIN,
    ],
)
def test_signals_are_passed_on(program: Program, number: int) -> None:
    """What would end the process reaches the child, which decides."""
    script = f"trap 'echo got; exit 9' {int(number)}; echo ready; while :; do sleep 0.01; done"
    running = program.start(*shell(script))
    assert running.await_line() == b"ready\n"
    running.send(number)
    assert running.end() == (9, b"got\n", None)


def test_the_child_begins_afresh(program: Program) -> None:
    """No signal is blocked, the group is its own, the path is not in the environment."""
    script = "grep SigBlk /proc/self/status; set -- $(cat /proc/$$/stat); echo $1 $5; env"
    ended = program.run(*shell(script))
    blocked, groups, *environment = ended.output.split(b"\n")
    assert blocked.split() == [b"SigBlk:", b"0" * 16]
    pid, group = groups.split()
    assert pid == group
    assert environment == [b"PWD=" + os.getcwdb(), b""]


def test_other_children_do_not_end_it(program: Program) -> None:
    """A child that ends before the first one is waited for, and that is all."""
    ended = program.run(*shell("(exit 3) & sleep 0.1; echo on; exit 4"))
    assert (ended.status, ended.output) == (4, b"on\n")


@pytest.mark.parametrize(
    ("path", "error"), [("/nonexistent", 2), ("/etc/passwd", 13)], ids=["missing", "no program"]
)
def test_errno_of_a_refused_program_is_reported(
    program: Program, path: str, error: int
) -> None:
    """As without it: a record of the last stage, and the status 127."""
    record = Record(messages.FAILED, messages.EXEC, 0, error)
    assert program.run(path, "x") == (127, b"", record)


def test_its_name_tells_the_command_apart() -> None:
    """In the list of processes it stands before the container's command."""
    assert INIT.split() == ["init", "--"]
