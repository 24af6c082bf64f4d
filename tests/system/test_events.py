# SPDX-License-Identifier: Apache-2.0
"""``events``: what commands and monitors tell, read later and as it happens."""

import json
import re
import time

import pytest

from tests.system.place import Place, wait_for

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d) (\S+) (.+) (\S+) \((.*)\)"
)


@pytest.fixture
def begun() -> str:
    return f"{time.time():.9f}"


def told(minidock: Place, begun: str, *flags: str) -> list[str]:
    """Return ``type action`` of the events since then."""
    text = minidock("events", "--since", begun, "--until", "0s", *flags)
    matches = [LINE.fullmatch(line) for line in text.splitlines()]
    assert all(matches), text
    return [f"{match[1]} {match[2]}" for match in matches if match]


def test_the_life_of_a_container(minidock: Place, begun: str):
    """The actions and their order are those of docker."""
    minidock("run", "-d", "--name", "box", "--network", "none", "base", "sleep", "60")
    minidock("exec", "box", "sh", "-c", "exit 0")
    minidock("pause", "box")
    minidock("unpause", "box")
    minidock("rename", "box", "chest")
    minidock("cp", "chest:/etc/passwd", "-")
    minidock("kill", "-s", "CONT", "chest")
    minidock("stop", "-t", "0", "chest")
    minidock("start", "chest")
    minidock("restart", "-t", "0", "chest")
    minidock("rm", "-f", "chest")
    assert told(minidock, begun, "--filter", "type=container") == [
        f"container {action}"
        for action in (
            *("create", "start", "exec_create: sh -c exit 0", "exec_start: sh -c exit 0"),
            *("exec_die", "pause", "unpause", "rename", "archive-path", "kill"),
            *("kill", "kill", "die", "stop", "start"),
            *("kill", "kill", "die", "stop", "start", "restart"),
            *("kill", "die", "destroy"),
        )
    ]


def test_what_a_short_run_tells(minidock: Place, begun: str):
    """Attached, on the bridge, and removed at its end; a command that is not there dies too."""
    minidock("run", "--rm", "base", "true")
    wait_for(lambda: not minidock.entries("containers"), "the removal")
    assert told(minidock, begun) == [
        "container create",
        "container attach",
        "network connect",
        "container start",
        "container die",
        "network disconnect",
        "container destroy",
    ]
    minidock.result("run", "--rm", "--network", "none", "base", "nosuch")
    shown = minidock(
        *("events", "--since", begun, "--until", "0s", "--filter", "event=die"),
        *("--format", "{{.Actor.Attributes.exitCode}}"),
    )
    assert shown == "0\n127\n"


def test_images_and_volumes(minidock: Place, begun: str):
    """What is told of them, by their filters."""
    minidock("tag", "base", "other:1")
    minidock("rmi", "other:1")
    minidock("volume", "create", "data")
    minidock("run", "--rm", "-v", "data:/data", "--network", "none", "base", "true")
    wait_for(lambda: not minidock.entries("containers"), "the removal")
    minidock("volume", "rm", "data")
    assert told(minidock, begun, "--filter", "type=image") == ["image tag", "image untag"]
    assert told(minidock, begun, "--filter", "volume=data") == [
        f"volume {action}" for action in ("create", "mount", "unmount", "destroy")
    ]


def test_json_is_dockers(minidock: Place, begun: str):
    """Names, nesting and types of docker's message."""
    minidock("create", "--name", "box", "--label", "tier=front", "base")
    flags = ("--since", begun, "--until", "0s", "--format")
    (line,) = minidock("events", *flags, "json").splitlines()
    assert minidock("events", *flags, "{{json .}}") == f"{line}\n"
    event = json.loads(line)
    when = event.pop("timeNano")
    identity = minidock.inspect("box")["Id"]
    assert event == {
        "status": "create",
        "id": identity,
        "from": "base",
        "Type": "container",
        "Action": "create",
        "Actor": {
            "ID": identity,
            "Attributes": {"image": "base", "name": "box", "tier": "front"},
        },
        "scope": "local",
        "time": when // 1_000_000_000,
    }
    fields = "{{.Time}} {{.TimeNano}} {{.ID}} {{.Status}} {{.From}} {{.Scope}} {{.Type}}"
    assert minidock("events", *flags, fields).split() == [
        *(str(event["time"]), str(when), identity),
        *("create", "base", "local", "container"),
    ]


def test_what_happens_is_told_at_once(minidock: Place):
    """Without --until it goes on; nothing of before is told."""
    minidock("create", "--name", "before", "base")
    with minidock.background(
        "events", "--format", "{{.Action}} {{.Actor.Attributes.name}}"
    ) as (process):
        assert process.stdout is not None
        time.sleep(0.5)  # there is nothing to see of its readiness
        minidock("create", "--name", "after", "base")
        assert process.stdout.readline() == b"create after\n"
        minidock("rm", "after")
        assert process.stdout.readline() == b"destroy after\n"
        assert process.poll() is None


@pytest.mark.parametrize(
    ("flags", "status", "text"),
    [
        (("--filter", "colour=red"), 1, "Invalid filter 'colour'"),
        (("--filter", "red"), 125, "bad format of filter (expected name=value)"),
        (("--since", "yore"), 1, 'invalid value for "since"'),
        (("--format", "{{.Colour}}", "--since", "1h", "--until", "0s"), 1, "*events.Message"),
    ],
)
def test_what_is_wrong_is_said(minidock: Place, flags: tuple[str, ...], status: int, text: str):
    """Filters, times and templates that can't be meant."""
    minidock("create", "base")
    assert text in minidock.refused(status, "events", *flags)
