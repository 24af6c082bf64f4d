# SPDX-License-Identifier: Apache-2.0
"""Compressed streams: gzip (RFC 1952) and zstd (RFC 8878), both ways; bzip2 and xz are read.

What a stream is compressed with is read off its first bytes, since registries label layers
wrongly. A stream that ends early, fails its checksum or goes on with foreign bytes is an error,
never a short result. Memory stays bounded whatever the input claims.
"""

import zlib
from collections.abc import Callable

from minidock.annotations import Any, Protocol
from minidock.errors import DataCorrupted, InvalidArgument
from minidock.oci.content import Reader, Writer

_fast: Any = zlib
try:
    from isal import isal_zlib

    _fast = isal_zlib
except ImportError:  # no wheel for this machine: the standard library is slower and equal
    pass

_ENGINE_ERRORS: tuple[type[Exception], ...] = (zlib.error, _fast.error)
_GZIP = 31  # zlib's wbits: 32 KiB window, gzip header and trailer
_FAST_LEVELS = 3  # ISA-L knows levels 0 to 3

_READ = 128 << 10
_WRITE = 256 << 10
_HEAD = 512  # one tar header, enough to tell a tar by its magic

GZIP_MAGIC = b"\x1f\x8b"
BZIP2_MAGIC = b"BZh"
XZ_MAGIC = b"\xfd7zXZ\x00"
_XZ_MEMORY = 256 << 20
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # after a first byte of 0x50 to 0x5f
_ZSTD_WINDOW = 128 << 20
_ZSTD_BLOCK = 128 << 10


class CorruptArchive(DataCorrupted):
    """A stream breaks the rules of its format."""


class Compressor(Protocol):
    """A writer whose stream is complete only after close()."""

    def write(self, data: bytes, /) -> object:
        """Compress `data`."""
        ...

    def close(self) -> None:
        """Write the end of the stream; the writer below stays open."""
        ...


def decompress(source: Reader, compression: str) -> Reader:
    """Return a reader of what `source` holds when uncompressed.

    `compression` ("gzip", "zstd" or "plain") is what the source is said to be; its first bytes
    overrule that.

    Raises:
        CorruptArchive: at once if it is said to be compressed and is neither that nor a tar;
            while reading if it is damaged or cut short.
    """
    head = _head(source)
    whole = _Rewound(head, source)
    if head.startswith(GZIP_MAGIC):
        return _GzipReader(whole)
    if head.startswith(ZSTD_MAGIC) or _is_skippable(head):
        return _ZstdReader(whole)
    if compression != "plain" and not _is_tar(head):
        raise CorruptArchive(f"a stream said to be {compression} is not, and is no tar either")
    return whole


def decompress_any(source: Reader) -> Reader:
    """Return a reader of `source`, whatever it is compressed with: also bzip2 and xz.

    The standard library decompresses, in this process; what is none of these is plain.
    """
    head = _head(source)
    whole = _Rewound(head, source)
    if head.startswith(BZIP2_MAGIC):
        import bz2  # only archives of users are compressed so

        return _StreamReader(whole, "bzip2", bz2.BZ2Decompressor, OSError)
    if head.startswith(XZ_MAGIC):
        import lzma  # only archives of users are compressed so

        def new() -> lzma.LZMADecompressor:
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY)

        return _StreamReader(whole, "xz", new, lzma.LZMAError)
    return decompress(whole, "plain")


def compress(out: Writer, compression: str, level: int | None = None) -> Compressor:
    """Return a writer that compresses into `out`; close it to complete the stream.

    The same bytes give the same stream: no time and no file name is recorded. `compression` is
    "gzip", "zstd" or "plain". gzip's levels 0 to 3 are ISA-L's where that is there, higher ones
    zlib's; without a level the format's usual trade is made.
    """
    if compression == "gzip":
        wanted = 2 if level is None else level
        engine = _fast if wanted <= _FAST_LEVELS else zlib
        return _Compressor(out, engine.compressobj(wanted, zlib.DEFLATED, _GZIP))
    if compression == "zstd":
        import zstandard  # 10 ms that gzip need not pay

        wanted = 3 if level is None else level
        return _Compressor(out, zstandard.ZstdCompressor(level=wanted).compressobj())
    if compression == "plain":
        return _Plain(out)
    raise InvalidArgument(f"unknown compression {compression!r}")


def _head(source: Reader) -> bytes:
    head = b""
    while len(head) < _HEAD and (data := source.read(_HEAD - len(head))):
        head += data
    return head


def _is_skippable(head: bytes) -> bool:
    return head[1:4] == _ZSTD_SKIPPABLE and head[0] & 0xF0 == 0x50


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar" or (len(head) == _HEAD and not any(head))


class _Rewound:
    """A reader with bytes put back in front."""

    def __init__(self, head: bytes, source: Reader) -> None:
        self._head = head
        self._source = source

    def read(self, size: int, /) -> bytes:
        if not self._head:
            return self._source.read(size)
        data, self._head = self._head[:size], self._head[size:]
        return data


class _GzipReader:
    """Members one after the other, then nothing but zeros (RFC 1952 §2.2)."""

    def __init__(self, source: Reader) -> None:
        self._source = source
        self._input = b""
        self._member = _fast.decompressobj(_GZIP)

    def read(self, size: int, /) -> bytes:
        try:
            while not self._member.eof or self._next_member():
                data = self._decompress(size)
                if data:
                    return data
        except _ENGINE_ERRORS as e:
            raise CorruptArchive(f"gzip: {str(e).lower()}") from e
        return b""

    def _decompress(self, size: int) -> bytes:
        ended = False
        if not self._input:
            self._input = self._source.read(_READ)
            ended = not self._input
        data: bytes = self._member.decompress(self._input, size)
        # What exceeds `size` waits in the engine: the end of the input alone is no error.
        if ended and not data and not self._member.eof:
            raise CorruptArchive("gzip: the stream is cut short")
        member = self._member
        self._input = member.unused_data if member.eof else member.unconsumed_tail
        return data

    def _next_member(self) -> bool:
        while not (rest := self._input.lstrip(b"\0")):
            self._input = self._source.read(_READ)
            if not self._input:
                return False
        self._input = rest
        self._member = _fast.decompressobj(_GZIP)
        return True


class _StreamReader:
    """Streams one after the other and zeros, by a decompressor of the standard library."""

    def __init__(
        self, source: Reader, name: str, new: Callable[[], Any], error: type[Exception]
    ) -> None:
        self._source = source
        self._name = name
        self._new = new
        self._error = error
        self._input = b""
        self._stream = new()

    def read(self, size: int, /) -> bytes:
        try:
            while not self._stream.eof or self._next_stream():
                if data := self._decompress(size):
                    return data
        except self._error as e:
            raise CorruptArchive(f"{self._name}: {str(e).lower()}") from e
        return b""

    def _decompress(self, size: int) -> bytes:
        if not self._input and self._stream.needs_input:
            self._input = self._source.read(_READ)
            if not self._input:
                raise CorruptArchive(f"{self._name}: the stream is cut short")
        data: bytes = self._stream.decompress(self._input, size)
        self._input = b""  # the decompressor keeps what it has not used
        return data

    def _next_stream(self) -> bool:
        rest: bytes = self._stream.unused_data
        while not (rest := rest.lstrip(b"\0")):
            rest = self._source.read(_READ)
            if not rest:
                return False
        self._input = rest
        self._stream = self._new()
        return True


class _ZstdReader:
    """Frames one after the other (RFC 8878 §3.1), fed to the library a block at a time.

    A block gives at most 128 KiB, so memory is bounded although a few bytes may stand for
    gigabytes; and a stream that ends inside a frame is noticed.
    """

    def __init__(self, source: Reader) -> None:
        import zstandard  # 10 ms that gzip need not pay

        self._source = source
        self._library = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._error = zstandard.ZstdError
        self._frame = self._library.decompressobj()
        self._in_frame = False
        self._has_checksum = False
        self._output = b""

    def read(self, size: int, /) -> bytes:
        try:
            while not self._output:
                if self._in_frame:
                    self._output = self._block()
                elif not self._next_frame():
                    return b""
        except self._error as e:
            raise CorruptArchive(f"zstd: {str(e).lower()}") from e
        data, self._output = self._output[:size], self._output[size:]
        return data

    def _next_frame(self) -> bool:
        first = self._source.read(1)
        if not first:
            return False
        magic = first + self._take(3)
        if _is_skippable(magic):
            self._skip(int.from_bytes(self._take(4), "little"))
            return True
        if magic != ZSTD_MAGIC:
            raise CorruptArchive("zstd: foreign bytes after the last frame")
        descriptor = self._take(1)
        rest = self._take(_header_size(descriptor[0]))
        self._has_checksum = bool(descriptor[0] & 0x04)
        self._frame = self._library.decompressobj()
        self._output = self._frame.decompress(magic + descriptor + rest)
        self._in_frame = True
        return True

    def _block(self) -> bytes:
        header = self._take(3)
        fields = int.from_bytes(header, "little")
        last, kind, size = fields & 1, fields >> 1 & 3, fields >> 3
        if size > _ZSTD_BLOCK:
            raise CorruptArchive(f"zstd: a block claims {size} bytes")
        content = self._take(1 if kind == 1 else size)  # kind 1 is one byte, repeated
        if last and self._has_checksum:
            content += self._take(4)
        data: bytes = self._frame.decompress(header + content)
        if last:
            self._in_frame = False
            if not self._frame.eof:
                raise CorruptArchive("zstd: a frame does not end with its last block")
        return data

    def _take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._source.read(size - len(data))
            if not more:
                raise CorruptArchive("zstd: the stream is cut short")
            data += more
        return data

    def _skip(self, size: int) -> None:
        while size:
            size -= len(self._take(min(size, _READ)))


def _header_size(descriptor: int) -> int:
    """Return the bytes of a frame header after its descriptor (RFC 8878 §3.1.1.1)."""
    single_segment = descriptor >> 5 & 1
    content_size = (single_segment, 2, 4, 8)[descriptor >> 6]
    dictionary_id = (0, 1, 2, 4)[descriptor & 3]
    return (1 - single_segment) + dictionary_id + content_size


class _Compressor:
    """Feeds an engine pieces of one size: ISA-L's output depends on how its input is cut."""

    def __init__(self, out: Writer, engine: Any) -> None:
        self._out = out
        self._engine = engine
        self._waiting = bytearray()

    def write(self, data: bytes, /) -> None:
        self._waiting += data
        if len(self._waiting) < _WRITE:
            return
        whole = len(self._waiting) // _WRITE * _WRITE
        for at in range(0, whole, _WRITE):
            self._compress(self._waiting[at : at + _WRITE])
        del self._waiting[:whole]

    def close(self) -> None:
        self._compress(self._waiting)
        self._out.write(self._engine.flush())

    def _compress(self, piece: bytearray) -> None:
        if compressed := self._engine.compress(piece):
            self._out.write(compressed)


class _Plain:
    def __init__(self, out: Writer) -> None:
        self._out = out

    def write(self, data: bytes, /) -> None:
        self._out.write(data)

    def close(self) -> None:
        """Do nothing: a plain stream has no end of its own."""
