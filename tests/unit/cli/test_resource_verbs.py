"""``pause``, ``unpause``, ``update``, ``top`` and ``stats`` on the command line."""

import re

import pytest

from minidock.cli import container_stats
from minidock.engine.options import Resources, RestartPolicy, UpdateOptions
from minidock.engine.views import StatsView
from tests.unit.cli.conftest import Minidock
from tests.unit.cli.fakes import CONTAINER_ID, Call, FakeEngine

BUSY = StatsView(
    CONTAINER_ID,
    "web",
    CONTAINER_ID,
    cpu=150.254,
    memory=5 << 20,
    memory_limit=50 << 20,
    received=1234,
    sent=0,
    read=4096,
    written=20_000_000,
    tasks=3,
)
HEADERS = ["CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O"]
HEADERS += ["BLOCK I/O", "PIDS"]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let samples follow each other at once."""
    monkeypatch.setattr(container_stats, "_INTERVAL", 0.0)


@pytest.mark.parametrize("verb", ["pause", "unpause"])
def test_pausing(minidock: Minidock, engine: FakeEngine, verb: str) -> None:
    """Each name is printed as it was typed."""
    result = minidock(verb, "web", "nosuch")
    assert result == (1, "web\n", "Error: No such container: nosuch\n")
    assert engine.containers.calls == [Call(verb, ("web",))]


def test_update(minidock: Minidock, engine: FakeEngine) -> None:
    """The flags are those of run; warnings come beside the name."""
    engine.containers.warnings = ("no swap here",)
    words = ("update", "-m", "64m", "--cpus", "1.5", "--restart", "on-failure:3", "web")
    assert minidock(*words) == (0, "web\n", "WARNING: no swap here\n")
    resources = Resources(memory=64 << 20, nano_cpus=1_500_000_000)
    options = UpdateOptions(resources, RestartPolicy("on-failure", 3))
    assert engine.containers.calls == [Call("update", ("web", options))]


def test_update_of_nothing(minidock: Minidock) -> None:
    """Docker's words, and status 1."""
    text = "you must provide one or more flags when using this command\n"
    assert minidock("update", "web") == (1, "", text)


def test_update_with_what_has_no_effect(minidock: Minidock) -> None:
    """Flags of docker's that minidock has not got are named."""
    result = minidock("update", "--cpu-rt-period", "5000", "web")
    assert result.out == "web\n"
    assert "--cpu-rt-period is not supported yet and is ignored" in result.err


def test_top(minidock: Minidock, engine: FakeEngine) -> None:
    """All words behind the name are options of ps; nothing in a cell drives the terminal."""
    result = minidock("top", "web", "-eo", "pid,cmd")
    assert result.err == ""
    assert result.out == f"{'PID':20}CMD\n{'7':20}sh\\t\\x1b[31m\n"
    assert engine.containers.calls == [Call("top", ("web", ("-eo", "pid,cmd")))]


def test_stats_once(minidock: Minidock, engine: FakeEngine) -> None:
    """One table, of the second sample."""
    engine.containers.samples = ((BUSY._replace(cpu=None),), (BUSY,))
    result = minidock("stats", "--no-stream")
    header, row = result.out.splitlines()
    assert re.split(" {2,}", header) == HEADERS
    cells = ["4f4f4f4f4f4f", "web", "150.25%", "5MiB / 50MiB", "10.00%", "1.23kB / 0B"]
    cells += ["4.1kB / 20MB", "3"]
    assert re.split(" {2,}", row) == cells
    assert engine.containers.calls == [Call("stats", ((), False))]


def test_stats_as_json(minidock: Minidock, engine: FakeEngine) -> None:
    """The keys are docker's; a named container is called so."""
    engine.containers.samples = ((BUSY._replace(asked="web"),),)
    result = minidock("stats", "--no-stream", "--format", "json", "web")
    assert result.out == (
        '{"BlockIO":"4.1kB / 20MB","CPUPerc":"150.25%","Container":"web",'
        '"ID":"4f4f4f4f4f4f","MemPerc":"10.00%","MemUsage":"5MiB / 50MiB","Name":"web",'
        '"NetIO":"1.23kB / 0B","PIDs":"3"}\n'
    )


def test_stats_of_what_does_not_run(minidock: Minidock, engine: FakeEngine) -> None:
    """All is 0, the id is whole."""
    engine.containers.samples = ((StatsView(CONTAINER_ID, "old", CONTAINER_ID),),)
    format = "{{.ID}} {{.CPUPerc}} {{.MemUsage}} {{.MemPerc}} {{.PIDs}}"
    result = minidock("stats", "-a", "--no-stream", "--no-trunc", "--format", format)
    assert result.out == f"{CONTAINER_ID} 0.00% 0B / 0B 0.00% 0\n"
    assert engine.containers.calls == [Call("stats", ((), True))]


def test_stats_go_on(minidock: Minidock, engine: FakeEngine) -> None:
    """Each sample is drawn over the last, until the named containers are gone."""
    first = BUSY._replace(cpu=None)
    engine.containers.samples = ((first,), (BUSY,), ())
    result = minidock("stats", "--format", "{{.CPUPerc}}", "web")
    assert result == (0, "\033[H--\033[K\n\033[J\033[H150.25%\033[K\n\033[J", "")


def test_stats_of_an_unknown_field(minidock: Minidock, engine: FakeEngine) -> None:
    """The error names docker's type."""
    engine.containers.samples = ((BUSY,),)
    result = minidock("stats", "--no-stream", "--format", "{{.Nope}}")
    assert result.status == 1
    assert "can't evaluate field Nope in type *container.statsContext" in result.err
