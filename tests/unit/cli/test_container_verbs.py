# SPDX-License-Identifier: Apache-2.0
"""The verbs on containers that exist."""

import pytest

from minidock.engine.options import CommitOptions, ExecOptions, LogOptions
from minidock.engine.views import ChangeView, LogLine, PortView
from minidock.runtime.streams import Streams
from tests.unit.cli.conftest import Minidock
from tests.unit.cli.fakes import IMAGE_ID, Call, FakeEngine


def test_several_names(minidock: Minidock, engine: FakeEngine) -> None:
    """Every name is dealt with, successes on stdout, failures on stderr."""
    result = minidock("stop", "web", "nosuch", "old")
    assert result == (1, "web\nold\n", "Error: No such container: nosuch\n")
    assert sorted(call.arguments[0] for call in engine.containers.calls) == ["old", "web"]


def test_more_names_than_are_dealt_with_at_once(minidock: Minidock, engine: FakeEngine) -> None:
    """The output is in the order of the names."""
    names = [("web", "old", "nosuch")[i % 3] for i in range(110)]
    result = minidock("kill", *names)
    assert result.out.split() == [name for name in names if name != "nosuch"]
    assert result.err.count("No such container") == names.count("nosuch")


def test_a_stop_that_warns(minidock: Minidock, engine: FakeEngine) -> None:
    """What the engine has to say is a line on stderr."""
    engine.containers.warning = "takes no notice"
    assert minidock("stop", "web") == (0, "web\n", "WARNING: takes no notice\n")


def test_failed_renames(minidock: Minidock, engine: FakeEngine) -> None:
    """The error is followed by docker's line, and empty names never come to the engine."""
    result = minidock("rename", "nosuch", "new")
    assert result == (
        1,
        "",
        "Error: No such container: nosuch\nError: failed to rename container named nosuch\n",
    )
    result = minidock("rename", "web", "")
    assert result == (1, "", "Error: Neither old nor new names may be empty\n")


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (("stop", "web"), Call("stop", ("web", None, ""))),
        (("stop", "-t0", "-s", "INT", "web"), Call("stop", ("web", 0, "INT"))),
        (("stop", "--time", "-1", "web"), Call("stop", ("web", -1, ""))),
        (("container", "stop", "web"), Call("stop", ("web", None, ""))),
        (("restart", "web", "-t=5"), Call("restart", ("web", 5, ""))),
        (("kill", "web"), Call("kill", ("web", "KILL"))),
        (("kill", "--signal=HUP", "web"), Call("kill", ("web", "HUP"))),
        (("rename", "web", "api"), Call("rename", ("web", "api"))),
    ],
)
def test_calls(
    minidock: Minidock, engine: FakeEngine, arguments: tuple[str, ...], call: Call
) -> None:
    """Flags reach the engine."""
    result = minidock(*arguments)
    assert (result.status, result.err) == (0, "")
    assert engine.containers.calls == [call]


def test_rm(minidock: Minidock) -> None:
    """A running container is removed by force only."""
    result = minidock("rm", "web", "old")
    assert (result.status, result.out) == (1, "old\n")
    assert "You cannot remove a running container" in result.err
    assert minidock("rm", "-fv", "web") == (0, "web\n", "")


def test_forced_rm_of_nothing(minidock: Minidock) -> None:
    """By force, a container that does not exist is a message but no failure."""
    assert minidock("rm", "-f", "nosuch") == (0, "", "Error: No such container: nosuch\n")
    assert minidock("rm", "nosuch").status == 1


def test_wait(minidock: Minidock) -> None:
    """One status a line."""
    assert minidock("wait", "web", "old") == (0, "3\n3\n", "")


def test_start(minidock: Minidock) -> None:
    """Started containers are echoed, the others named at the end."""
    assert minidock("start", "old") == (0, "old\n", "")
    result = minidock("start", "nosuch", "web")
    assert result == (
        1,
        "web\n",
        "Error: No such container: nosuch\nError: failed to start containers: nosuch\n",
    )


def test_attached_start(minidock: Minidock, engine: FakeEngine) -> None:
    """An attached start ends with the container's status, and has stdin if that has."""
    engine.containers.status = 4
    assert minidock("start", "-ai", "old") == (4, "", "")
    assert engine.containers.streams == Streams(None, 1, 2)
    engine.containers.config["OpenStdin"] = True
    minidock("start", "-ai", "old")
    assert engine.containers.streams == Streams(0, 1, 2)
    assert minidock("start", "-a", "old", "web") == (
        1,
        "",
        "Error: you cannot start and attach multiple containers at once\n",
    )


def test_attach(minidock: Minidock, engine: FakeEngine) -> None:
    """Attach ends with the container's status, or says that the detach keys came."""
    engine.containers.status = 9
    assert minidock("attach", "web") == (9, "", "")
    engine.containers.status = None
    assert minidock("attach", "web") == (1, "", "read escape sequence\n")
    assert minidock("attach", "old").err == (
        "Error: You cannot attach to a stopped container, start it first\n"
    )


def test_attach_to_a_terminal(minidock: Minidock, engine: FakeEngine) -> None:
    """A container's terminal needs one here, unless its stdin is left alone."""
    engine.containers.config |= {"Tty": True, "OpenStdin": True}
    assert minidock("attach", "web") == (1, "", "the input device is not a TTY\n")
    assert minidock("attach", "--no-stdin", "web").status == 0


def test_exec(minidock: Minidock, engine: FakeEngine) -> None:
    """Flags reach the engine, the command's own stay with it."""
    engine.containers.status = 5
    result = minidock("exec", "-i", "-e", "A=1", "-u", "bob", "-w", "/x", "web", "ls", "-l")
    assert result == (5, "", "")
    options = ExecOptions(("ls", "-l"), ("A=1",), "bob", "/x", interactive=True)
    assert engine.containers.calls == [Call("exec", ("web", options))]
    assert engine.containers.streams == Streams(0, 1, 2)


def test_detached_exec(minidock: Minidock, engine: FakeEngine) -> None:
    """A detached exec prints nothing and needs no terminal."""
    assert minidock("exec", "-dit", "web", "ls") == (0, "", "")
    assert engine.containers.streams == Streams(None, 1, 2, forward_signals=False)


def test_exec_with_a_terminal(minidock: Minidock) -> None:
    """A terminal with stdin needs one here."""
    assert minidock("exec", "-it", "web", "sh") == (1, "", "the input device is not a TTY\n")


def test_exec_left_by_detach_keys(minidock: Minidock, engine: FakeEngine) -> None:
    """Leaving an exec by the detach keys is told."""
    engine.containers.status = None
    assert minidock("exec", "web", "sh") == (1, "", "read escape sequence\n")


def test_logs(minidock: Minidock, engine: FakeEngine) -> None:
    """Each stream goes to its own, bytes as they are."""
    engine.containers.lines = (
        LogLine(1_600_000_000_000_000_001, "stdout", b"\x1b[1mout\n"),
        LogLine(1_600_000_000_000_000_002, "stderr", b"err"),
    )
    assert minidock("logs", "web") == (0, "\x1b[1mout\n", "err")
    assert minidock("logs", "-t", "web") == (
        0,
        "2020-09-13T12:26:40.000000001Z \x1b[1mout\n",
        "2020-09-13T12:26:40.000000002Z err",
    )
    assert minidock("logs", "--details", "web") == (0, " \x1b[1mout\n", " err")


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        ((), LogOptions()),
        (("-f", "-n", "5"), LogOptions(follow=True, tail=5)),
        (("--tail=0",), LogOptions(tail=0)),
        (("--tail", "bogus"), LogOptions()),
        (("--since", "5", "--until=6.5"), LogOptions(since=5.0, until=6.5)),
    ],
)
def test_log_options(
    minidock: Minidock, engine: FakeEngine, flags: tuple[str, ...], options: LogOptions
) -> None:
    """Flags reach the engine."""
    minidock("logs", *flags, "web")
    assert engine.containers.calls == [Call("logs", ("web", options))]


def test_bad_log_time(minidock: Minidock) -> None:
    """A time that is none is refused with docker's words."""
    assert minidock("logs", "--since", "badtime", "web").err == (
        'Error: invalid value for "since": '
        'failed to parse value as time or duration: "badtime"\n'
    )


def test_port(minidock: Minidock, engine: FakeEngine) -> None:
    """All ports, or where one is published."""
    engine.containers.ports = (
        PortView(80, "tcp", "0.0.0.0", 32769),
        PortView(80, "tcp", "::", 32769),
        PortView(53, "udp", "127.0.0.1", 53),
    )
    assert minidock("port", "web").out == (
        "80/tcp -> 0.0.0.0:32769\n80/tcp -> [::]:32769\n53/udp -> 127.0.0.1:53\n"
    )
    assert minidock("port", "web", "80").out == "0.0.0.0:32769\n[::]:32769\n"
    assert minidock("port", "web", "53/udp").out == "127.0.0.1:53\n"
    assert minidock("port", "web", "53") == (
        1,
        "",
        "Error: No public port '53' published for web\n",
    )


def test_diff(minidock: Minidock, engine: FakeEngine) -> None:
    """A kind and a path a line: a path can't make a second line."""
    engine.containers.changes = (
        ChangeView("C", "/etc"),
        ChangeView("A", "/a\x1b[2J\nb"),
        ChangeView("D", "/ü"),
    )
    assert minidock("diff", "web").out == "C /etc\nA /a\\x1b[2J\\nb\nD /ü\n"


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        ((), CommitOptions()),
        (("x:1",), CommitOptions("x:1")),
        (("-m=text", "-a=who", "x"), CommitOptions("x", "text", "who")),
        (
            ("-m", "a b", "-c", "CMD x", "-c=ENV A=1"),
            CommitOptions("", "a b", "", ("CMD x", "ENV A=1")),
        ),
        (("-p=false",), CommitOptions(pause=False)),
        (("--no-pause",), CommitOptions(pause=False)),
    ],
)
def test_commit(
    minidock: Minidock, engine: FakeEngine, flags: tuple[str, ...], options: CommitOptions
) -> None:
    """Flags reach the engine; the image's id is printed."""
    names = [flag for flag in flags if flag.startswith("x")]
    rest = [flag for flag in flags if not flag.startswith("x")]
    assert minidock("commit", *rest, "web", *names) == (0, f"{IMAGE_ID}\n", "")
    assert engine.containers.calls == [Call("commit", ("web", options))]
