# SPDX-License-Identifier: Apache-2.0
"""``--filter`` of ``ps`` and ``images``."""

import pytest

from minidock.engine.filters import InvalidFilter, container_filter, image_filter
from minidock.engine.options import Filters, ListImages
from minidock.engine.views import ContainerView, ImageView
from minidock.errors import NotFound
from minidock.network.ports import PortMapping
from minidock.oci.digest import Digest
from minidock.store.store import Store

IMAGE_ID = Digest("sha256:" + "ab" * 32)


@pytest.fixture
def store(root: str) -> Store:
    return Store.open(root)


def container(**fields: object) -> ContainerView:
    view = ContainerView(
        id="c" * 64,
        name="web_1",
        image="nginx:1",
        image_id=IMAGE_ID,
        command=("run",),
        created=100.0,
        state="exited",
        exit_code=3,
        started=101.0,
        finished=102.0,
        ports=(PortMapping(80, "tcp", "", 8080),),
        exposed=("53/udp",),
        labels={"a": "1", "b": ""},
        mounts=(),
        networks=("bridge",),
    )
    return view._replace(**fields)  # type: ignore[arg-type]


def image(**fields: object) -> ImageView:
    view = ImageView(IMAGE_ID, "team/app", "1.2", "", 1000.0, 1, -1, -1, {"a": "1"})
    return view._replace(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("filters", "accepted"),
    [
        ((), True),
        ((("id", "ccc"),), True),
        ((("id", "abc"),), False),
        ((("name", "web"),), True),
        ((("name", "^/web_1$"),), True),
        ((("name", "^eb"),), False),
        ((("name", "["),), False),
        ((("label", "a=1"), ("label", "b")), True),
        ((("label", "a=1"), ("label", "c")), False),
        ((("status", "running"), ("status", "exited")), True),
        ((("status", "running"),), False),
        ((("exited", "3"),), True),
        ((("exited", "0"),), False),
        ((("status", "exited"), ("exited", "0")), False),
        ((("ancestor", "nginx:1"),), True),
        ((("ancestor", "abab"),), True),
        ((("ancestor", "apache"),), False),
        ((("network", "bridge"),), True),
        ((("publish", "8080"),), True),
        ((("publish", "8080/udp"),), False),
        ((("expose", "80"),), True),
        ((("expose", "53/udp"),), True),
        ((("expose", "53"),), False),
    ],
)
def test_containers(store: Store, filters: Filters, accepted: bool) -> None:
    """The same key is OR, labels and different keys are AND."""
    assert container_filter(filters, store)(container()) is accepted


@pytest.mark.parametrize("key", ["before", "since"])
def test_unknown_container_in_a_filter(store: Store, key: str) -> None:
    """It is told even when there is nothing to filter."""
    with pytest.raises(NotFound, match="No such container: ghost"):
        container_filter(((key, "ghost"),), store)


@pytest.mark.parametrize("filters", [(("bogus", "1"),), (("status", "walking"),)])
def test_bad_container_filter(store: Store, filters: Filters) -> None:
    """Docker's text."""
    with pytest.raises(InvalidFilter, match="Invalid filter '"):
        container_filter(filters, store)


@pytest.mark.parametrize(
    ("filters", "accepted"),
    [
        ((("reference", "team/*"),), True),
        ((("reference", "team/*:1.*"),), True),
        ((("reference", "*"),), False),
        ((("reference", "*/*"),), True),
        ((("dangling", "true"),), False),
        ((("dangling", "0"),), True),
        ((("label", "a"),), True),
        ((("until", "1001"),), True),
        ((("until", "999.5"),), False),
        ((("until", "1970-01-01T00:20:00Z"),), True),
        ((("until", "24h"),), True),
        ((("until", "1h30m10s"),), True),
    ],
)
def test_images(store: Store, filters: Filters, accepted: bool) -> None:
    """A star does not reach over a slash; times may be numbers, dates or ages."""
    assert image_filter(ListImages(filters=filters), store)(image()) is accepted


@pytest.mark.parametrize(
    ("name", "accepted"),
    [("team/app", True), ("team/app:1.2", True), ("team/app:2", False), ("app", False)],
)
def test_image_name(store: Store, name: str, accepted: bool) -> None:
    """A name without a tag means all tags."""
    assert image_filter(ListImages(name), store)(image()) is accepted


@pytest.mark.parametrize(
    "filters", [(("bogus", "1"),), (("dangling", "perhaps"),), (("until", "tomorrow"),)]
)
def test_bad_image_filter(store: Store, filters: Filters) -> None:
    """Docker's text."""
    with pytest.raises(InvalidFilter, match="Invalid filter '"):
        image_filter(ListImages(filters=filters), store)
