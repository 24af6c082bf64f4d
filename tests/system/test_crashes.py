# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at any moment: nothing is corrupt, nothing is left, nothing needs a repair.

``pytest tests/system/test_crashes.py --kills 200`` takes longer and finds more.
"""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.system.place import Place, wait_for

CONTENT = "sha256sum /bin/busybox /etc/passwd; ls -ln /bin /home /srv/www/docs"
SOME_BYTES = "dd if=/dev/urandom of=/change bs=64k count=40 2>/dev/null; exec sleep 1000"


class Victim(NamedTuple):
    """A call to be killed; `before` makes what it needs and is not killed."""

    words: tuple[str, ...]
    before: tuple[str, ...] = ()


VICTIMS = (
    Victim(("pull", "-q", "tomcat:9.0"), ("rmi", "-f", "tomcat:9.0")),
    Victim(("run", "--rm", "-p", "8080", "base", "true")),
    Victim(("run", "--name", "box", "base", "sh", "-c", "echo > /new; exit 3")),
    Victim(("run", "-d", "--name", "box", "base", "sleep", "1000")),
    Victim(("create", "--name", "box", "base", "true")),
    Victim(("exec", "kept", "true")),
    Victim(("commit", "kept", "made:1")),
    Victim(("rmi", "made:1"), ("commit", "kept", "made:1")),
    Victim(("rmi", "tomcat:9.0"), ("pull", "-q", "tomcat:9.0")),
    Victim(("tag", "base", "other:1")),
    Victim(("rm", "-f", "box"), ("run", "-d", "--name", "box", "base", "sleep", "1000")),
    Victim(("stop", "-t", "0", "box"), ("run", "-d", "--name", "box", "base", "sleep", "9")),
)


def kill_group(leader: int, _place: Place) -> None:
    """Kill the command and its jobs, as a terminal or a CI system does."""
    os.killpg(leader, signal.SIGKILL)


def kill_leader(leader: int, _place: Place) -> None:
    """Kill the command alone."""
    os.kill(leader, signal.SIGKILL)


def kill_another(leader: int, place: Place) -> None:
    """Kill a job, a monitor or a container, as the kernel may when memory is short."""
    others = [pid for pid in place.processes() if pid != leader]
    if others:
        with contextlib.suppress(ProcessLookupError):
            os.kill(random.choice(others), signal.SIGKILL)


KILLERS: tuple[Callable[[int, Place], None], ...] = (kill_group, kill_leader, kill_another)


@pytest.fixture
def crowded(fresh: Place) -> Iterator[Place]:
    """A state with two images and a container that keeps running."""
    for image in ("base", "tomcat:9.0"):
        fresh("pull", "-q", image)
    revive(fresh)
    yield fresh
    fresh.clear()
    fresh.assert_clean()


def revive(place: Place) -> None:
    """Make sure that the container ``kept`` runs: it may have been a victim."""
    running = place("ps", "-q", "--filter", "name=kept")
    if not running:
        place.result("rm", "-f", "kept")
        place("run", "-d", "--name", "kept", "base", "sh", "-c", SOME_BYTES)


def usual_seconds(place: Place, victim: Victim) -> float:
    """Return how long a call takes that nobody kills."""
    prepare(place, victim)
    start = time.monotonic()
    place.result(*victim.words)
    return time.monotonic() - start


def prepare(place: Place, victim: Victim) -> None:
    revive(place)
    place.result("rm", "-f", "box")
    if victim.before:
        place.result(*victim.before)


def kill_once(place: Place, victim: Victim, seconds: float) -> None:
    """Start `victim` and kill it, or a part of it, at some moment."""
    prepare(place, victim)
    process = subprocess.Popen(
        [*place.words, *victim.words],
        env=place.environment,
        cwd=place.directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(random.uniform(0, 1.1 * seconds))
    if process.poll() is None:
        random.choice(KILLERS)(process.pid, place)
    process.wait(timeout=30)


def content(place: Place) -> str:
    """Return what a container sees of an image; pulled again if it has gone."""
    place("pull", "-q", "tomcat:9.0")
    return place("run", "--rm", "--network", "none", "tomcat:9.0", "sh", "-c", CONTENT)


@pytest.mark.timeout(3600)
def test_kills_at_any_moment(crowded: Place, request: pytest.FixtureRequest):
    """After each kill all commands work, and the images are as they were."""
    kills = request.config.getoption("--kills")
    seed = random.randrange(1 << 32)
    random.seed(seed)
    before = content(crowded)
    usual = {victim: usual_seconds(crowded, victim) for victim in VICTIMS}
    for number in range(kills):
        victim = VICTIMS[number % len(VICTIMS)]
        kill_once(crowded, victim, usual[victim])
        crowded("images")
        crowded("ps", "-a")
        assert content(crowded) == before, (seed, number, victim)
    crowded.clear()
    crowded("rmi", "-f", *set(crowded("images", "-q").split()))
    wait_for(lambda: not crowded.left_over(), crowded.left_over)
    store = {name: crowded.entries(name) for name in ("layers", "chains", "containers")}
    assert store == {"layers": [], "chains": [], "containers": []}
    assert crowded.entries("images", "blobs", "sha256") == []
