# SPDX-License-Identifier: Apache-2.0
"""The user's terminal."""

import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest

from minidock.cli.streams import parse_detach_keys
from minidock.errors import InvalidArgument
from minidock.runtime.streams import Streams
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
    """A terminal has detach keys and a size; other processes' signals go to run's program."""
    streams = Streams(0, 1, 2, terminal=True, screen=0, detach_keys=b"\x10\x11")
    assert minidock("run", "-it", "app").status == 0
    assert engine.containers.streams == streams
    assert minidock("exec", "-it", "web", "sh").status == 0
    assert engine.containers.streams == streams._replace(forward_signals=False)


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


def test_the_delete_key() -> None:
    """DEL is a key, as with docker."""
    assert parse_detach_keys("DEL,a") == b"\x7fa"


@pytest.mark.parametrize("text", ["", "ctrl-", "ctrl-1", "xy", "a,,b", "alt-a", "ü"])
def test_bad_detach_keys(text: str) -> None:
    """Keys that can't be typed are refused."""
    with pytest.raises(InvalidArgument, match="invalid detach keys"):
        parse_detach_keys(text)
