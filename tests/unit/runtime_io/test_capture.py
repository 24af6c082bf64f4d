# SPDX-License-Identifier: Apache-2.0
"""Programs whose output is wanted and whose time is limited."""

import os

import pytest

from minidock.runtime.capture import Captured, capture, open_output
from tests.unit.runtime_io.programs import Program


def run(script: str, timeout: float = 60.0, limit: int = 100) -> Captured:
    stdio, end = open_output()
    program = Program(("/bin/sh", "-c", script), stdio)
    stdio.close()
    program.start()
    try:
        return capture(program, end, timeout=timeout, limit=limit)
    finally:
        os.close(program.pidfd)


def test_both_outputs_in_order() -> None:
    """They are one text, in the order in which they were written."""
    captured = run("echo 1; echo 2 >&2; echo 3; exit 7")
    assert captured == (7, b"1\n2\n3\n", True)


@pytest.mark.parametrize("size", [100, 101, 1_000_000])
def test_limit(size: int) -> None:
    """The beginning is kept, and the program is never made to wait."""
    captured = run(f"head -c {size} /dev/zero")
    assert captured == (0, bytes(100), size == 100)


def test_input_is_empty() -> None:
    """It gets an end of file at once."""
    assert run("cat; echo end") == (0, b"end\n", True)


def test_timeout() -> None:
    """A program that takes too long is killed; what it wrote is there."""
    assert run("echo begun; sleep 60", timeout=0.3) == (None, b"begun\n", True)
    assert run("yes", timeout=0.2)[0] is None


def test_what_is_left_running_is_not_waited_for() -> None:
    """A child that keeps the pipe does not delay the end."""
    assert run("sleep 5 & echo parent") == (0, b"parent\n", True)
