# SPDX-License-Identifier: Apache-2.0
"""What a container sees of its confinement, beside what docker's container sees.

The daemon is started here, with a state of its own and without networks.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fakes.registry import FakeRegistry
from tests.system.conftest import network  # noqa: F401
from tests.system.images import MOUNT_POINTS, add_images, base_layer
from tests.system.place import Place, command_words, require
from tests.system.probing import parse, probe

CGROUP = "minidock-compat"
PATIENCE = 20

pytestmark = [
    pytest.mark.root,
    pytest.mark.oracle,
    pytest.mark.skipif(bool(require()), reason=require()),
    pytest.mark.skipif(shutil.which("dockerd") is None, reason="needs dockerd"),
]

FLAGS = (
    "",
    "--read-only",
    "--user 1000",
    "--cap-drop ALL",
    "--security-opt no-new-privileges",
    "--security-opt seccomp=unconfined",
    "--security-opt systempaths=unconfined",
    "--pid host",
    "--network host",
    "--cap-add ALL",
    "--privileged",
)


class Difference(NamedTuple):
    """A line that is not as docker's 20.10, why, and the values that it may have."""

    key: str
    reason: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]


DIFFERENCES = (
    Difference(
        "masked:/proc/interrupts",
        "later versions of docker hide it too",
        ("devnull",),
        ("UNMASKED",),
    ),
    Difference(
        "mnt:/sys/fs/cgroup",
        "the tmpfs of cgroup version 1 is read-only, not only what is mounted in it",
        ("ro",),
        ("rw",),
    ),
    Difference(
        "dev_tun",
        "runc's list allows 10:200, ours does not: --device /dev/net/tun does",
        ("mknod-ok,open-denied",),
        ("mknod-ok,open-ok", "mknod-ok,open-failed"),
    ),
)


class Docker:
    """Docker's command line with a daemon of its own."""

    def __init__(self, directory: Path) -> None:
        self.socket = f"unix://{directory}/socket"
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(directory)}
        words = (
            *(
                "dockerd",
                "--data-root",
                f"{directory}/data",
                "--exec-root",
                f"{directory}/exec",
            ),
            *("--host", self.socket, "--pidfile", f"{directory}/pid", "--bridge=none"),
            *("--iptables=false", "--ip6tables=false", f"--cgroup-parent=/{CGROUP}"),
        )
        # In a mount namespace of its own: what it mounts goes with it.
        self._daemon = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", *words],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __call__(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["docker", "--host", self.socket, *words],
            env=self._environment,
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def is_up(self) -> bool:
        """Wait until the daemon answers; tell whether it does."""
        deadline = time.monotonic() + PATIENCE
        while self("info").returncode:
            if self._daemon.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def stop(self) -> None:
        self._daemon.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._daemon.wait(PATIENCE)
        if self._daemon.poll() is None:
            self._daemon.kill()
            self._daemon.wait()
        for directory, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
            if f"/{CGROUP}" in directory:
                with contextlib.suppress(OSError):
                    os.rmdir(directory)


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    docker = Docker(tmp_path_factory.mktemp("docker"))
    try:
        if not docker.is_up():
            pytest.skip("dockerd does not start here")
        imported = docker("import", "-", "base", stdin=base_layer(*MOUNT_POINTS))
        assert imported.returncode == 0, imported.stderr
        yield docker
    finally:
        docker.stop()


@pytest.fixture(scope="module")
def minidock(
    tmp_path_factory: pytest.TempPathFactory,
    network: None,  # noqa: F811
) -> Iterator[Place]:
    with FakeRegistry() as registry:
        add_images(registry)
        root = tmp_path_factory.mktemp("compat") / "state"
        place = Place(str(root), registry, command_words())
        place("pull", "-q", "base")
        yield place
        place.clear()


@pytest.mark.parametrize("flags", FLAGS)
def test_probe(docker: Docker, minidock: Place, flags: str):
    """Line by line the same, but for the known differences, and these are as they are known."""
    quiet = () if "--network" in flags else ("--network", "none")
    words = ("run", "--rm", *quiet, *flags.split(), "base", *probe())
    result = docker(*words)
    if b"unable to apply caps" in result.stderr:
        pytest.skip("docker gives more capabilities than there are here")
    assert result.returncode == 0, result.stderr
    theirs, ours = parse(result.stdout.decode()), parse(minidock(*words))
    if flags == "--pid host":
        del theirs["nprocs"], ours["nprocs"]
    compare(ours, theirs)


def test_exec(docker: Docker, minidock: Place):
    """The same of a command that enters a container."""
    words = ("run", "-d", "--name", "box", "--network", "none", "base", "sleep", "60")
    assert docker(*words).returncode == 0
    minidock(*words)
    theirs = docker("exec", "box", *probe()).stdout.decode()
    ours = minidock("exec", "box", *probe())
    docker("rm", "-f", "box")
    minidock("rm", "-f", "box")
    compare(parse(ours), parse(theirs))


def compare(ours: dict[str, str], theirs: dict[str, str]) -> None:
    """Assert that they differ only where, and as, they are known to."""
    known = {difference.key: difference for difference in DIFFERENCES}
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        if value != theirs[key]:
            assert key in known, (key, value, theirs[key])
            assert value in known[key].ours, known[key]
            assert theirs[key] in known[key].theirs, known[key]
