# SPDX-License-Identifier: Apache-2.0
"""The engine as a whole: pull, run, commit and remove on a registry of our own."""

import contextlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from minidock.config import Config
from minidock.engine.engine import Engine
from minidock.engine.options import (
    BindMount,
    CommitOptions,
    CreateOptions,
    ListContainers,
    PullOptions,
    Streams,
)
from minidock.errors import DataCorrupted, InvalidArgument
from minidock.oci.descriptor import Platform
from minidock.oci.reference import parse_reference
from minidock.progress import ignore
from minidock.store.containers import ContainerNotFound
from tests.fakes.registry import FakeRegistry

pytestmark = pytest.mark.root

APPLETS = ("sh", "cat", "echo", "sleep", "rm", "touch", "true", "ip", "kill", "pwd")


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture(scope="module")
def base_layer() -> bytes:
    """A tar with busybox."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("bin", "etc", "tmp"):
            member = tarfile.TarInfo(name)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member)
        tar.add("/bin/busybox", "bin/busybox")
        for applet in APPLETS:
            member = tarfile.TarInfo(f"bin/{applet}")
            member.type, member.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(member)
    return out.getvalue()


@pytest.fixture
def registry(base_layer: bytes) -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        config = {"config": {"Cmd": ["true"], "Env": ["PATH=/bin", "A=1"]}}
        registry.add_image(
            "app", "1", [base_layer, tar_of({"etc/second": b"two"})], config=config
        )
        yield registry


@pytest.fixture
def config(root: str) -> Config:
    return Config(root, Platform("linux", "amd64"), source_date_epoch=1_700_000_000)


@pytest.fixture
def engine(config: Config) -> Iterator[Engine]:
    engine = Engine(config)
    yield engine
    for view in engine.containers.list(ListContainers(all=True)):
        with contextlib.suppress(ContainerNotFound):
            engine.containers.remove(view.id, force=True)


@pytest.fixture
def image(registry: FakeRegistry, engine: Engine) -> str:
    name = f"{registry.host}/app:1"
    engine.images.pull(parse_reference(name), PullOptions(), ignore)
    return name


class Ran:
    """What a container printed and how it ended."""

    def __init__(self, status: int | None, output: str) -> None:
        self.status = status
        self.output = output


def run(engine: Engine, image: str, *command: str, **options: object) -> Ran:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    created = CreateOptions(image, command, network="none", **options)  # type: ignore[arg-type]
    try:
        finished = engine.containers.run(
            created, Streams(None, write_end, write_end), ignore, lambda _id: None
        )
    finally:
        os.close(write_end)
    with os.fdopen(read_end, "rb") as file:
        return Ran(finished.status, file.read().decode())


def detached(engine: Engine, image: str, *command: str, **options: object) -> str:
    ids: list[str] = []
    created = CreateOptions(image, command, network="none", **options)  # type: ignore[arg-type]
    engine.containers.run(created, None, ignore, ids.append)
    return ids[0]


def test_run_prints_and_tells_the_status(engine: Engine, image: str) -> None:
    """The output and the exit status arrive; the container is kept."""
    ran = run(engine, image, "sh", "-c", "cat /etc/second; exit 7")
    assert (ran.status, ran.output) == (7, "two")
    (view,) = engine.containers.list(ListContainers(all=True))
    assert (view.state, view.exit_code, view.image) == ("exited", 7, image)


def test_network_none_has_a_loopback(engine: Engine, image: str) -> None:
    """Without a network 127.0.0.1 works all the same."""
    assert "<LOOPBACK,UP" in run(engine, image, "ip", "link", remove=True).output


def test_wait_for_a_container_that_removes_itself(engine: Engine, image: str) -> None:
    """The status of a --rm container is not lost with it."""
    container = detached(engine, image, "sh", "-c", "sleep 0.3; exit 5", remove=True)
    assert engine.containers.wait(container) == 5
    assert engine.containers.list(ListContainers(all=True)) == ()


def test_two_starts_at_once_start_once(engine: Engine, config: Config, image: str) -> None:
    """The slower command finds the container running, which is no error."""
    container = engine.containers.create(
        CreateOptions(image, ("sleep", "60"), network="none"), ignore
    )
    failures: list[BaseException] = []
    children = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                Engine(config).containers.start(container)
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
    assert failures == []
    assert engine.containers.inspect(container)["State"]["Running"]


def test_restart_right_after_the_end(engine: Engine, image: str) -> None:
    """A monitor that has just recorded the end is not in the way of the next start."""
    container = engine.containers.create(
        CreateOptions(image, ("true",), network="none"), ignore
    )
    for _ in range(10):
        engine.containers.start(container)
        assert engine.containers.wait(container) == 0


def test_bad_stop_signal_is_refused_at_create(engine: Engine, image: str) -> None:
    """Docker's text, and no container."""
    with pytest.raises(InvalidArgument, match="Invalid signal: BOGUS"):
        engine.containers.create(CreateOptions(image, stop_signal="BOGUS"), ignore)
    assert engine.containers.list(ListContainers(all=True)) == ()


def test_missing_source_of_a_volume_is_made(engine: Engine, image: str, tmp_path: Path) -> None:
    """-v makes it, --mount refuses."""
    source = str(tmp_path / "a" / "b")
    refused = BindMount(source, "/b", create=False)
    with pytest.raises(InvalidArgument, match="bind source path does not exist"):
        run(engine, image, "true", binds=(refused,))
    assert run(engine, image, "touch", "/b/x", binds=(BindMount(source, "/b"),)).status == 0
    assert os.listdir(source) == ["x"]


def test_killed_commit_does_not_leave_the_container_frozen(
    engine: Engine, config: Config, image: str
) -> None:
    """SIGKILL of a commit that has paused the container lets it go on."""
    from minidock.engine.containers import frozen

    container_id = detached(engine, image, "sleep", "60")
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            containers = Engine(config).containers
            container, state = containers._find(container_id)
            with frozen(container, state, True):
                os.killpg(0, 9)
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    engine.containers.stop(container_id, timeout=0)
    assert engine.containers.wait(container_id) == 137


def test_damaged_container_can_be_removed(engine: Engine, image: str, root: str) -> None:
    """Its record is unreadable: it is not listed, others are, and rm -f takes it away."""
    container = detached(engine, image, "true", name="broken")
    engine.containers.wait(container)
    Path(root, "containers", container, "container.json").write_bytes(b"{")
    run(engine, image, "true", name="whole")
    names = [view.name for view in engine.containers.list(ListContainers(all=True))]
    assert names == ["whole"]
    with pytest.raises(DataCorrupted, match="is damaged"):
        engine.containers.remove("broken")
    engine.containers.remove("broken", force=True)
    with pytest.raises(ContainerNotFound):
        engine.containers.inspect("broken")


def test_lost_state_counts_as_ended(engine: Engine, image: str, root: str) -> None:
    """After a power loss a state may be empty: the container has ended and starts again."""
    container = detached(engine, image, "true")
    engine.containers.wait(container)
    Path(root, "containers", container, "state.json").write_bytes(b"")
    (view,) = engine.containers.list(ListContainers(all=True))
    assert (view.state, view.exit_code) == ("exited", 255)
    engine.containers.start(container)
    assert engine.containers.wait(container) == 0


def test_list_survives_a_state_of_a_running_container(
    engine: Engine, image: str, root: str
) -> None:
    """A live container whose state is unreadable is shown as dead and hides no other."""
    container = detached(engine, image, "sleep", "60")
    path = Path(root, "containers", container, "state.json")
    saved = path.read_bytes()
    path.write_bytes(b"{}x")
    (view,) = engine.containers.list(ListContainers(all=True))
    path.write_bytes(saved)
    assert view.state == "dead"


def test_moved_tag_shows_the_image_id(engine: Engine, image: str) -> None:
    """A container whose image name means another image now is listed with its image's id."""
    run(engine, image, "touch", "/new", name="changed")
    before = engine.images.inspect(image)["Id"]
    engine.containers.commit("changed", CommitOptions(image))
    (view,) = engine.containers.list(ListContainers(all=True))
    assert view.image == before
