# SPDX-License-Identifier: Apache-2.0
"""Images: the entries of the layout's index.json, one per tag.

An entry is a manifest's descriptor with annotations (image-spec annotations.md): the full
reference at ``org.opencontainers.image.ref.name``, the digests it was pulled by at
``io.minidock.image.digests``, the config's digest at ``io.minidock.image.id``. Reading needs no
lock; writing needs a Transaction.
"""

import contextlib
import time
from collections.abc import Callable, Iterator

from minidock.annotations import Any
from minidock.errors import InvalidArgument
from minidock.fs.atomic import read_file, write_file
from minidock.fs.locks import Lock
from minidock.oci.descriptor import Descriptor, InvalidDocument, json_list
from minidock.oci.digest import Digest, parse_digest
from minidock.oci.image import Image
from minidock.oci.manifest import Index, Manifest, dump_json, load_json, parse_manifest
from minidock.oci.media_types import OCI_INDEX
from minidock.oci.reference import parse_reference
from minidock.store.blobs import BlobStore
from minidock.store.layout import Layout
from minidock.values import NamedTuple

REF_NAME = "org.opencontainers.image.ref.name"
DIGESTS = "io.minidock.image.digests"
IMAGE_ID = "io.minidock.image.id"
TAGGED = "io.minidock.image.tagged"

LAST_TIME = 253402300800
"""The year 10000 in seconds since the epoch; a later time is damage."""


class ImageEntry(NamedTuple):
    """One tag, or one untagged image.

    `id` is the config's digest, docker's image id. `name` is the full reference
    (``docker.io/library/tomcat:latest``), empty when untagged. `digests` are
    ``docker.io/library/tomcat@sha256:...`` texts. `tagged` is the time the tag was set, in
    seconds since the epoch.
    """

    manifest: Descriptor
    id: Digest
    name: str = ""
    digests: tuple[str, ...] = ()
    tagged: float = 0.0

    def to_json(self) -> dict[str, object]:
        """Return the index entry."""
        annotations = dict(self.manifest.annotations)
        annotations |= {k: v for k, v in self._annotations() if v}
        return self.manifest._replace(annotations=annotations).to_json()

    def _annotations(self) -> Iterator[tuple[str, str]]:
        yield REF_NAME, self.name
        yield IMAGE_ID, self.id
        yield DIGESTS, ",".join(self.digests)
        yield TAGGED, f"{self.tagged:.3f}"

    @classmethod
    def from_json(cls, value: object) -> "ImageEntry":
        """Parse an index entry; raise InvalidDocument."""
        descriptor = Descriptor.from_json(value)
        annotations = dict(descriptor.annotations)
        digests = annotations.pop(DIGESTS, "")
        name = annotations.pop(REF_NAME, "")
        try:
            tagged = float(annotations.pop(TAGGED, "0"))
        except ValueError as e:
            raise InvalidDocument(f"invalid annotation {TAGGED}") from e
        if not 0 <= tagged < LAST_TIME:
            raise InvalidDocument(f"invalid annotation {TAGGED}")
        entry = cls(
            descriptor._replace(annotations=annotations),
            Digest(annotations.pop(IMAGE_ID, "")),
            name,
            tuple(filter(None, digests.split(","))),
            tagged,
        )
        try:
            parse_digest(entry.id)
            named = [parse_reference(text) for text in filter(None, (name, *entry.digests))]
        except InvalidArgument as e:
            raise InvalidDocument(f"invalid index.json: {e.message}") from e
        if sum(reference.digest is not None for reference in named) != len(entry.digests):
            raise InvalidDocument(f"invalid annotation {DIGESTS} or {REF_NAME}")
        return entry


class StoredImage(NamedTuple):
    """An image whose documents were read: `id` is the config's digest."""

    manifest: Descriptor
    layers: tuple[Descriptor, ...]
    id: Digest
    image: Image


class ImageStore:
    """The images of one root."""

    def __init__(self, layout: Layout, blobs: BlobStore) -> None:
        self._layout = layout
        self._blobs = blobs

    def entries(self) -> tuple[ImageEntry, ...]:
        """Return all entries in the index's order; raise InvalidDocument."""
        return tuple(map(ImageEntry.from_json, self._documents()))

    def find(self, name: str) -> ImageEntry | None:
        """Return the entry of the full reference `name`, or None."""
        return next(self._where(REF_NAME, lambda its_name: its_name == name), None)

    def having_id(self, prefix: str) -> tuple[ImageEntry, ...]:
        """Return the entries of the images whose id, ``sha256:...``, begins so."""
        return tuple(self._where(IMAGE_ID, lambda its_id: its_id.startswith(prefix)))

    def _where(self, annotation: str, is_wanted: Callable[[str], bool]) -> Iterator[ImageEntry]:
        """Give the entries with such an annotation; other ones are not parsed."""
        for document in self._documents():
            annotations = document.get("annotations") if isinstance(document, dict) else None
            text = annotations.get(annotation) if isinstance(annotations, dict) else None
            if isinstance(text, str) and is_wanted(text):
                yield ImageEntry.from_json(document)

    def _documents(self) -> list[Any]:
        index = load_json(read_file(self._layout.index_file), "index.json")
        return json_list(index.get("manifests"), "index.json")

    def read(self, manifest: Descriptor) -> StoredImage:
        """Return the image a manifest describes.

        Raises:
            BlobNotFound, DigestMismatch, InvalidDocument: the store is damaged.
        """
        parsed = parse_manifest(self._blobs.read(manifest.digest), manifest.media_type)
        if isinstance(parsed, Index):
            raise InvalidDocument(f"{manifest.digest} is an index, not an image")
        image = Image.from_json(self._blobs.read(parsed.config.digest))
        return StoredImage(manifest, parsed.layers, parsed.config.digest, image)

    def read_manifest(self, digest: Digest, media_type: str) -> Manifest:
        """Return a stored manifest; raises as `read` does."""
        parsed = parse_manifest(self._blobs.read(digest), media_type)
        if isinstance(parsed, Index):
            raise InvalidDocument(f"{digest} is an index, not an image")
        return parsed

    @contextlib.contextmanager
    def transaction(self) -> Iterator["Transaction"]:
        """Give the right to change the index; the changes are published together, durably.

        Nothing is published when the block raises.
        """
        with Lock(self._layout.meta_lock):
            before = self.entries()
            transaction = Transaction(before)
            yield transaction
            if transaction.entries != before:
                self._publish(transaction.entries)

    def _publish(self, entries: tuple[ImageEntry, ...]) -> None:
        index = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [entry.to_json() for entry in entries],
        }
        write_file(self._layout.index_file, dump_json(index))


class Transaction:
    """Changes to the index; exists only while its lock is held."""

    def __init__(self, entries: tuple[ImageEntry, ...]) -> None:
        self.entries = entries

    def set(
        self,
        manifest: Descriptor,
        image_id: Digest,
        name: str = "",
        digests: tuple[str, ...] = (),
    ) -> None:
        """Let `name` mean `manifest`; without a name, keep the image untagged.

        What `name` meant before stays as an untagged image unless another tag has it.
        """
        same = [e for e in self.entries if e.manifest.digest == manifest.digest]
        known = {d for e in same for d in e.digests}
        all_digests = tuple(sorted(known | set(digests)))
        if name:
            self.untag(name)
        kept = [
            e._replace(digests=all_digests) if e.manifest.digest == manifest.digest else e
            for e in self.entries
        ]
        if name or not same:
            # The image has a tag now, so its untagged entry has no use.
            kept = [e for e in kept if e.name or e.manifest.digest != manifest.digest]
            kept.append(ImageEntry(manifest, image_id, name, all_digests, time.time()))
        self.entries = tuple(kept)

    def untag(self, name: str) -> None:
        """Take `name` from its image, which stays, untagged if it was the last."""
        kept: list[ImageEntry] = []
        lost: list[ImageEntry] = []
        for entry in self.entries:
            (lost if entry.name == name else kept).append(entry)
        for entry in lost:
            if not any(e.manifest.digest == entry.manifest.digest for e in kept):
                kept.append(entry._replace(name=""))
        self.entries = tuple(kept)

    def forget_digest(self, text: str) -> None:
        """Take the name ``repository@digest`` from its image."""
        self.entries = tuple(
            e._replace(digests=tuple(d for d in e.digests if d != text)) for e in self.entries
        )

    def drop(self, manifest: Digest) -> None:
        """Remove every entry of the image."""
        self.entries = tuple(e for e in self.entries if e.manifest.digest != manifest)
