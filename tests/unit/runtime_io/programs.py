# SPDX-License-Identifier: Apache-2.0
"""Programs of the host that stand for containers: same attributes, no namespaces."""

import contextlib
import fcntl
import json
import os
import pty
import signal
import termios
from collections.abc import Iterator
from typing import NamedTuple

from minidock.errors import CommandNotFound, MinidockError
from minidock.runtime.channel import Connection
from minidock.runtime.console import Started, Stdio
from minidock.runtime.hooks import Hooks, Outcome
from minidock.runtime.monitor_lock import is_held
from minidock.runtime.monitor_plan import STARTING, Call, MonitorPlan
from minidock.runtime.seed import Spawned, plant


class Program:
    """A child that waits for `start`, then executes `arguments`; with no `stdio` on a pty."""

    def __init__(self, arguments: tuple[str, ...], stdio: Stdio | None) -> None:
        self.console, slave = pty.openpty() if stdio is None else (-1, -1)
        gate, self._gate = os.pipe2(os.O_CLOEXEC)
        self._failure, failure = os.pipe2(os.O_CLOEXEC)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._gate)
                _become(gate, stdio or Stdio(slave, slave, slave), stdio is None)
                os.execv(arguments[0], arguments)
            except OSError as e:
                os.write(failure, os.strerror(e.errno).encode())
            finally:
                os._exit(127)
        for fd in (gate, failure, slave):
            if fd >= 0:
                os.close(fd)
        self.pidfd = os.pidfd_open(self.pid)

    def start(self) -> None:
        os.write(self._gate, b"x")
        os.close(self._gate)
        if why := os.read(self._failure, 100):
            raise CommandNotFound(why.decode(), hint="try another")
        os.close(self._failure)

    def kill(self) -> None:
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def wait(self) -> int:
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return code if code >= 0 else 128 - code


def _become(gate: int, stdio: Stdio, terminal: bool) -> None:
    os.setsid()
    for number, fd in enumerate(stdio):
        os.dup2(fd, number)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the one that listed
                os.set_inheritable(int(name), False)
    if terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if not os.read(gate, 1):
        os._exit(1)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


class Recorder:
    """Hooks that write what happened to files in `directory`."""

    def __init__(
        self,
        directory: str,
        *arguments: str,
        fail: dict[str, BaseException] | None = None,
        warnings: tuple[str, ...] = (),
        pauses: tuple[float, ...] = (),
    ) -> None:
        self._directory = directory
        self._arguments = arguments
        self._pauses = pauses
        self._fail = fail or {}
        self._warnings = warnings

    def create(self, stdio: Stdio | None) -> Started:
        self._step("create")
        return Program(self._arguments, stdio)

    def attach(self, started: Started) -> None:
        self._step("attach")

    def started(self, started: Started) -> Outcome:
        self._step("started", str(started.pid))
        self._step("monitor", str(os.getpid()))
        return Outcome(warnings=self._warnings)

    def failed(self, error: MinidockError) -> None:
        self._step("failed", f"{type(error).__name__} {error}")

    def exited(self, status: int) -> float | None:
        self._step("exited", str(status))
        path = os.path.join(self._directory, "pauses")  # the small monitor has new hooks
        taken = os.path.getsize(path) if os.path.exists(path) else 0
        if taken >= len(self._pauses):
            return None
        with open(path, "a") as file:
            file.write("x")
        return self._pauses[taken]

    @contextlib.contextmanager
    def again(self) -> Iterator[bool]:
        yield not os.path.exists(os.path.join(self._directory, "stopped"))

    def _step(self, name: str, text: str = "") -> None:
        with open(os.path.join(self._directory, name), "w") as file:
            file.write(text)
        if error := self._fail.get(name):
            raise error


def revive(text: str) -> Recorder:
    """Return the hooks that a small monitor has."""
    directory, arguments, pauses = json.loads(text)
    return Recorder(directory, *arguments, pauses=tuple(pauses))


def check(text: str) -> None:
    """Be a health check: write a line to a file, and say that the container is starting."""
    with open(text, "a") as file:
        file.write("checked\n")
    os._exit(STARTING)


def spawn(plan: MonitorPlan, hooks: Hooks, *, attach: bool) -> Spawned:
    """Start a program with a monitor of its own, which calls `hooks`."""
    return plant(lambda: lambda _: hooks).grow(plan, attach=attach)


class Box(NamedTuple):
    """A state directory, as the engine keeps one for each container."""

    directory: str

    @property
    def log(self) -> str:
        return os.path.join(self.directory, "log.json")

    def recorded(self, name: str) -> str | None:
        try:
            with open(os.path.join(self.directory, name)) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def run(self, plan: MonitorPlan, *arguments: str) -> Connection:
        connection, _ = spawn(plan, Recorder(self.directory, *arguments), attach=True)
        assert connection is not None
        return connection

    def start(self, plan: MonitorPlan, *arguments: str) -> None:
        hooks = Recorder(self.directory, *arguments)
        assert spawn(plan, hooks, attach=False).connection is None

    def run_small(
        self, plan: MonitorPlan, *arguments: str, pauses: tuple[float, ...] = ()
    ) -> Connection:
        """Start a program whose monitor becomes small as soon as it can."""
        text = json.dumps((self.directory, arguments, pauses))
        plan = plan._replace(revive=Call(__name__, "revive", text), settling=0.0)
        hooks = Recorder(self.directory, *arguments, pauses=pauses)
        connection, _ = spawn(plan, hooks, attach=True)
        assert connection is not None
        return connection

    @property
    def monitor(self) -> int:
        """The pid of the monitor."""
        return int(self.recorded("monitor") or "0")

    def is_small(self) -> bool:
        """Tell whether the monitor has become small, and is at work again."""
        with open(f"/proc/{self.monitor}/cmdline") as file:
            if "minidock.runtime.slim" not in file.read():
                return False
        with open(f"/proc/{self.monitor}/comm") as file:
            return file.read() == "minidock-mon\n"

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(int(self.recorded("started") or "0"), number)

    def is_alive(self) -> bool:
        return is_held(self.directory)
