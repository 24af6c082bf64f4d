# SPDX-License-Identifier: Apache-2.0
"""``minidock-runtime``: the operations of runtime.md on bundles, as an engine calls them."""

import array
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.place import REPOSITORY, lives

BUSYBOX = "/bin/busybox"
PATIENCE = 20
RUNTIME = (sys.executable, "-c", "from minidock.ocicli.program import run; run()")
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": REPOSITORY}

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not os.path.exists(BUSYBOX), reason="needs a static busybox"),
]


class Engine:
    """What calls the runtime: a bundle, a state root, and a log."""

    def __init__(self, directory: Path) -> None:
        self.bundle = directory / "bundle"
        self.state = directory / "state"
        self.log = directory / "log"
        root = self.bundle / "rootfs"
        for name in ("bin", "dev", "proc", "sys", "etc", "tmp"):
            (root / name).mkdir(parents=True)
        shutil.copy(BUSYBOX, root / "bin/busybox")
        for name in ("sh", "cat", "echo", "sleep", "id", "grep", "stty", "tty", "ls", "env"):
            (root / "bin" / name).symlink_to("busybox")
        self.call("spec", "--bundle", str(self.bundle))
        self.change(args=["sh", "-c", "echo hello; exit 7"], terminal=False)

    def change(self, **process: Any) -> dict[str, Any]:
        """Change members of config.json's process; return the whole."""
        config = json.loads((self.bundle / "config.json").read_text())
        config["process"].update(process)
        self.write(config)
        return config

    def write(self, config: dict[str, Any]) -> None:
        (self.bundle / "config.json").write_text(json.dumps(config))

    def result(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Call the runtime with `given` as input; return how it ended.

        Its output goes to files: containers keep it open, and nobody waits for their end.
        """
        log = ("--root", str(self.state), "--log", str(self.log), "--log-format=json")
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            status = subprocess.run(
                [*RUNTIME, *log, *words],
                input=given.encode(),
                stdout=out,
                stderr=err,
                cwd=self.bundle,
                env=ENVIRONMENT,
                timeout=PATIENCE,
                check=False,
            ).returncode
            out.seek(0)
            err.seek(0)
            done = subprocess.CompletedProcess(words, status, out.read(), err.read())
        assert "Traceback" not in done.stderr
        return done

    def call(self, *words: str, given: str = "") -> str:
        """Return the output of a call that has to succeed without a word of complaint."""
        done = self.result(*words, given=given)
        assert (done.returncode, done.stderr) == (0, ""), (words, done)
        return done.stdout

    def refused(self, *words: str) -> str:
        """Return what a call complains of that has to fail; the log has the same."""
        done = self.result(*words)
        assert (done.returncode, done.stdout) == (1, ""), (words, done)
        entry = json.loads(self.log.read_text().splitlines()[-1])
        assert entry["level"] == "error"
        assert done.stderr == f"minidock-runtime: {entry['msg']}\n"
        return entry["msg"]

    def create(self, name: str, *options: str) -> int:
        """Create a container; return its process."""
        pid = self.bundle / f"{name}.pid"
        self.call("create", "--pid-file", str(pid), *options, name)
        return int(pid.read_text())

    def status(self, name: str) -> str:
        state = json.loads(self.call("state", name))
        assert (state["id"], state["bundle"]) == (name, str(self.bundle))
        return state["status"]

    def await_status(self, name: str, status: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.status(name) != status:
            assert time.monotonic() < deadline, status
            time.sleep(0.02)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(tmp_path)
    yield engine
    for name in engine.call("list", "-q").split():
        engine.call("delete", "--force", name)
    for top in ("minidock-test", f"pytest-{os.getpid()}"):
        for directory, _, _ in os.walk("/sys/fs/cgroup"):
            if os.path.basename(directory) == top:
                with contextlib.suppress(OSError):
                    os.rmdir(directory)
    assert not engine.state.exists() or list(engine.state.iterdir()) == []


def test_life(engine: Engine):
    """Created, running, stopped, deleted; the program runs from `start` on."""
    config = engine.change(args=["sh", "-c", "echo > /started; sleep 60"])
    config["annotations"] = {"a": "b"}
    config["root"]["readonly"] = False
    engine.write(config)
    pid = engine.create("box")
    assert engine.status("box") == "created"
    assert not (engine.bundle / "rootfs/started").exists()
    engine.call("start", "box")
    assert engine.status("box") == "running"
    state = json.loads(engine.call("state", "box"))
    assert (state["pid"], state["annotations"]) == (pid, {"a": "b"})
    assert "running" in engine.call("list").splitlines()[1]
    assert "cannot delete" in engine.refused("delete", "box")
    assert "cannot start" in engine.refused("start", "box")
    engine.call("kill", "box", "KILL")
    engine.await_status("box", "stopped")
    assert (engine.bundle / "rootfs/started").exists()
    assert engine.refused("kill", "box") == "container not running"
    engine.call("delete", "box")
    assert engine.refused("state", "box") == 'container "box" does not exist'
    assert not lives(pid)


def test_run_in_the_foreground(engine: Engine):
    """The caller's streams are the program's, and its status the call's; nothing is left."""
    done = engine.result("run", "box")
    assert (done.returncode, done.stdout, done.stderr) == (7, "hello\n", "")
    assert engine.call("list", "-q") == ""


def test_input_and_signals(engine: Engine):
    """What the caller reads and is told reaches the container."""
    engine.change(args=["cat"])
    assert engine.call("run", "box", given="text\n") == "text\n"
    engine.change(args=["sh", "-c", "trap 'echo got; exit 3' TERM; echo go; sleep 9 & wait"])
    words = ["--root", str(engine.state), "run", "box"]
    with subprocess.Popen(
        [*RUNTIME, *words],
        env=ENVIRONMENT,
        cwd=engine.bundle,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"go\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b"got\n"
    assert process.returncode == 3


def receive_console(listener: socket.socket) -> int:
    """Return the descriptor that the runtime sends."""
    connection, _ = listener.accept()
    with connection:
        size = array.array("i").itemsize
        name, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(size))
        assert name
        ((_, kind, raw),) = ancillary
        assert kind == socket.SCM_RIGHTS
        return array.array("i", raw)[0]


def read_all(master: int) -> str:
    out = b""
    with contextlib.suppress(OSError):  # EIO: the other side is closed
        while part := os.read(master, 4096):
            out += part
    os.close(master)
    return out.decode()


def test_console_socket(engine: Engine):
    """The terminal's master is sent to the engine, of the size that config.json says."""
    engine.change(
        args=["sh", "-c", "tty; stty size"],
        terminal=True,
        consoleSize={"height": 33, "width": 99},
    )
    assert "--console-socket" in engine.refused("create", "box")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(engine.bundle / "console"))
        listener.listen(2)
        engine.create("box", "--console-socket", "console")
        master = receive_console(listener)
        engine.call("start", "box")
        assert read_all(master) == "/dev/pts/0\r\n33 99\r\n"
        engine.await_status("box", "stopped")


def test_exec(engine: Engine):
    """A process of the engine's making joins; its pid is told, its status is its own."""
    engine.change(args=["sleep", "60"])
    engine.create("box")
    engine.call("start", "box")
    done = engine.result(
        "exec", "--env", "A=1", "--cwd", "/tmp", "box", "sh", "-c", "env; exit 4"
    )
    assert done.returncode == 4
    assert {"A=1", "PWD=/tmp", "HOME=/"} <= set(done.stdout.split())
    process = {
        "args": ["sh", "-c", "id; grep -E 'CapEff|Seccomp:' /proc/self/status"],
        "cwd": "/",
        "user": {"uid": 5, "gid": 6, "additionalGids": [7]},
        "capabilities": {
            name: ["CAP_KILL"]
            for name in ("bounding", "effective", "permitted", "inheritable", "ambient")
        },
    }
    (engine.bundle / "process.json").write_text(json.dumps(process))
    out = engine.call("exec", "--process", "process.json", "box")
    assert "uid=5 gid=6 groups=6,7" in out or "uid=5 gid=6 groups=7" in out
    assert f"CapEff:\t{1 << 5:016x}" in out
    pid = engine.bundle / "exec.pid"
    engine.call("exec", "--detach", "--pid-file", str(pid), "box", "sleep", "60")
    assert lives(int(pid.read_text()))
    pids = json.loads(engine.call("ps", "--format", "json", "box"))
    assert int(pid.read_text()) in pids
    engine.call("kill", "--all", "box", "KILL")
    engine.await_status("box", "stopped")
    assert "cannot exec" in engine.refused("exec", "box", "true")


def test_pause(engine: Engine):
    """Paused is a status; one who is paused can be deleted by force."""
    engine.change(args=["sleep", "60"])
    pid = engine.create("box")
    engine.call("start", "box")
    engine.call("pause", "box")
    assert engine.status("box") == "paused"
    engine.call("resume", "box")
    assert engine.status("box") == "running"
    engine.call("pause", "box")
    engine.call("delete", "--force", "box")
    assert not lives(pid)
    engine.call("delete", "--force", "box")  # it is gone, and that was wanted


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["nosuch"], 'exec: "nosuch": executable file not found in $PATH'),
        (["/etc"], 'exec: "/etc": is a directory'),
        (["/nosuch/x"], 'exec: "/nosuch/x": stat /nosuch/x: no such file or directory'),
    ],
)
def test_commands_that_are_none(engine: Engine, args: list[str], text: str):
    """Create fails with the words that engines look for, and leaves nothing."""
    engine.change(args=args)
    assert engine.refused("create", "box") == text
    assert list(engine.state.iterdir()) == []


def test_program_that_the_kernel_refuses(engine: Engine):
    """What turns out at `start` is told by `start`."""
    program = engine.bundle / "rootfs/bin/broken"
    program.write_text("#!/nosuch/interpreter\n")
    program.chmod(0o755)
    engine.change(args=["/bin/broken"])
    engine.create("box")
    assert engine.refused("start", "box") == "exec /bin/broken: no such file or directory"
    engine.await_status("box", "stopped")


def test_ids(engine: Engine):
    """An id is taken once, and never leads out of the state root."""
    engine.create("box")
    assert "already exists" in engine.refused("create", "box")
    for name in ("..", ".", "a/b", "a b", ""):
        assert "invalid container id" in engine.refused("create", name)
        assert "does not exist" in engine.refused("state", name)


def test_one_who_waits(engine: Engine):
    """A container that was never started can be killed and deleted."""
    pid = engine.create("killed")
    engine.call("kill", "killed", "9")
    engine.await_status("killed", "stopped")
    assert not lives(pid)
    assert "cannot start" in engine.refused("start", "killed")
    pid = engine.create("waits")
    engine.call("delete", "waits")
    assert not lives(pid)


def test_hooks(engine: Engine):
    """Each is called at its moment with the state; one before the start can prevent it."""
    script = engine.bundle / "hook"
    script.write_text(f'#!/bin/sh\necho "$1 $A $(cat)" >> {engine.bundle}/calls\nexit $2\n')
    script.chmod(0o755)

    def hook(moment: str, status: str = "0") -> dict[str, Any]:
        return {"path": str(script), "args": ["hook", moment, status], "env": ["A=env"]}

    moments = ("prestart", "createRuntime", "poststart", "poststop")
    config = engine.change(args=["sleep", "60"])
    config["hooks"] = {moment: [hook(moment)] for moment in moments}
    engine.write(config)
    engine.create("box")
    engine.call("start", "box")
    engine.call("delete", "--force", "box")
    calls = [line.split(" ", 2) for line in (engine.bundle / "calls").read_text().splitlines()]
    assert [call[0] for call in calls] == list(moments)
    assert all(call[1] == "env" for call in calls)
    states = [json.loads(call[2]) for call in calls]
    assert all(state["id"] == "box" for state in states)
    assert [state["status"] for state in states] == ["creating"] * 2 + ["running", "stopped"]
    config["hooks"] = {"createRuntime": [hook("createRuntime", "5")]}
    engine.write(config)
    assert "createRuntime hook" in engine.refused("create", "box")
    assert list(engine.state.iterdir()) == []


def test_killed_while_creating(engine: Engine):
    """Who finds a container half made can delete it, and its process with it."""
    config = engine.change(args=["sleep", "60"])
    config["hooks"] = {"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", "kill -9 $PPID"]}]}
    engine.write(config)
    assert engine.result("create", "box").returncode == -signal.SIGKILL
    pid = json.loads(engine.call("state", "box"))["pid"]
    assert lives(pid)
    engine.call("delete", "box")
    assert not lives(pid)
    (engine.state / "box").mkdir()  # as it is for a moment before there is a process
    assert "already exists" in engine.refused("create", "box")
    engine.call("delete", "--force", "box")


def test_resources(engine: Engine):
    """Limits are in force where cgroupsPath says; the groups go with the container."""
    path = f"/pytest-{os.getpid()}/box"
    config = engine.change(args=["sleep", "60"])
    config["linux"]["cgroupsPath"] = path
    config["linux"]["resources"]["pids"] = {"limit": 11}
    engine.write(config)
    pid = engine.create("box")
    with open(f"/proc/{pid}/cgroup") as file:
        groups = dict(line.strip().split(":")[1:] for line in file)
    pids = groups.get("pids", groups.get(""))
    assert pids == path
    top = "/sys/fs/cgroup/pids" if "pids" in groups else "/sys/fs/cgroup"
    with open(f"{top}{path}/pids.max") as file:
        assert file.read() == "11\n"
    engine.call("delete", "box")
    assert not os.path.exists(f"{top}{path}")


def test_what_hides_is_filled(engine: Engine):
    """A tmpfs with tmpcopyup begins with what it hides, also a read-only one."""
    config = engine.change(args=["sh", "-c", "cat /etc/kept; ls -A /none; echo > /etc/x"])
    (engine.bundle / "rootfs/etc/kept").write_text("kept\n")
    config["mounts"] += [
        {
            "destination": place,
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["tmpcopyup", "ro"],
        }
        for place in ("/etc", "/none")
    ]
    config["root"]["readonly"] = False
    engine.write(config)
    done = engine.result("run", "box")
    assert done.stdout == "kept\n"
    assert "Read-only file system" in done.stderr


def test_host_cgroup_namespace(engine: Engine):
    """Who has no cgroup namespace sees its own groups, not the machine's."""
    config = engine.change(args=["sh", "-c", "cat /sys/fs/cgroup/*/cgroup.procs"])
    kinds = config["linux"]["namespaces"]
    config["linux"]["namespaces"] = [kind for kind in kinds if kind["type"] != "cgroup"]
    engine.write(config)
    if not os.path.exists("/sys/fs/cgroup/devices"):
        pytest.skip("version 1 only")
    out = engine.call("run", "box")
    assert set(out.split()) <= {"1", "2"}


def test_descriptions(engine: Engine, tmp_path: Path):
    """Version and features are what engines ask first; `spec` does not overwrite."""
    assert engine.call("--version").startswith("minidock-runtime version ")
    features = json.loads(engine.call("features"))
    assert features["ociVersionMax"] == "1.0.2"
    assert "network" in features["linux"]["namespaces"]
    assert "exists already" in engine.refused("spec")
    assert "no such command" in engine.refused("bogus")
    assert "flag provided but not defined" in engine.refused("create", "--bogus", "box")
    assert "--preserve-fds" in engine.refused("create", "--preserve-fds", "2", "box")
