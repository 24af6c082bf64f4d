# SPDX-License-Identifier: Apache-2.0
"""What a shell is told that may follow."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from minidock.cli.commands import VARIABLE
from minidock.engine.views import ContainerView, ImageView
from minidock.errors import SystemFailure
from tests.unit.cli.conftest import Minidock
from tests.unit.cli.fakes import CONTAINER_ID, IMAGE_ID, MANIFEST, FakeEngine

Offers = Callable[..., list[str]]
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def things(engine: FakeEngine) -> None:
    """Two containers and two images, one of them without a name."""
    image = ImageView(IMAGE_ID, "app", "1.0", MANIFEST, 0, 0, 1, 0, {})
    engine.images.views = (image, image._replace(repository="", tag=""))
    names = ("web", "worker")
    engine.containers.views = tuple(
        ContainerView(
            CONTAINER_ID, name, "app", IMAGE_ID, (), 0, "exited", 0, 0, 0, (), (), {}, (), ()
        )
        for name in names
    )


@pytest.fixture
def offers(minidock: Minidock, monkeypatch: pytest.MonkeyPatch) -> Offers:
    """Return a function that gives what may follow words, the last of which is incomplete."""

    def complete(*words: str) -> list[str]:
        monkeypatch.setenv(VARIABLE, "bash_complete")
        monkeypatch.setenv("COMP_WORDS", " ".join(("minidock", *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        result = minidock()
        assert (result.status, result.err) == (0, "")
        return result.out.split()

    return complete


def plain(*names: str) -> list[str]:
    return [f"plain,{name}" for name in names]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ren"], ["rename"]),
        (["ima"], ["images", "image"]),
        (["container", "l"], ["logs", "ls"]),  # not list, an alias
        (["nosuch", "x"], []),
        (["stop", ""], ["web", "worker"]),
        (["stop", "wo"], ["worker"]),
        (["stop", "-t", "5", "wo"], ["worker"]),
        (["stop", "web", "wo"], ["worker"]),
        (["--root", "/x", "stop", "wo"], ["worker"]),
        (["logs", "web", ""], []),
        (["run", ""], ["app:1.0"]),
        (["run", "--rm", "-it", ""], ["app:1.0"]),
        (["run", "app", ""], []),
        (["inspect", ""], ["web", "worker", "app:1.0"]),
        (["tag", "app:1.0", ""], ["app:1.0"]),
        (["commit", "web", ""], ["app:1.0"]),
        (["rename", "web", ""], []),
        (["stop", "--ti"], ["--timeout", "--time"]),
        (["--ver"], ["--version"]),
    ],
)
def test_offers(offers: Offers, words: list[str], expected: list[str]) -> None:
    """Commands, flags, and names where a usage line speaks of containers or images."""
    assert offers(*words) == plain(*expected)


def test_files(offers: Offers) -> None:
    """The shell itself knows the files."""
    assert offers("run", "--env-file", "/et") == ["file,/et"]


def test_global_flags_count(offers: Offers, engine: FakeEngine) -> None:
    """The names are those of the state directory that is meant."""
    offers("--root", "/elsewhere", "stop", "")
    assert [config.root for config in engine.configs] == ["/elsewhere"]


def test_failure(offers: Offers, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be read is not offered, and nothing disturbs the line."""

    def fail(*_: object) -> None:
        raise SystemFailure("open the state directory", 13)

    monkeypatch.setattr(engine.containers, "list", fail)
    assert offers("stop", "") == []


def test_help_is_shown_where_a_shell_can(
    minidock: Minidock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zsh gets the line of the help with each command."""
    monkeypatch.setenv(VARIABLE, "zsh_complete")
    monkeypatch.setenv("COMP_WORDS", "minidock ren")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert minidock().out == "plain\nrename\nRename a container\n"


def test_unknown_shell(minidock: Minidock, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instruction of another kind does nothing."""
    monkeypatch.setenv(VARIABLE, "tcsh_complete")
    assert minidock("ps") == (1, "", "")


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_scripts(minidock: Minidock, shell: str) -> None:
    """Each shell has its script, which asks the program."""
    result = minidock("completion", shell)
    assert (result.status, result.err) == (0, "")
    assert f"{VARIABLE}={shell}_complete" in result.out


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash(tmp_path: Path) -> None:
    """Bash completes a command after it has read the script."""
    program = tmp_path / "minidock"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m minidock "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(minidock completion bash)"; complete -p minidock;'
        "COMP_WORDS=(minidock container ren) COMP_CWORD=2; _minidock_completion minidock;"
        'echo "${COMPREPLY[@]}"'
    )
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": path, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        check=True,
    )
    registered, completed = done.stdout.decode().splitlines()
    assert registered.endswith("_minidock_completion minidock")
    assert completed == "rename"
