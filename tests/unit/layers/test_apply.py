"""What a layer's entries come to in a directory."""

import errno
import io
import os
import stat

import pytest

from minidock.layers.apply import Applied, LayerTooLarge, Limits, RefusedEntry, apply
from minidock.layers.compression import CorruptArchive
from tests.hostile.corpus import (
    CHR,
    DIR,
    FIFO,
    LINK,
    SYM,
    extended,
    layer,
    member,
    record,
    xattr,
)
from tests.hostile.snapshots import snapshot

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes devices and changes owners"),
]


@pytest.fixture
def top(tmp_path):
    return str(tmp_path)


def unpack(top: str, *members: bytes) -> Applied:
    return apply(io.BytesIO(layer(*members)), top)


def is_whiteout(path: str) -> bool:
    status = os.lstat(path)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(path: str) -> bool:
    return "trusted.overlay.opaque" in os.listxattr(path)


def test_whiteout_becomes_a_device(top):
    """`.wh.x` is a character device 0:0 called x."""
    unpack(top, member("d", DIR), member("d/.wh.x"))
    assert is_whiteout(f"{top}/d/x")
    assert os.listdir(f"{top}/d") == ["x"]


@pytest.mark.parametrize("is_first", [True, False])
def test_entry_is_kept_beside_its_whiteout(top, is_first):
    """A whiteout hides what is below, not what its own layer has, in either order."""
    members = [member(".wh.f"), member("f", data=b"kept")]
    unpack(top, *(members if is_first else reversed(members)))
    assert snapshot(top)["f"].content == b"kept"


@pytest.mark.parametrize("is_first", [True, False])
def test_directory_beside_its_whiteout_is_opaque(top, is_first):
    """A directory that replaces one below must not merge with it."""
    members = [member(".wh.d"), member("d", DIR)]
    applied = unpack(top, *(members if is_first else reversed(members)), member("d/x"))
    assert is_opaque(f"{top}/d")
    assert applied.implied_parents == (".",)


def test_implied_directory_over_a_whiteout_is_opaque(top):
    """A parent without an entry that replaces a whiteout takes nothing from below."""
    applied = unpack(top, member(".wh.d"), member("d/e/x"))
    assert is_opaque(f"{top}/d")
    assert applied.implied_parents == (".", "d/e")


@pytest.mark.parametrize("is_first", [True, False])
def test_opaque_whiteout_keeps_its_own_layer(top, is_first):
    """`.wh..wh..opq` marks the directory, wherever it stands."""
    members = [member("d/.wh..wh..opq"), member("d/x", data=b"kept")]
    applied = unpack(top, *(members if is_first else reversed(members)))
    assert is_opaque(f"{top}/d")
    assert os.listdir(f"{top}/d") == ["x"]
    assert applied.implied_parents == (".", "d")


def test_implied_parents_are_told(top):
    """Directories without an entry are root's, 0755, and reported by their real path."""
    applied = unpack(
        top,
        member("./", DIR),
        member("lib", SYM, link="usr/lib"),
        member("usr/lib", DIR),
        member("lib/x/y", data=b"1"),
        member("late/z", data=b"1"),
        member("late", DIR, mode=0o700),
    )
    assert applied.implied_parents == ("usr", "usr/lib/x")
    assert stat.S_IMODE(os.stat(f"{top}/usr").st_mode) == 0o755
    assert os.stat(f"{top}/usr").st_mtime_ns == 0
    assert stat.S_IMODE(os.stat(f"{top}/late").st_mode) == 0o700


def test_parent_links_resolve_inside(top):
    """An absolute link as a parent leads to the layer's own directory."""
    unpack(top, member("real", DIR), member("link", SYM, link="/real"), member("link/x"))
    assert os.listdir(f"{top}/real") == ["x"]


def test_cached_parents_are_forgotten_when_replaced(top):
    """An entry after its parent was replaced goes to the new parent."""
    unpack(
        top,
        member("a", DIR),
        member("b", DIR),
        member("s", SYM, link="a"),
        member("s/1"),
        member("s", SYM, link="b"),
        member("s/2"),
        member("a", data=b"a file now"),
        member("a", DIR),
        member("a/3"),
    )
    assert os.listdir(f"{top}/b") == ["2"]
    assert os.listdir(f"{top}/a") == ["3"]


def test_the_last_entry_of_a_name_wins(top):
    """Types change both ways; a directory that comes again keeps what is in it."""
    unpack(
        top,
        member("d", DIR, mode=0o700),
        member("d/kept"),
        member("d", DIR, mode=0o750, uid=5),
        member("x", DIR),
        member("x/gone"),
        member("x", data=b"file"),
        member("y", data=b"file"),
        member("y", SYM, link="d"),
        member("y", DIR),
        member("z", FIFO),
        member("z", data=b"file"),
    )
    seen = snapshot(top)
    assert (stat.S_IMODE(seen["d"].mode), seen["d"].uid) == (0o750, 5)
    assert "d/kept" in seen
    assert seen["x"].content == seen["z"].content == b"file"
    assert stat.S_ISDIR(seen["y"].mode)


def test_hard_links(top):
    """Links follow their target, through a linked parent too; to itself it is nothing."""
    unpack(
        top,
        member("d/f", data=b"1"),
        member("s", SYM, link="d"),
        member("h", data=b"old"),
        member("h", LINK, link="/s/f"),
        member("h", LINK, link="h"),
        member("hs", LINK, link="s"),
    )
    assert os.path.samefile(f"{top}/h", f"{top}/d/f")
    assert os.readlink(f"{top}/hs") == "d"


def test_missing_hard_link_target_is_named(top):
    """A link to what only a layer below has is refused, and says so."""
    with pytest.raises(RefusedEntry, match="'etc/below' is not in this layer"):
        unpack(top, member("h", LINK, link="etc/below"))


def test_metadata_arrives_whole(top):
    """Set-user-ID survives chown, times of directories survive their entries."""
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    unpack(
        top,
        member("./", DIR, mode=0o711, uid=9, mtime=77),
        member("d", DIR, mode=0o2775, uid=1, gid=2, mtime=1000),
        member("d/f", mode=0o6755, uid=3, gid=4, mtime=2000),
        member("d/l", SYM, link="f", uid=5, gid=6, mtime=3000),
        extended(record(b"SCHILY.xattr.security.capability", capability)),
        member("d/cap", uid=7),
        member("d/x", **xattr("user.key", b"value")),
        extended(record(b"mtime", b"1.123456789")),
        member("d/ns"),
        member("d/fifo", FIFO, mode=0o666, uid=8),
        member("d/null", CHR, mode=0o622, devmajor=1, devminor=3),
    )
    seen = snapshot(top)
    assert (seen[""].mode, seen[""].uid, seen[""].mtime_ns) == (0o40711, 9, 77 * 10**9)
    assert (seen["d"].mode, seen["d"].uid, seen["d"].gid) == (0o42775, 1, 2)
    assert seen["d"].mtime_ns == 1000 * 10**9
    assert (seen["d/f"].mode, seen["d/f"].uid, seen["d/f"].gid) == (0o106755, 3, 4)
    assert seen["d/f"].mtime_ns == 2000 * 10**9
    assert (seen["d/l"].uid, seen["d/l"].mtime_ns) == (5, 3000 * 10**9)
    assert seen["d/cap"].xattrs == (("security.capability", capability),)
    assert seen["d/x"].xattrs == (("user.key", b"value"),)
    assert seen["d/ns"].mtime_ns == 1_123_456_789
    assert (seen["d/fifo"].mode, seen["d/fifo"].uid) == (0o10666, 8)
    assert (seen["d/null"].mode, seen["d/null"].content) == (0o20622, (1, 3))


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_umask_does_not_matter(top, mask):
    """Modes are those of the archive."""
    before = os.umask(mask)
    try:
        unpack(
            top,
            member("a/f", mode=0o666),
            member("d", DIR, mode=0o777),
            member("p", FIFO, mode=0o666),
        )
    finally:
        os.umask(before)
    seen = {path: stat.S_IMODE(found.mode) for path, found in snapshot(top).items()}
    assert seen == {"": 0o755, "a": 0o755, "a/f": 0o666, "d": 0o777, "p": 0o666}


def test_default_access_lists_do_not_spread(top):
    """A directory's default list is for what comes later, not for the layer's own files."""
    default = bytes.fromhex("0200000001000700ffffffff04000500ffffffff20000500ffffffff")
    unpack(
        top,
        extended(record(b"SCHILY.xattr.system.posix_acl_default", default)),
        member("d", DIR, mode=0o750),
        member("d/sub", DIR, mode=0o700),
        member("d/f", mode=0o640),
    )
    seen = snapshot(top)
    assert seen["d"].xattrs == (("system.posix_acl_default", default),)
    assert seen["d/sub"].xattrs == seen["d/f"].xattrs == ()


def test_sparse_files_keep_their_holes(top):
    """A hole takes no space."""
    records = record(b"GNU.sparse.size", b"%d" % (64 << 20)) + record(
        b"GNU.sparse.map", b"%d,3" % (32 << 20)
    )
    applied = unpack(top, extended(records), member("x", data=b"abc"))
    status = os.stat(f"{top}/x")
    assert status.st_size == applied.size == 64 << 20
    assert status.st_blocks * 512 < 1 << 20
    with open(f"{top}/x", "rb") as file:
        file.seek(32 << 20)
        assert file.read(4) == b"abc\0"


def test_source_is_read_to_its_end(top):
    """A hash over the source covers what follows the archive too."""
    source = io.BytesIO(layer(member("x")) + bytes(3 << 20))
    counts: list[int] = []
    apply(source, top, progress=counts.append)
    assert source.read() == b""
    assert counts == sorted(counts)
    assert counts[-1] == len(source.getvalue())


def test_account(top):
    """Size counts regular files, entries count what was made."""
    applied = unpack(
        top, member("./", DIR), member("d/x", data=b"123"), member("y", data=b"4567")
    )
    assert applied == Applied(7, 4, ("d",), ())


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Limits(size=100), "larger than 100 bytes"),
        (Limits(entries=2), "more than 2 entries"),
        (Limits(ratio=10, ratio_from=100, compressed_size=20), "larger than 200 bytes"),
    ],
)
def test_limits_are_named(top, limits, text):
    """What is too much says which limit."""
    members = [member(f"f{number}", data=b"x" * 60) for number in range(3)]
    with pytest.raises(LayerTooLarge, match=text):
        apply(io.BytesIO(layer(*members)), top, limits)


def test_file_that_cannot_fit_is_refused_before_it_is_written(top):
    """A size beyond the free space fails like a full disk, at once."""
    space = os.statvfs(top)
    size = space.f_bavail * space.f_frsize + (1 << 30)
    info = extended(record(b"size", b"%d" % size))
    with pytest.raises(OSError, match="No space left on device") as caught:
        apply(io.BytesIO(info + member("big")), top, Limits(size=1 << 62))
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(top) == []


def test_names_in_messages_are_escaped(top):
    """A name can't write to the user's terminal through an error."""
    with pytest.raises(RefusedEntry) as caught:
        unpack(top, member("\x1b[31m/../x"))
    assert "\x1b" not in str(caught.value)


def test_errors_of_the_source_pass_through(top):
    """What the reader below raises is not disguised."""

    class Broken:
        def read(self, size: int, /) -> bytes:
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        apply(Broken(), top)
    with pytest.raises(CorruptArchive, match="cut short"):
        apply(io.BytesIO(member("x", data=bytes(600))[:1000]), top)
