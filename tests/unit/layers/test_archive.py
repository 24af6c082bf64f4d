"""Our tar streams against Python's, in both directions."""

import io
import os
import tarfile

import pytest

from minidock.layers import archive as tar
from minidock.layers.archive import ArchiveReader, ArchiveWriter, Entry
from minidock.layers.compression import CorruptArchive
from minidock.layers.pax import format_time, parse_time
from tests.hostile.corpus import END, extended, layer, member, raw_header, record


def read(data: bytes) -> list[tuple[Entry, bytes]]:
    archive = ArchiveReader(io.BytesIO(data))
    found = []
    while entry := archive.next():
        content = bytearray(entry.size)
        for offset, piece in archive.data():
            content[offset : offset + len(piece)] = piece
        found.append((entry, bytes(content)))
    return found


def write(*entries: tuple[Entry, bytes]) -> bytes:
    out = io.BytesIO()
    archive = ArchiveWriter(out)
    for entry, data in entries:
        archive.add(entry, [data] if data else [])
    archive.close()
    return out.getvalue()


def tarfile_of(members: list[tarfile.TarInfo], **how: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", errors="surrogateescape", **how) as archive:
        for info in members:
            archive.addfile(info, io.BytesIO(b"d" * info.size))
    return out.getvalue()


NAMES = [
    "a",
    "dir/" * 30 + "file",
    "x" * 150,
    "é" * 80,
    os.fsdecode(b"\xff\xfe" * 30),
    "new\nline",
]
FORMATS = [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT]


@pytest.mark.parametrize("form", FORMATS, ids=["gnu", "pax", "ustar"])
@pytest.mark.parametrize("name", NAMES)
def test_reads_what_tarfile_writes(form, name):
    """Names, links, owners, sizes and times arrive in every format."""
    file, link = tarfile.TarInfo(name), tarfile.TarInfo("link")
    file.size, file.mode, file.uid, file.gid, file.mtime = (
        1025,
        0o4751,
        1234,
        4321,
        1_600_000_000,
    )
    link.type, link.linkname = tarfile.SYMTYPE, name
    try:
        data = tarfile_of([file, link], format=form)
    except ValueError:
        pytest.skip("the format has no such names")
    (first, content), (second, _) = read(data)
    assert content == b"d" * 1025
    assert first == Entry(
        name, tar.FILE, 0o4751, 1234, 4321, 1025, 1_600_000_000 * 10**9, xattrs=first.xattrs
    )
    assert (second.kind, second.link) == (tar.SYMLINK, name)


def test_reads_large_numbers():
    """Base-256 and pax numbers reach beyond the octal fields."""
    info = tarfile.TarInfo("x")
    info.uid, info.gid = 3_000_000, 4_000_000_000
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        info.mtime = 1 << 33
        ((entry, _),) = read(tarfile_of([info], format=form))
        assert (entry.uid, entry.gid) == (3_000_000, 4_000_000_000)
        assert entry.mtime_ns == (1 << 33) * 10**9
    info.mtime = -5
    ((entry, _),) = read(tarfile_of([info], format=tarfile.GNU_FORMAT))
    assert entry.mtime_ns == -5 * 10**9


@pytest.mark.parametrize("kind", [tar.CHARACTER, tar.BLOCK_DEVICE, tar.FIFO, tar.DIRECTORY])
def test_other_kinds_have_no_data(kind):
    """What can't have data has size 0, whatever its header says."""
    info = tarfile.TarInfo("x")
    info.type, info.devmajor, info.devminor = kind, 8, 1
    info.size = 0
    ((entry, _),) = read(tarfile_of([info]))
    device = (8, 1) if kind in (tar.CHARACTER, tar.BLOCK_DEVICE) else (0, 0)
    assert (entry.kind, entry.size, entry.device) == (kind, 0, device)
    claimed = layer(raw_header(size=b"00000001000\0", kind=kind), member("next"))
    assert [entry.name for entry, _ in read(claimed)] == ["x", "next"]


def test_directory_of_unix_v7():
    """Without a magic, a name that ends in a slash is a directory."""
    data = layer(raw_header(b"old/", kind=b"\0", magic=bytes(8)), raw_header(b"f", kind=b"\0"))
    assert [entry.kind for entry, _ in read(data)] == [tar.DIRECTORY, tar.FILE]


def test_gnu_magic_has_no_prefix():
    """In GNU's own format the place of the prefix holds times."""
    data = layer(raw_header(b"n", magic=b"ustar  \0", tail=bytes(80) + b"13000000000\0"))
    assert [entry.name for entry, _ in read(data)] == ["n"]


def test_signed_checksums_are_accepted():
    """Old tars summed signed bytes."""
    block = bytearray(raw_header(b"\xff\xfe"))
    total = int(block[148:154], 8) - 512
    block[148:156] = b"%06o\0 " % total
    assert len(read(layer(bytes(block)))) == 1


def test_extended_headers_apply_once():
    """A pax header is of the next entry only; a global one is passed over."""
    data = layer(
        extended(record(b"path", b"global"), b"g"),
        extended(record(b"path", b"renamed") + record(b"mtime", b"1.5")),
        member("a", data=b"1"),
        member("b"),
    )
    (first, content), (second, _) = read(data)
    assert (first.name, first.mtime_ns, content) == ("renamed", 1_500_000_000, b"1")
    assert second.name == "b"


def test_unread_data_is_passed_over():
    """The next entry is found whether or not the data were taken."""
    archive = ArchiveReader(io.BytesIO(layer(member("a", data=b"x" * 3_000_000), member("b"))))
    assert archive.next()
    next(archive.data())
    entry = archive.next()
    assert entry
    assert entry.name == "b"


SPARSE = {
    "0.0": record(b"GNU.sparse.size", b"5000")
    + record(b"GNU.sparse.numblocks", b"2")
    + record(b"GNU.sparse.offset", b"1000")
    + record(b"GNU.sparse.numbytes", b"3")
    + record(b"GNU.sparse.offset", b"4000")
    + record(b"GNU.sparse.numbytes", b"2"),
    "0.1": record(b"GNU.sparse.size", b"5000")
    + record(b"GNU.sparse.map", b"1000,3,4000,2")
    + record(b"GNU.sparse.name", b"real"),
}
WHOLE = bytes(1000) + b"abc" + bytes(2997) + b"de" + bytes(998)


@pytest.mark.parametrize("version", sorted(SPARSE))
def test_sparse_maps_in_records(version):
    """The data go where the records say, the rest is holes."""
    ((entry, content),) = read(layer(extended(SPARSE[version]), member("x", data=b"abcde")))
    assert content == WHOLE
    assert entry.segments == ((1000, 3), (4000, 2))
    assert entry.stored == 5
    assert entry.name == ("x" if version == "0.0" else "real")


def test_sparse_map_before_the_data():
    """Version 1.0 keeps the map in front of the data."""
    records = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0")
    records += record(b"GNU.sparse.realsize", b"5000") + record(b"GNU.sparse.name", b"real")
    data = b"2\n1000\n3\n4000\n2\n".ljust(512, b"\0") + b"abcde"
    ((entry, content),) = read(layer(extended(records), member("x", data=data)))
    assert (entry.name, content) == ("real", WHOLE)


def test_old_sparse_header_with_extension():
    """GNU's first sparse format keeps the map in the header and in blocks after it."""
    pairs = [(number * 100, 1) for number in range(30)]
    fields = [b"%011o\0%011o\0" % pair for pair in pairs]
    tail = bytes(386 - 265) + b"".join(fields[:4]) + b"\1" + b"%011o\0" % 3000
    header = raw_header(size=b"%011o\0" % 30, kind=b"S", magic=b"ustar  \0", tail=tail)
    more = b"".join(fields[4:25]).ljust(504, b"\0") + b"\1" + bytes(7)
    last = b"".join(fields[25:]).ljust(512, b"\0")
    ((entry, content),) = read(header + more + last + b"z" * 30 + bytes(482) + END)
    assert entry.segments == tuple(pairs)
    assert content == (b"z" + bytes(99)) * 30


ENTRIES = [
    (Entry("plain", tar.FILE, 0o644, 0, 0, 3, 10**18), b"abc"),
    (Entry("d/", tar.DIRECTORY, 0o1777, 1, 2, mtime_ns=123_456_789_500_000_000), b""),
    (Entry("n" * 300, tar.SYMLINK, 0o777, link="t" * 200), b""),
    (Entry("é", tar.HARD_LINK, link=os.fsdecode(b"\xff")), b""),
    (
        Entry(os.fsdecode(b"\xff" * 120), tar.FILE, size=512, mtime_ns=-1_500_000_000),
        b"z" * 512,
    ),
    (Entry("c", tar.CHARACTER, device=(1, 3)), b""),
    (Entry("b", tar.BLOCK_DEVICE, uid=1 << 31, gid=2_097_152, device=(8, 16)), b""),
    (Entry("f", tar.FIFO), b""),
    (Entry("x", tar.FILE, xattrs={"user.b": b"\0\xff=\n", "user.a": b""}), b""),
]


def test_written_entries_come_back():
    """read(write(x)) == x."""
    assert read(write(*ENTRIES)) == ENTRIES


def test_tarfile_reads_what_is_written():
    """Python's reader sees the same names, links, owners, times and contents."""
    with tarfile.open(fileobj=io.BytesIO(write(*ENTRIES))) as archive:
        for entry, data in ENTRIES:
            info = archive.next()
            assert info
            assert info.name == entry.name.rstrip("/")
            assert (info.type, info.linkname, info.mode) == (entry.kind, entry.link, entry.mode)
            assert (info.uid, info.gid) == (entry.uid, entry.gid)
            assert info.mtime == entry.mtime_ns / 1e9
            if entry.kind == tar.FILE:
                assert archive.extractfile(info).read() == data  # type: ignore[union-attr]
        assert archive.next() is None


def test_writing_is_reproducible():
    """The order of attributes does not show."""
    one = Entry("x", tar.FILE, xattrs={"user.a": b"1", "user.b": b"2"})
    other = Entry("x", tar.FILE, xattrs={"user.b": b"2", "user.a": b"1"})
    assert write((one, b"")) == write((other, b""))


def test_wrong_amount_of_data_is_a_bug():
    """Data must be as long as the entry says."""
    with pytest.raises(ValueError, match="not 3"):
        write((Entry("x", tar.FILE, size=3), b"ab"))


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        (b"0", 0),
        (b"1.5", 1_500_000_000),
        (b"-1.5", -1_500_000_000),
        (b"1600000000.123456789", 1_600_000_000_123_456_789),
        (b"-0.000000001", -1),
        (b"100", 100_000_000_000),
    ],
)
def test_times_are_exact(text, ns):
    """Times keep their nanoseconds, before 1970 too."""
    assert parse_time(text) == ns
    assert format_time(ns) == text


@pytest.mark.parametrize("text", [b"1e9", b"nan", b"--1", b"1.2.3", b" 1", b"1_0", b"9" * 30])
def test_bad_times_are_refused(text):
    """A time is digits, a sign and a point."""
    with pytest.raises(CorruptArchive):
        parse_time(text)
