# SPDX-License-Identifier: Apache-2.0
"""A container by another OCI runtime, such as runc or crun, behind the handle of our own.

The runtime is called by the command line that all of them have: create, start, delete. The root
is mounted at the path that config.json names in a mount namespace of the runtime's own, so that
the host's table of mounts stays as it is. When `create` has ended, the waiting process is a
child of ours: the caller has to adopt orphans (PR_SET_CHILD_SUBREAPER).
"""

import contextlib
import json
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence

from minidock.annotations import Never
from minidock.errors import (
    CommandNotExecutable,
    CommandNotFound,
    InvalidArgument,
    MinidockError,
    SystemFailure,
)
from minidock.fs import trees
from minidock.fs.atomic import make_directory, read_file
from minidock.linux import mounts, namespaces
from minidock.runtime.attach import short_path
from minidock.runtime.commands import DEFAULT_PATH
from minidock.runtime.launch import Handle
from minidock.values import NamedTuple

_CONSOLE = "console.sock"
_LOG = "log"
_PID = "pid"
_STATE = "state"
_HYBRID = "/sys/fs/cgroup/unified"
_COMMAND = re.compile(r"\bexec(utable)?\b", re.IGNORECASE)
_NOT_EXECUTABLE = ("permission denied", "operation not permitted", "is a directory")
_LAST_OF_LOG = 1 << 16


class UnknownRuntime(InvalidArgument):
    """Not the name or path of a program; the text is docker's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"unknown or invalid runtime name: {name}")


class RuntimeFailed(MinidockError):
    """The other runtime could not do it; the message is what it says."""


class OtherBundle(NamedTuple):
    """A container for another runtime: `directory` has config.json.

    `root` is the detached mount of the root, `mountpoint` where config.json says that it is.
    `scratch` is a directory of the container's for what the runtime leaves. `trees` are more
    detached mounts by where config.json has them as sources, in `scratch`.
    """

    container_id: str
    directory: str
    root: int
    mountpoint: str
    scratch: str
    terminal: bool
    trees: Mapping[str, int] = {}


def find(name: str) -> str:
    """Return the path of the runtime called `name`; raise UnknownRuntime."""
    places = [name] if "/" in name else [f"{p}/{name}" for p in DEFAULT_PATH.split(":")]
    for path in places:
        if os.path.isabs(path) and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise UnknownRuntime(name)


class OtherLaunched(Handle):
    """A process that another runtime has made; see `launch.Launched`."""

    def __init__(self, calls: "_Calls", pid: int, console: int) -> None:
        super().__init__(pid, console)
        self._calls = calls

    def start(self) -> None:
        """Let the process go on; raise CommandNotFound, CommandNotExecutable, RuntimeFailed."""
        self._calls.run("start")

    def failure(self) -> MinidockError | None:
        """Kill the process; what it had met by itself is not told."""
        self.kill()
        return None


def create(name: str, bundle: OtherBundle, stdio: tuple[int, int, int] | None) -> OtherLaunched:
    """Have runtime `name` make a container; return its process, waiting to be started.

    Raises:
        UnknownRuntime
        CommandNotFound, CommandNotExecutable: of the container's command.
        RuntimeFailed, SystemFailure: it can't be made.
    """
    trees.remove(bundle.scratch)  # the machine may have gone down under the last one
    make_directory(bundle.scratch)
    calls = _Calls(find(name), bundle.container_id, bundle.scratch, bundle.directory)
    try:
        return _create(calls, bundle, stdio)
    except OSError as e:
        raise SystemFailure.of(f"call {name}", e) from e


def _create(
    calls: "_Calls", bundle: OtherBundle, stdio: tuple[int, int, int] | None
) -> OtherLaunched:
    options = ["--bundle", bundle.directory, "--pid-file", f"{bundle.scratch}/{_PID}"]
    with contextlib.ExitStack() as stack:
        if bundle.terminal:
            listener = stack.enter_context(_listen(bundle.scratch))
            # From the bundle, where calls are made: an absolute path may be too long, unix(7).
            place = os.path.relpath(bundle.scratch, bundle.directory)
            options += ["--console-socket", f"{place}/{_CONSOLE}"]
        stack.enter_context(_mounted(bundle))
        calls.run("create", *options, stdio=stdio)
        console = _receive(listener) if bundle.terminal else -1
    try:
        return OtherLaunched(calls, int(read_file(f"{bundle.scratch}/{_PID}")), console)
    except BaseException:
        calls.try_run("delete", "--force")
        raise


def delete(name: str, container_id: str, scratch: str) -> None:
    """Have runtime `name` forget a container, which is killed if it lives."""
    if not os.path.isdir(scratch):
        return
    with contextlib.suppress(UnknownRuntime):  # it has been uninstalled since
        _Calls(find(name), container_id, scratch, scratch).try_run("delete", "--force")
    trees.remove(scratch)


@contextlib.contextmanager
def _mounted(bundle: OtherBundle) -> Iterator[None]:
    """Be in a mount namespace that has the root and `trees` in place; nobody else sees it.

    The caller must have one thread. What the host mounts and unmounts meanwhile happens here
    too, so that nothing is kept busy.
    """
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        try:
            mounts.make_slave()
            _attach(bundle.root, bundle.mountpoint)
            for path, tree in bundle.trees.items():
                os.mkdir(path, 0o700)
                _attach(tree, path)
            # crun refuses control groups of both versions, though it needs but the first.
            if os.path.ismount(_HYBRID):
                mounts.detach(_HYBRID)
            yield
        finally:
            namespaces.setns(own, namespaces.CLONE_NEWNS)
            # It has made the namespace's root ours, and we may be in a chroot(2).
            os.fchdir(root)
            os.chroot(".")
    finally:
        os.close(own)
        os.close(root)


def _attach(tree: int, path: str) -> None:
    place = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mounts.attach(tree, place, path)
    finally:
        os.close(place)


@contextlib.contextmanager
def _listen(directory: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        with short_path(directory, _CONSOLE) as path:
            listener.bind(path)
        listener.listen(1)
        listener.setblocking(False)
        yield listener


def _receive(listener: socket.socket) -> int:
    """Return the terminal's master that a runtime has sent (SCM_RIGHTS)."""
    connection, _ = listener.accept()
    with connection:
        _, (console, *_), _, _ = socket.recv_fds(connection, 4096, 1)
    os.set_inheritable(console, False)
    return console


class _Calls:
    """The command line of one runtime, for one container."""

    def __init__(self, program: str, container_id: str, scratch: str, bundle: str) -> None:
        self._program = program
        self._id = container_id
        self._scratch = scratch
        self._bundle = bundle

    def run(
        self, command: str, *options: str, stdio: tuple[int, int, int] | None = None
    ) -> None:
        """Call it and wait; raise what it says when it fails."""
        log = f"{self._scratch}/{_LOG}"
        words = [self._program, "--root", f"{self._scratch}/{_STATE}", "--log", log]
        words += ["--log-format", "json", command, *options, self._id]
        if status := _call(words, stdio, self._bundle):
            name = os.path.basename(self._program)
            _fail(command, _message(log) or f"{name} {command}: exit status {status}")

    def try_run(self, command: str, *options: str) -> None:
        """Call it whatever comes of it."""
        with contextlib.suppress(MinidockError, OSError):
            self.run(command, *options)


def _call(words: Sequence[str], stdio: tuple[int, int, int] | None, directory: str) -> int:
    import subprocess  # few containers have another runtime

    stdin, stdout, stderr = stdio or (subprocess.DEVNULL,) * 3
    return subprocess.run(
        words, stdin=stdin, stdout=stdout, stderr=stderr, cwd=directory, check=False
    ).returncode


def _message(log: str) -> str:
    """Return the last error in a log of JSON lines, empty if there is none."""
    try:
        lines = read_file(log)[-_LAST_OF_LOG:].decode(errors="replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and entry.get("level") in ("error", "fatal"):
                return " ".join(str(entry.get("msg", "")).split())
    return ""


def _fail(command: str, text: str) -> Never:
    """Raise what the runtime's message means; docker tells by the same words."""
    message = f"OCI runtime {command} failed: {text}"
    lower = text.lower()
    if _COMMAND.search(text):
        if "not found" in lower or "no such file" in lower:
            raise CommandNotFound(message)
        if any(why in lower for why in _NOT_EXECUTABLE):
            raise CommandNotExecutable(message)
    raise RuntimeFailed(message)
