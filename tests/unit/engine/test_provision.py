# SPDX-License-Identifier: Apache-2.0
"""Which mounts a new container gets."""

import pytest

from minidock.engine.mount_points import MountPoint
from minidock.engine.options import BindMount, CreateOptions, TmpfsMount, VolumeMount
from minidock.engine.provision import plan
from minidock.errors import InvalidArgument

INHERITED = MountPoint("volume", "/s/_data", "/x", "s")


def destinations(options: CreateOptions, *image: str) -> dict[str, str]:
    """Return what is planned, by destination: a source, or empty for a new volume."""
    return {wanted.destination: wanted.source for wanted in plan(options, image, (INHERITED,))}


def test_what_the_user_names_hides_the_rest() -> None:
    """A mount of the command line, of another container, of the image: in this order."""
    bind, volume = BindMount("/host", "/x"), VolumeMount("vol", "/y")
    options = CreateOptions("i", binds=(bind,), mounts=(volume,), volumes=("/y", "/z"))
    assert destinations(options, "/x", "/z", "/w") == {
        "/x": "/host",
        "/y": "vol",
        "/z": "",
        "/w": "",
    }
    assert destinations(CreateOptions("i"), "/x") == {"/x": "/s/_data"}


def test_a_tmpfs_hides_both() -> None:
    """--tmpfs leaves neither a volume of the image nor one of another container there."""
    options = CreateOptions("i", tmpfs=(TmpfsMount("/x"), TmpfsMount("/y")))
    assert destinations(options, "/y") == {}


@pytest.mark.parametrize(
    ("path", "destination"),
    [("/../../a", "/a"), ("a/b", "/a/b"), ("/a//b/.", "/a/b"), ("//a", "/a")],
)
def test_volumes_of_an_image_are_below_its_root(path: str, destination: str) -> None:
    """Whatever the path says (CVE-2022-23648)."""
    assert list(destinations(CreateOptions("i"), path)) == ["/x", destination]


@pytest.mark.parametrize("path", ["/", "", ".", "/..", "/a/.."])
def test_no_volume_for_the_root(path: str) -> None:
    """An image that wants one is refused."""
    with pytest.raises(InvalidArgument, match="destination can't be '/'"):
        plan(CreateOptions("i"), (path,), ())
