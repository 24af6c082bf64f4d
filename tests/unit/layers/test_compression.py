"""Streams are recognised, checked to their last byte, and reproducible."""

import bz2
import gzip
import io
import lzma
import zlib
from functools import partial

import pytest
import zstandard

from minidock.layers import compression
from minidock.layers.compression import CorruptArchive, compress, decompress, decompress_any

DATA = bytes(range(256)) * 3000
ZSTD = zstandard.ZstdCompressor(level=3, write_checksum=True).compress(DATA)
SKIPPABLE = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"


class Dribble:
    """A reader that gives a byte or a few at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self._file = io.BytesIO(data)
        self._size = size

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, self._size))


def read_all(data: bytes, said: str = "plain", size: int = 7000) -> bytes:
    reader = decompress(io.BytesIO(data), said)
    parts = []
    while part := reader.read(size):
        assert len(part) <= size
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("said", ["gzip", "zstd", "plain"])
@pytest.mark.parametrize("data", [gzip.compress(DATA), ZSTD], ids=["gzip", "zstd"])
def test_first_bytes_overrule_the_label(data, said):
    """A stream is read for what it is, whatever the registry says."""
    assert read_all(data, said) == DATA


def test_plain_tar_under_a_compressed_label_is_read():
    """An uncompressed tar labelled gzip is still a tar."""
    tar = bytes(257) + b"ustar" + bytes(762)
    assert read_all(tar, "gzip") == tar


@pytest.mark.parametrize("said", ["gzip", "zstd"])
@pytest.mark.parametrize("data", [b"", b"BZh91AY&SY", b"\xfd7zXZ\x00" + bytes(600)])
def test_unknown_stream_under_a_compressed_label_is_refused(data, said):
    """What is neither compressed as we know it nor a tar is an error at once."""
    with pytest.raises(CorruptArchive, match=said):
        decompress(io.BytesIO(data), said)


@pytest.mark.parametrize("engine", ["isal", "zlib"])
@pytest.mark.parametrize("size", [1, 3, 4096])
def test_gzip_members_in_a_row_and_padding(monkeypatch, engine, size):
    """Members follow each other, zeros may follow them, however the bytes arrive."""
    if engine == "zlib":
        monkeypatch.setattr(compression, "_fast", zlib)
    data = gzip.compress(b"one") + gzip.compress(b"") + gzip.compress(b"two") + bytes(600)
    reader = decompress(Dribble(data, size), "gzip")
    assert b"".join(iter(lambda: reader.read(100), b"")) == b"onetwo"


@pytest.mark.parametrize("size", [1, 3, 4096])
def test_zstd_frames_in_a_row(size):
    """Frames follow each other, and skippable ones are skipped."""
    small = zstandard.ZstdCompressor().compress(b"small")
    data = SKIPPABLE + small + SKIPPABLE + ZSTD
    reader = decompress(Dribble(data, size), "zstd")
    assert b"".join(iter(lambda: reader.read(1 << 20), b"")) == b"small" + DATA


@pytest.mark.parametrize("cut", [1, 4, 9, 100])
@pytest.mark.parametrize("data", [gzip.compress(DATA), ZSTD], ids=["gzip", "zstd"])
def test_cut_streams_are_errors(data, cut):
    """A stream that ends early is never a short result."""
    with pytest.raises(CorruptArchive):
        read_all(data[:-cut])


@pytest.mark.parametrize("data", [gzip.compress(DATA), ZSTD], ids=["gzip", "zstd"])
@pytest.mark.parametrize("where", [-1, -2, -5])
def test_false_checksums_are_errors(data, where):
    """One changed byte of the trailer is noticed."""
    if data is ZSTD and where == -5:
        pytest.skip("zstd's checksum has four bytes")
    changed = bytearray(data)
    changed[where] ^= 1
    with pytest.raises(CorruptArchive):
        read_all(bytes(changed))


@pytest.mark.parametrize("data", [gzip.compress(DATA), ZSTD], ids=["gzip", "zstd"])
def test_foreign_bytes_after_the_end_are_errors(data):
    """What follows the last member or frame must be another one."""
    with pytest.raises(CorruptArchive):
        read_all(data + b"junk")


def test_zstd_window_is_capped():
    """A frame that wants a window of more than 128 MiB is refused."""
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=False)
    engine = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = engine.compress(b"x" * 1000) + engine.flush()
    with pytest.raises(CorruptArchive, match=r"memory|window"):
        read_all(data)


def test_zstd_bomb_comes_in_small_pieces():
    """A few bytes that stand for a gigabyte are read without holding it."""
    bomb = zstandard.ZstdCompressor().compress(bytes(64 << 20))
    reader = decompress(io.BytesIO(bomb), "zstd")
    assert len(reader.read(1 << 30)) <= 1 << 17


@pytest.mark.parametrize("how", ["gzip", "zstd", "plain"])
@pytest.mark.parametrize("level", [None, 1, 6])
def test_compression_is_reproducible(how, level):
    """The same bytes give the same stream, cut in whatever pieces, and come back."""
    streams = []
    for size in (1000, len(DATA)):
        out = io.BytesIO()
        stream = compress(out, how, level)
        for at in range(0, len(DATA), size):
            stream.write(DATA[at : at + size])
        stream.close()
        streams.append(out.getvalue())
    assert streams[0] == streams[1]
    assert read_all(streams[0], how) == DATA


def test_gzip_names_no_file_and_no_time():
    """The header of a gzip stream has no flags and no time; gzip itself can read it."""
    out = io.BytesIO()
    stream = compress(out, "gzip")
    stream.write(DATA)
    stream.close()
    assert out.getvalue()[3:8] == bytes(5)
    assert gzip.decompress(out.getvalue()) == DATA


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress, gzip.compress, bytes])
@pytest.mark.parametrize("size", [1, 4096])
def test_archives_of_users_come_in_any_format(pack, size):
    """bzip2 and xz are read too, several streams in a row and zeros behind them."""
    streams = 1 if pack is bytes else 2
    data = pack(DATA) * streams + bytes(0 if pack is bytes else 8)
    reader = decompress_any(Dribble(data, size))
    assert b"".join(iter(lambda: reader.read(1 << 20), b"")) == DATA * streams


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress])
def test_damaged_archives_of_users_are_errors(pack):
    """Cut short, changed, or followed by foreign bytes: never a short result."""
    data = pack(DATA)
    changed = bytearray(data)
    changed[len(data) // 2] ^= 0xFF
    for bad in (data[:-1], data[: len(data) // 2], bytes(changed), data + b"foreign"):
        with pytest.raises(CorruptArchive):
            b"".join(iter(partial(decompress_any(io.BytesIO(bad)).read, 1 << 20), b""))
