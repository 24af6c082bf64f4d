# SPDX-License-Identifier: Apache-2.0
"""The parent of an entered process, with programs of the host."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from minidock.errors import CommandNotFound, MinidockError
from minidock.linux.process_stat import living_since
from minidock.linux.window import WindowSize
from minidock.runtime import channel, keeper
from minidock.runtime.channel import Connection
from tests.integration.clients import eventually
from tests.unit.runtime_io.programs import Program

SH = "/bin/sh"


def on_terminal(script: str) -> Callable[[], Program]:
    return lambda: Program((SH, "-c", script), None)


def output_until(connection: Connection, text: bytes) -> bytes:
    shown = b""
    while text not in shown:
        kind, payload = connection.receive()
        assert kind == channel.STDOUT, shown
        shown += payload
    return shown


def status_of(connection: Connection) -> int:
    while (message := connection.receive()).kind != channel.EXITED:
        assert message.kind == channel.STDOUT
    (status,) = channel.STATUS.unpack(message.payload)
    connection.close()
    return int(status)


def test_a_session() -> None:
    """The size is there from the start, keys go in, sizes follow, the status comes back."""
    script = "stty size; read x; stty size; exit 7"
    connection = keeper.spawn(on_terminal(script), WindowSize(11, 22))
    output_until(connection, b"11 22\r\n")
    connection.send(channel.RESIZE, channel.SIZE.pack(33, 44))
    connection.send(channel.STDIN, b"\r")
    output_until(connection, b"33 44\r\n")
    assert status_of(connection) == 7


def test_the_last_output_comes_before_the_status() -> None:
    """What a dead program left is read, and waits for a user who is slow."""
    connection = keeper.spawn(
        on_terminal("head -c 300000 /dev/zero | tr '\\0' x; echo; exit 3")
    )
    time.sleep(0.2)
    assert output_until(connection, b"\n").count(b"x") == 300_000
    assert status_of(connection) == 3


@pytest.mark.parametrize("how", ["detach", "close"])
def test_the_process_outlives_its_user(tmp_path: Path, how: str) -> None:
    """It is not hung up, does not block on output that nobody reads, and is reaped."""
    script = f"""
    trap 'touch {tmp_path}/hangup' HUP
    echo $$ $PPID > {tmp_path}/pids; echo ready
    while [ ! -e {tmp_path}/go ]; do head -c 10000 /dev/zero; done
    touch {tmp_path}/end"""
    connection = keeper.spawn(on_terminal(script))
    output_until(connection, b"ready")
    if how == "detach":
        connection.send(channel.DETACH)
    connection.close()
    time.sleep(0.1)
    (tmp_path / "go").touch()
    eventually((tmp_path / "end").exists)
    program, parent = map(int, (tmp_path / "pids").read_text().split())
    eventually(lambda: not os.path.exists(f"/proc/{program}"))  # not even as a zombie
    eventually(lambda: not living_since(parent))
    assert not (tmp_path / "hangup").exists()


def test_a_user_who_does_not_read_stops_the_program() -> None:
    """Nothing is lost, and the keeper does not grow."""
    connection = keeper.spawn(on_terminal("head -c 3000000 /dev/zero | tr '\\0' x; echo $PPID"))
    time.sleep(0.3)
    shown = output_until(connection, b"\n")
    assert shown.count(b"x") == 3_000_000
    assert status_of(connection) == 0


def test_failures_are_raised_in_the_caller() -> None:
    """A command that can't be executed, and a bug."""
    with pytest.raises(CommandNotFound) as caught:
        keeper.spawn(lambda: Program(("/does/not/exist",), None))
    assert caught.value.hint == "try another"

    def broken() -> Program:
        raise KeyError("bug")

    with pytest.raises(MinidockError, match="internal error: KeyError: 'bug'"):
        keeper.spawn(broken)


def test_a_killed_keeper_is_told() -> None:
    """One that dies during the start is an error, not a wait."""

    def dies() -> Program:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    with pytest.raises(keeper.KeeperDied):
        keeper.spawn(dies)
