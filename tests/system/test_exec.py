# SPDX-License-Identifier: Apache-2.0
"""Exec in all its ways: where and as whom it runs, how it ends, and what it outlives."""

import os
import signal
import subprocess
import time

import pytest

from tests.system.place import PATIENCE, Place, wait_for

LINES = "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nHOSTNAME=named\n"


@pytest.fixture
def box(minidock: Place) -> str:
    """A container to run commands in."""
    minidock(
        "run", "-d", "--network", "none", "--name", "box", "-h", "named", "-e", "A=1",
        "-w", "/home/bob", "base", "sleep", "600",
    )  # fmt: skip
    return "box"


@pytest.mark.parametrize(
    ("flags", "more"),
    [
        ((), "A=1\nHOME=/root\n"),
        (("-e", "A=2", "-e", "B="), "A=2\nB=\nHOME=/root\n"),
        (("-e", "SHELL_HAS", "-e", "SHELL_HAS_NOT"), "A=1\nSHELL_HAS=it\nHOME=/root\n"),
        (("--env-file", "env"), "A=file\nF=file\nHOME=/root\n"),
        (("--env-file", "env", "-e", "F=flag"), "A=file\nF=flag\nHOME=/root\n"),
        (("-u", "bob"), "A=1\nHOME=/home/bob\n"),
        (("-u", "12345"), "A=1\nHOME=/\n"),
        (("-u", "bob", "-e", "HOME=/x"), "A=1\nHOME=/x\n"),
    ],
)
def test_the_environment(minidock: Place, box: str, flags: tuple[str, ...], more: str):
    """The container's, the flags', and HOME, in docker's order."""
    with open(os.path.join(minidock.directory, "env"), "w") as file:
        file.write("A=file\nF=file\n")
    result = minidock.result("exec", *flags, box, "env", SHELL_HAS="it")
    assert (result.status, result.text, result.errors) == (0, LINES + more, "")


def test_a_terminal_has_its_type(minidock: Place, box: str):
    """TERM is there with -t only."""
    text = minidock("exec", "-t", box, "env").replace("\r", "")
    assert text == f"{LINES}TERM=xterm\nA=1\nHOME=/root\n"


def test_the_directory(minidock: Place, box: str):
    """The container's, or that of -w, which has to be there and absolute."""
    assert minidock("exec", box, "pwd") == "/home/bob\n"
    assert minidock("exec", "-w", "/tmp/../etc", box, "pwd") == "/etc\n"
    assert "no such file or directory" in minidock.refused(126, "exec", "-w", "/no", box, "pwd")
    err = minidock.refused(126, "exec", "-w", "tmp", box, "pwd")
    assert err == "Error: Cwd must be an absolute path\n"


@pytest.mark.parametrize("more", [(), ("-t",), ("-d",)])
def test_what_can_not_be_run(minidock: Place, box: str, more: tuple[str, ...]):
    """The statuses are docker's, with a terminal and detached too."""
    minidock.refused(127, "exec", *more, box, "nosuch")
    minidock.refused(126, "exec", *more, box, "/etc/not-a-program")
    err = minidock.refused(126, "exec", *more, "-u", "nosuch", box, "true")
    assert err == "Error: unable to find user nosuch: no matching entries in passwd file\n"
    err = minidock.refused(126, "exec", *more, "-u", "bob:nosuch", box, "true")
    assert err == "Error: unable to find group nosuch: no matching entries in group file\n"


def test_privileges(minidock: Place, box: str):
    """--privileged gives all capabilities and takes the filter away, for this command."""
    show = ("grep", "-E", "CapBnd|Seccomp:", "/proc/self/status")
    plain = minidock("exec", box, *show)
    assert plain == "CapBnd:\t00000000a80425fb\nSeccomp:\t2\n"
    more = minidock("exec", "--privileged", box, *show)
    assert int(more.split()[1], 16) > 0xA80425FB
    assert more.endswith("Seccomp:\t0\n")
    assert minidock("exec", box, *show) == plain


def test_where_nothing_runs(minidock: Place):
    """A container that is not there, not started, paused or ended."""
    minidock("create", "--name", "new", "base", "true")
    minidock("run", "--name", "old", "--network", "none", "base", "true")
    minidock("run", "-d", "--name", "held", "--network", "none", "base", "sleep", "60")
    minidock("pause", "held")
    assert "No such container: nosuch" in minidock.refused(1, "exec", "nosuch", "true")
    for name in ("new", "old"):
        assert minidock.refused(1, "exec", name, "true").endswith(" is not running\n")
    assert minidock.refused(1, "exec", "held", "true") == (
        "Error: Container held is paused, unpause the container before exec\n"
    )


def test_many_at_once(minidock: Place, box: str):
    """Each has its own streams and status."""
    words = [*minidock.words, "exec", "-i", box, "sh", "-c"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    commands = [
        subprocess.Popen([*words, f"cat; exit {i}"], env=minidock.environment, **pipes)
        for i in range(25)
    ]
    for number, command in enumerate(commands):
        text = b"%d\n" % number
        assert command.communicate(text, timeout=60) == (text, b"")
        assert command.returncode == number


def test_a_command_that_ends_before_its_children(minidock: Place, box: str):
    """Exec ends with its command, also when something in the background has its output."""
    assert minidock("exec", box, "sh", "-c", "sleep 600 & echo started") == "started\n"


def test_detached(minidock: Place, box: str):
    """Exec -d returns at once; the command runs on, has no streams, and is reaped."""
    script = "while [ ! -e /go ]; do sleep 0.1; done; echo x; touch"
    of_pipe, of_terminal = f"cat > /in; {script} /end1", f"tty > /tty; {script} /end2"
    assert minidock("exec", "-di", box, "sh", "-c", of_pipe, stdin=b"unread") == ""
    assert minidock("exec", "-dt", box, "sh", "-c", of_terminal) == ""
    minidock("exec", box, "touch", "/go")
    wait_for(lambda: minidock("exec", box, "ps", "-o", "args").count("sh -c") == 0, "the ends")
    assert minidock("exec", box, "cat", "/in", "/end1", "/end2", "/tty") == "/dev/pts/0\n"
    assert minidock("kill", box) == f"{box}\n"


@pytest.mark.parametrize("flags", [(), ("-i",), ("-t",)])
def test_the_container_ends_first(minidock: Place, box: str, flags: tuple[str, ...]):
    """A command that runs is killed with its container: 137, and nothing is left."""
    with minidock.background("exec", *flags, box, "sh", "-c", "echo in; sleep 60") as command:
        assert command.stdout.readline().rstrip() == b"in"
        assert minidock("rm", "-f", box) == f"{box}\n"
        assert command.wait(PATIENCE) == 137
    minidock.assert_clean()


@pytest.mark.parametrize("flags", [(), ("-t",)])
def test_while_the_container_ends(minidock: Place, flags: tuple[str, ...]):
    """Whenever a command comes it runs, is killed, or is told that nothing runs any more."""
    minidock("run", "-d", "--network", "none", "--name", "box", "base", "sleep", "0.8")
    words = [*minidock.words, "exec", *flags, "box", "echo", "in"]
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    commands = []
    for _ in range(20):
        commands.append(subprocess.Popen(words, env=minidock.environment, **pipes))
        time.sleep(0.07)
    for command in commands:
        out, err = command.communicate(timeout=PATIENCE)
        if command.returncode == 1:
            assert err.startswith(b"Error: Container ")
            assert err.endswith(b" is not running\n")
        else:
            assert (command.returncode, out.rstrip(), err) in ((0, b"in", b""), (137, b"", b""))
    assert minidock.state("box")["ExitCode"] == 0


def test_signals_end_the_command(minidock: Place, box: str):
    """Without a terminal a signal to exec is the command's, each of them once."""
    script = 'for s in INT HUP TERM USR1; do trap "echo $s" $s; done; echo in; '
    loop = "while [ ! -e /go ]; do sleep 0.1; done; exit 5"
    with minidock.background("exec", box, "sh", "-c", script + loop) as command:
        assert command.stdout.readline() == b"in\n"
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1):
            command.send_signal(number)
            time.sleep(0.3)
        minidock("exec", box, "touch", "/go")
        assert command.communicate(timeout=PATIENCE) == (b"INT\nHUP\nTERM\nUSR1\n", b"")
        assert command.returncode == 5


def test_nobody_reads(minidock: Place, box: str):
    """``exec box yes | head -1`` ends, and so does yes."""
    with minidock.background("exec", box, "yes") as command:
        command.stdout.readline()
        command.stdout.close()
        assert command.wait(PATIENCE) == 128 + signal.SIGPIPE
        assert command.stderr.read() == b""
    wait_for(lambda: "yes" not in minidock("exec", box, "ps", "-o", "args"), "its end")
