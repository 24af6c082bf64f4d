"""Images and containers that attack who runs them, enters them and commits them."""

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest

from minidock.runtime import messages
from tests.fakes.registry import FakeRegistry
from tests.hostile.victims import Canary, Guarded, add
from tests.system.conftest import network  # noqa: F401
from tests.system.place import require

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(require()), reason=require()),
]


@pytest.fixture(scope="module")
def registry(network: None) -> Iterator[FakeRegistry]:  # noqa: F811
    with FakeRegistry() as fake:
        add(fake, "base")
        yield fake


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, registry: FakeRegistry
) -> Iterator[Guarded]:
    words = [sys.executable, "-m", "minidock"]
    place = Guarded(str(tmp_path_factory.mktemp("hostile") / "state"), registry, words)
    place("pull", "-q", "base")
    yield place
    place.clear()
    place.assert_clean()


@pytest.fixture
def canary(tmp_path: os.PathLike[str]) -> Canary:
    return Canary(f"{os.fspath(tmp_path)}/canary")


@pytest.fixture
def minidock(place: Guarded, canary: Canary) -> Iterator[Guarded]:
    """The command line, watched: the canary must be as it was at the end."""
    yield place
    canary.assert_intact()
    place.clear()


# A process of the container that meets one that enters it.

STOPPER = """
exec 2>/dev/null
while :; do
    kill -STOP -1 || continue
    for p in /proc/[0-9]*; do
        [ $p != /proc/1 -a -e $p/fd/3 ] || continue
        printf '{record}' >$p/fd/3 && wrote=wrote && echo wrote
    done
    {after}
    echo met
done
"""
"""As process 1 it stops all but itself, and writes where the error pipe of an exec would be."""


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the host that no container knows."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def stopper(victim: int, after: str = "kill -CONT -1") -> str:
    """Return a script that names `victim` as the process that an exec has forked."""
    record = struct.pack("<BBHi", messages.FORKED, messages.EXEC, 0, victim)
    return STOPPER.format(record="".join(f"\\{byte:03o}" for byte in record), after=after)


def test_entering_process_is_closed_to_the_container(
    minidock: Guarded, bystander: subprocess.Popen[bytes]
) -> None:
    """Stopped on its way, it shows no descriptor to who stopped it (CVE-2016-9962)."""
    script = stopper(bystander.pid)
    minidock("run", "-d", "--name", "box", "--network", "none", "base", "sh", "-c", script)
    for _ in range(8):
        minidock("exec", "box", "sleep", "0.05")
    minidock.await_log("box", "met")
    assert "wrote" not in minidock("logs", "box")


def test_signals_of_exec_reach_no_process_of_the_host(
    minidock: Guarded, bystander: subprocess.Popen[bytes]
) -> None:
    """A container that may trace can forge what its exec says, not whom it stands for."""
    script = stopper(bystander.pid, after="kill -CONT -1; [ $wrote ] && exec sleep 1000")
    tracing = ("--cap-add", "SYS_PTRACE", "--network", "none")
    minidock("run", "-d", "--name", "box", *tracing, "base", "sh", "-c", script)
    for _ in range(8):
        with minidock.background("exec", "box", "sleep", "0.05") as process:
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGTERM)
                process.wait(1)
        if "wrote" in minidock("logs", "box"):
            break
    if "wrote" not in minidock("logs", "box"):
        pytest.skip("the container was never fast enough")
    assert bystander.poll() is None
