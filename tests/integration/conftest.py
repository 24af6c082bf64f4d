# SPDX-License-Identifier: Apache-2.0
"""A state directory with a monitor for a program of the host."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from minidock.runtime.log_writer import LogFile
from minidock.runtime.monitor_plan import MonitorPlan
from tests.integration.clients import eventually
from tests.unit.runtime_io.programs import Box


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    before = open_descriptors()
    box = Box(str(tmp_path))
    yield box
    if box.is_alive() and box.recorded("started"):
        box.kill()
    eventually(lambda: not box.is_alive())
    assert len(open_descriptors()) == len(before), "a descriptor leaks"


@pytest.fixture
def plan(box: Box) -> MonitorPlan:
    return MonitorPlan("c0ffee", box.directory, log=LogFile(box.log))
