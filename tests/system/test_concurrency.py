# SPDX-License-Identifier: Apache-2.0
"""Several calls at the same time, and calls that are interrupted."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fakes.registry import Stall
from tests.system.place import Place, Result, get, wait_for


def at_once(place: Place, *calls: tuple[str, ...]) -> list[Result]:
    """Make all calls at the same time."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda words: place.result(*words), calls))


def test_concurrent_pulls(fresh: Place):
    """Eight pulls of one image all succeed; a layer is fetched once, or twice at most."""
    before = len(fresh.registry.requests)
    results = at_once(fresh, *[("pull", "-q", "tomcat:9.0")] * 8)
    assert {(r.status, r.text) for r in results} == {(0, "docker.io/library/tomcat:9.0\n")}
    paths = [path for _, path, _ in fresh.registry.requests[before:]]
    for blob in fresh.registry.manifest("library/tomcat", "9.0")["layers"]:
        assert 1 <= sum(path.endswith(blob["digest"]) for path in paths) <= 2
    assert len(fresh("images", "-q").split()) == 1
    assert len(fresh.entries("layers")) == 2
    assert fresh.entries("tmp") == []
    assert fresh("run", "--rm", "tomcat:9.0", "ls", "docs") == "index.html\nmanual.html\n"
    fresh.assert_clean()


def test_one_name_for_ten(minidock: Place):
    """Of ten containers with one name exactly one is made."""
    calls = [("run", "-d", "--name", "same", "base", "sleep", "60")] * 10
    results = at_once(minidock, *calls)
    winners = [r for r in results if r.status == 0]
    losers = [r for r in results if r.status == 125]
    assert (len(winners), len(losers)) == (1, 9)
    text = (
        f'The container name "/same" is already in use by container "{winners[0].text.strip()}"'
    )
    assert all(text in loser.errors for loser in losers)
    assert minidock("ps", "-aq", "--no-trunc") == winners[0].text


def test_ten_runs(minidock: Place):
    """Ten containers at once have their own streams, addresses and ends."""
    calls = [
        ("run", "--rm", "base", "sh", "-c", f"hostname -i; echo {i}; exit {i}")
        for i in range(10)
    ]
    results = at_once(minidock, *calls)
    assert [r.status for r in results] == list(range(10))
    assert [r.text.splitlines()[1] for r in results] == [str(i) for i in range(10)]
    assert {r.errors for r in results} == {""}
    minidock.assert_clean()


def test_stop_and_remove_at_once(minidock: Place):
    """Two that end a container at the same time both get an answer, and it is gone."""
    minidock("run", "-d", "--name", "box", "base", "sleep", "60")
    results = at_once(minidock, ("rm", "-f", "box"), ("rm", "-f", "box"), ("kill", "box"))
    assert all(r.status in (0, 1) for r in results)
    assert minidock("ps", "-aq") == ""


def test_many_that_run(minidock: Place):
    """Many containers are started at once, listed, entered and removed; nothing is left."""
    count = 20
    runs = [("run", "-d", "-p", "9", "base", "sleep", "600")] * count
    results = at_once(minidock, *runs)
    assert {(r.status, r.errors) for r in results} == {(0, "")}
    names = [r.text.strip() for r in results]
    assert sorted(minidock("ps", "-q", "--no-trunc").split()) == sorted(names)
    results = at_once(minidock, *[("exec", name, "hostname", "-i") for name in names])
    assert len({r.text for r in results}) == count
    assert minidock("stop", "-t", "0", *names).split() == names
    assert minidock("ps", "-q") == ""
    assert minidock("rm", *names).split() == names
    minidock.assert_clean()


def test_ends_of_all_kinds_at_once(minidock: Place):
    """Each of them gets an answer, and who removes wins."""
    script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    for _ in range(3):
        minidock("run", "-d", "--network", "none", "--name", "box", "base", "sh", "-c", script)
        minidock.await_log("box", "ready")
        results = at_once(
            minidock,
            ("stop", "-t", "1", "box"),
            ("kill", "box"),
            ("wait", "box"),
            ("restart", "-t", "0", "box"),
            ("exec", "box", "true"),
            ("rm", "-f", "box"),
            ("rm", "-f", "box"),
        )
        assert {r.status for r in results} <= {0, 1, 137}
        assert [r.status for r in results[-2:]] == [0, 0]
        assert minidock("ps", "-aq") == ""
    minidock.assert_clean()


def test_starts_against_a_removal(minidock: Place):
    """A forced removal takes a container that others start at the same time."""
    for _ in range(3):
        minidock("create", "--network", "none", "--name", "box", "base", "sleep", "600")
        results = at_once(minidock, *[("start", "box")] * 4, ("rm", "-f", "box"))
        assert results[-1] == (0, b"box\n", b"")
        assert {r.status for r in results} <= {0, 1}
        assert minidock("ps", "-aq") == ""
    minidock.assert_clean()


def test_a_start_while_it_stops(minidock: Place):
    """It is left alone as long as it runs; a restart waits for the end and starts it."""
    script = "trap 'sleep 0.5; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    minidock("run", "-d", "--network", "none", "--name", "box", "base", "sh", "-c", script)
    minidock.await_log("box", "ready")
    results = at_once(minidock, ("stop", "box"), ("start", "box"), ("restart", "box"))
    assert [r.status for r in results] == [0, 0, 0]
    assert minidock.state("box")["Status"] in ("running", "exited")


@contextlib.contextmanager
def stalled(place: Place, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Give a call that waits for the rest of the layer of the image base."""
    (blob,) = place.registry.manifest("library/base", "latest")["layers"]
    path = f"/library/base/blobs/{blob['digest']}"
    place.registry.fail(path, Stall(after=100_000))
    before = place.registry.count("GET", path)
    with place.background(*words) as process:
        wait_for(lambda: place.registry.count("GET", path) > before, "the layer's download")
        yield process


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -15), (signal.SIGKILL, -9)]
)
def test_a_pull_that_is_interrupted(fresh: Place, number: int, status: int):
    """The state stays sound, what was half-made goes, and the next pull works."""
    (blob, *_) = fresh.registry.manifest("library/base", "latest")["layers"]
    fresh.registry.fail(f"/library/base/blobs/{blob['digest']}", Stall(after=100_000))
    before = fresh.registry.count("GET", "/library/base/blobs/")
    with fresh.background("pull", "base") as process:
        wait_for(
            lambda: (
                fresh.registry.count("GET", "/library/base/blobs/") >= before + 2
                and fresh.entries("tmp")
            ),
            "the layer's download",
        )
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == status
    assert b"Traceback" not in err
    wait_for(lambda: fresh.left_over().keys() <= {"tmp"}, fresh.left_over)
    assert fresh("images", "-q") == ""
    assert fresh.entries("layers") == []
    assert fresh("pull", "-q", "base") == "docker.io/library/base:latest\n"
    assert fresh.entries("tmp") == []
    assert fresh("run", "--rm", "base", "echo", "fine") == "fine\n"


def test_a_run_that_is_killed_while_it_pulls(fresh: Place):
    """Nothing of the container is there before its image is."""
    with stalled(fresh, "run", "--name", "box", "base", "true") as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, b"")
    assert err.startswith(b"Unable to find image 'base:latest' locally\n")
    assert fresh("ps", "-aq") == ""
    assert fresh("run", "--name", "box", "--pull=missing", "-q", "base", "true") == ""
    fresh.clear()
    fresh.assert_clean()


def test_two_state_directories(minidock: Place, fresh: Place):
    """Containers of two state directories have different addresses, and both serve."""
    fresh("pull", "-q", "tomcat:9.0")
    addresses = set()
    for place in (minidock, fresh):
        place("run", "-d", "-P", "--name", "box", "tomcat:9.0")
        addresses.add(place.inspect("box")["NetworkSettings"]["IPAddress"])
        assert get(place("port", "box", "8080").strip().rpartition(":")[2], "/docs/")[0] == 200
    assert len(addresses) == 2
    fresh.clear()
    assert get(minidock("port", "box", "8080").strip().rpartition(":")[2], "/docs/")[0] == 200
