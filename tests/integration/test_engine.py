# SPDX-License-Identifier: Apache-2.0
"""The engine as a whole: pull, run, commit and remove on a registry of our own."""

import contextlib
import io
import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from minidock import progress
from minidock.config import Config
from minidock.engine.engine import Engine
from minidock.engine.options import (
    BindMount,
    CommitOptions,
    CreateOptions,
    ExecOptions,
    ListContainers,
    ListImages,
    LogOptions,
    PullOptions,
)
from minidock.engine.removal import ImageInUse
from minidock.errors import (
    DataCorrupted,
    InvalidArgument,
    MinidockError,
    NotFound,
    SystemFailure,
)
from minidock.linux import capabilities, mounts
from minidock.oci.descriptor import Platform
from minidock.oci.reference import parse_reference
from minidock.progress import ignore
from minidock.runtime import cgroup_plan
from minidock.runtime.monitor_lock import is_held
from minidock.runtime.streams import Streams
from minidock.store.containers import ContainerNotFound
from tests.fakes.registry import FakeRegistry, Reset, Stall

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
    from minidock.engine.pause import frozen

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
    directory = Path(root, "containers", container)
    while is_held(str(directory)):  # the monitor goes a moment after it has told the end
        time.sleep(0.01)
    (directory / "state.json").write_bytes(b"")
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


# Pull.


def pull(engine: Engine, name: str, **options: object) -> list[progress.Event]:
    told: list[progress.Event] = []
    engine.images.pull(parse_reference(name), PullOptions(**options), told.append)  # type: ignore[arg-type]
    return told


def leftovers(root: str) -> list[str]:
    """Return what a failed pull must not leave."""
    found = []
    for directory in ("tmp", "layers", "images/blobs/sha256"):
        found += [f"{directory}/{name}" for name in os.listdir(f"{root}/{directory}")]
    return found


def test_second_pull_moves_no_layer(engine: Engine, registry: FakeRegistry, image: str) -> None:
    """Layers that are here are not asked for again, and the image is up to date."""
    registry.requests.clear()
    layers = [layer["digest"] for layer in registry.manifest("app", "1")["layers"]]
    pulled = engine.images.pull(parse_reference(image), PullOptions(), ignore)
    assert pulled.up_to_date
    assert sum(registry.count("GET", digest) for digest in layers) == 0


def test_broken_connection_is_taken_up_where_it_broke(
    engine: Engine, registry: FakeRegistry, base_layer: bytes
) -> None:
    """A reset in the middle costs a Range request, not the layer."""
    registry.fail(r"/blobs/", *[Reset(after=200_000)] * 3)
    pull(engine, f"{registry.host}/app:1")
    assert run(engine, f"{registry.host}/app:1", "cat", "/etc/second").output == "two"
    assert any("Range" in headers for _, _, headers in registry.requests)


def test_wrong_diff_id_leaves_nothing(
    engine: Engine, registry: FakeRegistry, root: str
) -> None:
    """A layer that is not what the config promises is refused, and nothing of it kept."""
    rootfs = {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}
    registry.add_image("bad", "1", [tar_of({"a": b"b"})], config={"rootfs": rootfs})
    with pytest.raises(DataCorrupted, match="digest mismatch"):
        pull(engine, f"{registry.host}/bad:1")
    assert leftovers(root) == []
    assert engine.images.list(ListImages()) == ()


def test_corrupt_layer_leaves_nothing(
    engine: Engine, registry: FakeRegistry, root: str
) -> None:
    """Bytes that are not what their digest promises are refused, and nothing of them kept."""
    registry.add_image("bad", "1", [tar_of({"a": b"b"})])
    digest = registry.manifest("bad", "1")["layers"][0]["digest"]
    size = registry.manifest("bad", "1")["layers"][0]["size"]
    registry.add_blob("bad", b"x" * size, digest)
    with pytest.raises(DataCorrupted):
        pull(engine, f"{registry.host}/bad:1")
    assert leftovers(root) == []


def test_failing_layer_ends_the_others(
    engine: Engine, registry: FakeRegistry, root: str, base_layer: bytes
) -> None:
    """The half-made layers of the jobs that were ended are gone when the command is."""
    registry.add_image("bad", "1", [base_layer, tar_of({"a": b"b"})])
    big, small = registry.manifest("bad", "1")["layers"]
    registry.fail(big["digest"], Stall(after=100_000), always=True)
    registry.add_blob("bad", b"x" * small["size"], small["digest"])
    with pytest.raises(DataCorrupted):
        pull(engine, f"{registry.host}/bad:1")
    assert os.listdir(f"{root}/tmp") == []


def test_index_entry_of_the_wrong_size(engine: Engine, registry: FakeRegistry) -> None:
    """A manifest must have the size its index says."""
    manifest = registry.manifest("app", "1")
    raw = json.dumps(manifest).encode()
    digest = registry.add_manifest("app", "", raw, manifest["mediaType"])
    entry = {
        "mediaType": manifest["mediaType"],
        "digest": digest,
        "size": len(raw) + 1,
        "platform": {"os": "linux", "architecture": "amd64"},
    }
    kind = "application/vnd.oci.image.index.v1+json"
    index = {"schemaVersion": 2, "mediaType": kind, "manifests": [entry]}
    registry.add_manifest("app", "index", index, kind)
    with pytest.raises(DataCorrupted, match="size mismatch"):
        pull(engine, f"{registry.host}/app:index")


def test_missing_platform(engine: Engine, registry: FakeRegistry) -> None:
    """Docker's text, and what there is."""
    arm = registry.add_image("arm", "1", [], config={"architecture": "arm64"})
    registry.add_index("arm", "all", {"linux/arm64": arm})
    with pytest.raises(NotFound, match="no matching manifest for linux/amd64") as caught:
        pull(engine, f"{registry.host}/arm:all")
    assert "linux/arm64" in (caught.value.hint or "")


def test_image_of_another_platform(engine: Engine, registry: FakeRegistry) -> None:
    """An image without an index is taken with a warning, or refused if one was asked for."""
    registry.add_image("arm", "1", [], config={"architecture": "arm64"})
    name = f"{registry.host}/arm:1"
    (warned,) = [e for e in pull(engine, name) if isinstance(e, progress.Warned)]
    assert "(linux/arm64) does not match the detected host platform" in warned.message
    with pytest.raises(NotFound, match="does not match the specified platform"):
        pull(engine, name, platform=Platform("linux", "amd64"))


def test_damaged_blob_is_fetched_again(
    engine: Engine, registry: FakeRegistry, image: str, root: str
) -> None:
    """A pull mends a store whose layer was lost and whose blob was changed."""
    manifest = registry.manifest("app", "1")
    blob = Path(root, "images/blobs/sha256", manifest["layers"][0]["digest"][7:])
    blob.write_bytes(b"x" * blob.stat().st_size)
    for layer in os.listdir(f"{root}/layers"):
        os.unlink(f"{root}/layers/{layer}/layer.json")
    with pytest.raises(DataCorrupted, match="is not unpacked"):
        run(engine, image, "true", remove=True)
    pull(engine, image)
    assert run(engine, image, "cat", "/etc/second").output == "two"


def test_pulls_at_once_fetch_each_layer_once(
    registry: FakeRegistry, config: Config, root: str
) -> None:
    """Four processes that pull the same image share the work."""
    name = f"{registry.host}/app:1"
    children = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                pull(Engine(config), name)
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
    for layer in registry.manifest("app", "1")["layers"]:
        assert registry.count("GET", layer["digest"]) == 1
    assert len(os.listdir(f"{root}/layers")) == 2
    assert os.listdir(f"{root}/tmp") == []


def test_full_disk_keeps_nothing_of_a_pull(
    registry: FakeRegistry, base_layer: bytes, tmp_path: Path
) -> None:
    """The message says so, and the room is there again."""
    registry.add_image(
        "huge", "1", [tar_of({"small": b"s"}), tar_of({"big": os.urandom(6 << 20)})]
    )
    place = tmp_path / "small"
    place.mkdir()
    mounts.mount("tmpfs", str(place), "tmpfs", "size=8m")
    try:
        engine = Engine(Config(f"{place}/state", Platform("linux", "amd64")))
        engine.images.list(ListImages())
        before = os.statvfs(place).f_bfree
        with pytest.raises(SystemFailure, match="no space left on device"):
            pull(engine, f"{registry.host}/huge:1")
        assert (before - os.statvfs(place).f_bfree) * os.statvfs(place).f_bsize <= 65536
        assert leftovers(f"{place}/state") == []
    finally:
        mounts.detach(str(place))


# Commit.


def committed(engine: Engine, *commands: str, image: str, **options: object) -> str:
    run(engine, image, "sh", "-c", "; ".join(commands), name="work", **options)
    try:
        return engine.containers.commit("work", CommitOptions("made:1", message="m"))
    finally:
        engine.containers.remove("work")


def test_commit_keeps_what_changed(engine: Engine, image: str) -> None:
    """New files are in the new image, removed ones are not, the rest is the base's."""
    committed(engine, "echo new > /etc/new", "rm /etc/second", image=image)
    ran = run(engine, "made:1", "sh", "-c", "cat /etc/new; cat /etc/second 2>&1")
    assert ran.output.startswith("new\n")
    assert "No such file" in ran.output
    history = engine.images.history("made:1")
    assert (history[0].comment, len(history)) == ("m", 3)


def test_commits_of_the_same_content_are_the_same_image(engine: Engine, image: str) -> None:
    """With a fixed time the image's id depends on the content alone."""
    ids = {committed(engine, "echo new > /tmp/new", image=image) for _ in range(2)}
    assert len(ids) == 1
    assert len(engine.images.list(ListImages(name="made"))) == 1


def test_commit_at_the_epoch(config: Config, image: str) -> None:
    """SOURCE_DATE_EPOCH=0 is a time like another."""
    engine = Engine(config._replace(source_date_epoch=0))
    committed(engine, "touch /new", image=image)
    assert engine.images.inspect("made:1")["Created"] == "1970-01-01T00:00:00Z"


def test_commit_of_an_image_without_history(
    engine: Engine, registry: FakeRegistry, base_layer: bytes
) -> None:
    """The new step is the new layer's, not the base's first."""
    registry.add_image("bare", "1", [base_layer], config={"history": []})
    name = f"{registry.host}/bare:1"
    pull(engine, name)
    committed(engine, "echo 12345 > /new", "rm /bin/pwd", image=name, env=("PATH=/bin",))
    assert engine.images.history("made:1")[0].size == 6


def test_layer_that_is_there_twice(
    engine: Engine, registry: FakeRegistry, base_layer: bytes
) -> None:
    """It covers what is below its upper place, and a commit on top of such a stack runs."""
    twice, between = tar_of({"etc/a": b"twice"}), tar_of({"etc/a": b"no", "etc/b": b"yes"})
    empty = tar_of({})
    registry.add_image("twice", "1", [base_layer, empty, twice, between, empty, twice])
    name = f"{registry.host}/twice:1"
    pull(engine, name)
    ran = run(engine, name, "/bin/cat", "/etc/a", "/etc/b", remove=True)
    assert (ran.status, ran.output) == (0, "twiceyes")
    committed(engine, "/bin/busybox echo new > /etc/c", image=name)
    assert run(engine, "made:1", "/bin/cat", "/etc/a", "/etc/c").output == "twicenew\n"


# Removing images.


def test_image_of_a_container_is_kept(engine: Engine, image: str) -> None:
    """Docker's conflict; with force the stopped container keeps what it needs."""
    run(engine, image, "true", name="user")
    with pytest.raises(ImageInUse, match="must force"):
        engine.images.remove(image)
    steps = engine.images.remove(image, force=True)
    assert [step.action for step in steps] == ["Untagged", "Untagged", "Deleted"]
    engine.containers.start("user")
    assert engine.containers.wait("user") == 0


def test_removed_image_frees_its_room(engine: Engine, image: str, root: str) -> None:
    """Layers and blobs go with the last image that has them."""
    steps = engine.images.remove(image)
    assert [step.action for step in steps] == ["Untagged"] * 2 + ["Deleted"] * 3
    assert leftovers(root) == []


def test_damaged_image_can_be_listed_removed_and_pulled(
    engine: Engine, image: str, root: str
) -> None:
    """A config that was lost makes no verb but run fail."""
    (view,) = engine.images.list(ListImages())
    Path(root, "images/blobs/sha256", view.id[7:]).unlink()
    assert [row.id for row in engine.images.list(ListImages())] == [view.id]
    engine.images.remove(image)
    pull(engine, image)
    assert run(engine, image, "cat", "/etc/second").output == "two"


# Damage.


def flip(path: Path) -> None:
    """Change one bit, at a place that depends on the file's name."""
    data = bytearray(path.read_bytes())
    data[sum(path.name.encode()) % len(data)] ^= 0x02
    path.write_bytes(data)


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "flip": flip,
}


def try_everything(engine: Engine, image: str, container: str) -> None:
    """Use every verb; an error of ours is an answer, another one is not."""
    containers, images = engine.containers, engine.images
    verbs: list[Callable[[], object]] = [
        partial(containers.list, ListContainers(all=True, size=True)),
        partial(images.list, ListImages()),
        partial(containers.inspect, "web"),
        partial(images.inspect, image),
        partial(images.history, image),
        lambda: list(containers.logs("web", LogOptions())),
        partial(containers.diff, "web"),
        partial(containers.start, "web"),
        partial(containers.wait, "web"),
        partial(containers.commit, "web", CommitOptions("made:1")),
        partial(containers.rename, "web", "web2"),
        engine.system.info,
        partial(containers.remove, container, force=True),
        partial(images.remove, image, force=True),
        partial(pull, engine, image),
    ]
    for verb in verbs:
        with contextlib.suppress(MinidockError):
            verb()


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_never_an_internal_error(
    engine: Engine, image: str, root: str, config: Config, damage: str
) -> None:
    """Whatever file is damaged: every verb works or tells it as an error of ours."""
    container = detached(engine, image, "true", name="web")
    engine.containers.wait(container)
    saved = f"{root}.saved"
    shutil.copytree(root, saved, symlinks=True)
    files = [
        path.relative_to(root)
        for path in Path(root).rglob("*")
        if path.is_file() and path.stat().st_size and "diff" not in path.parts
    ]
    assert len(files) > 10
    for file in files:
        shutil.rmtree(root)
        shutil.copytree(saved, root, symlinks=True)
        DAMAGES[damage](Path(root, file))
        try_everything(Engine(config), image, container)
    shutil.rmtree(saved)


def test_damaged_layer_record_counts_as_missing(engine: Engine, image: str, root: str) -> None:
    """The layer is unpacked anew by the next pull."""
    for layer in os.listdir(f"{root}/layers"):
        Path(root, "layers", layer, "layer.json").write_text('{"size":"x","boot":""}')
    assert engine.images.list(ListImages())[0].size == 0
    pull(engine, image)
    assert run(engine, image, "cat", "/etc/second").output == "two"


def test_no_device_node_can_be_made_where_no_cgroup_guards_them(
    engine: Engine, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the devices controller a container gets no CAP_MKNOD, and exec neither."""
    monkeypatch.setattr(cgroup_plan, "discover", cgroup_plan.Layout)
    make = "busybox mknod /dev/disk c 1 5 || echo refused"
    assert "refused" in run(engine, image, "sh", "-c", make).output
    options = CreateOptions(image, ("sleep", "60"), network="none")
    container = engine.containers.create(options, ignore)
    engine.containers.start(container)
    command = ("sh", "-c", "busybox grep CapBnd /proc/self/status")
    read, write = os.pipe()
    engine.containers.exec(container, ExecOptions(command), Streams(None, write, write))
    os.close(write)
    with os.fdopen(read) as output:
        assert int(output.read().split()[1], 16) & capabilities.mask(["CAP_MKNOD"]) == 0
