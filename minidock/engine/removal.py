# SPDX-License-Identifier: Apache-2.0
"""What ``rmi`` may do, by docker's rules. Pure.

The references of an image are its tags (``docker.io/library/x:1``) and the digests it was
pulled by (``docker.io/library/x@sha256:...``), in full.
"""

from collections.abc import Sequence

from minidock.errors import Conflict
from minidock.oci.digest import Digest, hex_of
from minidock.values import NamedTuple

SHORT = 12


class ImageInUse(Conflict):
    """A container or another reference holds the image; the texts are docker's."""


class User(NamedTuple):
    """A container made from the image."""

    id: str
    running: bool


class Removal(NamedTuple):
    """What to do: the references to take away, and whether the image goes as well."""

    untag: tuple[str, ...]
    delete: bool


def plan_by_name(
    image: Digest,
    typed: str,
    name: str,
    references: Sequence[str],
    users: Sequence[User],
    *,
    force: bool,
) -> Removal:
    """Return how to remove the reference `name` of `image`, which the user wrote as `typed`.

    The last tag of a repository takes the repository's digests along. The image goes with its
    last reference, but stays untagged while a container runs it.

    Raises:
        ImageInUse: a container uses it, and it is its only reference.
    """
    if users and not force and is_single(references):
        raise ImageInUse(
            f'conflict: unable to remove repository reference "{typed}" (must force) - '
            f"container {users[0].id[:SHORT]} is using its referenced image {_short(image)}"
        )
    gone = [name]
    rest = [reference for reference in references if reference != name]
    repository = _repository(name)
    own = [reference for reference in rest if _repository(reference) == repository]
    if not _is_digest(name) and all(map(_is_digest, own)):
        gone += own
        rest = [reference for reference in rest if reference not in own]
    held = any(user.running for user in users) or (bool(users) and not force)
    return Removal(tuple(gone), delete=not rest and not held)


def plan_by_id(
    image: Digest, references: Sequence[str], users: Sequence[User], *, force: bool
) -> Removal:
    """Return how to remove `image` with all its references.

    Raises:
        ImageInUse: a container runs it; or without `force`, one that does not run was made of
            it, or it has more references than a tag and its digest.
    """
    for user in users:
        if user.running:
            raise _in_use(image, "cannot be forced", "running", user)
    if not force and not is_single(references):
        raise ImageInUse(
            f"conflict: unable to delete {_short(image)} (must be forced) - "
            "image is referenced in multiple repositories"
        )
    if users and not force:
        raise _in_use(image, "must be forced", "stopped", users[0])
    return Removal(tuple(references), delete=True)


def is_single(references: Sequence[str]) -> bool:
    """Tell whether there is at most one tag, and digests of its repository only."""
    tags = [reference for reference in references if not _is_digest(reference)]
    return len(tags) <= 1 and len({_repository(reference) for reference in references}) <= 1


def _in_use(image: Digest, how: str, what: str, user: User) -> ImageInUse:
    return ImageInUse(
        f"conflict: unable to delete {_short(image)} ({how}) - image is being used by "
        f"{what} container {user.id[:SHORT]}"
    )


def _is_digest(reference: str) -> bool:
    return "@" in reference


def _repository(reference: str) -> str:
    name, at, _ = reference.partition("@")
    return name if at else reference.rpartition(":")[0]


def _short(image: Digest) -> str:
    return hex_of(image)[:SHORT]
