# SPDX-License-Identifier: Apache-2.0
"""Restart policies: when, and how often."""

import pytest

from minidock.engine.restarts import is_due_at_boot, is_wanted, pause_after
from minidock.store.containers import CREATED, EXITED, RESTARTING, ContainerState


def host(name: str, maximum: int = 0) -> dict[str, object]:
    return {"RestartPolicy": {"Name": name, "MaximumRetryCount": maximum}}


@pytest.mark.parametrize(
    ("policy", "state", "wanted"),
    [
        (host("no"), ContainerState(exit_code=1), False),
        ({}, ContainerState(exit_code=1), False),
        (host("always"), ContainerState(exit_code=0), True),
        (host("unless-stopped"), ContainerState(exit_code=0), True),
        (host("unless-stopped"), ContainerState(stopped=True), False),
        (host("on-failure"), ContainerState(exit_code=0), False),
        (host("on-failure"), ContainerState(exit_code=1, restarts=1000), True),
        (host("on-failure", 3), ContainerState(exit_code=1, restarts=2), True),
        (host("on-failure", 3), ContainerState(exit_code=1, restarts=3), False),
    ],
)
def test_policies(policy: dict[str, object], state: ContainerState, wanted: bool) -> None:
    """Each policy wants what docker's does."""
    assert is_wanted(policy, state) is wanted


def test_pauses_double_up_to_a_minute() -> None:
    """The first pause is 100 ms, none is longer than 60 s."""
    state, pauses = ContainerState(exit_code=1), []
    for _ in range(12):
        pause = pause_after(host("always"), state)
        assert pause is not None
        pauses.append(pause)
        state = state._replace(backoff=pause)
    assert pauses[:3] == [0.1, 0.2, 0.4]
    assert pauses[9:] == [51.2, 60.0, 60.0]


def test_long_run_begins_with_the_first_pause() -> None:
    """A container that ran for ten seconds works, whatever came before."""
    state = ContainerState(started=100.0, finished=110.0, backoff=25.6)
    assert pause_after(host("always"), state) == 0.1
    assert pause_after(host("always"), state._replace(finished=109.0)) == 51.2


def test_user_who_stops_is_obeyed() -> None:
    """Also always does not start what a user has just stopped."""
    assert pause_after(host("always"), ContainerState(stopped=True)) is None


@pytest.mark.parametrize(
    ("policy", "state", "due"),
    [
        ("always", ContainerState(EXITED, started=1.0, stopped=True), True),
        ("unless-stopped", ContainerState(EXITED, started=1.0, stopped=True), False),
        ("unless-stopped", ContainerState(EXITED, started=1.0), True),
        ("on-failure", ContainerState(EXITED, started=1.0, exit_code=255), True),
        ("always", ContainerState(CREATED), False),
        ("always", ContainerState(RESTARTING, started=1.0), False),
        ("no", ContainerState(EXITED, started=1.0), False),
    ],
)
def test_boot(policy: str, state: ContainerState, due: bool) -> None:
    """After a boot those are started that have run and whose policy asks for it."""
    assert is_due_at_boot(host(policy), state) is due
