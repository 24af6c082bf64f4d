# SPDX-License-Identifier: Apache-2.0
"""The monitor with programs of the host: start, streams, log, clients, exit."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from minidock import errors
from minidock.linux.window import WindowSize
from minidock.runtime import attach, channel, console
from minidock.runtime.attach import MonitorLost, NotAttachable, OutputLost, relay
from minidock.runtime.log_writer import LogFile
from minidock.runtime.logs import read
from minidock.runtime.monitor_plan import SOCKET, MonitorPlan
from minidock.runtime.streams import Streams
from tests.integration.clients import LEFT, Capture, Terminal, eventually, no_kill
from tests.unit.runtime_io.programs import Box, Program, Recorder, spawn

SH = "/bin/sh"


def test_streams_status_and_log(box: Box, plan: MonitorPlan) -> None:
    """Output reaches the user by stream and the log, the status comes back and is recorded."""
    with Capture() as user:
        connection = box.run(plan, SH, "-c", "echo out; echo err >&2; exit 3")
        assert relay(connection, user.streams(), no_kill) == 3
        assert user.read() == (b"out\n", b"err\n")
    assert box.recorded("exited") == "3"
    assert {(e.stream, e.data) for e in read(box.log)} == {
        ("stdout", b"out\n"),
        ("stderr", b"err\n"),
    }
    assert not os.path.exists(os.path.join(box.directory, SOCKET))
    assert not box.is_alive()


def test_output_before_exit_is_never_lost(box: Box, plan: MonitorPlan) -> None:
    """The last bytes of a program that exits at once arrive, every time."""
    for number in range(50):
        with Capture() as user:
            connection = box.run(plan, SH, "-c", f"echo {number}")
            assert relay(connection, user.streams(), no_kill) == 0
            assert user.read()[0] == f"{number}\n".encode()
    assert [e.data for e in read(box.log)] == [f"{n}\n".encode() for n in range(50)]


def test_status_of_a_killed_program(box: Box, plan: MonitorPlan) -> None:
    """A program that a signal ends has status 128 + the signal."""
    with Capture() as user:
        connection = box.run(plan, SH, "-c", "kill -9 $$")
        assert relay(connection, user.streams(), no_kill) == 137


def test_large_binary_through_cat(box: Box, plan: MonitorPlan) -> None:
    """50 MB of any bytes go in and come out equal, though nobody waits for the other."""
    data = os.urandom(1 << 20) * 50
    plan = plan._replace(open_stdin=True, stdin_once=True, log=None)
    with Capture(data) as user:
        connection = box.run(plan, "/bin/cat")
        assert relay(connection, user.streams(), no_kill) == 0
        out = user.read()[0]
    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()


def test_half_closed_stdin(box: Box, plan: MonitorPlan) -> None:
    """The end of the user's input ends the program's, whose output goes on."""
    plan = plan._replace(open_stdin=True, stdin_once=True)
    with Capture(b"b\na\n") as user:
        connection = box.run(plan, SH, "-c", "sort; echo end")
        assert relay(connection, user.streams(), no_kill) == 0
        assert user.read()[0] == b"a\nb\nend\n"


@pytest.mark.parametrize("what", ["null", "file", "closed"])
def test_kinds_of_stdin(box: Box, plan: MonitorPlan, what: str, tmp_path: Path) -> None:
    """A regular file, /dev/null and a closed descriptor all end the program's input."""
    (tmp_path / "input").write_bytes(b"from a file\n" if what == "file" else b"")
    name = os.devnull if what == "null" else str(tmp_path / "input")
    stdin = os.open(name, os.O_RDONLY)
    plan = plan._replace(open_stdin=True, stdin_once=True)
    with Capture() as user:
        connection = box.run(plan, "/bin/cat")
        if what == "closed":
            os.close(stdin)
        streams = user.streams()._replace(stdin=stdin)
        assert relay(connection, streams, no_kill) == 0
        assert user.read()[0] == (b"from a file\n" if what == "file" else b"")
    if what != "closed":
        os.close(stdin)


def test_without_stdin_the_program_reads_null(box: Box, plan: MonitorPlan) -> None:
    """A program without open stdin is at the end of its input."""
    with Capture(b"not for you") as user:
        connection = box.run(plan, "/bin/cat")
        assert relay(connection, user.streams(), no_kill) == 0
        assert user.read()[0] == b""


def test_program_that_reads_nothing(box: Box, plan: MonitorPlan) -> None:
    """Input that nobody takes neither stops the output nor the exit."""
    plan = plan._replace(open_stdin=True, stdin_once=True)
    with Capture(b"x" * 5_000_000) as user:
        connection = box.run(plan, SH, "-c", "head -c 1000000 /dev/zero; exec 0<&-; echo end")
        assert relay(connection, user.streams(), no_kill) == 0
        assert user.read()[0].endswith(b"\0end\n")


def test_caller_whose_stdout_is_closed(box: Box, plan: MonitorPlan) -> None:
    """A user who reads no more (``| head -1``) leaves; the program goes on."""
    source, sink = os.pipe()
    os.close(source)
    connection = box.run(plan, SH, "-c", "head -c 1000000 /dev/zero; exit 5")
    with pytest.raises(OutputLost, match="write /dev/stdout: broken pipe") as caught:
        relay(connection, Streams(None, sink, sink), no_kill)
    assert caught.value.closed
    os.close(sink)
    eventually(lambda: box.recorded("exited") == "5")


@pytest.mark.parametrize("step", ["create", "attach", "started"])
def test_failure_of_a_hook_is_raised_in_the_caller(
    box: Box, plan: MonitorPlan, step: str
) -> None:
    """The caller gets the error's kind, message and hint; `failed` has run by then."""
    hooks = Recorder(box.directory, SH, fail={step: errors.Forbidden("not you", hint="ask")})
    with pytest.raises(errors.Forbidden, match="not you") as caught:
        spawn(plan, hooks, attach=True)
    assert caught.value.hint == "ask"
    assert box.recorded("failed") == "Forbidden not you"
    assert box.recorded("exited") is None
    assert not box.is_alive()
    assert not os.path.exists(os.path.join(box.directory, SOCKET))


def test_failure_of_the_program(box: Box, plan: MonitorPlan) -> None:
    """A command that can't be executed is the start's own error."""
    with pytest.raises(errors.CommandNotFound) as caught:
        box.start(plan, "/does/not/exist")
    assert caught.value.hint == "try another"
    assert (box.recorded("failed") or "").startswith("CommandNotFound")


@pytest.mark.parametrize(
    ("raised", "kind"),
    [(PermissionError(1, "no"), errors.SystemFailure), (KeyError("bug"), errors.MinidockError)],
)
def test_other_exceptions_become_errors(
    box: Box, plan: MonitorPlan, raised: BaseException, kind: type[errors.MinidockError]
) -> None:
    """An OSError is a system failure; a bug is named, never a traceback."""
    with pytest.raises(kind):
        spawn(plan, Recorder(box.directory, SH, fail={"create": raised}), attach=False)


def test_death_of_the_monitor_before_its_report(box: Box, plan: MonitorPlan) -> None:
    """A monitor that is killed during the start is a system failure."""

    class Suicide(Recorder):
        def attach(self, started: console.Started) -> None:
            started.kill()
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(errors.SystemFailure, match="monitor"):
        spawn(plan, Suicide(box.directory, SH), attach=True)


def test_caller_that_leaves_cancels_the_start(box: Box, plan: MonitorPlan) -> None:
    """Nothing is executed for a caller that died during the start."""

    class Slow(Recorder):
        def attach(self, started: console.Started) -> None:
            self._step("attach")
            eventually(lambda: box.recorded("go"))

    caller = os.fork()
    if caller == 0:
        spawn(plan, Slow(box.directory, SH, "-c", "echo ran"), attach=True)
        os._exit(0)
    eventually(lambda: box.recorded("attach") is not None)
    os.kill(caller, signal.SIGKILL)
    os.waitpid(caller, 0)
    (Path(box.directory) / "go").write_text("go")
    eventually(lambda: box.recorded("failed"))
    assert (box.recorded("failed") or "").startswith("Cancelled")
    assert box.recorded("started") is None
    eventually(lambda: not box.is_alive())
    assert list(read(box.log)) == []


def test_one_monitor_at_a_time(box: Box, plan: MonitorPlan) -> None:
    """The lock is held while the container runs, and a second start is a conflict."""
    box.start(plan, "/bin/sleep", "60")
    assert box.is_alive()
    with pytest.raises(errors.Conflict, match="c0ffee is already running"):
        box.start(plan, "/bin/sleep", "60")
    assert box.recorded("failed") is None
    box.kill()
    eventually(lambda: not box.is_alive())
    assert box.recorded("exited") == "137"


def test_asking_never_disturbs_a_start(box: Box, plan: MonitorPlan) -> None:
    """Any number of others may ask whether it runs while a container starts."""
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            box.is_alive()

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        for _ in range(10):
            with Capture() as user:
                connection = box.run(plan, "/bin/true")
                assert relay(connection, user.streams(), no_kill) == 0
    finally:
        done.set()
        asker.join()


START = """
import sys
sys.path.insert(0, '.')
from tests.unit.runtime_io.programs import Box
from minidock.runtime.monitor_plan import SOCKET, MonitorPlan
Box(sys.argv[1]).start(MonitorPlan('c', sys.argv[1]), '/bin/sleep', '60')
"""


def test_caller_without_standard_descriptors(box: Box) -> None:
    """A caller that has 0, 1 and 2 closed, as some daemons do, starts a container."""
    command = [SH, "-c", 'exec "$@" <&- >&- 2>&-', SH, sys.executable, "-c", START]
    done = subprocess.run([*command, box.directory], check=False)
    assert done.returncode == 0
    assert box.is_alive()


def test_captured_output_ends_with_the_caller(box: Box) -> None:
    """``$(minidock run -d …)`` returns though the container goes on: no pipe stays open."""
    extra, kept = os.pipe()  # any descriptor of the caller's, as ``3>pipe`` in a shell
    command = [sys.executable, "-c", START + "print('started')", box.directory]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, pass_fds=[kept], check=False
    )
    os.close(kept)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"started\n", b"")
    assert os.read(extra, 1) == b""
    os.close(extra)
    assert box.is_alive()


def test_killed_caller_leaves_the_container(box: Box, plan: MonitorPlan) -> None:
    """SIGKILL of the foreground client: the program runs on and its log too."""
    go = os.path.join(box.directory, "go")
    script = f"echo before; while [ ! -e {go} ]; do sleep 0.05; done; echo after"
    client = os.fork()
    if client == 0:
        connection = box.run(plan, SH, "-c", script)
        relay(connection, Streams(None, 2, 2), no_kill)
        os._exit(0)
    eventually(lambda: list(read(box.log)))
    os.kill(client, signal.SIGKILL)
    os.waitpid(client, 0)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        os.kill(int(box.recorded("monitor") or "0"), number)
    open(go, "w").close()
    eventually(lambda: box.recorded("exited"))
    assert box.recorded("exited") == "0"
    assert [e.data for e in read(box.log)] == [b"before\n", b"after\n"]


def test_killed_caller_ends_stdin(box: Box, plan: MonitorPlan) -> None:
    """With stdin_once the program's input ends with the caller, after what was sent."""
    plan = plan._replace(open_stdin=True, stdin_once=True)
    connection = box.run(plan, "/bin/cat")
    assert connection.send(channel.STDIN, b"last words\n")
    connection.close()
    eventually(lambda: box.recorded("exited"))
    assert [e.data for e in read(box.log)] == [b"last words\n"]


def test_slow_caller_stops_the_program(box: Box, plan: MonitorPlan) -> None:
    """A foreground user who does not read holds the program back and loses nothing."""
    connection = box.run(plan, SH, "-c", "head -c 20000000 /dev/zero")
    eventually(lambda: os.path.exists(box.log) and os.path.getsize(box.log) > 100_000)
    assert box.recorded("exited") is None
    with Capture() as user:
        assert relay(connection, user.streams(), no_kill) == 0
        assert len(user.read()[0]) == 20_000_000


def test_two_attached_clients(box: Box, plan: MonitorPlan) -> None:
    """All clients get the same output and the status; input of any goes in."""
    plan = plan._replace(open_stdin=True)
    box.start(
        plan, SH, "-c", "while read line; do echo got $line; [ $line = end ] && exit 4; done"
    )
    clients = [attach.connect(box.directory) for _ in range(2)]
    assert clients[0].send(channel.STDIN, b"one\n")
    kind, payload = clients[1].receive()
    assert (kind, bytes(payload)) == (channel.STDOUT, b"got one\n")
    assert clients[1].send(channel.STDIN_CLOSE)  # without stdin_once it means nothing
    assert clients[1].send(channel.STDIN, b"end\n")
    outputs = []
    for client in clients:
        with Capture() as user:
            assert relay(client, user.streams(), no_kill) == 4
            outputs.append(user.read()[0])
    assert outputs == [b"got one\ngot end\n", b"got end\n"]


def test_attached_client_that_never_reads(box: Box, plan: MonitorPlan) -> None:
    """It is dropped when its queue is full; the program and the log go on."""
    go = os.path.join(box.directory, "go")
    script = f"while [ ! -e {go} ]; do sleep 0.02; done; head -c 5000000 /dev/zero; echo end"
    box.start(plan._replace(log=LogFile(box.log, 100_000_000)), SH, "-c", script)
    client = attach.connect(box.directory)
    open(go, "w").close()
    eventually(lambda: box.recorded("exited"))
    assert next(e.data for e in read(box.log, tail=1)).endswith(b"end\n")
    with Capture() as user, pytest.raises(MonitorLost):
        relay(client, user.streams(), no_kill)


def test_attach_to_nothing(box: Box) -> None:
    """Where no monitor listens there is nothing to attach to."""
    with pytest.raises(NotAttachable):
        attach.connect(box.directory)


def test_death_of_the_monitor_ends_the_client(box: Box, plan: MonitorPlan) -> None:
    """A client whose monitor is killed says so instead of waiting for ever."""
    connection = box.run(plan, "/bin/sleep", "60")
    os.kill(int(box.recorded("monitor") or "0"), signal.SIGKILL)
    with Capture() as user, pytest.raises(MonitorLost):
        relay(connection, user.streams(), no_kill)
    eventually(lambda: not box.is_alive())
    box.kill()


def test_signals_are_forwarded(box: Box, plan: MonitorPlan) -> None:
    """A signal to the client reaches the program through the caller's kill."""
    script = "trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.02; done"
    connection = box.run(plan, SH, "-c", script)
    eventually(lambda: list(read(box.log)))
    with Capture() as user:
        sender = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
        sender.start()
        before = signal.getsignal(signal.SIGTERM)
        assert relay(connection, user.streams(), box.kill) == 9
        assert signal.getsignal(signal.SIGTERM) is before
        assert user.read()[0] == b"ready\nterm\n"


def test_warnings_reach_the_caller(box: Box, plan: MonitorPlan) -> None:
    """What the start could not do and does not need is told to the caller."""
    hooks = Recorder(box.directory, "/bin/true", warnings=("no limit on memory",))
    assert spawn(plan, hooks, attach=False).warnings == ("no limit on memory",)


def test_error_of_exited_is_noted(box: Box, plan: MonitorPlan) -> None:
    """A clean-up that fails still lets the client have the status."""
    fail: dict[str, BaseException] = {"exited": errors.Unavailable("no network")}
    connection = spawn(
        plan, Recorder(box.directory, "/bin/true", fail=fail), attach=True
    ).connection
    assert connection is not None
    with Capture() as user:
        assert relay(connection, user.streams(), no_kill) == 0
    assert box.recorded("monitor.error") == "Unavailable: no network\n"


def test_monitor_leaves_no_zombies(box: Box, plan: MonitorPlan) -> None:
    """Orphans of the program's become the monitor's children and are reaped."""
    script = "for i in 1 2 3; do (sleep 0.05 & exec true); done; echo done; sleep 60"
    connection = box.run(plan, SH, "-c", script)
    monitor = box.recorded("monitor")

    def children() -> list[str]:
        with open(f"/proc/{monitor}/task/{monitor}/children") as file:
            return file.read().split()

    eventually(lambda: list(read(box.log)))
    eventually(lambda: children() == [box.recorded("started")])
    connection.close()


def test_terminal(box: Box, plan: MonitorPlan) -> None:
    """A user's terminal is raw while the program has it; Ctrl-C is a byte, sizes follow."""
    plan = plan._replace(terminal=True, open_stdin=True)
    script = "trap 'echo int; stty size' INT; while read x; do stty size; done; exit 6"

    def client(streams: Streams) -> int | None:
        return relay(box.run(plan, SH, "-c", script), streams, no_kill)

    user = Terminal(client)
    user.type(b"x\r")
    user.expect(b"33 101\r\n")
    assert user.is_raw()
    user.resize(40, 50)
    user.type(b"\x03")
    user.expect(b"int\r\n40 50\r\n")
    user.type(b"\x04")
    assert user.leave() == 6


def test_terminal_has_its_size_from_the_start(box: Box, plan: MonitorPlan) -> None:
    """A program without a client finds the size that the plan gives."""
    plan = plan._replace(terminal=True, size=WindowSize(11, 22))
    box.start(plan, SH, "-c", "stty size")
    eventually(lambda: box.recorded("exited"))
    assert [e.data for e in read(box.log)] == [b"11 22\r\n"]


def test_detach_and_attach(box: Box, plan: MonitorPlan) -> None:
    """The detach keys leave the program running; the next client goes on with it."""
    plan = plan._replace(terminal=True, open_stdin=True, stdin_once=True)

    def run(streams: Streams) -> int | None:
        return relay(box.run(plan, "/bin/cat"), streams, no_kill)

    def again(streams: Streams) -> int | None:
        return relay(attach.connect(box.directory), streams, no_kill)

    user = Terminal(run)
    user.type(b"one\r")
    user.expect(b"one\r\none\r\n")
    user.type(b"\x10")
    user.type(b"\x11")
    assert user.leave() == LEFT
    assert box.is_alive()
    user = Terminal(again)
    user.type(b"two\r")
    user.expect(b"two\r\ntwo\r\n")
    user.type(b"\x04")
    assert user.leave() == 0


def test_terminal_is_restored_when_the_program_is_killed(box: Box, plan: MonitorPlan) -> None:
    """However the program ends, the user's terminal is as it was."""
    plan = plan._replace(terminal=True, open_stdin=True)
    user = Terminal(lambda streams: relay(box.run(plan, "/bin/cat"), streams, no_kill))
    user.type(b"x\r")
    user.expect(b"x\r\nx\r\n")
    box.kill()
    assert user.leave() == 137


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_terminal_is_restored_when_the_client_is_killed(
    box: Box, plan: MonitorPlan, number: int
) -> None:
    """A signal that ends the client gives the terminal back first."""
    plan = plan._replace(terminal=True, open_stdin=True)

    def client(streams: Streams) -> int | None:
        connection = box.run(plan, "/bin/cat")
        return relay(connection, streams._replace(forward_signals=False), no_kill)

    user = Terminal(client)
    user.type(b"x\r")
    user.expect(b"x\r\nx\r\n")
    user.kill(number)
    assert user.leave() == 128 + number
    assert box.is_alive()


@pytest.mark.parametrize("target", ["pipe", "file", "append"])
def test_exec_pipes(target: str, tmp_path: Path) -> None:
    """Without a monitor: input, both outputs and the status pass through pipes."""
    data = os.urandom(1 << 20) * 5
    stdio, ends = console.open_pipes(open_stdin=True)
    program = Program((SH, "-c", "cat; echo err >&2; exit 8"), stdio)
    stdio.close()
    with Capture(data) as user:
        streams = user.streams()
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if target == "append" else 0)
        out = os.open(tmp_path / "out", flags)
        if target != "pipe":
            streams = streams._replace(stdout=out)
        program.start()
        assert console.relay(program, ends, streams, no_kill) == 8
        os.close(out)
        stdout, stderr = user.read()
    os.close(program.pidfd)
    assert stderr == b"err\n"
    assert (stdout if target == "pipe" else (tmp_path / "out").read_bytes()) == data


def test_exec_with_closed_stdout() -> None:
    """A user who reads no more leaves, and the program finds its output closed."""
    stdio, ends = console.open_pipes(open_stdin=False)
    program = Program((SH, "-c", "head -c 1000000 /dev/zero; exit 5"), stdio)
    stdio.close()
    source, sink = os.pipe()
    os.close(source)
    program.start()
    with pytest.raises(OutputLost):
        console.relay(program, ends, Streams(None, sink, sink), no_kill)
    assert program.wait() == 5
    os.close(sink)
    os.close(program.pidfd)
