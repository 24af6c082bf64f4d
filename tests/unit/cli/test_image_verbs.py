# SPDX-License-Identifier: Apache-2.0
"""The verbs on images."""

from minidock.engine.options import PullOptions
from minidock.oci.descriptor import Platform
from minidock.oci.reference import parse_reference
from tests.unit.cli.conftest import Minidock
from tests.unit.cli.fakes import IMAGE_ID, Call, FakeEngine


def test_tag(minidock: Minidock, engine: FakeEngine) -> None:
    """Tag is silent."""
    assert minidock("tag", "app", "me/app:2") == (0, "", "")
    assert "me/app:2" in engine.images.names
    assert minidock("tag", "nosuch", "x") == (
        1,
        "",
        "Error: No such image: nosuch:latest\n",
    )


def test_rmi(minidock: Minidock, engine: FakeEngine) -> None:
    """Each step is a line; the other images are dealt with after a failure."""
    result = minidock("rmi", "nosuch", "app", "--no-prune")
    assert result == (
        1,
        f"Untagged: app:latest\nDeleted: {IMAGE_ID}\n",
        "Error: No such image: nosuch:latest\n",
    )
    assert engine.images.calls == [Call("remove", ("app", False, False))]


def test_forced_rmi_of_nothing(minidock: Minidock) -> None:
    """By force, an image that does not exist is a message but no failure."""
    result = minidock("image", "rm", "-f", "nosuch")
    assert result == (0, "", "Error: No such image: nosuch:latest\n")


def test_quiet_pull(minidock: Minidock, engine: FakeEngine) -> None:
    """A quiet pull prints the full name only."""
    result = minidock("pull", "-q", "--platform", "arm64", "busybox")
    assert result == (0, "docker.io/library/busybox:latest\n", "")
    options = PullOptions(Platform("linux", "arm64"))
    assert engine.images.calls == [Call("pull", (parse_reference("busybox"), options))]


def test_bad_pull(minidock: Minidock) -> None:
    """A name that is none is refused with docker's words."""
    result = minidock("pull", "Bad")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(
        "Error: invalid reference format: repository name (Bad) must be lowercase\n"
    )
    assert minidock("pull", "-a", "x").status == 1
