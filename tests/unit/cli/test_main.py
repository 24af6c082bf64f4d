# SPDX-License-Identifier: Apache-2.0
"""Texts and exit statuses that every command shares."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minidock.cli import commands
from minidock.cli.group import Group
from minidock.errors import (
    Cancelled,
    CommandNotExecutable,
    CommandNotFound,
    NotFound,
    SystemFailure,
)
from tests.unit.cli.conftest import Minidock
from tests.unit.cli.fakes import FakeEngine


def every_command(group: Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, entry in group.table.items():
        command = entry.load()
        found.append((*path, name))
        if isinstance(command, Group):
            found += every_command(command, (*path, name))
    return found


def test_help_lists_common_commands_first(minidock: Minidock) -> None:
    """The program's help is on stdout when asked for."""
    result = minidock("--help")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith("Usage:  minidock [OPTIONS] COMMAND\n")
    headings = [line for line in result.out.splitlines() if line.endswith(":")]
    assert headings == [
        "Common Commands:",
        "Management Commands:",
        "Commands:",
        "Global Options:",
    ]


@pytest.mark.parametrize("arguments", [(), ("container",), ("image",), ("system",)])
def test_no_command(minidock: Minidock, arguments: tuple[str, ...]) -> None:
    """Without a command the help goes to stderr, and that is no failure."""
    result = minidock(*arguments)
    assert (result.status, result.out) == (0, "")
    assert result.err.startswith("Usage:  minidock")


def test_version(minidock: Minidock) -> None:
    """--version is one line."""
    assert minidock("-v") == minidock("--version")
    assert minidock("-v").out.startswith("minidock version ")


def test_unknown_command(minidock: Minidock) -> None:
    """An unknown command has the status 1."""
    result = minidock("bogus")
    assert result.status == 1
    assert result.err == (
        "minidock: unknown command: minidock bogus\n\n"
        "Run 'minidock --help' for more information\n"
    )


def test_unknown_command_of_a_noun(minidock: Minidock) -> None:
    """The noun's usage is shown."""
    result = minidock("container", "bogus")
    assert result.status == 1
    assert result.err.startswith("minidock: unknown command: minidock container bogus\n\n")


def test_unknown_flag(minidock: Minidock) -> None:
    """An unknown flag has the status 125 and shows the usage."""
    result = minidock("run", "--bogus", "x")
    assert (result.status, result.out) == (125, "")
    assert result.err == (
        "unknown flag: --bogus\n\n"
        "Usage:  minidock run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\n"
        "Run 'minidock run --help' for more information\n"
    )


@pytest.mark.parametrize("arguments", [("--bogus",), ("ps", "-Z"), ("pull", "--x", "a")])
def test_unknown_flag_anywhere(minidock: Minidock, arguments: tuple[str, ...]) -> None:
    """The status is that of every command."""
    assert minidock(*arguments).status == 125


@pytest.mark.parametrize(
    ("arguments", "requirement"),
    [
        (("pull",), "'minidock pull' requires 1 argument"),
        (("pull", "a", "b"), "'minidock pull' requires 1 argument"),
        (("run",), "'minidock run' requires at least 1 argument"),
        (("exec", "x"), "'minidock exec' requires at least 2 arguments"),
        (("tag", "a"), "'minidock tag' requires 2 arguments"),
        (("container", "rm"), "'minidock container rm' requires at least 1 argument"),
        (("ps", "x"), "'minidock ps' accepts no arguments"),
        (("images", "a", "b"), "'minidock images' requires at most 1 argument"),
    ],
)
def test_number_of_arguments(
    minidock: Minidock, arguments: tuple[str, ...], requirement: str
) -> None:
    """A wrong number of arguments has the status 1."""
    result = minidock(*arguments)
    assert result.status == 1
    assert result.err.startswith(f"minidock: {requirement}\n\nUsage:  minidock ")


def test_bad_value(minidock: Minidock) -> None:
    """A value that can't be meant names the flag, with the status 125."""
    result = minidock("stop", "-t", "x", "web")
    assert result.status == 125
    assert result.err.startswith(
        'invalid argument "x" for "-t, --timeout" flag: '
        'strconv.ParseInt: parsing "x": invalid syntax\n'
    )


def test_help_of_every_command(minidock: Minidock) -> None:
    """Each command loads, says what it is for, and explains each of its flags."""
    for path in every_command(commands.root):
        result = minidock(*path, "--help")
        assert result.status == 0, path
        assert result.out.startswith("Usage:  minidock " + " ".join(path)), path
        assert result == minidock("help", *path)


def test_short_help_flag(minidock: Minidock) -> None:
    """-h is help but for run, where it is the host name."""
    result = minidock("kill", "-h")
    assert result.status == 0
    assert result.err == "Flag shorthand -h has been deprecated, use --help\n"
    assert minidock("run", "-h").status == 125


def test_unknown_help_topic(minidock: Minidock) -> None:
    """Help for what does not exist is refused."""
    result = minidock("help", "bogus")
    assert (result.status, result.err) == (1, "unknown help topic: bogus\n")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("x"), 125),
        (SystemFailure("mount /proc", 1), 125),
        (CommandNotFound("x"), 127),
        (CommandNotExecutable("x"), 126),
        (Cancelled("x"), 130),
        (KeyboardInterrupt(), 130),
        (ValueError("bug"), 125),
    ],
)
def test_status_of_a_failed_run(
    minidock: Minidock, engine: FakeEngine, error: BaseException, status: int
) -> None:
    """What keeps run from starting the command is told apart from the command's statuses."""
    engine.containers.fails = error
    assert minidock("run", "app").status == status


def test_text_of_a_failed_run(minidock: Minidock, engine: FakeEngine) -> None:
    """A failed run is one line, a hint, and where to read on."""
    engine.containers.fails = NotFound("no such thing", hint="look elsewhere")
    assert minidock("run", "app").err == (
        "minidock: no such thing\n"
        "hint: look elsewhere\n\n"
        "Run 'minidock run --help' for more information\n"
    )


@pytest.mark.parametrize(
    ("error", "status"), [(NotFound("x"), 1), (CommandNotFound("x"), 127), (OSError(5, "e"), 1)]
)
def test_status_of_a_failed_exec(
    minidock: Minidock, engine: FakeEngine, error: BaseException, status: int
) -> None:
    """Other commands fail with 1."""
    engine.containers.fails = error
    assert minidock("exec", "web", "ls").status == status


def test_text_of_a_failure(minidock: Minidock) -> None:
    """Other failures are one line."""
    result = minidock("port", "nosuch")
    assert result == (1, "", "Error: No such container: nosuch\n")


def test_bug(minidock: Minidock, engine: FakeEngine) -> None:
    """A bug is one line, and a traceback only with --debug."""
    engine.containers.fails = ValueError("boom")
    result = minidock("exec", "web", "ls")
    assert result == (
        1,
        "",
        "minidock: internal error: ValueError: boom (run with --debug for the traceback)\n",
    )
    assert "Traceback (most recent call last)" in minidock("-D", "exec", "web", "ls").err


def test_control_characters_are_escaped(minidock: Minidock) -> None:
    """A name can't send escape sequences to the user's terminal."""
    assert minidock("wait", "a\x1b[2J").err == "Error: No such container: a\\x1b[2J\n"
    assert "\x1b" not in minidock("a\x1b[2J").err


def test_configuration_is_made_once(
    minidock: Minidock, engine: FakeEngine, tmp_path: Path
) -> None:
    """Global flags reach the configuration."""
    minidock("--root", str(tmp_path), "stop", "web", "old")
    assert [config.root for config in engine.configs] == [str(tmp_path)]


def test_bad_configuration(minidock: Minidock, tmp_path: Path) -> None:
    """A bad configuration file is the user's error, of status 125 for run."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("bogus: 1")
    result = minidock("--config", str(bad), "stop", "web")
    assert result.status == 1
    assert result.err.startswith(f"Error: configuration file {bad}: bogus: unknown key\n")
    assert minidock("--config", str(bad), "run", "app").status == 125


def test_closed_stdout() -> None:
    """A reader that goes away ends the program quietly, as SIGPIPE would."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "minidock", "--help"],
            stdout=closed,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, b"")


def test_missing_descriptors() -> None:
    """Descriptors that the caller has closed are not taken for a file that is opened later."""
    command = f"exec {sys.executable} -m minidock --help <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0


HEAVY = ["asyncio", "click", "logging", "rich", "socket", "subprocess", "urllib3", "yaml"]
RUNTIME = ["_hashlib", "typing", "ctypes", "datetime", "locale", "textwrap", "minidock.runtime"]


@pytest.mark.parametrize(
    ("words", "banned"),
    [
        (["run", "--help"], [*HEAVY, "minidock.engine.engine", "minidock.cli.container_list"]),
        (["ps", "-a"], [*HEAVY, *RUNTIME, "minidock.cli.templates"]),
        (["images"], [*HEAVY, *RUNTIME, "minidock.cli.templates"]),
        (["inspect", "nosuch"], [*HEAVY, *RUNTIME]),
    ],
)
def test_imports(words: list[str], banned: list[str], tmp_path: Path) -> None:
    """What a command does not need it does not import."""
    script = (
        "import sys; from minidock.cli.main import main; main(sys.argv[2:]);"
        "print(sys.modules.keys() & sys.argv[1].split())"
    )
    command = [sys.executable, "-c", script, " ".join(banned), "--root", str(tmp_path), *words]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout.splitlines()[-1] == b"set()"
