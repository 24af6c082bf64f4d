# SPDX-License-Identifier: Apache-2.0
"""A copy of a tree is like the tree, and stays where it is put."""

import contextlib
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from minidock.fs.copying import copy_tree


def keeps(name: str) -> bool:
    return name == "user.kept"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    (tmp_path / "copy").mkdir()
    return tmp_path / "tree"


def copy(tree: Path, keeps: Callable[[str], bool] = keeps) -> Path:
    """Copy `tree`; return the copy."""
    target = tree.parent / "copy"
    with contextlib.ExitStack() as opened:
        descriptors = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (tree, target)]
        for fd in descriptors:
            opened.callback(os.close, fd)
        copy_tree(*descriptors, keeps)
    return target


def test_metadata(tree: Path) -> None:
    """Modes with set-user-ID, times to the nanosecond, and the attributes that are kept."""
    (tree / "directory").mkdir()
    (tree / "directory/file").write_text("text")
    os.setxattr(tree / "directory/file", "user.kept", b"1")
    os.setxattr(tree / "directory/file", "user.other", b"1")
    for path, mode in (("directory/file", 0o4751), ("directory", 0o2711), ("", 0o1710)):
        os.chmod(tree / path, mode)
        os.utime(tree / path, ns=(10**18 + 7, 10**18 + 9))
    made = copy(tree)
    for path in ("directory/file", "directory", ""):
        before, after = os.stat(tree / path), os.stat(made / path)
        assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, 10**18 + 9)
    assert (made / "directory/file").read_text() == "text"
    assert os.listxattr(made / "directory/file") == ["user.kept"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owners(tree: Path) -> None:
    """Files, directories and links belong to whom they belonged to."""
    (tree / "file").touch()
    (tree / "link").symlink_to("file")
    for name, owner in (("file", 1), ("link", 2), (".", 3)):
        os.chown(tree / name, owner, owner + 1, follow_symlinks=False)
    made = copy(tree)
    owners = [
        (os.lstat(made / n).st_uid, os.lstat(made / n).st_gid) for n in ("file", "link", ".")
    ]
    assert owners == [(1, 2), (2, 3), (3, 4)]


def test_links(tree: Path) -> None:
    """A file of several names is one file, a symbolic link leads where it led."""
    (tree / "deep/er").mkdir(parents=True)
    (tree / "deep/er/one").write_text("text")
    for name in ("two", "deep/three"):
        os.link(tree / "deep/er/one", tree / name)
    (tree / "link").symlink_to("/etc/passwd")
    (tree / "dangling").symlink_to("../../nowhere")
    made = copy(tree)
    inodes = {os.stat(made / name).st_ino for name in ("two", "deep/three", "deep/er/one")}
    assert len(inodes) == 1
    assert inodes != {os.stat(tree / "two").st_ino}
    assert os.readlink(made / "link") == "/etc/passwd"
    assert os.readlink(made / "dangling") == "../../nowhere"


def test_holes(tree: Path) -> None:
    """A file that is mostly hole needs no more room as a copy."""
    size = 1 << 30
    with open(tree / "sparse", "wb") as file:
        file.seek(size // 2)
        file.write(b"middle")
        file.truncate(size)
    made = copy(tree) / "sparse"
    assert os.stat(made).st_size == size
    assert os.stat(made).st_blocks * 512 < 1 << 20
    with open(made, "rb") as file:
        file.seek(size // 2)
        assert file.read(7) == b"middle\0"


def test_what_is_left_out(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipes and sockets, which would lead nowhere; nothing waits for them."""
    os.mkfifo(tree / "pipe")
    monkeypatch.chdir(tree)  # a socket's name has 107 bytes at most
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        (tree / "file").touch()
        assert os.listdir(copy(tree)) == ["file"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_devices_are_left_out(tree: Path) -> None:
    """Where nobody guards them they would work."""
    os.mknod(tree / "null", stat.S_IFCHR, os.makedev(1, 3))
    assert os.listdir(copy(tree)) == []


def test_a_deep_tree(tree: Path) -> None:
    """Deeper than any path may be long."""
    at = os.open(tree, os.O_RDONLY)
    name = "d" * 200
    for _ in range(50):
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)
    copy(tree)
    at = os.open(tree.parent / "copy", os.O_RDONLY)
    for _ in range(50):
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    assert os.listdir(at) == ["file"]
    os.close(at)


def test_a_name_that_is_taken(tree: Path) -> None:
    """What somebody puts there meanwhile is not written through."""
    victim = tree.parent / "victim"
    victim.write_text("precious")
    (tree / "file").write_text("text")
    (tree.parent / "copy/file").symlink_to(victim)
    with pytest.raises(FileExistsError):
        copy(tree)
    assert victim.read_text() == "precious"


def test_a_directory_that_is_swapped(tree: Path) -> None:
    """Files go to the directory that was made, wherever it is, and not through a link."""
    victim = tree.parent / "victim"
    victim.mkdir()
    (tree / "inner").mkdir()
    for name in ("one", "two"):
        (tree / "inner" / name).touch()
        os.setxattr(tree / "inner" / name, "user.kept", b"1")

    def swap(name: str) -> bool:
        inner = tree.parent / "copy/inner"
        if not inner.is_symlink():
            inner.rename(tree.parent / "moved")
            inner.symlink_to(victim)
        return keeps(name)

    with pytest.raises(OSError, match="Stale"):
        copy(tree, swap)
    assert sorted(os.listdir(tree.parent / "moved")) == ["one", "two"]
    assert os.listdir(victim) == []
