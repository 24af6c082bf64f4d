# SPDX-License-Identifier: Apache-2.0
"""Volumes are there whole or not at all, and are not lost to anybody."""

import os
import stat
from pathlib import Path

import pytest

from minidock.errors import Conflict, NotFound
from minidock.store.store import Store
from minidock.store.volumes import ANONYMOUS, InvalidVolume, Volume, VolumeStore, check_name


@pytest.fixture
def store(tmp_path: Path) -> VolumeStore:
    return Store.open(str(tmp_path / "root")).volumes


def make(store: VolumeStore, name: str = "vol") -> Volume:
    return store.create(name, labels={"a": "1"}, options={})


def nobody() -> tuple[str, ...]:
    return ()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "-a", "a b", "a\n", "ä1", "a" * 256]
)
def test_bad_names(name: str, store: VolumeStore) -> None:
    """A name is a file name that needs no quoting."""
    with pytest.raises(InvalidVolume):
        check_name(name)
    with pytest.raises(NotFound):
        store.find(name)


def test_modes(store: VolumeStore, tmp_path: Path) -> None:
    """Other users of the host do not get in, whatever the mode of the data is."""
    volume = make(store)
    assert stat.S_IMODE(os.stat(volume.directory).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(volume.data).st_mode) == 0o755
    assert os.listdir(tmp_path / "root/tmp") == []


def test_a_volume_is_made_once(store: VolumeStore) -> None:
    """The second call finds the first one's, with its labels."""
    first = make(store)
    assert store.create("vol", labels={}, options={}) == first == store.find("vol")
    assert (first.labels, first.anonymous, first.created > 0) == ({"a": "1"}, False, True)
    assert store.create("other", labels={ANONYMOUS: ""}, options={}).anonymous
    assert [volume.name for volume in store.all()] == ["other", "vol"]


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b'{"labels": 3}', None])
def test_a_volume_whose_record_is_lost(store: VolumeStore, record: bytes | None) -> None:
    """It is a volume with a name, which nothing prunes; its data are there."""
    volume = store.create("vol", labels={ANONYMOUS: ""}, options={})
    path = Path(volume.directory, "volume.json")
    path.unlink() if record is None else path.write_bytes(record)
    assert store.find("vol") == Volume("vol", volume.directory, 0.0, {}, {})


def test_a_volume_in_use_stays(store: VolumeStore) -> None:
    """Whether a container has it, or one that is being made may have it soon."""
    volume, lock = store.hold("vol", labels={}, options={})
    with pytest.raises(Conflict, match=r"remove vol: volume is in use - \[\]"):
        store.remove("vol", nobody)
    lock.release()
    with pytest.raises(Conflict, match=r"in use - \[one, two\]"):
        store.remove("vol", lambda: ("one", "two"))
    assert os.path.isdir(volume.data)
    store.remove("vol", nobody)
    with pytest.raises(NotFound, match="get vol: no such volume"):
        store.remove("vol", nobody)


def test_a_volume_that_is_made_again_is_held(store: VolumeStore) -> None:
    """The lock is on what has the name, not on what had it."""
    make(store)
    store.remove("vol", nobody)
    volume, lock = store.hold("vol", labels={}, options={})
    assert lock.is_current()
    assert os.path.isdir(volume.data)
    lock.release()


def test_fill(store: VolumeStore) -> None:
    """Files get in once, and only when there are none; the directory looks as it was made."""
    volume = make(store)

    def copy(directory: int) -> bool:
        os.mkdir("inner", dir_fd=directory)
        os.symlink("target", "link", dir_fd=directory)
        os.fchmod(directory, 0o710)
        os.utime(directory, ns=(10**18, 10**18))
        return True

    store.fill(volume, copy)
    assert sorted(os.listdir(volume.data)) == ["inner", "link"]
    assert stat.S_IMODE(os.stat(volume.data).st_mode) == 0o710
    assert os.stat(volume.data).st_mtime_ns == 10**18
    store.fill(volume, lambda _directory: pytest.fail("it is not empty"))
    assert sorted(os.listdir(volume.directory)) == ["_data", "fill.lock", "volume.json"]


def test_a_fill_that_fails_leaves_nothing(store: VolumeStore, tmp_path: Path) -> None:
    """Neither in the volume nor beside it."""
    volume = make(store)

    def copy(directory: int) -> bool:
        os.mkdir("half", dir_fd=directory)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        store.fill(volume, copy)
    assert os.listdir(volume.data) == []
    assert sorted(os.listdir(volume.directory)) == ["_data", "fill.lock", "volume.json"]
    assert os.listdir(tmp_path / "root/tmp") == []


def test_a_fill_that_was_interrupted_is_completed(store: VolumeStore) -> None:
    """What was ready is moved; a name that a container has taken meanwhile stays its own."""
    volume = make(store)
    ready = Path(volume.directory, "fill/files")
    ready.mkdir(parents=True)
    (ready / "late").write_text("image's")
    (ready / "taken").write_text("image's")
    ready.parent.chmod(0o711)
    Path(volume.data, "early").write_text("image's")
    Path(volume.data, "taken").write_text("container's")
    store.fill(volume, lambda _directory: pytest.fail("it is not empty"))
    files = {path.name: path.read_text() for path in Path(volume.data).iterdir()}
    assert files == {"early": "image's", "late": "image's", "taken": "container's"}
    assert stat.S_IMODE(os.stat(volume.data).st_mode) == 0o711
    assert not ready.parent.exists()


def test_a_volume_of_the_host(store: VolumeStore, tmp_path: Path) -> None:
    """Its data are the directory that its options name; removing it removes the link."""
    path = tmp_path / "device"
    path.mkdir()
    (path / "file").write_text("precious")
    options = {"type": "none", "o": "bind,ro", "device": str(path)}
    volume = store.create("vol", labels={}, options=options)
    assert (os.path.realpath(volume.data), volume.read_only) == (str(path), True)
    assert store.size(volume) == 0
    store.remove("vol", nobody)
    assert (path / "file").read_text() == "precious"
