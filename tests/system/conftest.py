# SPDX-License-Identifier: Apache-2.0
"""Each module has a state directory of its own; all have a network namespace of their own.

The namespace makes free ports free, and keeps containers of others on this machine apart.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from minidock.linux.namespaces import CLONE_NEWNET, setns, unshare
from tests.fakes.registry import FakeRegistry
from tests.system.images import add_images
from tests.system.place import Place, command_words, require


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this package, and skip it where it can't run."""
    here = os.path.dirname(__file__)
    why_not = require()
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.root)
            if why_not:
                item.add_marker(pytest.mark.skip(reason=why_not))


@pytest.fixture(scope="package")
def words() -> list[str]:
    """The words that call minidock."""
    return command_words()


@pytest.fixture(scope="package")
def network() -> Iterator[None]:
    """A network namespace with nothing but a loopback interface."""
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    unshare(CLONE_NEWNET)
    try:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        setns(outside, CLONE_NEWNET)
        os.close(outside)


@pytest.fixture(scope="module")
def registry(network: None) -> Iterator[FakeRegistry]:
    """What stands in for docker.io."""
    with FakeRegistry() as fake:
        add_images(fake)
        yield fake


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, registry: FakeRegistry, words: list[str]
) -> Iterator[Place]:
    """A state directory without images; at the end nothing else is left."""
    place = Place(str(tmp_path_factory.mktemp("system") / "state"), registry, words)
    yield place
    place.clear()
    place.assert_clean()


@pytest.fixture
def fresh(tmp_path: Path, registry: FakeRegistry, words: list[str]) -> Place:
    """A state directory without images, for one test."""
    (tmp_path / "state/tmp").mkdir(parents=True)
    return Place(str(tmp_path / "state"), registry, words)


@pytest.fixture(scope="module")
def images(place: Place) -> None:
    """The state directory has the images base and tomcat:9.0."""
    for name in ("base", "tomcat:9.0"):
        assert place("pull", "-q", name).startswith("docker.io/library/")


@pytest.fixture
def minidock(place: Place, images: None) -> Iterator[Place]:
    """The command line, with images; containers go after each test."""
    yield place
    place.clear()
