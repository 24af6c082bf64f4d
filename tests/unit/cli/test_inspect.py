# SPDX-License-Identifier: Apache-2.0
"""``inspect``, ``version`` and ``info``."""

import json

import pytest

from minidock.cli.inspect import _whole
from minidock.cli.templates import compile_template
from tests.unit.cli.conftest import Minidock
from tests.unit.cli.fakes import CONTAINER_ID, IMAGE_ID


def test_container_before_image(minidock: Minidock) -> None:
    """A name is looked for among containers, then images."""
    result = minidock("inspect", "web", "app")
    assert result.status == 0
    assert [document["Id"] for document in json.loads(result.out)] == [CONTAINER_ID, IMAGE_ID]


def test_layout(minidock: Minidock) -> None:
    """The document is indented by four, and text is text."""
    lines = minidock("image", "inspect", "app").out.splitlines()
    assert lines[:3] == ["[", "    {", f'        "Id": "{IMAGE_ID}",']
    assert '            "A=ü"' in lines


def test_missing(minidock: Minidock) -> None:
    """What is missing is an error; the list on stdout is there all the same."""
    assert minidock("inspect", "nosuch") == (1, "[]\n", "Error: No such object: nosuch\n")
    result = minidock("inspect", "nosuch", "web")
    assert result.status == 1
    assert [document["Id"] for document in json.loads(result.out)] == [CONTAINER_ID]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inspect", "--type", "container", "app"), "No such container: app"),
        (("container", "inspect", "app"), "No such container: app"),
        (("inspect", "--type=image", "web"), "No such image: web:latest"),
        (("image", "inspect", "web"), "No such image: web:latest"),
    ],
)
def test_type(minidock: Minidock, arguments: tuple[str, ...], message: str) -> None:
    """A type restricts the search."""
    assert minidock(*arguments) == (1, "[]\n", f"Error: {message}\n")


def test_unknown_type(minidock: Minidock) -> None:
    """A type that does not exist is refused."""
    assert minidock("inspect", "--type", "x", "web").err == (
        'Error: "x" is not a valid value for --type\n'
    )


def test_format(minidock: Minidock) -> None:
    """A template is filled in for each object, an empty line tells that there is none."""
    assert minidock("inspect", "-f", "{{.Id}}", "web", "app").out == (
        f"{CONTAINER_ID}\n{IMAGE_ID}\n"
    )
    assert minidock("inspect", "-f={{.Id}}", "nosuch").out == "\n"
    assert json.loads(minidock("inspect", "-f", "json", "web").out)[0]["Name"] == "/web"


def test_bad_format(minidock: Minidock) -> None:
    """A template that can't be meant is an error of status 1."""
    assert minidock("inspect", "-f", "{{", "web").status == 1


def test_version(minidock: Minidock) -> None:
    """Scripts find the version of a client and of a server."""
    assert minidock("version", "--format", "{{.Server.Version}}").out == "0.1.0\n"
    assert minidock("version").out == (
        "Client:\n"
        " Version:           0.1.0\n"
        " OS:                linux\n"
        "\n"
        "Server:\n"
        " Version:           0.1.0\n"
        " OS:                linux\n"
    )
    assert json.loads(minidock("version", "-f", "json").out)["Client"]["Os"] == "linux"


def test_info(minidock: Minidock) -> None:
    """Info is an indented list, or what a template asks for."""
    assert minidock("info").out == (
        "Containers: 2\n"
        " Running: 1\n"
        "Storage Driver: overlay2\n"
        "Total Memory: 1.5GiB\n"
        "Plugins:\n"
        " Network: bridge none\n"
        "Swap: false\n"
    )
    assert minidock("system", "info", "-f", "{{.Driver}}").out == "overlay2\n"


def test_members_that_docker_leaves_out_can_be_asked_for() -> None:
    """A template may test for a health check where there is none."""
    template = compile_template("{{if .State.Health}}yes{{else}}{{.State.Pid}}{{end}}")
    assert template.render(_whole({"State": {"Pid": 1}})) == "1"
