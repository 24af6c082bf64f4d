# SPDX-License-Identifier: Apache-2.0
"""``ps``, ``images`` and ``history``."""

import json
import time
from pathlib import Path

import pytest

from minidock.cli.container_list import status_text
from minidock.engine.options import ListContainers, ListImages
from minidock.engine.views import ContainerView, HistoryView, ImageView
from minidock.network.ports import PortMapping
from tests.unit.cli.conftest import Minidock
from tests.unit.cli.fakes import CONTAINER_ID, IMAGE_ID, MANIFEST, Call, FakeEngine

SHORT_IMAGE = IMAGE_ID[7:19]


@pytest.fixture
def container(engine: FakeEngine) -> ContainerView:
    """Return a running container that ps will list."""
    now = time.time()
    view = ContainerView(
        id=CONTAINER_ID,
        name="web",
        image="app",
        image_id=IMAGE_ID,
        command=("sh", "-c", 'echo "a b"; sleep 9'),
        created=now - 7300,
        state="running",
        exit_code=0,
        started=now - 65,
        finished=0,
        ports=(PortMapping(80, host_port=18081),),
        exposed=("53/udp",),
        labels={"b": "2", "a": "1"},
        mounts=("/a/very/long/path/indeed",),
        networks=("bridge",),
        size_rw=1000,
        size_root=5_000_000,
    )
    engine.containers.views = (view,)
    return view


@pytest.fixture
def image(engine: FakeEngine) -> ImageView:
    """Return an image that images will list."""
    view = ImageView(
        IMAGE_ID, "app", "latest", MANIFEST, time.time() - 3 * 86400, 5_000_000, 1, 1000, {}
    )
    engine.images.views = (view, view._replace(repository="", tag="", digest=""))
    return view


@pytest.mark.usefixtures("container")
def test_ps(minidock: Minidock) -> None:
    """The table has docker's columns and texts."""
    header, row = minidock("ps").out.splitlines()
    assert header.split("  ")[0] == "CONTAINER ID"
    cells = [cell.strip() for cell in row.split("   ") if cell.strip()]
    assert cells == [
        CONTAINER_ID[:12],
        "app",
        '"sh -c \'echo \\"a b\\"; …"',
        "2 hours ago",
        "Up About a minute",
        "53/udp, 0.0.0.0:18081->80/tcp",
        "web",
    ]


@pytest.mark.usefixtures("container")
def test_ps_with_sizes(minidock: Minidock) -> None:
    """-s adds a column."""
    header, row = minidock("ps", "-s").out.splitlines()
    assert header.endswith("SIZE")
    assert row.endswith("1kB (virtual 5MB)")


@pytest.mark.usefixtures("container")
def test_ps_quiet(minidock: Minidock) -> None:
    """-q prints ids, whole ones with --no-trunc."""
    assert minidock("ps", "-q").out == f"{CONTAINER_ID[:12]}\n"
    assert minidock("container", "ls", "-q", "--no-trunc").out == f"{CONTAINER_ID}\n"


def test_ps_of_nothing(minidock: Minidock) -> None:
    """Nothing to list is the header only."""
    result = minidock("ps")
    assert result.status == 0
    assert result.out.split() == [
        "CONTAINER",
        "ID",
        "IMAGE",
        "COMMAND",
        "CREATED",
        "STATUS",
        "PORTS",
        "NAMES",
    ]


@pytest.mark.usefixtures("container")
def test_ps_json(minidock: Minidock) -> None:
    """One object a line, with docker's names."""
    row = json.loads(minidock("ps", "--format", "json").out)
    assert row["ID"] == CONTAINER_ID[:12]
    assert row["Labels"] == "a=1,b=2"
    assert row["Mounts"] == "/a/very/long/p…"
    assert row["Status"] == "Up About a minute"


@pytest.mark.usefixtures("container")
def test_ps_template(minidock: Minidock, tmp_path: Path) -> None:
    """Templates see docker's fields; docker's client configuration may give one."""
    assert minidock("ps", "--format", "{{.Names}}\t{{.State}}").out == "web\trunning\n"
    assert minidock("ps", "--format", '{{.Label "a"}}').out == "1\n"
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/config.json").write_text('{"psFormat": "{{.Image}}"}')
    assert minidock("ps").out == "app\n"
    assert minidock("ps", "-q").out == f"{CONTAINER_ID[:12]}\n"


@pytest.mark.usefixtures("container")
def test_ps_table_template(minidock: Minidock) -> None:
    """A table of chosen fields has their headers."""
    lines = minidock("ps", "--format", "table {{.Names}}\t{{.ID}}").out.splitlines()
    assert [line.split() for line in lines] == [
        ["NAMES", "CONTAINER", "ID"],
        ["web", CONTAINER_ID[:12]],
    ]


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        ((), ListContainers()),
        (("-a",), ListContainers(all=True)),
        (("-n", "3"), ListContainers(last=3)),
        (("-l",), ListContainers(last=1)),
        (("-s",), ListContainers(size=True)),
        (
            ("-f", "name=x", "--filter=label=a=b"),
            ListContainers(filters=(("name", "x"), ("label", "a=b"))),
        ),
    ],
)
def test_ps_options(
    minidock: Minidock, engine: FakeEngine, flags: tuple[str, ...], options: ListContainers
) -> None:
    """Flags reach the engine."""
    assert minidock("ps", *flags).status == 0
    assert engine.containers.calls == [Call("list", (options,))]


def test_ps_with_a_bad_filter(minidock: Minidock) -> None:
    """A filter is a name and a value."""
    result = minidock("ps", "-f", "bogus")
    assert result.status == 125
    assert "bad format of filter (expected name=value)" in result.err


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("created", "Created"),
        ("running", "Up 5 seconds"),
        ("paused", "Up 5 seconds (Paused)"),
        ("exited", "Exited (3) 2 seconds ago"),
        ("removing", "Removal In Progress"),
        ("dead", "Dead"),
    ],
)
def test_status(container: ContainerView, state: str, text: str) -> None:
    """Each state has docker's text."""
    view = container._replace(state=state, exit_code=3, started=100.0, finished=103.0)
    assert status_text(view, 105.0) == text


@pytest.mark.usefixtures("image")
def test_images(minidock: Minidock) -> None:
    """A row for each tag, <none> for what is missing."""
    lines = minidock("images").out.splitlines()
    assert [line.split() for line in lines] == [
        ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"],
        f"app latest {SHORT_IMAGE} 3 days ago 5MB".split(),
        f"<none> <none> {SHORT_IMAGE} 3 days ago 5MB".split(),
    ]


@pytest.mark.usefixtures("image")
def test_images_in_other_forms(minidock: Minidock) -> None:
    """Ids, digests and templates."""
    assert minidock("images", "-q").out == f"{SHORT_IMAGE}\n" * 2
    assert minidock("image", "ls", "-q", "--no-trunc").out == f"{IMAGE_ID}\n" * 2
    assert MANIFEST in minidock("images", "--digests").out
    assert minidock("images", "--format", "{{.Repository}}:{{.Tag}}").out == (
        "app:latest\n<none>:<none>\n"
    )


def test_images_options(minidock: Minidock, engine: FakeEngine) -> None:
    """Flags and the name reach the engine."""
    minidock("images", "-a", "-f", "dangling=true", "app:1")
    options = ListImages("app:1", all=True, filters=(("dangling", "true"),))
    assert engine.images.calls == [Call("list", (options,))]


@pytest.fixture
def _history(engine: FakeEngine) -> None:
    engine.images.steps = (
        HistoryView(IMAGE_ID, time.time() - 65, "CMD\t" + "x" * 60, 0, "a comment"),
        HistoryView("", 0, "ADD rootfs", 1_234_567, ""),
    )


@pytest.mark.usefixtures("_history")
def test_history(minidock: Minidock) -> None:
    """Commands are cut, layers without an id are missing."""
    header, first, second = minidock("history", "app").out.splitlines()
    assert header.split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert first.split("  ")[0] == SHORT_IMAGE
    assert f"CMD {'x' * 40}…  " in first
    assert first.endswith("0B        a comment")
    assert second.split() == ["<missing>", "N/A", "ADD", "rootfs", "1.23MB"]


@pytest.mark.usefixtures("_history")
def test_history_in_other_forms(minidock: Minidock) -> None:
    """Exact values, whole texts and ids."""
    exact = minidock("history", "-H=false", "--no-trunc", "app").out
    assert "1234567" in exact
    assert f"CMD {'x' * 60} " in exact
    assert IMAGE_ID in exact
    assert minidock("history", "-q", "app").out == f"{SHORT_IMAGE}\n<missing>\n"


def test_unknown_field_of_a_row_names_dockers_type(
    minidock: Minidock, container: ContainerView
) -> None:
    """The error of a list command is docker's."""
    result = minidock("ps", "--format", "{{.NoSuch}}")
    assert result.status == 1
    assert "can't evaluate field NoSuch in type *formatter.ContainerContext" in result.err
