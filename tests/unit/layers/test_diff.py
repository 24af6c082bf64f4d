"""What an upper directory is told and written as."""

import io
import os
import stat

import pytest

from minidock.layers import archive as tar
from minidock.layers.archive import ArchiveReader, Entry
from minidock.layers.diff import LayerStats, changes, write_layer

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes whiteouts and trusted attributes"),
]


class Trees:
    """An upper directory and two lower ones, the second of all under the first."""

    def __init__(self, base: str) -> None:
        self.upper, self.middle, self.bottom = (f"{base}/{name}" for name in "umb")
        for path in (self.upper, self.middle, self.bottom):
            os.mkdir(path)
            os.utime(path, (1, 1))

    @property
    def lowers(self) -> tuple[str, ...]:
        return self.middle, self.bottom

    def told(self, **how: object) -> list[str]:
        return [f"{kind} {path}" for kind, path in changes(self.upper, self.lowers, **how)]

    def written(self, **how: object) -> tuple[LayerStats, list[Entry]]:
        out = io.BytesIO()
        os.utime(self.upper, (1, 1))  # the top is as below, unless a test changes more of it
        stats = write_layer(self.upper, self.lowers, out, **how)
        out.seek(0)
        archive = ArchiveReader(out)
        return stats, list(iter(archive.next, None))

    def names(self) -> list[str]:
        return [entry.name for entry in self.written()[1]]


def directory(path: str, *, is_opaque: bool = False, mode: int = 0o755) -> None:
    os.mkdir(path)
    os.chmod(path, mode)
    os.utime(path, (1, 1))
    os.utime(os.path.dirname(path), (1, 1))
    if is_opaque:
        os.setxattr(path, "trusted.overlay.opaque", b"y")


def file(path: str, data: str = "") -> None:
    with open(path, "w") as opened:
        opened.write(data)
    parent = os.path.dirname(path)
    os.utime(path, (1, 1))
    os.utime(parent, (1, 1))


def whiteout(path: str) -> None:
    os.mknod(path, stat.S_IFCHR, 0)
    os.utime(os.path.dirname(path), (1, 1))


@pytest.fixture
def trees(tmp_path):
    return Trees(str(tmp_path))


def test_nothing_changed_is_nothing(trees):
    """An empty upper directory has no changes and no entries."""
    assert trees.told() == []
    assert trees.names() == []


def test_added_changed_deleted_and_their_parents(trees):
    """Kinds are docker's; directories above a change are changed; the order is by path."""
    for name in ("etc", "etc/deep"):
        directory(f"{trees.bottom}/{name}")
    for name in ("etc/passwd", "etc/deep/old"):
        file(f"{trees.bottom}/{name}")
    directory(f"{trees.upper}/etc")
    directory(f"{trees.upper}/etc/deep")
    file(f"{trees.upper}/etc/passwd", "new")
    file(f"{trees.upper}/etc-new")
    whiteout(f"{trees.upper}/etc/deep/old")
    assert trees.told() == [
        "C /etc",
        "A /etc-new",
        "C /etc/deep",
        "D /etc/deep/old",
        "C /etc/passwd",
    ]
    assert trees.names() == ["etc/", "etc/deep/", "etc/deep/.wh.old", "etc/passwd", "etc-new"]


def test_directory_copied_up_unchanged_is_not_told(trees):
    """A directory that looks as below and holds no change says nothing."""
    for top in (trees.bottom, trees.upper):
        directory(f"{top}/same")
        directory(f"{top}/same/inner")
        directory(f"{top}/mode")
    os.chmod(f"{trees.upper}/mode", 0o700)
    assert trees.told() == ["C /mode"]
    assert trees.names() == ["mode/"]


def test_whiteout_of_nothing_is_not_told(trees):
    """A whiteout that hides nothing says nothing."""
    whiteout(f"{trees.upper}/x")
    whiteout(f"{trees.middle}/x")
    file(f"{trees.bottom}/x")
    assert trees.told() == []
    assert trees.names() == []


def test_opaque_directory_tells_what_it_hides(trees):
    """What was in a replaced directory and is not in the new one is deleted."""
    directory(f"{trees.bottom}/d")
    for name in ("old", "again", "gone"):
        file(f"{trees.bottom}/d/{name}")
    directory(f"{trees.middle}/d")
    whiteout(f"{trees.middle}/d/gone")
    directory(f"{trees.upper}/d", is_opaque=True)
    file(f"{trees.upper}/d/again")
    file(f"{trees.upper}/d/new")
    assert trees.told() == ["C /d", "C /d/again", "A /d/new", "D /d/old"]
    assert trees.names() == ["d/", "d/.wh..wh..opq", "d/again", "d/new"]


def test_opaque_directory_over_nothing_has_no_mark(trees):
    """The kernel marks all new directories; where nothing is below, no layer needs it."""
    directory(f"{trees.upper}/new", is_opaque=True)
    assert trees.told() == ["A /new"]
    assert trees.names() == ["new/"]


def test_lower_layers_hide_each_other(trees):
    """What an opaque lower directory or a lower file hides does not exist."""
    directory(f"{trees.bottom}/d")
    file(f"{trees.bottom}/d/hidden")
    directory(f"{trees.middle}/d", is_opaque=True)
    directory(f"{trees.upper}/d")
    file(f"{trees.upper}/d/hidden")
    assert trees.told() == ["C /d", "A /d/hidden"]


def test_metadata_and_links_are_written(trees):
    """Owners, modes, exact times, attributes and second names are in the archive."""
    path = f"{trees.upper}/f"
    file(path, "data")
    os.chown(path, 7, 8)
    os.chmod(path, 0o4755)
    os.setxattr(path, "user.key", b"value")
    os.setxattr(path, "trusted.overlay.origin", b"x")
    os.utime(path, ns=(0, 1_500_000_000))
    os.link(path, f"{trees.upper}/g")
    os.symlink("target", f"{trees.upper}/h")
    stats, entries = trees.written()
    first, second, third = entries
    assert first[:7] == ("f", tar.FILE, 0o4755, 7, 8, 4, 1_500_000_000)
    assert first.xattrs == {"user.key": b"value"}
    assert (second.kind, second.link) == (tar.HARD_LINK, "f")
    assert (third.kind, third.link) == (tar.SYMLINK, "target")
    assert stats == LayerStats(4, 3, ())


def test_times_are_clamped_to_the_epoch(trees):
    """No time is later than the given one; earlier ones stay."""
    file(f"{trees.upper}/new")
    file(f"{trees.upper}/old")
    os.utime(f"{trees.upper}/new", (2_000_000_000, 2_000_000_000))
    _, entries = trees.written(epoch=1000)
    assert {entry.name: entry.mtime_ns // 10**9 for entry in entries} == {"new": 1000, "old": 1}


def test_skipped_paths_are_left_out(trees):
    """Neither a skipped path nor what is below it is told or written."""
    directory(f"{trees.upper}/etc")
    file(f"{trees.upper}/etc/hosts")
    directory(f"{trees.upper}/dev")
    file(f"{trees.upper}/dev/console")
    skip = frozenset(("/etc/hosts", "/dev"))
    assert trees.told(skip=skip) == ["A /etc"]
    assert [entry.name for entry in trees.written(skip=skip)[1]] == ["etc/"]


def test_what_no_layer_can_hold_is_noted(trees):
    """Names that begin with .wh. are told of, and left out of the archive with a note."""
    file(f"{trees.upper}/.wh.x")
    stats, entries = trees.written()
    assert entries == []
    assert ".wh.x" in stats.notes[0]
    assert trees.told() == ["A /.wh.x"]


def test_changed_top_is_written_and_not_told(trees):
    """The root directory's own metadata travel; docker diff never lists it."""
    os.chmod(trees.upper, 0o700)
    assert trees.told() == []
    assert trees.names() == ["./"]


def test_fifos_and_sockets_do_not_block(trees):
    """A fifo is written as one and never opened; a socket is left out."""
    os.mkfifo(f"{trees.upper}/fifo")
    os.mknod(f"{trees.upper}/socket", stat.S_IFSOCK | 0o600)
    assert [(entry.name, entry.kind) for entry in trees.written()[1]] == [("fifo", tar.FIFO)]
