# SPDX-License-Identifier: Apache-2.0
"""From what the user typed to an image in the store."""

import re

from minidock.errors import InvalidArgument, NotFound
from minidock.oci.reference import InvalidReference, Reference, parse_reference
from minidock.store.images import ImageEntry, ImageStore
from minidock.values import NamedTuple

_ID = re.compile(r"(?:sha256:)?([a-f0-9]{1,64})")


class ImageNotFound(NotFound):
    """No image has that name or id; the text is docker's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"No such image: {name}", hint="minidock images lists what is here")


class AmbiguousImage(InvalidArgument):
    """Several images' ids begin so."""

    def __init__(self, prefix: str) -> None:
        super().__init__(f"Multiple IDs found with provided prefix: {prefix}")


class Resolved(NamedTuple):
    """An image in the store, and the reference by which it was named, None for an id."""

    entry: ImageEntry
    reference: Reference | None


def resolve(images: ImageStore, text: str) -> Resolved:
    """Return the image that `text` names: a tag, a digest, or an id or its beginning.

    Raises:
        ImageNotFound, AmbiguousImage, InvalidReference
    """
    try:
        reference = parse_reference(text)
    except InvalidReference:
        if not _ID.fullmatch(text):
            raise
        reference = None
    if reference:
        found = (
            _by_digest(images, reference) if reference.digest else images.find(str(reference))
        )
        if found:
            return Resolved(found, reference)
    by_id = _by_id(images, text)
    if by_id:
        return Resolved(by_id, None)
    raise ImageNotFound(reference.familiar if reference else text)


def _by_digest(images: ImageStore, reference: Reference) -> ImageEntry | None:
    wanted = f"{reference.name}@{reference.digest}"
    for entry in images.entries():
        own = f"{reference.name}@{entry.manifest.digest}"
        named = entry.name.rpartition(":")[0] == reference.name
        if wanted in entry.digests or (named and wanted == own):
            return entry
    return None


def _by_id(images: ImageStore, text: str) -> ImageEntry | None:
    match = _ID.fullmatch(text)
    if not match:
        return None
    found = {entry.id: entry for entry in reversed(images.having_id(f"sha256:{match[1]}"))}
    if len(found) > 1:
        raise AmbiguousImage(text)
    return next(iter(found.values()), None)
