# SPDX-License-Identifier: Apache-2.0
"""``volume`` and its verbs, as scripts see them."""

import io
import json

import pytest

from minidock.engine.options import CreateVolume
from tests.unit.cli.conftest import Minidock
from tests.unit.cli.fakes import Call, FakeEngine


def test_create(minidock: Minidock, engine: FakeEngine) -> None:
    """The name is printed, also that of a volume that nobody named."""
    words = ("--label", "a=1", "-o", "type=none", "-o", "device=/x", "-d", "local", "new")
    assert minidock("volume", "create", *words) == (0, "new\n", "")
    options = CreateVolume("new", "local", {"a": "1"}, {"type": "none", "device": "/x"})
    assert engine.volumes.calls == [Call("create", (options,))]
    assert minidock("volume", "create").out == "5e" * 32 + "\n"
    assert minidock("volume", "create", "--name", "old").out == "old\n"
    assert (
        "both --name and as a positional arg"
        in minidock("volume", "create", "--name", "one", "two").err
    )


def test_ls(minidock: Minidock, engine: FakeEngine) -> None:
    """A table of drivers and names, only names, or what a format asks for."""
    engine.volumes.labels["other"] = {"b": "2", "a": "1"}
    table = "DRIVER    VOLUME NAME\nlocal     vol\nlocal     other\n"
    assert minidock("volume", "ls") == minidock("volume", "list") == (0, table, "")
    assert minidock("volume", "ls", "-q").out == "vol\nother\n"
    form = '{{.Name}} {{.Scope}} {{.Mountpoint}} {{.Labels}} {{.Label "b"}} {{.Size}}'
    assert minidock("volume", "ls", "--format", form).out.splitlines() == [
        "vol local /volumes/vol   N/A",
        "other local /volumes/other a=1,b=2 2 N/A",
    ]
    minidock("volume", "ls", "-f", "dangling=true", "-f", "label=a")
    asked = (("dangling", "true"), ("label", "a"))
    assert engine.volumes.calls[-1] == Call("list", (asked,))


def test_inspect(minidock: Minidock) -> None:
    """Volumes are found by their own verb, by type, and by inspect if nothing else has it."""
    document = [{"Name": "vol", "Labels": None}]
    for words in (("volume", "inspect"), ("inspect",), ("inspect", "--type", "volume")):
        assert json.loads(minidock(*words, "vol").out) == document
    missing = (1, "[]\n", "Error: get nosuch: no such volume\n")
    assert minidock("volume", "inspect", "nosuch") == missing
    assert minidock("inspect", "nosuch").err == "Error: No such object: nosuch\n"


def test_rm(minidock: Minidock, engine: FakeEngine) -> None:
    """Each name is printed when it is gone; with -f one that is not there is no failure."""
    engine.volumes.labels |= {"used": {}, "last": {}}
    engine.volumes.used.add("used")
    result = minidock("volume", "rm", "vol", "nosuch", "used", "last")
    assert (result.status, result.out) == (1, "vol\nlast\n")
    assert "get nosuch: no such volume" in result.err
    assert "remove used: volume is in use - [" in result.err
    assert minidock("volume", "rm", "-f", "nosuch") == (0, "nosuch\n", "")
    assert minidock("volume", "rm", "-f", "used").status == 1


@pytest.mark.parametrize(
    ("answer", "pruned"), [("y\n", True), ("Y\n", True), ("n\n", False), ("", False)]
)
def test_prune_asks(
    minidock: Minidock,
    engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    pruned: bool,
) -> None:
    """Only a y is a yes; a no is no failure."""
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    result = minidock("volume", "prune", "--filter", "label!=a")
    question = (
        "WARNING! This will remove anonymous local volumes not used by at least one "
        "container.\nAre you sure you want to continue? [y/N] "
    )
    told = "Deleted Volumes:\nvol\n\nTotal reclaimed space: 1.5kB\n" if pruned else ""
    assert result == (0, question + told, "")
    wanted = [Call("prune", ((("label!", "a"),), False))]
    assert engine.volumes.calls == (wanted if pruned else [])


def test_prune_force(minidock: Minidock, engine: FakeEngine) -> None:
    """Without a question, and with -a for named ones too."""
    engine.volumes.used.add("vol")
    assert minidock("volume", "prune", "-af") == (0, "Total reclaimed space: 0B\n", "")
    assert engine.volumes.calls == [Call("prune", ((), True))]
