# SPDX-License-Identifier: Apache-2.0
"""The sequence of keys that leaves a program running."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidock.runtime.attach import DetachKeys

P, Q = b"\x10", b"\x11"


@pytest.mark.parametrize(
    ("typed", "passed", "detached"),
    [
        ([b"ab"], b"ab", False),
        ([P + Q], b"", True),
        ([P, Q], b"", True),
        ([b"ab" + P, Q + b"cd"], b"ab", True),
        ([P, b"x"], P + b"x", False),
        ([P], b"", False),
        ([P, P, Q], P, True),
        ([P, b"x", Q], P + b"x" + Q, False),
    ],
)
def test_feed(typed: list[bytes], passed: bytes, detached: bool) -> None:
    """A beginning of the sequence is held back and passed on when it breaks."""
    keys = DetachKeys(P + Q)
    out = [keys.feed(data) for data in typed]
    assert b"".join(data for data, _ in out) == passed
    assert out[-1][1] is detached


def test_no_keys() -> None:
    """Without a sequence everything passes."""
    assert DetachKeys(b"").feed(P + Q) == (P + Q, False)


@given(st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=30))
def test_any_split_finds_the_first(typed: list[bytes]) -> None:
    """However the bytes arrive, all before the first sequence pass and nothing after it."""
    sequence = b"aab"
    keys = DetachKeys(sequence)
    passed, detached = b"", False
    for data in typed:
        more, detached = keys.feed(data)
        passed += more
        if detached:
            break
    before, found, _ = b"".join(typed).partition(sequence)
    assert detached is bool(found)
    assert passed == before if found else before.startswith(passed)
