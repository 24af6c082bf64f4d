"""What every test stands on: a clean environment and a state directory of its own."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# No test asserts a time, on whatever machine.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let whoever has the time ask for more of what looks for rare failures."""
    parser.addoption("--kills", type=int, default=24, help="commands to kill at random moments")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory) -> None:
    """No setting of the machine's user reaches a test."""
    for name in list(os.environ):
        if name.startswith(("MINIDOCK_", "DOCKER_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs root where there is none."""
    if os.geteuid() == 0:
        return
    skip = pytest.mark.skip(reason="needs root")
    for item in items:
        if "root" in item.keywords:
            item.add_marker(skip)


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A state directory that does not exist yet."""
    return str(tmp_path / "state")
