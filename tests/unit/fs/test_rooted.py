# SPDX-License-Identifier: Apache-2.0
"""A directory as the root of all paths."""

import os
from pathlib import Path

import pytest

from minidock.fs.rooted import MAX_SMALL_FILE, NotRegular, RootedDir, open_regular


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("host")
    (tmp_path / "root/etc").mkdir(parents=True)
    return tmp_path / "root"


def test_links_stay_inside(tree: Path) -> None:
    """Absolute links and ".." lead to what is in the root, or nowhere."""
    (tree / "secret").write_text("inside")
    os.symlink("/secret", tree / "etc/absolute")
    os.symlink("../../../secret", tree / "etc/up")
    with RootedDir.at(str(tree)) as root:
        assert root.read_small("/etc/absolute") == b"inside"
        assert root.read_small("/etc/up") == b"inside"
        assert root.read_small("../secret") == b"inside"
        assert root.read_small("/etc/none") is None


def test_only_small_regular_files_are_read(tree: Path) -> None:
    """A fifo does not block, and what is too long is not read."""
    os.mkfifo(tree / "etc/passwd")
    with open(tree / "etc/group", "wb") as file:
        file.truncate(MAX_SMALL_FILE + 1)
    with RootedDir.at(str(tree)) as root:
        for name in ("/etc/passwd", "/etc/group", "/etc"):
            with pytest.raises(NotRegular):
                root.read_small(name)


def test_what_is_no_regular_file_is_not_opened(tree: Path) -> None:
    """To open a device may do something: the host's watchdog would be armed."""
    os.mkfifo(tree / "fifo")
    found = os.open(tree / "fifo", os.O_PATH)
    writer_waits = os.open(tree / "fifo", os.O_RDWR | os.O_NONBLOCK)
    before = sorted(os.listdir("/proc/self/fd"))
    assert open_regular(found) == -1
    assert sorted(os.listdir("/proc/self/fd")) == before
    os.close(found)
    os.close(writer_waits)


def test_directories_are_made_inside(tree: Path) -> None:
    """Through links, with the mode asked for whatever the umask; files are in the way."""
    os.symlink("/etc", tree / "link")
    (tree / "file").write_text("")
    with RootedDir.at(str(tree)) as root:
        old = os.umask(0o077)
        try:
            root.make_directories("/link/a/b")
        finally:
            os.umask(old)
        assert (tree / "etc/a/b").stat().st_mode & 0o777 == 0o755
        with pytest.raises(NotADirectoryError):
            root.make_directories("/file/x")
        os.symlink("/nowhere", tree / "dangling")
        with pytest.raises(OSError, match="dangling"):
            root.make_directories("/dangling/x")
    assert not (tree / "nowhere").exists()
