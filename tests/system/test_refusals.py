# SPDX-License-Identifier: Apache-2.0
"""What can't be meant, found or done: docker's text and status, one line, and no traces."""

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fakes.registry import FakeRegistry
from tests.system.images import layer
from tests.system.place import Place, wait_for

ID = "[0-9a-f]{64}"


@pytest.fixture(scope="module")
def taken(place: Place, images: None) -> str:
    """A port of the host that the running container `box` has; `old` is one that never ran."""
    place("run", "-d", "-p", "8080", "--name", "box", "tomcat:9.0")
    place("create", "--name", "old", "base", "true")
    return place("port", "box", "8080").strip().rpartition(":")[2]


class Complaint(NamedTuple):
    """What stderr says: the message, the hint, and where to read more."""

    message: str
    hint: str
    advice: str


def parse(errors: str) -> Complaint:
    """Take stderr apart; it has to be one message, at most one hint, at most one advice."""
    text, _, advice = errors.partition("\n\nRun ")
    first, *rest = text.rstrip("\n").split("\n")
    usage = [line for line in rest if line.startswith("Usage:  minidock ")]
    hints = [line for line in rest if line.startswith("hint: ")]
    assert [line for line in rest if line] == hints + usage, errors
    assert len(hints) <= 1
    if advice:
        assert re.fullmatch(r"'minidock( [a-z]+)* --help' for more information\n", advice)
    return Complaint(first, "".join(hints), advice)


RUN = [
    (125, "--bogus base", "unknown flag: --bogus"),
    (125, "--pull never nosuch", "minidock: No such image: nosuch:latest"),
    (125, "--name box base true",
     'minidock: Conflict. The container name "/box" is already in use by container '
     rf'"{ID}". You have to remove \(or rename\) that container to be able to reuse that '
     "name."),
    (125, "--name -x base true",
     r"minidock: Invalid container name \(-x\), only \[a-zA-Z0-9\]\[a-zA-Z0-9_.-\] "
     "are allowed"),
    (125, "-w rel base true",
     "minidock: the working directory 'rel' is invalid, it needs to be an absolute "
     "path"),
    (125, "-u nobody base true",
     "minidock: unable to find user nobody: no matching entries in passwd file"),
    (125, "-u bob:no base true",
     "minidock: unable to find group no: no matching entries in group file"),
    (125, "-v rel/path:/x base true",
     'minidock: create rel/path: "rel/path" includes invalid characters for a local '
     r'volume name, only "\[a-zA-Z0-9\]\[a-zA-Z0-9_.-\]" are allowed. If you '
     "intended to pass a host directory, use absolute path"),
    (125, "-v /tmp:rel base true",
     "minidock: invalid mount path: 'rel' mount path must be absolute"),
    (125, "-v /tmp:/x:bad base true", "minidock: invalid mode: bad"),
    (125, "-v /tmp:/ base true",
     "minidock: invalid volume specification: '/tmp:/': destination can't be '/'"),
    (125, "-v /tmp:/x -v /tmp:/x base true", "minidock: Duplicate mount point: /x"),
    (125, "--mount type=bind,src=/nosuch,dst=/x base true",
     'minidock: invalid mount config for type "bind": bind source path does not '
     "exist: /nosuch"),
    (125, "-p bad base true", "minidock: invalid containerPort: bad"),
    (125, "-p 99999:80 base true", "minidock: invalid hostPort: 99999"),
    (125, "-p 80:80/xyz base true", "minidock: invalid proto: xyz"),
    (125, "-e =x base true",
     'invalid argument "=x" for "-e, --env" flag: invalid environment variable: =x'),
    (125, "--env-file /nosuch base true", "minidock: open /nosuch: no such file or directory"),
    (125, "--network nosuch base true", "minidock: network nosuch not found"),
    (125, "--stop-signal BOGUS base true", "minidock: Invalid signal: BOGUS"),
    (125, "--cap-add BOGUS base true",
     'minidock: invalid CapAdd: unknown capability: "CAP_BOGUS"'),
    (125, "--rm --restart always base true",
     "minidock: conflicting options: cannot specify both --restart and --rm"),
    (1, "-d -a stdout base true",
     "conflicting options: cannot specify both --attach and --detach"),
    (1, "", "minidock: 'minidock run' requires at least 1 argument"),
    (125, "BAD",
     r"minidock: invalid reference format: repository name \(BAD\) must be lowercase"),
    (125, "a//b", "minidock: invalid reference format"),
    (126, "base /etc/passwd", 'minidock: exec: "/etc/passwd": permission denied'),
    (126, "base /etc", 'minidock: exec: "/etc": is a directory'),
    (127, "base nosuch", r'minidock: exec: "nosuch": executable file not found in \$PATH'),
    (127, "base /nosuch", 'minidock: exec: "/nosuch": stat /nosuch: no such file or directory'),
]  # fmt: skip


@pytest.mark.parametrize(("status", "line", "message"), RUN, ids=[line for _, line, _ in RUN])
def test_run_refuses(place: Place, taken: str, status: int, line: str, message: str):
    """A run that can't be leaves no process, port, mount or cgroup."""
    complaint = parse(place.refused(status, "run", *line.split()))
    assert re.fullmatch(message, complaint.message)
    if status != 1:
        assert complaint.advice
    wait_for(lambda: len(place.monitors()) == 1, "no monitor but that of box")
    place.result("rm", *_new(place))


def _new(place: Place) -> list[str]:
    """Return the containers that the table made; like docker's they stay to be looked at."""
    rows = [line.split() for line in place("ps", "-a").splitlines()[1:]]
    return [row[0] for row in rows if row[-1] not in ("box", "old")] or ["old-nothing"]


REST = [
    (1, "bogus", "minidock: unknown command: minidock bogus"),
    (125, "--bogus", "unknown flag: --bogus"),
    (1, "container bogus", "minidock: unknown command: minidock container bogus"),
    (1, "pull", "minidock: 'minidock pull' requires 1 argument"),
    (1, "exec nosuch true", "Error: No such container: nosuch"),
    (1, "exec old true", f"Error: Container {ID} is not running"),
    (126, "exec -w /nosuch box true",
     r'Error: chdir to cwd \("/nosuch"\) set in config.json failed: no such file or '
     "directory"),
    (1, "stop nosuch", "Error: No such container: nosuch"),
    (125, "stop -t x box",
     'invalid argument "x" for "-t, --timeout" flag: strconv.ParseInt: parsing "x": '
     "invalid syntax"),
    (1, "kill old", f"Error: Cannot kill container: old: Container {ID} is not running"),
    (1, "kill -s BOGUS box", "Error: Invalid signal: BOGUS"),
    (1, "rm nosuch", "Error: No such container: nosuch"),
    (1, "rm box",
     f"Error: You cannot remove a running container {ID}. Stop the container before "
     "attempting removal or force remove"),
    (1, "rmi nosuch", "Error: No such image: nosuch:latest"),
    (1, "rmi tomcat:9.0",
     r'Error: conflict: unable to remove repository reference "tomcat:9.0" \(must '
     r"force\) - container [0-9a-f]{12} is using its referenced image [0-9a-f]{12}"),
    (1, "tag nosuch x", "Error: No such image: nosuch:latest"),
    (1, "tag base BAD",
     r"Error: invalid reference format: repository name \(BAD\) must be lowercase"),
    (1, f"tag base x@sha256:{'0' * 64}",
     "Error: refusing to create a tag with a digest reference"),
    (1, "commit nosuch", "Error: No such container: nosuch"),
    (1, "commit -c bogus box", "Error: bogus is not a valid change command"),
    (1, "logs nosuch", "Error: No such container: nosuch"),
    (1, "logs --since badtime box",
     'Error: invalid value for "since": failed to parse value as time or duration: '
     '"badtime"'),
    (1, "port box 99", "Error: No public port '99' published for box"),
    (1, "inspect --type bogus box", 'Error: "bogus" is not a valid value for --type'),
    (1, "ps -f bogus=1", "Error: Invalid filter 'bogus'"),
    (125, "ps -f bogus",
     'invalid argument "bogus" for "-f, --filter" flag: bad format of filter '
     r"\(expected name=value\)"),
    (1, "attach old", "Error: You cannot attach to a stopped container, start it first"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "line", "message"), REST, ids=[line for _, line, _ in REST])
def test_refusals(place: Place, taken: str, status: int, line: str, message: str):
    """The other commands, with docker's texts and statuses."""
    complaint = parse(place.refused(status, *line.split()))
    assert re.fullmatch(message, complaint.message)
    assert place.state("box")["Running"] is True


def test_one_of_several_fails(place: Place, taken: str):
    """What can be done is done and printed; each failure is a line; the status is 1."""
    place("create", "--name", "gone", "base", "true")
    result = place.result("rm", "nosuch", "gone", "neither")
    assert (result.status, result.text) == (1, "gone\n")
    errors = [line for line in result.errors.splitlines() if not line.startswith("hint: ")]
    assert errors == ["Error: No such container: nosuch", "Error: No such container: neither"]
    missing = place.result("inspect", "nosuch")
    assert missing == (1, b"[]\n", b"Error: No such object: nosuch\n")


def test_a_taken_port(place: Place, taken: str):
    """A port that another container, or a program of the host, has."""
    err = parse(place.refused(125, "run", "--rm", "-p", f"{taken}:80", "base", "true"))
    assert re.fullmatch(
        rf"minidock: driver failed programming external connectivity on endpoint \w+ \({ID}\): "
        rf"Bind for 0\.0\.0\.0:{taken} failed: port is already allocated",
        err.message,
    )
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        err = parse(place.refused(125, "run", "--rm", "-p", f"{port}:80", "base", "true"))
    assert str(port) in err.message
    place("run", "--rm", "-p", f"{port}:80", "base", "true")  # it is free again


@pytest.fixture
def refused_pull(place: Place):
    """Return the complaint of a pull; the state has the same images before and after."""

    def pull(*words: str) -> Complaint:
        before = place("images", "-aq"), place.entries("layers")
        result = place.result("pull", "-q", *words)
        assert (result.status, result.text) == (1, "")
        assert (place("images", "-aq"), place.entries("layers")) == before
        assert place.entries("tmp") == []
        return parse(result.errors)

    return pull


def test_images_that_are_not_there(refused_pull, registry: FakeRegistry):
    """An unknown repository, tag, registry, and one that does not listen."""
    host = registry.host
    assert refused_pull(f"{host}/nosuch").message == (
        f"Error: pull access denied for {host}/nosuch, repository does not exist or may "
        "require 'docker login'"
    )
    assert refused_pull(f"{host}/library/base:v2").message == (
        f"Error: manifest for {host}/library/base:v2 not found: manifest unknown: manifest "
        "unknown"
    )
    assert refused_pull("127.0.0.1:1/x").message == (
        "Error: cannot reach registry 127.0.0.1:1: connection refused"
    )


def test_an_unknown_host(place: Place):
    """A host that does not exist is tried again, then named."""
    result = place.result("pull", "nosuch.invalid/x")
    assert result.status == 1
    last, hint = result.errors.splitlines()[-2:]
    assert last == "Error: cannot reach registry nosuch.invalid: no such host"
    assert hint.startswith("hint: ")


def test_a_corrupt_layer(refused_pull, registry: FakeRegistry):
    """A layer that is not what its digest says is refused whole."""
    registry.add_image("library/corrupt", "latest", [layer(("file", 0o644, b"x" * 5000))])
    (blob,) = registry.manifest("library/corrupt", "latest")["layers"]
    registry.add_blob("library/corrupt", b"y" * blob["size"], blob["digest"])
    message = refused_pull(f"{registry.host}/library/corrupt").message
    assert blob["digest"] in message
    assert "digest mismatch" in message


def test_a_registry_that_fails(refused_pull, registry: FakeRegistry):
    """Answers of 500 are tried again, then told with the host and the status."""
    registry.add_image("library/broken", "latest", [layer(("file", 0o644, b"x"))])
    registry.fail("/library/broken/manifests/", 403, always=True)
    message = refused_pull(f"{registry.host}/library/broken").message
    assert message.startswith("Error: ")
    assert "broken" in message or registry.host in message


@pytest.fixture
def small(tmp_path: Path, registry: FakeRegistry, words: list[str]) -> Iterator[Place]:
    """A state directory on a file system of one megabyte."""
    root = tmp_path / "state"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", str(root)], check=True)
    try:
        yield Place(str(root), registry, words)
    finally:
        subprocess.run(["umount", str(root)], check=True)


def test_no_space(small: Place):
    """A full disk is told as such; the state stays sound and has room again."""
    complaint = parse(small.refused(1, "pull", "-q", "base"))
    assert complaint.message.startswith("Error: ")
    assert complaint.message.endswith("no space left on device")
    assert small("images", "-q") == ""
    assert small.entries("layers") == small.entries("tmp") == []
    subprocess.run(["mount", "-o", "remount,size=50m", small.root], check=True)
    small("pull", "-q", "base")
    wait_for(lambda: os.path.isdir(small.root), "the state")
    assert small("run", "--rm", "base", "echo", "fine") == "fine\n"


def test_broken_configuration(place: Place, tmp_path: Path):
    """A bad key or a missing file is named; nothing else is said."""
    config = tmp_path / "bad.yaml"
    config.write_text("rooot: /x\n")
    err = parse(place.refused(1, "--config", str(config), "images"))
    assert err.message == f"Error: configuration file {config}: rooot: unknown key"
    err = parse(place.refused(1, "--config", "/nosuch.yaml", "images"))
    assert err.message == "Error: configuration file /nosuch.yaml: no such file"
    err = parse(place.refused(1, "--root", str(config), "images"))
    assert str(config) in err.message
