"""The state directory."""

import json
import os
import re
import stat
import threading
from pathlib import Path

import pytest

from minidock.engine.resolve import AmbiguousImage, ImageNotFound, resolve
from minidock.errors import DataCorrupted, InvalidArgument, SystemFailure
from minidock.fs.atomic import make_directory
from minidock.oci import media_types
from minidock.oci.descriptor import Descriptor, Platform
from minidock.oci.digest import DiffID, Digest, DigestMismatch, digest_of
from minidock.oci.image import Image, ImageConfig
from minidock.oci.manifest import Manifest
from minidock.store.blobs import BlobNotFound
from minidock.store.chains import LayerRecord
from minidock.store.containers import (
    AmbiguousId,
    Container,
    ContainerDamaged,
    ContainerNotFound,
    ContainerRecord,
    InvalidName,
    NameTaken,
)
from minidock.store.gc import Collected
from minidock.store.scratch import scratch
from minidock.store.store import Store
from minidock.store.unpacked import LayerMissing, boot_id


@pytest.fixture
def store(root: str) -> Store:
    return Store.open(root)


def add_image(
    store: Store, name: str = "", layer: bytes = b"layer"
) -> tuple[Descriptor, Digest]:
    diff_id = DiffID(digest_of(layer))
    image = Image(Platform("linux", "amd64"), ImageConfig(), (diff_id,))
    config = store.blobs.put(image.to_json())
    blob = store.blobs.put(layer)
    manifest = Manifest(
        media_types.OCI_MANIFEST,
        Descriptor(media_types.OCI_CONFIG, config, len(image.to_json())),
        (Descriptor(media_types.OCI_LAYER, blob, len(layer)),),
    )
    raw = manifest.to_json()
    descriptor = Descriptor(media_types.OCI_MANIFEST, store.blobs.put(raw), len(raw))
    with store.images.transaction() as tx:
        tx.set(descriptor, config, name)
    with scratch(store.layout) as directory:
        make_directory(f"{directory}/layer/diff")
        store.unpacked.publish(f"{directory}/layer", diff_id, LayerRecord(5, 1, (), boot_id()))
    return descriptor, config


def add_container(store: Store, name: str, layer: bytes = b"layer") -> Container:
    manifest, config = add_image(store, "docker.io/library/x:latest", layer)
    record = ContainerRecord(
        store.containers.new_id(),
        1.0,
        "x",
        config,
        manifest.digest,
        manifest.media_type,
        (DiffID(digest_of(layer)),),
        {},
        {},
    )
    return store.containers.create(record, name)


def test_everything_is_private(store: Store, root: str) -> None:
    """Directories are 0700 and files 0600, whatever the umask (CVE-2021-41091)."""
    add_container(store, "one")
    for directory, _, files in os.walk(root):
        if "/diff" in directory or directory.endswith("/upper"):
            continue  # trees of images, below a private directory
        assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700, directory
        for file in files:
            status = os.lstat(f"{directory}/{file}")
            assert stat.S_ISLNK(status.st_mode) or stat.S_IMODE(status.st_mode) == 0o600, file


def test_store_in_an_impossible_place_is_one_error(tmp_path: Path) -> None:
    """A root below a file can't be made; the message names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemFailure, match="not a directory"):
        Store.open(str(tmp_path / "file/root"))


def test_blob_is_stored_once_and_verified(store: Store) -> None:
    """Putting the same bytes again changes nothing; changed bytes are noticed."""
    digest = store.blobs.put(b"data")
    assert store.blobs.put(b"data") == digest
    assert store.blobs.read(digest) == b"data"
    Path(store.blobs.path(digest)).write_bytes(b"dat!")
    with pytest.raises(DigestMismatch):
        store.blobs.read(digest)
    with pytest.raises(BlobNotFound):
        store.blobs.read(digest_of(b"other"))


def test_moving_a_tag_keeps_the_old_image_untagged(store: Store) -> None:
    """The image that loses its last tag stays, as <none>."""
    old, _ = add_image(store, "docker.io/library/x:latest", b"old")
    new, _ = add_image(store, "docker.io/library/x:latest", b"new")
    names = {(e.manifest.digest, e.name) for e in store.images.entries()}
    assert names == {(old.digest, ""), (new.digest, "docker.io/library/x:latest")}


def test_failed_transaction_publishes_nothing(store: Store) -> None:
    """An exception in the block leaves the index as it was."""
    before = store.images.entries()
    descriptor = Descriptor("m", digest_of(b"m"), 1)

    def fail() -> None:
        with store.images.transaction() as tx:
            tx.set(descriptor, digest_of(b"c"), "docker.io/library/x:1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.images.entries() == before


def test_concurrent_transactions_lose_no_tag(store: Store) -> None:
    """Twenty writers at once leave twenty tags."""

    def write(number: int) -> None:
        with store.images.transaction() as tx:
            descriptor = Descriptor("m", digest_of(str(number).encode()), 1)
            tx.set(descriptor, digest_of(b"c"), f"docker.io/library/x:{number}")

    threads = [threading.Thread(target=write, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.images.entries()) == 20


def test_image_is_found_by_name_and_id(store: Store) -> None:
    """Short names, full names, ids and their beginnings name an image."""
    _, image_id = add_image(store, "docker.io/library/x:latest")
    for text in ("x", "x:latest", "docker.io/library/x", image_id, image_id[7:19]):
        assert resolve(store.images, text).entry.id == image_id
    with pytest.raises(ImageNotFound, match="No such image: y:latest"):
        resolve(store.images, "y")


def test_ambiguous_image_id_is_refused(store: Store) -> None:
    """Two images whose ids begin alike are not guessed between."""
    wanted = ""
    ids: list[str] = []
    for number in range(40):
        _, image_id = add_image(store, f"docker.io/library/x:{number}", str(number).encode())
        ids.append(image_id[7])
        if ids.count(image_id[7]) > 1:
            wanted = image_id[7]
            break
    with pytest.raises(AmbiguousImage):
        resolve(store.images, f"sha256:{wanted}")


def test_name_is_taken_once(store: Store) -> None:
    """The second container with a name is refused with docker's text and leaves nothing."""
    first = add_container(store, "web")
    with pytest.raises(NameTaken, match=f'"/web" is already in use by container "{first.id}"'):
        add_container(store, "web")
    assert [c.id for c in store.containers.all()] == [first.id]


def test_leftover_name_is_free(store: Store) -> None:
    """A name whose container a crash removed can be taken."""
    os.symlink("0" * 64, f"{store.layout.names}/web")
    assert add_container(store, "web").name == "web"


def test_container_is_found_by_name_and_id(store: Store) -> None:
    """Full names, ids and beginnings of ids name a container; beginnings of names do not."""
    container = add_container(store, "deadbeef")
    for text in ("deadbeef", "/deadbeef", container.id, container.id[:5]):
        assert store.containers.find(text).id == container.id
    for text in (
        "dead" if not container.id.startswith("dead") else "deadb",
        "",
        "../x",
        "x" * 64,
    ):
        with pytest.raises(ContainerNotFound):
            store.containers.find(text)


def test_ambiguous_id_is_refused(store: Store) -> None:
    """Docker's text tells the prefix."""
    ids = [add_container(store, f"c{n}").id for n in range(17)]
    prefix = next(i[0] for i in ids if sum(j[0] == i[0] for j in ids) > 1)
    with pytest.raises(AmbiguousId, match=f"Multiple IDs found with provided prefix: {prefix}"):
        store.containers.find(prefix)


def test_rename_moves_the_name(store: Store) -> None:
    """After a rename the old name is free and the new one taken."""
    container = add_container(store, "old")
    store.containers.rename(container, "new")
    assert store.containers.find("new").id == container.id
    with pytest.raises(ContainerNotFound):
        store.containers.find("old")
    add_container(store, "old")
    with pytest.raises(NameTaken):
        store.containers.rename(container, "old")


@pytest.mark.parametrize("name", ["../x", "a", "-ab", "a b", "ab/c", "", "ä1", "x" * 256])
def test_bad_name_is_refused(store: Store, name: str) -> None:
    """Only docker's characters make a name."""
    with pytest.raises(InvalidName, match="Invalid container name"):
        add_container(store, name)


def test_removed_container_frees_its_name(store: Store) -> None:
    """Nothing of a removed container is left."""
    container = add_container(store, "web")
    store.containers.remove(container)
    assert list(store.containers.all()) == []
    assert os.listdir(store.layout.names) == []
    assert os.listdir(store.layout.temporary) == []
    with pytest.raises(ContainerNotFound):
        store.containers.remove(container)


def test_gc_keeps_what_images_and_containers_need(store: Store) -> None:
    """A container keeps its image's blobs and layers after the image's last tag is gone."""
    container = add_container(store, "web", b"kept")
    add_image(store, "docker.io/library/y:latest", b"gone")
    with store.images.transaction() as tx:
        for entry in tx.entries:
            tx.drop(entry.manifest.digest)
    collected = store.collect()
    assert collected is not None
    assert collected.layers == (digest_of(b"gone"),)
    assert store.blobs.read(digest_of(b"kept")) == b"kept"
    assert store.unpacked.lowers(container.record.layers)
    store.containers.remove(container)
    collected = store.collect()
    assert collected is not None
    assert os.listdir(store.layout.blobs) == []
    assert os.listdir(store.layout.layers) == []


def test_gc_waits_for_leases(store: Store) -> None:
    """Nothing is collected while a pull or a run holds its lease."""
    store.blobs.put(b"fresh")
    with store.lease():
        assert store.collect() is None
    collected = store.collect()
    assert collected is not None
    assert collected.blobs == (digest_of(b"fresh"),)


def test_damaged_image_stops_gc(store: Store) -> None:
    """While one image can't be read nothing is deleted that might be its own."""
    manifest, _ = add_image(store, "docker.io/library/x:latest")
    os.unlink(store.blobs.path(manifest.digest))
    store.blobs.put(b"unknown")
    collected = store.collect()
    assert collected is not None
    assert collected.blobs == ()


def test_abandoned_scratch_is_swept(store: Store, root: str) -> None:
    """What a dead process left is gone with the next command; a live one's work stays."""
    os.makedirs(f"{store.layout.temporary}/dead/half/made")
    with scratch(store.layout) as mine:
        Store.open(root)
        assert os.listdir(store.layout.temporary) == [os.path.basename(mine)]


def test_layer_of_an_earlier_boot_is_not_trusted(store: Store) -> None:
    """A layer that was never synced before the power went counts as missing."""
    diff_id = DiffID(digest_of(b"layer"))
    for boot, trusted in (("earlier", False), (boot_id(), True), ("", True)):
        with scratch(store.layout) as directory:
            make_directory(f"{directory}/layer/diff")
            store.unpacked.publish(f"{directory}/layer", diff_id, LayerRecord(0, 0, (), boot))
        assert (store.unpacked.record(diff_id) is not None) is trusted
    store.unpacked.mark_synced((diff_id,))
    with pytest.raises(LayerMissing):
        store.unpacked.lowers((DiffID(digest_of(b"other")),))


def publish_layer(store: Store, name: bytes, implied: tuple[str, ...], *paths: str) -> DiffID:
    diff_id = DiffID(digest_of(name))
    with scratch(store.layout) as directory:
        for path in paths:
            os.makedirs(f"{directory}/layer/diff/{path}", exist_ok=True)
        record = LayerRecord(0, 0, implied, boot_id())
        store.unpacked.publish(f"{directory}/layer", diff_id, record)
    return diff_id


def test_implied_directory_keeps_the_lower_layers_mode(store: Store) -> None:
    """A layer whose tar left a directory out does not hide the mode it had below."""
    lower = publish_layer(store, b"lower", (), "var/tmp")
    os.chmod(f"{store.unpacked.tree(lower)}/var/tmp", 0o1777)
    os.chmod(f"{store.unpacked.tree(lower)}/var", 0o711)
    upper = publish_layer(store, b"upper", ("var", "var/tmp"), "var/tmp/x")
    lowers = store.unpacked.lowers((lower, upper))
    assert len(lowers) == 3
    assert stat.S_IMODE(os.stat(f"{lowers[0]}/var/tmp").st_mode) == 0o1777
    assert stat.S_IMODE(os.stat(f"{lowers[0]}/var").st_mode) == 0o711
    assert lowers == store.unpacked.lowers((lower, upper))


def test_hidden_directory_lends_no_mode(store: Store) -> None:
    """A directory below a file of a middle layer is not the one that is seen."""
    lower = publish_layer(store, b"lower", (), "d")
    os.chmod(f"{store.unpacked.tree(lower)}/d", 0o700)
    middle = publish_layer(store, b"middle", (), "other")
    Path(f"{store.unpacked.tree(middle)}/d").write_text("file")
    upper = publish_layer(store, b"upper", ("d",), "d/x")
    assert not os.path.exists(store.unpacked.lowers((lower, middle, upper))[0] + "/d")


def test_topmost_layer_has_places_for_mounts(store: Store) -> None:
    """Mount points are no change of the container's; what the image has is left alone."""
    layer = publish_layer(store, b"layer", (), "etc")
    tree = store.unpacked.tree(layer)
    os.chmod(f"{tree}/etc", 0o751)
    Path(f"{tree}/etc/hosts").write_text("mine")
    os.symlink("/elsewhere", f"{tree}/dev")
    top = store.unpacked.lowers((layer,))[0]
    assert sorted(os.listdir(top)) == [".dockerenv", "etc", "proc", "sys"]
    assert sorted(os.listdir(f"{top}/etc")) == ["hostname", "mtab", "resolv.conf"]
    assert os.readlink(f"{top}/etc/mtab") == "/proc/mounts"
    assert stat.S_IMODE(os.stat(f"{top}/etc").st_mode) == 0o751


def test_image_without_layers_can_be_mounted(store: Store) -> None:
    """Even an empty stack has one directory."""
    (top,) = store.unpacked.lowers(())
    assert sorted(os.listdir(f"{top}/etc")) == ["hostname", "hosts", "mtab", "resolv.conf"]


def test_sweep_and_maker_do_not_collide(store: Store) -> None:
    """A directory that its maker is removing is left alone, and a removed one is no error."""
    with scratch(store.layout) as directory:
        Path(directory, "half").touch()
        Store.open(store.layout.root)
        assert os.listdir(directory) == ["half"]
    assert os.listdir(store.layout.temporary) == []


def test_lost_temporary_directory_is_made_again(store: Store) -> None:
    """A store whose tmp was deleted works on."""
    os.rmdir(store.layout.temporary)
    Store.open(store.layout.root)
    assert os.path.isdir(store.layout.temporary)


def test_damaged_document_is_replaced(store: Store) -> None:
    """Storing the right bytes again repairs a blob that was changed on disk."""
    digest = store.blobs.put(b"document")
    Path(store.blobs.path(digest)).write_bytes(b"dociment")
    store.blobs.put(b"document")
    assert store.blobs.read(digest) == b"document"


def test_pull_by_digest_adds_the_digest_to_a_tagged_image(store: Store) -> None:
    """An image that has a tag can be found by the digest it is pulled by later."""
    manifest, config = add_image(store, "docker.io/library/x:1")
    text = f"docker.io/library/y@{manifest.digest}"
    with store.images.transaction() as tx:
        tx.set(manifest, config, "", (text,))
    assert [(e.name, e.digests) for e in store.images.entries()] == [
        ("docker.io/library/x:1", (text,))
    ]


@pytest.mark.parametrize(
    "annotation",
    [
        {"io.minidock.image.id": "sha256:1"},
        {"org.opencontainers.image.ref.name": "UPPER CASE"},
        {"io.minidock.image.digests": "nonsense"},
        {"io.minidock.image.tagged": "NaN"},
        {"io.minidock.image.tagged": "yesterday"},
    ],
)
def test_damaged_index_is_one_error(store: Store, annotation: dict[str, str]) -> None:
    """An index entry that minidock did not write is refused, not acted on."""
    add_image(store, "docker.io/library/x:1")
    path = Path(store.layout.index_file)
    index = json.loads(path.read_text())
    index["manifests"][0]["annotations"] |= annotation
    path.write_text(json.dumps(index))
    with pytest.raises(DataCorrupted):
        store.images.entries()


def test_changed_record_is_noticed(store: Store) -> None:
    """A container whose record was changed is damaged: named so, not listed, only removable."""
    container = add_container(store, "web")
    path = Path(container.file("container.json"))
    path.write_text(path.read_text().replace('"image":', '"imagf":'))
    assert list(store.containers.all()) == []
    assert store.containers.damaged() == (container.id,)
    with pytest.raises(ContainerDamaged, match=container.id):
        store.containers.find("web")
    store.containers.discard(container.id)
    with pytest.raises(ContainerNotFound):
        store.containers.find("web")


def test_damaged_container_stops_gc(store: Store) -> None:
    """While it is not known what a container needs, nothing is deleted."""
    container = add_container(store, "web")
    Path(container.file("container.json")).write_bytes(b"")
    with store.images.transaction() as tx:
        tx.drop(container.record.manifest)
    assert store.collect() == Collected()


@pytest.mark.parametrize(
    "change",
    [
        {"pid": "1"},
        {"pid": -1},
        {"status": "walking"},
        {"cgroups": [1]},
        {"endpoint": []},
        {"started": 1e300},
        {"oom_killed": 0},
    ],
)
def test_damaged_state_is_one_error(store: Store, change: dict[str, object]) -> None:
    """A state with a value that minidock does not write is refused."""
    container = add_container(store, "web")
    path = Path(container.file("state.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataCorrupted, match=re.escape(next(iter(change)))):
        container.state  # noqa: B018 - reading is the test


def test_record_keeps_bytes_that_are_no_utf8(store: Store) -> None:
    """An argument that is not UTF-8 is stored and comes back."""
    container = add_container(store, "web")
    record = container.record._replace(config={"Cmd": [os.fsdecode(b"\xff")]})
    assert ContainerRecord.from_json(record.to_json()) == record


def test_removed_container_can_not_be_locked(store: Store) -> None:
    """Who waits to change a container that is gone learns that it is gone."""
    container = add_container(store, "web")
    store.containers.remove(container)
    with pytest.raises(ContainerNotFound), container.lock():
        pass


def test_rename_of_a_removed_container_takes_no_name(store: Store) -> None:
    """The new name stays free."""
    container = add_container(store, "web")
    store.containers.remove(container)
    with pytest.raises(ContainerNotFound):
        store.containers.rename(container, "other")
    assert os.listdir(store.layout.names) == []


def test_rename_to_the_same_name_is_refused(store: Store) -> None:
    """Docker's text."""
    container = add_container(store, "web")
    with pytest.raises(InvalidArgument, match="same name as its current name"):
        store.containers.rename(container, "web")


def test_one_of_many_gets_the_name(store: Store) -> None:
    """Of ten creations with one name at once, one succeeds and the others leave nothing."""
    record = add_container(store, "first").record
    outcomes: list[str] = []

    def create() -> None:
        try:
            store.containers.create(record._replace(id=store.containers.new_id()), "same")
            outcomes.append("made")
        except NameTaken:
            outcomes.append("taken")

    threads = [threading.Thread(target=create) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made"] + ["taken"] * 9
    assert len(list(store.containers.all())) == 2
