# SPDX-License-Identifier: Apache-2.0
"""Reading ahead changes when bytes are fetched, never which."""

import io
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidock.engine.readahead import BLOCK, BLOCKS, ReadAhead


@given(st.binary(max_size=2000), st.integers(1, 700))
def test_bytes_arrive_whole_and_in_order(data: bytes, size: int) -> None:
    """Whatever sizes are asked for."""
    with ReadAhead(io.BytesIO(data)) as ahead:
        parts = []
        while part := ahead.read(size):
            assert len(part) <= size
            parts.append(part)
        assert b"".join(parts) == data
        assert ahead.read(1) == b""


class Breaking:
    """Fails after some bytes."""

    def __init__(self) -> None:
        self.left = 3

    def read(self, size: int, /) -> bytes:
        self.left -= 1
        if not self.left:
            raise ConnectionResetError("gone")
        return b"x" * min(size, 10)


def test_errors_of_the_source_are_raised_where_it_is_read() -> None:
    """Each time, as a broken stream stays broken."""
    with ReadAhead(Breaking()) as ahead:
        for _ in range(2):
            with pytest.raises(ConnectionResetError):
                ahead.read(BLOCK)


class Endless:
    """Counts what is taken of it."""

    def __init__(self) -> None:
        self.count = 0

    def read(self, size: int, /) -> bytes:
        self.count += size
        return bytes(size)


def test_memory_is_bounded_and_the_thread_ends_with_the_block() -> None:
    """A reader that stops early leaves no thread, and not much was read for nothing."""
    before = threading.active_count()
    source = Endless()
    with ReadAhead(source) as ahead:
        assert ahead.read(10) == bytes(10)
    assert threading.active_count() == before
    assert source.count <= (BLOCKS + 3) * BLOCK
