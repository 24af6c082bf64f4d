# SPDX-License-Identifier: Apache-2.0
"""Health checks: what is to be done, and what results mean."""

from pathlib import Path
from typing import Any

import pytest

from minidock.engine.clock import go_duration
from minidock.engine.health import Health, health_of, plan_of, store_health
from minidock.store.containers import EXITED, RUNNING, Container, ContainerState

SECOND = 1_000_000_000
FINE, BAD = {"ExitCode": 0}, {"ExitCode": 1}


def config(**healthcheck: Any) -> dict[str, Any]:
    return {"Healthcheck": healthcheck}


def test_defaults() -> None:
    """What is not said is docker's default; a line is for the shell."""
    plan = plan_of(config(Test=["CMD-SHELL", "exit 1"]))
    assert plan == (("/bin/sh", "-c", "exit 1"), 30, 30, 0, 5, 3)


def test_everything_said() -> None:
    """Times are nanoseconds, and the image's SHELL takes the line."""
    given = config(
        Test=["CMD-SHELL", "x"],
        Interval=2 * SECOND,
        Timeout=SECOND // 2,
        StartPeriod=60 * SECOND,
        StartInterval=SECOND,
        Retries=5,
    )
    plan = plan_of({**given, "Shell": ["/bin/bash", "-ec"]})
    assert plan == (("/bin/bash", "-ec", "x"), 2.0, 0.5, 60.0, 1.0, 5)


@pytest.mark.parametrize("test", [None, [], ["NONE"], ["CMD"], "CMD x", ["OTHER", "x"], [1]])
def test_no_check(test: object) -> None:
    """An image may say anything; what is no check is none."""
    assert plan_of(config(Test=test)) is None
    assert plan_of({}) is None


def test_wrong_values_are_not_said() -> None:
    """Nonsense of an image counts as the default."""
    plan = plan_of(config(Test=["CMD", "x"], Interval="often", Retries=-1, Timeout=-5))
    assert plan
    assert (plan.interval, plan.retries, plan.timeout) == (30, 3, 30)


def test_pauses() -> None:
    """In the start period a starting container is asked more often."""
    plan = plan_of(config(Test=["CMD", "x"], StartPeriod=10 * SECOND))
    assert plan
    assert plan.pause("starting", 0.0) == 5
    assert plan.pause("starting", 10.0) == 30
    assert plan.pause("healthy", 0.0) == 30


def test_results() -> None:
    """`retries` failures in a row make it unhealthy, one success heals."""
    health = Health(1.0)
    for status, streak in (("starting", 1), ("unhealthy", 2), ("unhealthy", 3)):
        health = health.after(BAD, retries=2, counts=True)
        assert (health.status, health.streak) == (status, streak)
    health = health.after(FINE, retries=2, counts=True)
    assert (health.status, health.streak) == ("healthy", 0)
    health = health.after(BAD, retries=2, counts=False)
    assert (health.status, health.streak) == ("healthy", 1)


def test_start_period_forgives() -> None:
    """Failures of a starting container do not count in it, but are in the log."""
    health = Health(1.0).after(BAD, retries=1, counts=False)
    assert health == (1.0, "starting", 0, (BAD,))


def test_log_has_five() -> None:
    """Older results go."""
    health = Health(1.0)
    for number in range(7):
        health = health.after({"ExitCode": number}, retries=99, counts=True)
    assert [entry["ExitCode"] for entry in health.log] == [2, 3, 4, 5, 6]


def test_stored_health_is_of_one_run(tmp_path: Path) -> None:
    """What an earlier run has left counts as nothing known but for its log."""
    record: Any = type("Record", (), {"config": config(Test=["CMD", "x"])})
    container = Container(record, str(tmp_path))
    running = ContainerState(RUNNING, started=5.0)
    assert health_of(container, running) == Health(5.0)
    store_health(container, Health(5.0, "healthy", 0, (FINE,)))
    assert health_of(container, running) == Health(5.0, "healthy", 0, (FINE,))
    assert health_of(container, running._replace(started=6.0)) == Health(6.0, log=(FINE,))
    ended = health_of(container, running._replace(status=EXITED))
    assert ended
    assert ended.status == "unhealthy"
    assert health_of(container, ContainerState()) is None
    (tmp_path / "health.json").write_text("{")
    assert health_of(container, running) == Health(5.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(30, "30s"), (0.25, "250ms"), (90, "1m30s"), (3600.5, "1h0m0.5s"), (1.5, "1.5s")],
)
def test_durations_are_gos(seconds: float, text: str) -> None:
    """As docker names the timeout of a check."""
    assert go_duration(seconds) == text
