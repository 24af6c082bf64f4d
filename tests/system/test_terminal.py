# SPDX-License-Identifier: Apache-2.0
"""A person at a real terminal: run -it, exec -it, attach, and a pull to look at."""

import os

import pytest

from tests.system.place import Place, wait_for
from tests.system.terminal import Terminal


def at_terminal(place: Place, *words: str) -> Terminal:
    return Terminal([*place.words, *words], place.environment, rows=30, columns=90)


def test_an_interactive_shell(minidock: Place):
    """Keys are echoed and edited, the size is the terminal's, Ctrl-C goes to the program."""
    with at_terminal(minidock, "run", "-it", "--rm", "base", "sh") as terminal:
        terminal.expect("# ")
        terminal.type("echo helXX\x7f\x7flo\r")
        terminal.expect("\nhello\r\n")
        terminal.type("stty size; tty; echo $TERM\r")
        terminal.expect("\n30 90\r\n/dev/pts/0\r\nxterm\r\n")
        terminal.resize(41, 102)
        terminal.type("until stty size | grep '41 102'; do sleep 0.1; done\r")
        terminal.expect("\n41 102\r\n")
        terminal.type("sh -c 'echo now; exec sleep 60'\r")
        terminal.expect("\nnow\r\n")  # it has the terminal
        terminal.type("\x03")
        terminal.expect("^C")
        terminal.type("echo $?; exit 5\r")
        terminal.expect("\n130\r\n")
        assert terminal.ends() == 5
    assert minidock("ps", "-aq") == ""


def test_an_interactive_exec(minidock: Place):
    """Exec -it is a terminal of its own in a container that has none."""
    minidock("run", "-d", "--name", "box", "base", "sleep", "60")
    with at_terminal(minidock, "exec", "-it", "box", "sh") as terminal:
        terminal.expect("# ")
        terminal.type("stty size; tty\r")
        terminal.expect("\n30 90\r\n/dev/pts/0\r\n")
        terminal.resize(20, 70)
        terminal.type("until stty size | grep '20 70'; do sleep 0.1; done\r")
        terminal.expect("\n20 70\r\n")
        terminal.expect("# ")
        terminal.type("\x04")  # the end of the input
        assert terminal.ends() == 0
    assert minidock.state("box")["Running"] is True


def test_detach_and_attach_again(minidock: Place):
    """Ctrl-P Ctrl-Q leaves the container running; attach takes it up again."""
    with at_terminal(minidock, "run", "-it", "--name", "box", "base", "sh") as terminal:
        terminal.expect("# ")
        terminal.type("word=kept\r")
        terminal.expect("# ")
        terminal.type("\x10\x11")
        assert terminal.ends() == 0
    assert minidock.state("box")["Running"] is True
    with at_terminal(minidock, "attach", "box") as terminal:
        terminal.type("echo it is $word\r")
        terminal.expect("\nit is kept\r\n")
        terminal.type("\x10\x11")
        terminal.expect("read escape sequence")
        assert terminal.ends() == 1
    with at_terminal(minidock, "attach", "--detach-keys", "ctrl-x", "box") as terminal:
        terminal.type("exit 3\r")
        assert terminal.ends() == 3
    assert minidock("wait", "box") == "3\n"


def test_the_terminal_is_restored_after_sigterm(minidock: Place):
    """SIGTERM to the command line ends a session without leaving the terminal raw."""
    with at_terminal(minidock, "run", "-it", "--name", "box", "base", "sh") as terminal:
        terminal.expect("# ")
        terminal.process.terminate()
        terminal.ends()


def test_ctrl_c_without_a_terminal_in_the_container(minidock: Place):
    """Ctrl-C in `run` without -t is a signal, passed on to the container."""
    script = "trap 'echo interrupted; exit 4' INT; echo ready; while :; do sleep 0.1; done"
    with at_terminal(minidock, "run", "--rm", "base", "sh", "-c", script) as terminal:
        terminal.expect("ready")
        terminal.type("\x03")
        terminal.expect("interrupted")
        assert terminal.ends() == 4


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_a_terminal_is_needed_for_t(minidock: Place, verb: str):
    """-it without a terminal is refused with docker's words."""
    minidock("run", "-d", "--name", "box", "base", "sleep", "60")
    target = "base" if verb == "run" else "box"
    assert minidock.refused(1, verb, "-it", target, "sh") == "the input device is not a TTY\n"
    assert minidock("ps", "-aq").count("\n") == 1


def test_a_tty_without_stdin(minidock: Place):
    """Run -t alone works in a script: the output is a terminal's."""
    assert minidock("run", "--rm", "-t", "base", "sh", "-c", "tty; echo e >&2") == (
        "/dev/pts/0\r\ne\r\n"
    )


def test_a_pull_to_look_at(minidock: Place):
    """On a terminal a pull draws its progress and ends with docker's last lines."""
    minidock("rmi", "tomcat:9.0")
    with at_terminal(minidock, "pull", "tomcat:9.0") as terminal:
        shown = terminal.expect("docker.io/library/tomcat:9.0\r\n")
        assert terminal.ends() == 0
    assert "Pull complete" in shown
    assert "Status: Downloaded newer image for tomcat:9.0\r\n" in shown


def test_a_hangup_leaves_the_container(minidock: Place):
    """When the terminal's window is closed the container runs on."""
    terminal = at_terminal(minidock, "run", "-it", "--name", "box", "base", "sh")
    with terminal:
        terminal.expect("# ")
        os.kill(terminal.process.pid, 1)
        terminal.process.wait(20)
    wait_for(lambda: minidock.state("box")["Status"] in ("running", "exited"), "a known state")
