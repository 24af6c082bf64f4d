# SPDX-License-Identifier: Apache-2.0
"""Docker's rules of ``rmi``."""

import pytest

from minidock.engine.removal import (
    ImageInUse,
    Removal,
    User,
    is_single,
    plan_by_id,
    plan_by_name,
)
from minidock.oci.digest import Digest

IMAGE = Digest("sha256:" + "ab" * 32)
TAG = "docker.io/library/x:1"
OTHER = "docker.io/library/x:2"
ELSEWHERE = "docker.io/library/y:1"
DIGEST = "docker.io/library/x@sha256:" + "0" * 64
STOPPED = User("c" * 64, False)
RUNNING = User("d" * 64, True)


def by_name(name: str, references: tuple[str, ...], *users: User, force: bool = False):
    return plan_by_name(IMAGE, "typed", name, references, users, force=force)


def test_only_tag_takes_its_digest_and_the_image() -> None:
    """The usual case: pulled once, removed by its name."""
    assert by_name(TAG, (TAG, DIGEST)) == Removal((TAG, DIGEST), True)


def test_one_of_two_tags_is_only_untagged() -> None:
    """The digest stays with the tag of its repository that is left."""
    assert by_name(TAG, (TAG, OTHER, DIGEST)) == Removal((TAG,), False)


def test_last_tag_of_a_repository_takes_its_digest() -> None:
    """A tag of another repository keeps the image."""
    assert by_name(TAG, (TAG, ELSEWHERE, DIGEST)) == Removal((TAG, DIGEST), False)


def test_digest_is_removed_alone() -> None:
    """An image that has a tag survives the removal of its digest."""
    assert by_name(DIGEST, (TAG, DIGEST)) == Removal((DIGEST,), False)
    assert by_name(DIGEST, (DIGEST,)) == Removal((DIGEST,), True)


def test_name_of_a_used_image_must_be_forced() -> None:
    """Docker's text names the container and the image by their short ids."""
    text = f"typed.*must force.*container {'c' * 12} is using its referenced image abababababab"
    with pytest.raises(ImageInUse, match=text):
        by_name(TAG, (TAG, DIGEST), STOPPED)
    assert by_name(TAG, (TAG,), STOPPED, force=True) == Removal((TAG,), True)


def test_forced_name_of_a_running_image_leaves_it_untagged() -> None:
    """What a container runs is never removed."""
    assert by_name(TAG, (TAG,), RUNNING, force=True) == Removal((TAG,), False)


def test_one_of_two_tags_of_a_used_image_is_untagged() -> None:
    """The container still has its image."""
    assert by_name(TAG, (TAG, OTHER), RUNNING) == Removal((TAG,), False)


def test_id_takes_all_references() -> None:
    """A single tag needs no force, two do, even of one repository."""
    assert plan_by_id(IMAGE, (TAG, DIGEST), (), force=False) == Removal((TAG, DIGEST), True)
    with pytest.raises(ImageInUse, match=r"must be forced.*multiple repositories"):
        plan_by_id(IMAGE, (TAG, OTHER), (), force=False)
    assert plan_by_id(IMAGE, (TAG, OTHER), (), force=True) == Removal((TAG, OTHER), True)


def test_id_of_a_used_image() -> None:
    """Force helps against a stopped container and not against a running one."""
    with pytest.raises(ImageInUse, match=r"must be forced.*stopped container cccccccccccc"):
        plan_by_id(IMAGE, (TAG,), (STOPPED,), force=False)
    assert plan_by_id(IMAGE, (TAG,), (STOPPED,), force=True).delete
    for force in (False, True):
        with pytest.raises(
            ImageInUse, match=r"cannot be forced.*running container dddddddddddd"
        ):
            plan_by_id(IMAGE, (TAG,), (STOPPED, RUNNING), force=force)


def test_untagged_image_is_single() -> None:
    """No reference counts as one at most."""
    assert is_single(())
    assert not is_single((TAG, ELSEWHERE))
    assert not is_single((TAG, DIGEST.replace("/x@", "/y@")))
