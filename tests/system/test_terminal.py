# SPDX-License-Identifier: Apache-2.0
"""A person at a real terminal: run -it, exec -it, attach, and a pull to look at."""

import signal
import time

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


@pytest.mark.parametrize("start", [("run", "-it", "--rm", "base"), ("exec", "-it", "box")])
def test_the_size_is_there_from_the_start(minidock: Place, start: tuple[str, ...]):
    """The first thing that a program looks at is not a terminal without a size."""
    minidock("run", "-d", "--name", "box", "base", "sleep", "60")
    with at_terminal(minidock, *start, "stty", "size") as terminal:
        terminal.expect("30 90\r\n")
        assert terminal.ends() == 0


def test_attach_makes_the_program_repaint(minidock: Place):
    """Also the second time, when the size has not changed."""
    script = "trap 'stty size' WINCH; while :; do sleep 0.1; done"
    minidock("run", "-dit", "--name", "box", "base", "sh", "-c", script)
    for _ in range(2):
        with at_terminal(minidock, "attach", "box") as terminal:
            terminal.expect("30 90\r\n")
            terminal.type("\x10\x11")
            assert terminal.ends() == 1


def test_a_size_without_stdin(minidock: Place):
    """Run -t without -i follows the size of the terminal it is shown on; Ctrl-C is a signal."""
    script = (
        "trap 'stty size' WINCH; trap 'exit 4' INT; echo ready; while :; do sleep 0.1; done"
    )
    with at_terminal(minidock, "run", "-t", "--rm", "base", "sh", "-c", script) as terminal:
        terminal.expect("ready")
        terminal.resize(22, 44)
        terminal.expect("22 44\r")
        terminal.type("\x03")
        assert terminal.ends() == 4


def counted(minidock: Place) -> int:
    return int(minidock.result("exec", "box", "cat", "/count").out or b"0")


def test_exec_left_by_detach_keys(minidock: Place):
    """What it ran runs on: not hung up, not blocked by output, reaped when it ends."""
    minidock("run", "-d", "--name", "box", "base", "sleep", "60")
    with at_terminal(minidock, "exec", "-it", "box", "sh") as terminal:
        terminal.expect("# ")
        terminal.type(
            "i=0; while [ ! -e /stop ]; do i=$((i+1)); echo $i > /count; "
            "head -c 9999 /dev/zero; done; exit\r"
        )
        wait_for(lambda: counted(minidock) > 0, "the first turn")
        terminal.type("\x10\x11")
        terminal.expect("read escape sequence")
        assert terminal.ends() == 1
    before = counted(minidock)
    wait_for(lambda: counted(minidock) > before + 3, "more turns")
    minidock("exec", "box", "touch", "/stop")
    wait_for(lambda: minidock("exec", "box", "ps", "-o", "args").count("sh") == 0, "its end")
    minidock("stop", "-t", "0", "box")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_exec_whose_user_has_gone(minidock: Place, number: int):
    """A signal that ends exec -it gives the terminal back and leaves the command alone."""
    minidock("run", "-d", "--name", "box", "base", "sleep", "60")
    wait = "while [ ! -e /go ]; do sleep 0.1; done"
    script = f"trap 'touch /hangup' HUP; echo ready; {wait}; touch /end"
    with at_terminal(minidock, "exec", "-it", "box", "sh", "-c", script) as terminal:
        terminal.expect("ready")
        terminal.process.send_signal(number)
        assert terminal.ends() == 128 + number
    minidock("exec", "box", "touch", "/go")
    wait_for(lambda: minidock.result("exec", "box", "ls", "/end").status == 0, "its end")
    assert minidock.result("exec", "box", "ls", "/hangup").status == 1


def test_signals_to_run_reach_a_program_on_a_terminal(minidock: Place):
    """They are passed on with -t too, as docker's run does and its attach does not."""
    script = """
    trap 'echo got TERM' TERM
    trap 'echo got HUP; exit 6' HUP
    echo ready
    while :; do sleep 0.1; done"""
    with at_terminal(
        minidock, "run", "-it", "--rm", "--name", "box", "base", "sh", "-c", script
    ) as terminal:
        terminal.expect("ready")
        terminal.process.terminate()
        terminal.expect("got TERM")
        with at_terminal(minidock, "attach", "box") as second:
            minidock("exec", "box", "true")
            second.type("x")
            second.expect("x")
            second.process.terminate()
            assert second.ends() == 143
        terminal.process.send_signal(signal.SIGHUP)
        terminal.expect("got HUP")
        assert terminal.ends() == 6


def test_three_times_ctrl_c(minidock: Place):
    """Whoever insists may leave a program that takes no notice; it runs on."""
    with at_terminal(
        minidock, "run", "--name", "box", "base", "sh", "-c", "echo ready; exec sleep 60"
    ) as terminal:
        terminal.expect("ready")
        for _ in range(3):
            terminal.type("\x03")
            terminal.expect("^C")
            time.sleep(0.1)  # two at once are one signal
        terminal.expect("got 3 SIGTERM/SIGINTs, forcefully exiting")
        assert terminal.ends() == 1
    assert minidock.state("box")["Running"] is True


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


def test_a_closed_window(minidock: Place):
    """The container gets the hangup and decides; the command line stays with it."""
    script = "trap 'echo hung up; exit 9' HUP; echo ready; while :; do sleep 0.1; done"
    terminal = at_terminal(minidock, "run", "-it", "--name", "box", "base", "sh", "-c", script)
    terminal.expect("ready")
    terminal.close()
    wait_for(lambda: minidock.state("box")["Status"] == "exited", "its end")
    assert minidock.state("box")["ExitCode"] == 9
    terminal.process.wait(20)


def test_a_killed_command_line(minidock: Place):
    """Kill -9 of run -it: the container knows nothing of it and runs on."""
    with at_terminal(minidock, "run", "-it", "--name", "box", "base", "sh") as terminal:
        terminal.expect("# ")
        terminal.process.kill()
        terminal.process.wait(20)
    assert minidock.state("box")["Running"] is True
    with at_terminal(minidock, "attach", "box") as terminal:
        terminal.type("exit 3\r")
        assert terminal.ends() == 3
