# SPDX-License-Identifier: Apache-2.0
"""A state directory, a registry, and the installed command line used on both.

::

    minidock("pull", "base")                  # stdout; must succeed and say nothing on stderr
    minidock.refused(125, "run", "--bogus")   # stderr; must fail so and print no result
    minidock.result("run", "base", "false")   # whatever it is
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.fakes.registry import FakeRegistry

PATIENCE = 20
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Result(NamedTuple):
    """How a command ended and what it wrote."""

    status: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def errors(self) -> str:
        return self.err.decode()


def command_words() -> list[str]:
    """Return the words that call minidock.

    That is MINIDOCK_COMMAND, what is installed beside the interpreter, or else the sources.
    """
    given = os.environ.get("MINIDOCK_COMMAND")
    if given:
        return given.split()
    beside = os.path.join(os.path.dirname(sys.executable), "minidock")
    return [beside] if os.path.exists(beside) else [sys.executable, "-m", "minidock"]


class Place:
    """One state directory and the calls on it."""

    def __init__(self, root: str, registry: FakeRegistry, words: list[str]) -> None:
        self.root = root
        self.registry = registry
        self.words = words
        self.directory = os.path.dirname(root)
        config = os.path.join(self.directory, "config.yaml")
        with open(config, "w") as file:
            file.write(f"registries: {{docker.io: {{mirrors: ['{registry.url}']}}}}\n")
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": self.directory,
            "LANG": "C.UTF-8",
            "MINIDOCK_ROOT": root,
            "MINIDOCK_CONFIG": config,
        }
        if words[0] == sys.executable:
            self.environment["PYTHONPATH"] = REPOSITORY
        self.cgroups = self._empty_cgroups()

    def result(self, *words: str, stdin: bytes = b"", **environment: str) -> Result:
        """Call minidock and return how it ended."""
        done = subprocess.run(
            [*self.words, *words],
            input=stdin,
            capture_output=True,
            env={**self.environment, **environment},
            cwd=self.directory,
            timeout=PATIENCE,
            check=False,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        assert b"internal error" not in done.stderr, done.stderr.decode()
        return Result(done.returncode, done.stdout, done.stderr)

    def __call__(self, *words: str, stdin: bytes = b"") -> str:
        """Return what a call prints that must succeed and have nothing to complain."""
        result = self.result(*words, stdin=stdin)
        assert (result.status, result.errors) == (0, ""), (words, result)
        return result.text

    def refused(self, status: int, *words: str) -> str:
        """Return the complaint of a call that must end with `status` and without a result."""
        result = self.result(*words)
        assert (result.status, result.text) == (status, ""), (words, result)
        return result.errors

    @contextlib.contextmanager
    def background(self, *words: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """Give a call that runs, with pipes; it is killed at the end if it still does."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(
            [*self.words, *words],
            env=self.environment,
            cwd=self.directory,
            **{**pipes, **options},
        )
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def inspect(self, name: str) -> dict[str, Any]:
        """Return the description of a container or an image."""
        (document,) = json.loads(self("inspect", name))
        return document

    def state(self, name: str) -> dict[str, Any]:
        """Return the state of a container."""
        return self.inspect(name)["State"]

    def await_log(self, name: str, text: str) -> None:
        """Wait until the log of a container has `text`."""
        wait_for(lambda: text.encode() in self.result("logs", name).out, f"{text!r} in the log")

    def entries(self, *path: str) -> list[str]:
        """Return the names in a directory of the state."""
        return sorted(os.listdir(os.path.join(self.root, *path)))

    def monitors(self) -> list[int]:
        """Return the monitors of this place's containers."""
        return [pid for pid in self.processes() if _comm(pid) == "minidock-mon"]

    def clear(self) -> None:
        """Remove every container."""
        ids = self("ps", "-aq").split()
        if ids:
            self("rm", "-f", *ids)

    def assert_clean(self) -> None:
        """Assert that the machine has nothing left of this place's containers."""
        assert self("ps", "-aq") == ""
        wait_for(lambda: not self.left_over(), self.left_over)

    def left_over(self) -> dict[str, list[str]]:
        """Return what there is on the machine that only containers have."""
        found = {
            "mounts": _lines("/proc/self/mountinfo", self.root),
            "processes": [f"{pid} {_comm(pid)}" for pid in self.processes()],
            "interfaces": [name for _, name in socket.if_nameindex() if "veth" in name],
            "ports": published(),
            "cgroups": sorted(self._empty_cgroups() - self.cgroups),
            **{name: self.entries(name) for name in ("containers", "names", "tmp")},
        }
        return {what: names for what, names in found.items() if names}

    def processes(self) -> list[int]:
        """Return the processes that have the environment of this place's calls."""
        mark = f"MINIDOCK_ROOT={self.root}".encode()
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if mark in file.read().split(b"\0"):
                    found.append(int(name))
        return found

    def _empty_cgroups(self) -> set[str]:
        """Return the cgroups of containers without processes: those of others have some."""
        found = set()
        for directory, names, _ in os.walk("/sys/fs/cgroup"):
            if os.path.basename(directory) == "minidock":
                for name in names:
                    with contextlib.suppress(OSError):
                        path = f"{directory}/{name}"
                        with open(f"{path}/cgroup.procs") as file:
                            found.update([path] if not file.read() else [])
        return found


def _comm(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


def lives(pid: int) -> bool:
    """Tell whether a process has not ended; a zombie has."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _lines(path: str, part: str) -> list[str]:
    with open(path) as file:
        return [line for line in file if part in line]


def published() -> list[str]:
    """Return the elements of the maps of published ports, of all bridges here."""
    command = ["nft", "-j", "list", "maps"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    maps = [item["map"] for item in json.loads(shown.stdout)["nftables"] if "map" in item]
    return [
        str(element)
        for found in maps
        if found["table"].startswith("minidock")
        for element in found.get("elem", ())
    ]


def wait_for(condition: Callable[[], object], what: object) -> None:
    """Wait until `condition` holds; `what` describes it, or tells how things are."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.02)


def free_port() -> str:
    """Return the number of a TCP port that nobody listens on."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        return str(server.getsockname()[1])


def get(port: str, path: str) -> tuple[int, str]:
    """Return status and body of a page of a server that may be about to start."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.read().decode()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def require() -> str:
    """Return why these tests can't run here, empty if they can."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("nft", "ip", "busybox"):
        if shutil.which(program) is None:
            return f"needs {program}"
    return ""
