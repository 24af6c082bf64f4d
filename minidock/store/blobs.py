# SPDX-License-Identifier: Apache-2.0
"""Blobs: bytes named by their digest, whole or absent."""

import contextlib
import os
from collections.abc import Iterator
from io import FileIO

from minidock.errors import NotFound
from minidock.fs.atomic import read_file, sync_directory, write_file
from minidock.oci.descriptor import Descriptor
from minidock.oci.digest import Digest, DigestMismatch, digest_of
from minidock.store.layout import Layout


class BlobNotFound(NotFound):
    """The store has no such blob."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(f"blob {digest} is not in the store", hint="pull the image again")
        self.digest = digest


class BlobStore:
    """The blobs of one root. Writing needs no lock and is idempotent."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def path(self, digest: Digest) -> str:
        """Return where the blob is, or would be."""
        return self._layout.blob(digest)

    def has(self, descriptor: Descriptor) -> bool:
        """Tell whether the blob is there with the size the descriptor says."""
        try:
            return os.stat(self.path(descriptor.digest)).st_size == descriptor.size
        except FileNotFoundError:
            return False

    def read(self, digest: Digest) -> bytes:
        """Return a small blob, verified.

        Raises:
            BlobNotFound, DigestMismatch
        """
        with self.open(digest) as reader:
            data = reader.read(-1)
        if digest_of(data) != digest:
            raise DigestMismatch("stored blob", digest, digest_of(data))
        return data

    @contextlib.contextmanager
    def open(self, digest: Digest) -> Iterator[FileIO]:
        """Give the blob's bytes, unverified; raise BlobNotFound."""
        try:
            file = open(self.path(digest), "rb", buffering=0)  # noqa: SIM115 - closed below
        except FileNotFoundError as e:
            raise BlobNotFound(digest) from e
        with file:
            yield file

    def put(self, data: bytes) -> Digest:
        """Store a small blob durably, in place of a damaged one too; return its digest."""
        digest = digest_of(data)
        try:
            whole = read_file(self.path(digest)) == data
        except OSError:
            whole = False
        if not whole:
            write_file(self.path(digest), data)
        return digest

    def adopt(self, path: str, digest: Digest, *, durable: bool = True) -> None:
        """Take the file at `path`, whose bytes the caller has verified, as blob `digest`.

        Without `durable` the caller syncs the file system before anything refers to the blob.
        """
        if durable:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        os.chmod(path, 0o600)
        os.rename(path, self.path(digest))
        if durable:
            sync_directory(self._layout.blobs)

    def remove(self, digest: Digest) -> int:
        """Delete the blob; return the bytes freed. A missing blob is no error."""
        try:
            size = os.stat(self.path(digest)).st_size
            os.unlink(self.path(digest))
        except FileNotFoundError:
            return 0
        return size
