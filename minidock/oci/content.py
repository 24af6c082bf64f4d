# SPDX-License-Identifier: Apache-2.0
"""Readers and writers that hash what passes, so that no byte is read twice."""

import hashlib

from minidock.annotations import Protocol
from minidock.errors import DataCorrupted
from minidock.oci.digest import Digest, DigestMismatch


class SizeMismatch(DataCorrupted):
    """There are more or fewer bytes than the descriptor says."""

    def __init__(self, what: str, expected: int, got: str) -> None:
        super().__init__(f"{what}: size mismatch: expected {expected} bytes, got {got}")


class Reader(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, b"" at the end."""
        ...


class VerifiedReader:
    """Pass a stream through, failing as soon as size or digest can't be right.

    The digest is checked when the end is read: a caller that must not act on false bytes reads
    to the end before it publishes anything.
    """

    def __init__(self, source: Reader, digest: Digest, size: int, what: str) -> None:
        self._source = source
        self._digest = digest
        self._size = size
        self._what = what
        self._hash = hashlib.sha256()
        self.count = 0

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes.

        Raises:
            SizeMismatch, DigestMismatch: the source is not what the descriptor promises.
        """
        data = self._source.read(size)
        self.count += len(data)
        if self.count > self._size:
            raise SizeMismatch(self._what, self._size, "more")
        if data:
            self._hash.update(data)
            return data
        if self.count != self._size:
            raise SizeMismatch(self._what, self._size, str(self.count))
        got = "sha256:" + self._hash.hexdigest()
        if got != self._digest:
            raise DigestMismatch(self._what, self._digest, got)
        return data


class HashingReader:
    """Pass a stream through and know its digest and length so far."""

    def __init__(self, source: Reader) -> None:
        self._source = source
        self._hash = hashlib.sha256()
        self.count = 0

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, counted and hashed."""
        data = self._source.read(size)
        self._hash.update(data)
        self.count += len(data)
        return data

    @property
    def digest(self) -> Digest:
        """The digest of the bytes read so far."""
        return Digest("sha256:" + self._hash.hexdigest())


class Writer(Protocol):
    """A sink of bytes that takes all it is given."""

    def write(self, data: bytes, /) -> object:
        """Write all of `data`; raise OSError if that is impossible."""
        ...


class HashingWriter:
    """Pass bytes on and know their digest and number so far."""

    def __init__(self, sink: Writer) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()
        self.count = 0

    def write(self, data: bytes, /) -> None:
        """Write all of `data`, counted and hashed."""
        self._hash.update(data)
        self.count += len(data)
        self._sink.write(data)

    @property
    def digest(self) -> Digest:
        """The digest of the bytes written so far."""
        return Digest("sha256:" + self._hash.hexdigest())
