# SPDX-License-Identifier: Apache-2.0
"""Stop, kill, wait, restart, rename and rm, as scripts use them."""

import time
from pathlib import Path

import pytest

from tests.system.place import Place, lives, wait_for

LOOP = "while :; do sleep 0.1; done"
DEAF = f"trap '' TERM; echo ready; {LOOP}"
POLITE = f"trap 'echo bye; exit 7' TERM; echo ready; {LOOP}"


def started(place: Place, name: str, script: str, *flags: str) -> None:
    """Run a shell script that says when it is ready."""
    place("run", "-d", "--network", "none", "--name", name, *flags, "base", "sh", "-c", script)
    place.await_log(name, "ready")


def test_stop_lets_a_program_end(minidock: Place):
    """The status is the program's own; a container that has stopped is stopped again."""
    started(minidock, "box", POLITE)
    assert minidock("stop", "box") == "box\n"
    assert minidock.state("box")["ExitCode"] == 7
    assert minidock("stop", "box") == "box\n"
    assert minidock("logs", "box") == "ready\nbye\n"


def test_stop_kills_after_its_time(minidock: Place):
    """A program that ignores the signal is waited for as long as -t says, then killed."""
    started(minidock, "box", DEAF)
    assert minidock("stop", "-t", "1", "box") == "box\n"
    assert minidock.state("box")["ExitCode"] == 137


def test_stop_of_several_at_once(minidock: Place, tmp_path: Path):
    """All get the signal before any has ended; they are told in the order of the names."""
    names = [f"box{i}" for i in range(4)]
    everyone = " ".join(f"/shared/{name}" for name in names)
    script = (
        f"trap 'touch /shared/$0; until ls {everyone}; do sleep 0.05; done; exit 7' TERM; "
        f"echo ready; {LOOP}"
    )
    for name in names:
        minidock(
            "run", "-d", "--network", "none", "--name", name, "-v", f"{tmp_path}:/shared",
            "base", "sh", "-c", script, name,
        )  # fmt: skip
        minidock.await_log(name, "ready")
    result = minidock.result("stop", *names, "nosuch")
    assert (result.status, result.text.split()) == (1, names)
    assert result.errors.startswith("Error: No such container: nosuch\n")
    assert {minidock.state(name)["ExitCode"] for name in names} == {7}


def test_stop_does_not_wait_for_a_deaf_process_1(minidock: Place):
    """The kernel drops what a namespace's init has no handler for: a line says so."""
    minidock("run", "-d", "--network", "none", "--name", "box", "base", "sleep", "600")
    assert minidock.result("stop", "box") == (
        0,
        b"box\n",
        b"WARNING: box: process 1 has no handler for SIGTERM, so it gets none: "
        b"killed at once\n",
    )
    assert minidock.state("box")["ExitCode"] == 137


def test_stop_gives_a_program_time_to_start(minidock: Place):
    """A signal is not sent before there is a handler for it, in the first moments."""
    script = f"sleep 0.7; {POLITE}"
    minidock("run", "-d", "--network", "none", "--name", "box", "base", "sh", "-c", script)
    assert minidock("stop", "box") == "box\n"
    assert minidock.state("box")["ExitCode"] == 7


@pytest.mark.parametrize("where", ["flag", "container"])
def test_the_stop_signal(minidock: Place, where: str):
    """It comes from -s, or is the container's."""
    script = f"trap 'exit 9' USR2; echo ready; {LOOP}"
    flags = ("--stop-signal", "SIGUSR2") if where == "container" else ()
    started(minidock, "box", script, *flags)
    assert minidock("stop", *(("-s", "USR2") if where == "flag" else ()), "box") == "box\n"
    assert minidock.state("box")["ExitCode"] == 9


def test_kill_reaches_a_program_and_knows_its_limits(minidock: Place):
    """Names, numbers, and docker's words for what can't be."""
    names = ("HUP", "USR1", "WINCH", "ALRM")
    traps = "; ".join(f"trap 'echo {name}' {name}" for name in names)
    started(minidock, "box", f"{traps}; echo ready; {LOOP}")
    for signal in ("HUP", "SIGUSR1", "winch", "14"):
        assert minidock("kill", "-s", signal, "box") == "box\n"
        time.sleep(0.2)  # so that they come in this order
    minidock.await_log("box", "ALRM")
    assert minidock("logs", "box").split() == ["ready", *names]
    for signal in ("BOGUS", "0", "65", "SIG9"):
        err = minidock.refused(1, "kill", "-s", signal, "box")
        assert err == f"Error: Invalid signal: {signal}\n"
    minidock("kill", "box")
    err = minidock.refused(1, "kill", "box")
    assert err.startswith("Error: Cannot kill container: box: Container ")
    assert err.endswith(" is not running\n")
    err = minidock.refused(1, "kill", "nosuch")
    assert err.startswith("Error: Cannot kill container: nosuch: No such container: nosuch\n")


def test_wait(minidock: Place):
    """One status a line in the order of the names, for the dead, the living and the gone."""
    run = ("run", "-d", "--network", "none", "--name")
    minidock(*run, "box", "base", "sh", "-c", "sleep 0.5; exit 5")
    minidock(*run, "gone", "--rm", "base", "sh", "-c", "sleep 1; exit 6")
    minidock(*run, "dead", "base", "sh", "-c", "exit 3")
    with minidock.background("wait", "gone") as waiting:
        result = minidock.result("wait", "box", "nosuch", "dead")
        assert (result.status, result.text) == (1, "5\n3\n")
        assert waiting.communicate(timeout=20) == (b"6\n", b"")
    minidock(*run, "killed", "base", "sleep", "60")
    with minidock.background("wait", "killed") as waiting:
        time.sleep(0.5)
        minidock("rm", "-f", "killed")
        assert waiting.communicate(timeout=20) == (b"137\n", b"")


def test_restart(minidock: Place):
    """The log goes on; what is stopped is started."""
    started(minidock, "box", POLITE)
    assert minidock("restart", "box") == "box\n"
    wait_for(lambda: minidock("logs", "box").count("ready") == 2, "the second start")
    assert minidock("logs", "box") == "ready\nbye\nready\n"
    minidock("stop", "box")
    assert minidock("restart", "box") == "box\n"
    assert minidock.state("box")["Running"] is True


def test_restart_keeps_what_would_be_removed(minidock: Place):
    """A container with --rm survives a restart, and goes with the end after that."""
    started(minidock, "box", POLITE, "--rm")
    pid = minidock.state("box")["Pid"]
    assert minidock("restart", "box") == "box\n"
    assert not lives(pid)
    assert minidock.state("box")["Running"] is True
    wait_for(lambda: minidock("logs", "box").count("ready") == 2, "the second start")
    assert minidock("stop", "box") == "box\n"
    wait_for(lambda: minidock("ps", "-aq") == "", "its removal")


def test_rename(minidock: Place):
    """The new name is the container's at once; names that can't be are refused."""
    started(minidock, "box", POLITE)
    assert minidock("rename", "box", "other") == ""
    assert minidock("exec", "other", "echo", "here") == "here\n"
    assert minidock("ps", "--format", "{{.Names}}") == "other\n"
    last = "Error: failed to rename container named {}\n"
    assert minidock.refused(1, "rename", "box", "new").endswith(last.format("box"))
    assert minidock.refused(1, "rename", "other", "other") == (
        "Error: Renaming a container with the same name as its current name\n"
        + last.format("other")
    )


def test_exit_statuses(minidock: Place):
    """They come through as they are; of a program that a signal has ended it is 128 more."""
    started(minidock, "box", DEAF)
    for status in (0, 1, 2, 125, 126, 127, 128, 137, 254, 255):
        result = minidock.result("exec", "box", "sh", "-c", f"exit {status}")
        assert result == (status, b"", b"")
    run = ("run", "--rm", "--network=none", "base", "sh", "-c")
    for status in (1, 125, 255):
        assert minidock.result(*run, f"exit {status}") == (status, b"", b"")
    for number in (1, 2, 6, 9, 11, 15, 34, 64):
        script = f"kill -{number} $$"
        assert minidock.result("exec", "box", "sh", "-c", script) == (128 + number, b"", b"")
