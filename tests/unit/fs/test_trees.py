"""Whole trees are removed and measured without leaving them."""

import os
import subprocess

import pytest

from minidock.fs import trees
from minidock.fs.trees import Cursor


def make_deep(top: str, depth: int) -> None:
    cursor = Cursor.at(top)
    for _ in range(depth):
        os.mkdir("d", dir_fd=cursor.fd)
        cursor.enter("d")
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=cursor.fd))
    cursor.close()


def test_remove_takes_what_is_there(tmp_path):
    """A tree, a file, a link, a fifo and nothing at all are removed alike."""
    (tmp_path / "tree/a/b").mkdir(parents=True)
    (tmp_path / "tree/a/file").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("/etc")
    os.mkfifo(tmp_path / "fifo")
    for name in ("tree", "file", "link", "fifo", "missing"):
        trees.remove(f"{tmp_path}/{name}")
    assert os.listdir(tmp_path) == []


def test_remove_follows_no_link(tmp_path):
    """What links in the tree point at stays."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/kept").write_text("x")
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/link").symlink_to(tmp_path / "outside")
    (tmp_path / "tree/link").symlink_to("../outside")
    trees.remove(f"{tmp_path}/tree/")
    assert os.listdir(tmp_path) == ["outside"]
    assert os.listdir(tmp_path / "outside") == ["kept"]


def test_deep_trees_are_measured_and_removed(tmp_path):
    """A tree deeper than PATH_MAX, descriptors and the stack allow is no trouble."""
    (tmp_path / "deep").mkdir()
    make_deep(f"{tmp_path}/deep", 5000)
    assert trees.disk_usage(f"{tmp_path}/deep") == 0
    trees.remove(f"{tmp_path}/deep")
    assert os.listdir(tmp_path) == []


def test_disk_usage_counts_regular_files_once(tmp_path):
    """Hard links count once, holes count, links and directories do not."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/file").write_bytes(b"x" * 1000)
    os.link(tmp_path / "sub/file", tmp_path / "again")
    (tmp_path / "link").symlink_to("sub/file")
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 20)
    assert trees.disk_usage(f"{tmp_path}") == 1000 + (1 << 20)


def test_cursor_notices_a_moved_tree(tmp_path):
    """Leaving a directory that was moved away is an error, not a walk somewhere else."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    cursor = Cursor.at(f"{tmp_path}/a")
    cursor.enter("b")
    os.rename(tmp_path / "a/b", tmp_path / "elsewhere/b")
    with pytest.raises(OSError, match=r"[Ss]tale"):
        cursor.leave()
    cursor.close()


def test_cursor_refuses_links(tmp_path):
    """A symbolic link is not entered."""
    (tmp_path / "link").symlink_to("/")
    cursor = Cursor.at(f"{tmp_path}")
    with pytest.raises(OSError, match="Not a directory"):
        cursor.enter("link")
    cursor.close()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_remove_stops_at_a_mount(tmp_path):
    """What is mounted inside a tree, even of the same file system, is not emptied."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/kept").write_text("x")
    (tmp_path / "tree/mounted").mkdir(parents=True)
    mounted = f"{tmp_path}/tree/mounted"
    subprocess.run(["mount", "--bind", f"{tmp_path}/precious", mounted], check=True)
    try:
        with pytest.raises(OSError, match=r"[Cc]ross-device"):
            trees.remove(f"{tmp_path}/tree")
    finally:
        subprocess.run(["umount", mounted], check=True)
    assert os.listdir(tmp_path / "precious") == ["kept"]
