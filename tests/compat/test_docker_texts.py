# SPDX-License-Identifier: Apache-2.0
"""What docker's own command line says before it asks a daemon, and so do we.

The docker CLI is asked with a daemon's address where there is none.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.place import REPOSITORY, Result, command_words

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker CLI"),
]

MINIDOCK = command_words()
COMMANDS = (
    "attach", "commit", "create", "diff", "exec", "history", "images", "info", "inspect",
    "kill", "logs", "port", "ps", "pull", "rename", "restart", "rm", "rmi", "run", "start",
    "stop", "tag", "version", "wait",
    "container ls", "container rm", "container run", "container exec", "container inspect",
    "image ls", "image rm", "image pull", "image inspect", "image history", "system info",
)  # fmt: skip
REFUSED = (
    "run",
    "rm",
    "exec box",
    "tag one",
    "logs",
    "logs a b",
    "commit a b c",
    "wait",
    "rename one",
    "version more",
    "run -e =x image",
    "run -e",
    "run --env-file /nosuch image",
    "run -d -a stdout image",
    "run -a bogus image",
    "run -it image",
    "run -p bad image",
    "run -p 99999:80 image",
    "run -p 80:80/xyz image",
    "run -p 1-3:1-2 image",
    "run --pull sometimes image",
    "run --rm --restart always image",
    "run --stop-timeout x image",
    "run --cidfile /etc/passwd image",
    "run --add-host bogus image",
    "run --dns bogus image",
    "run -l =x image",
    "run --interactive=maybe image",
    "run -xyz image",
    "exec -e =x box true",
    "stop -t x box",
    "ps -n x",
    "ps -f bogus",
    "images -f bogus",
    "bogus",
)


def normal(text: str) -> str:
    """Return `text` with our name for docker's, and one of docker's two ways to advise."""
    return text.replace("docker", "minidock").replace("See 'minidock", "Run 'minidock")


def ask(words: list[str], line: str, home: Path, **environment: str) -> Result:
    done = subprocess.run(
        [*words, *line.split()],
        env={"PATH": os.environ["PATH"], "HOME": str(home), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def docker(line: str, home: Path) -> Result:
    return ask(["docker"], line, home, DOCKER_HOST="unix:///nosuch/docker.sock")


def minidock(line: str, home: Path) -> Result:
    return ask(MINIDOCK, line, home, PYTHONPATH=REPOSITORY)


@pytest.mark.parametrize("line", REFUSED)
def test_refusals(line: str, tmp_path: Path):
    """Status, message, usage and advice are docker's."""
    theirs, ours = docker(line, tmp_path), minidock(line, tmp_path)
    assert "daemon" not in theirs.errors, "docker wants a daemon for this"
    assert (ours.status, ours.text) == (theirs.status, theirs.text)
    assert ours.errors == normal(theirs.errors)


@pytest.mark.parametrize("command", COMMANDS)
def test_usage(command: str, tmp_path: Path):
    """An unknown flag of any command is refused with docker's usage line."""
    line = f"{command} --bogus"
    theirs, ours = docker(line, tmp_path), minidock(line, tmp_path)
    assert (ours.status, ours.errors) == (theirs.status, normal(theirs.errors))
