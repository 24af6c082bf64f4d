# SPDX-License-Identifier: Apache-2.0
"""The channel between a monitor and its clients."""

import socket
from collections.abc import Iterator

import pytest

from minidock import errors
from minidock.runtime import channel
from minidock.runtime.channel import Connection
from minidock.runtime.failures import pack_error, unpack_error
from minidock.runtime.monitor_lock import AlreadyRunning

Ends = tuple[Connection, Connection]


@pytest.fixture
def ends() -> Iterator[Ends]:
    one, other = channel.pair()
    yield one, other
    one.close()
    other.close()


def test_borders_are_kept(ends: Ends) -> None:
    """Messages arrive one by one, empty and full ones too."""
    one, other = ends
    sent = [(channel.STDOUT, b"x" * channel.MAX_PAYLOAD), (channel.STDIN_CLOSE, b"")]
    for kind, payload in sent:
        assert one.send(kind, payload)
    received = []
    for _ in sent:
        kind, view = other.receive()
        received.append((kind, bytes(view)))
    assert received == sent


def test_full_channel_takes_nothing(ends: Ends) -> None:
    """A peer that does not read makes send say no, never wait."""
    one, other = ends
    count = 0
    while one.send(channel.STDOUT, b"x" * 4096):
        count += 1
        assert count < 10_000
    for _ in range(count):
        assert other.receive().kind == channel.STDOUT
    with pytest.raises(BlockingIOError):
        other.receive(wait=False)


def test_last_words_survive_unread_input(ends: Ends) -> None:
    """What the peer sent is read even if it left without reading all."""
    one, other = ends
    one.send(channel.STDIN, b"never read")
    other.send(channel.EXITED, channel.STATUS.pack(7))
    other.close()
    kind, payload = one.receive()
    assert (kind, channel.STATUS.unpack(payload)) == (channel.EXITED, (7,))
    assert one.receive().kind == channel.END


def test_send_to_nobody(ends: Ends) -> None:
    """Sending to a closed channel is a ConnectionError, not a signal."""
    one, other = ends
    other.close()
    with pytest.raises(ConnectionError):
        one.send(channel.STDIN, b"x")


def test_oversized_message_is_refused() -> None:
    """A packet beyond the protocol's limit is no message."""
    raw, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with raw, end:
        raw.send(b"x" * (channel.MAX_PAYLOAD + 2))
        with pytest.raises(errors.DataCorrupted):
            Connection(end).receive()


KINDS = [k for k in vars(errors).values() if isinstance(k, type)]


@pytest.mark.parametrize("kind", [k for k in KINDS if not issubclass(k, errors.SystemFailure)])
def test_error_round_trip(kind: type[errors.MinidockError]) -> None:
    """Every kind of error is rebuilt with its message and hint."""
    copy = unpack_error(pack_error(kind("it broke", hint="mend it")))
    assert type(copy) is kind
    assert (str(copy), copy.message, copy.hint) == ("it broke", "it broke", "mend it")


def test_system_failure_round_trip() -> None:
    """A system failure keeps its fields."""
    failure = errors.SystemFailure("mount", 2, path="/proc", hint="h")
    copy = unpack_error(pack_error(failure))
    assert isinstance(copy, errors.SystemFailure)
    assert (copy.message, copy.errno, copy.stage, copy.path, copy.hint) == (
        failure.message,
        2,
        "mount",
        "/proc",
        "h",
    )


def test_concrete_error_travels_as_its_kind() -> None:
    """A class that the other side may not know arrives as the kind it derives from."""
    copy = unpack_error(pack_error(AlreadyRunning("it runs")))
    assert type(copy) is errors.Conflict


def test_endless_message_is_cut() -> None:
    """An error of any length fits a message."""
    packed = pack_error(errors.NotFound("é" * 1_000_000, hint="x" * 1_000_000))
    assert len(packed) <= channel.MAX_PAYLOAD
