# SPDX-License-Identifier: Apache-2.0
"""The user's terminal."""

import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest

from minidock.cli.streams import parse_detach_keys
from minidock.engine.options import Streams
from minidock.errors import InvalidArgument
from tests.unit.cli.conftest import Minidock
from tests.unit.cli.fakes import FakeEngine


@pytest.fixture
def terminal() -> Iterator[None]:
    """Make our stdin a terminal."""
    saved = os.dup(0)
    main, other = pty.openpty()
    os.dup2(other, 0)
    yield
    os.dup2(saved, 0)
    for fd in (saved, main, other):
        os.close(fd)


@pytest.mark.usefixtures("terminal")
def test_terminal(minidock: Minidock, engine: FakeEngine) -> None:
    """A terminal has detach keys, and Ctrl-C goes through it instead of as a signal."""
    assert minidock("run", "-it", "app").status == 0
    assert engine.containers.streams == Streams(
        0, 1, 2, terminal=True, detach_keys=b"\x10\x11", forward_signals=False
    )


@pytest.mark.usefixtures("terminal")
def test_detach_keys(minidock: Minidock, engine: FakeEngine, tmp_path: Path) -> None:
    """The flag wins over docker's client configuration."""
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/config.json").write_text('{"detachKeys": "ctrl-a"}')
    minidock("exec", "-it", "web", "sh")
    assert engine.containers.streams is not None
    assert engine.containers.streams.detach_keys == b"\x01"
    minidock("exec", "-it", "--detach-keys", "ctrl-[,x", "web", "sh")
    assert engine.containers.streams.detach_keys == b"\x1bx"


@pytest.mark.parametrize("text", ["", "ctrl-", "ctrl-1", "xy", "a,,b", "alt-a", "ü"])
def test_bad_detach_keys(text: str) -> None:
    """Keys that can't be typed are refused."""
    with pytest.raises(InvalidArgument, match="invalid detach keys"):
        parse_detach_keys(text)
