# SPDX-License-Identifier: Apache-2.0
"""The verbs on images."""

import pytest

from minidock.engine.options import PullOptions
from minidock.oci.descriptor import Platform
from minidock.oci.reference import parse_reference
from tests.unit.cli.conftest import Minidock
from tests.unit.cli.fakes import IMAGE_ID, MANIFEST, Call, FakeEngine


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


def test_pull(minidock: Minidock) -> None:
    """A pull tells what it does on stdout, and the full name at the end."""
    assert minidock("pull", "busybox") == (
        0,
        "Using default tag: latest\n"
        "latest: Pulling from busybox\n"
        f"Digest: {MANIFEST}\n"
        "Status: Downloaded newer image for busybox:latest\n"
        "docker.io/library/busybox:latest\n",
        "",
    )


def test_second_pull(minidock: Minidock) -> None:
    """What is there already is up to date."""
    minidock("pull", "busybox:1")
    lines = minidock("pull", "busybox:1").out.splitlines()
    assert lines[0] == "1: Pulling from busybox"
    assert lines[-2] == "Status: Image is up to date for busybox:1"


@pytest.mark.parametrize("verb", ["run", "create"])
def test_pull_by_run(minidock: Minidock, verb: str) -> None:
    """A missing image is pulled, and told of on stderr."""
    result = minidock(verb, "busybox")
    assert result.status == 0
    assert "Pulling" not in result.out
    assert result.err == (
        "Unable to find image 'busybox:latest' locally\nlatest: Pulling from busybox\n"
    )


def test_silent_pull_by_run(minidock: Minidock) -> None:
    """-q silences the pull; --pull always does not say that the image was missing."""
    assert minidock("run", "-q", "busybox").err == ""
    assert minidock("run", "--pull=always", "app").err == "latest: Pulling from app\n"
