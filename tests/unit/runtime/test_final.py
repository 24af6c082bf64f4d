"""The tiny program that executes the container's."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from minidock.errors import Unsupported
from minidock.linux import processes
from minidock.runtime import messages
from minidock.runtime.final import REPORT_FD, image, open_program
from minidock.runtime.messages import Record


def run(
    arguments: tuple[str, ...], environment: tuple[str, ...]
) -> tuple[int, Record | None, bytes]:
    """Execute the program with its error pipe; return exit status, record and output."""
    report, report_end = os.pipe()
    output, output_end = os.pipe()
    program = open_program()
    if not (pid := os.fork()):
        try:
            high = fcntl.fcntl(program, fcntl.F_DUPFD_CLOEXEC, 20)
            out = fcntl.fcntl(output_end, fcntl.F_DUPFD_CLOEXEC, 20)
            os.dup2(fcntl.fcntl(report_end, fcntl.F_DUPFD, 20), REPORT_FD)
            os.dup2(out, 1)
            processes.close_descriptors((0, 1, 2, REPORT_FD, high))
            processes.execute(
                high, processes.Strings(arguments), processes.Strings(environment)
            )
        finally:
            os._exit(99)
    for fd in (report_end, output_end, program):
        os.close(fd)
    try:
        record = messages.receive(report)
        text = b"".join(iter(lambda: os.read(output, 4096), b""))
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), record, text
    finally:
        os.close(report)
        os.close(output)


def test_arguments_and_environment_are_passed_on() -> None:
    """The first argument is the path, the others are the program's own."""
    script = 'echo "$0|$1|$A"; ls /proc/self/fd'
    status, record, text = run(
        ("/bin/sh", "sh", "-c", script, "zero", "one"), ("A=b", "PATH=/bin:/usr/bin")
    )
    assert (status, record) == (0, None)
    assert text.splitlines()[0] == b"zero|one|b"
    assert text.split()[1:] == [b"0", b"1", b"2", b"3"]  # 3 is ls's own directory


@pytest.mark.parametrize(
    ("path", "error"), [("/nonexistent", errno.ENOENT), ("/etc/passwd", errno.EACCES)]
)
def test_errno_of_a_refused_program_is_reported(path: str, error: int) -> None:
    """A failing execve(2) comes back as a record of the last stage."""
    status, record, _ = run((path, "x"), ())
    assert status == 127
    assert record == Record(messages.FAILED, messages.EXEC, 0, error)


def test_nobody_can_change_the_program() -> None:
    """Writes and new sizes fail whatever the caller's rights (CVE-2019-5736)."""
    fd = open_program()
    try:
        with pytest.raises(PermissionError):
            os.pwrite(fd, b"x", 0)
        with pytest.raises(PermissionError):
            os.truncate(f"/proc/self/fd/{fd}", 0)
        assert Path(f"/proc/self/fd/{fd}").read_bytes() == image()
    finally:
        os.close(fd)


def test_aarch64_program_is_built_everywhere() -> None:
    """Its header names the machine, its code is whole instructions."""
    raw = image("aarch64", fork=True, terminal=True)
    assert raw[18:20] == b"\xb7\x00"
    assert (len(raw) - 120) % 4 == 0


def test_unknown_machine_is_unsupported() -> None:
    """There is no program for a machine we have no code for."""
    with pytest.raises(Unsupported, match="vax"):
        image("vax")
