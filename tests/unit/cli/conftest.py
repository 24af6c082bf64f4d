# SPDX-License-Identifier: Apache-2.0
"""The program in this process, with a fake engine and a clean environment."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from minidock.cli import session
from minidock.cli.main import main
from tests.unit.cli.fakes import FakeEngine


class Result(NamedTuple):
    """How a call of the program ended."""

    status: int
    out: str
    err: str


Minidock = Callable[..., Result]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeEngine:
    """Return the engine that the commands will talk to."""
    fake = FakeEngine()
    monkeypatch.setattr(session, "make_engine", fake.made_with)
    monkeypatch.setattr(session, "make_seed", lambda: None)
    for name in ("MINIDOCK_ROOT", "MINIDOCK_CONFIG", "DOCKER_DEFAULT_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return fake


@pytest.fixture
def minidock(engine: FakeEngine, capfd: pytest.CaptureFixture[str]) -> Minidock:
    """Return a function that calls the program with arguments."""

    def call(*arguments: str) -> Result:
        status = main(arguments)
        return Result(status, *capfd.readouterr())

    return call
