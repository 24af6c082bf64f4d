# SPDX-License-Identifier: Apache-2.0
"""``--init``: a first process that reaps and passes signals on."""

import pytest

from tests.system.place import Place, wait_for
from tests.system.terminal import Terminal

ORPHANS = "i=0; while [ $i -lt 50 ]; do (sleep 0.01 &); i=$((i+1)); done; sleep 0.3"
COUNT_ZOMBIES = "cat /proc/[0-9]*/status | grep -c 'State:.Z'"
LOOP = "while :; do sleep 0.01; done"


@pytest.mark.parametrize(("flags", "left"), [((), "50"), (("--init",), "0")])
def test_orphans_are_reaped(minidock: Place, flags: tuple[str, ...], left: str):
    """Fifty processes whose parent has gone stay as zombies without it, and with it do not."""
    minidock("run", "-d", "--name", "box", *flags, "base", "sleep", "60")
    minidock("exec", "box", "sh", "-c", ORPHANS)
    counted = minidock.result("exec", "box", "sh", "-c", COUNT_ZOMBIES)
    assert counted.text.strip() == left


@pytest.mark.parametrize("status", [0, 1, 42, 126, 255])
def test_the_status_is_the_commands(minidock: Place, status: int):
    """The exit status goes through."""
    result = minidock.result("run", "--rm", "--init", "base", "sh", "-c", f"exit {status}")
    assert result == (status, b"", b"")


def test_a_killed_command_has_128_and_the_signal(minidock: Place):
    """Which process 1 alone could not have: the kernel lets it not be killed from inside."""
    assert (
        minidock.result("run", "--rm", "--init", "base", "sh", "-c", "kill -9 $$").status == 137
    )
    assert minidock.result("run", "--rm", "--init", "base", "sh", "-c", "kill $$").status == 143


@pytest.mark.parametrize(("command", "status"), [("nosuch", 127), ("/etc/passwd", 126)])
def test_a_missing_command_is_told_as_always(minidock: Place, command: str, status: int):
    """What can't be executed has the same message and status as without it."""
    results = {
        minidock.result("run", "--rm", *flags, "base", command) for flags in ((), ("--init",))
    }
    assert [result.status for result in results] == [status]


def test_stop_reaches_a_command_without_a_handler(minidock: Place):
    """As process 1 sleep would not even be told; as a child it ends of SIGTERM at once."""
    minidock("run", "-d", "--name", "box", "--init", "base", "sleep", "60")
    minidock("stop", "box")
    assert minidock.state("box")["ExitCode"] == 143


def test_signals_reach_the_handlers(minidock: Place):
    """Sent from outside, or to process 1 from inside."""
    script = f"trap 'echo one' USR1; trap 'echo two; exit 5' USR2; echo ready; {LOOP}"
    minidock("run", "-d", "--name", "box", "--init", "base", "sh", "-c", script)
    minidock.await_log("box", "ready")
    minidock("kill", "-s", "USR1", "box")
    minidock.await_log("box", "one")
    minidock.result("exec", "box", "kill", "-USR2", "1")  # it may end with the container
    assert minidock("wait", "box") == "5\n"
    assert minidock("logs", "box") == "ready\none\ntwo\n"


def test_it_is_seen_and_not_to_be_written(minidock: Place):
    """It is process 1, called init; its program can't be changed (CVE-2019-5736)."""
    script = "tr '\\0' ' ' </proc/1/cmdline; echo; cat /proc/1/comm; echo x >/proc/1/exe"
    result = minidock.result("run", "--rm", "--init", "base", "sh", "-c", script)
    assert result.out.startswith(b"init -- sh -c ")
    assert result.out.endswith(b"\ninit\n")
    assert b"Text file busy" in result.err
    assert result.status == 1


def test_on_a_terminal_the_command_is_in_the_foreground(minidock: Place):
    """Ctrl-C reaches it, and not process 1."""
    script = f"trap 'echo caught; exit 6' INT; echo ready; {LOOP}"
    words = [*minidock.words, "run", "--rm", "-it", "--init", "base", "sh", "-c", script]
    with Terminal(words, minidock.environment, 24, 80) as terminal:
        terminal.expect("ready")
        terminal.type("\x03")
        terminal.expect("caught")
        assert terminal.ends() == 6


def test_an_interactive_shell_has_job_control(minidock: Place):
    """It finds itself in the foreground of its terminal."""
    words = [*minidock.words, "run", "--rm", "-it", "--init", "base", "sh"]
    with Terminal(words, minidock.environment, 24, 80) as terminal:
        assert "job control" not in terminal.expect("# ")
        terminal.type("exit 7\r")
        assert terminal.ends() == 7


def test_it_ends_with_the_command_whatever_else_runs(minidock: Place):
    """What the command left behind is ended by the kernel, not waited for."""
    script = "sleep 60 & exit 3"
    minidock("run", "-d", "--name", "box", "--init", "base", "sh", "-c", script)
    wait_for(lambda: minidock.state("box")["Status"] == "exited", "the end")
    assert minidock.state("box")["ExitCode"] == 3
    assert minidock.inspect("box")["HostConfig"]["Init"] is True
