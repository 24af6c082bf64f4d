# SPDX-License-Identifier: Apache-2.0
"""The engine's pure parts: times, signals, names, ``--change``, records."""

import json

import pytest

from minidock.engine import clock
from minidock.engine.changes import InvalidChange, apply_changes
from minidock.engine.liveness import InvalidSignal, parse_signal, stop_signal
from minidock.engine.mount_points import tmpfs_of
from minidock.engine.names import random_name
from minidock.engine.options import BindMount, CreateOptions, TmpfsMount
from minidock.engine.records import (
    NoCommand,
    container_config,
    host_config,
    merge_env,
    networks_of,
    ports_document,
    publish_of,
)
from minidock.errors import InvalidArgument
from minidock.network.ports import PortMapping
from minidock.oci.image import ImageConfig
from minidock.store.containers import is_name

IMAGE = ImageConfig(
    user="app",
    exposed_ports=("80/tcp", "x/y", "99999/tcp"),
    env=("PATH=/bin", "A=1", "B=2"),
    entrypoint=("entry",),
    cmd=("one", "two"),
    working_dir="/srv",
    labels={"k": "v"},
    stop_signal="QUIT",
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1970-01-01T00:00:00-01:30", 5400.0),
        ("1970-01-01T00:00:02.123456789Z", 2.123456789),
        ("0001-01-01T00:00:00Z", 0.0),
        ("yesterday", 0.0),
        ("", 0.0),
        ("1970-01-01T00:00:01+xx:yy", 0.0),
        ("1970-01-01T00:00:01+", 0.0),
        ("1970-13-41T99:00:00Z", 0.0),
        ("1970-01-01T00:00:01.Z", 1.0),
    ],
)
def test_rfc3339_is_read(text: str, seconds: float) -> None:
    """What is no time is 0, never an error: it comes from images."""
    assert clock.parse_rfc3339(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, clock.ZERO),
        (-5, clock.ZERO),
        (1, "1970-01-01T00:00:01Z"),
        (1.5, "1970-01-01T00:00:01.5Z"),
        (1.9999999, "1970-01-01T00:00:02Z"),
    ],
)
def test_rfc3339_is_written(seconds: float, text: str) -> None:
    """Docker's form: no trailing zeros, the year 1 for never."""
    assert clock.rfc3339(seconds) == text


def test_the_epoch_is_a_time() -> None:
    """Where 0 does not mean never."""
    assert clock.exact_rfc3339(0) == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("9", 9),
        ("KILL", 9),
        ("SIGKILL", 9),
        ("sigterm", 15),
        ("USR1", 10),
        ("RTMIN", 34),
        ("RTMIN+3", 37),
        ("SIGRTMAX-2", 62),
        ("64", 64),
        ("IO", 29),
        ("CLD", 17),
    ],
)
def test_signal_is_understood(text: str, number: int) -> None:
    """Numbers and names, with or without SIG."""
    assert parse_signal(text) == number


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "0",
            "65",
            "-9",
            "BOGUS",
            "_IGN",
            "_DFL",
            "_BLOCK",
            "SIGSIGKILL",
            "²",
            "KILL+1",
            "SIG9",
        ),
        *("RTMIN+99", "RTMAX-99", "RTMAX+1", "RTMIN-1", "9999999999999999999", "SIG", "9 "),
    ],
)
def test_what_is_no_signal_is_refused(text: str) -> None:
    """Docker's text."""
    with pytest.raises(InvalidSignal, match="Invalid signal: "):
        parse_signal(text)


def test_stop_signal_of_an_image_that_names_none() -> None:
    """A container must be stoppable whatever its image says."""
    assert stop_signal({"StopSignal": "BOGUS"}) == 15
    assert stop_signal({"StopSignal": "SIGQUIT"}) == 3
    assert stop_signal({}) == 15


def test_names_are_names() -> None:
    """Every name that is made up may be a name."""
    names = {random_name() for _ in range(200)}
    assert all(is_name(name) for name in names)
    assert len(names) > 100


def test_image_and_user_make_the_config() -> None:
    """The user's command replaces the image's, the entrypoint stays; ports that are none go."""
    options = CreateOptions("x", ("three",), env=("B=3", "C=4"), labels={"l": "w"})
    config = container_config("f" * 64, options, IMAGE)
    assert (config["Entrypoint"], config["Cmd"]) == (["entry"], ["three"])
    assert config["Env"] == ["PATH=/bin", "A=1", "B=3", "C=4"]
    assert list(config["ExposedPorts"]) == ["80/tcp"]
    assert config["Labels"] == {"k": "v", "l": "w"}
    assert (config["User"], config["WorkingDir"]) == ("app", "/srv")
    assert (config["Hostname"], config["StopSignal"]) == ("f" * 12, "QUIT")


def test_new_entrypoint_drops_the_images_command() -> None:
    """As docker does."""
    options = CreateOptions("x", entrypoint=("other",))
    config = container_config("f" * 64, options, IMAGE)
    assert (config["Entrypoint"], config["Cmd"]) == (["other"], [])


def test_no_command_at_all() -> None:
    """Docker's text."""
    with pytest.raises(NoCommand, match="No command specified"):
        container_config("f" * 64, CreateOptions("x"), ImageConfig())
    with pytest.raises(NoCommand):
        container_config("f" * 64, CreateOptions("x", entrypoint=()), IMAGE)


def test_relative_working_directory_is_refused() -> None:
    """Docker's text."""
    with pytest.raises(InvalidArgument, match="'a/b' is invalid, it needs to be an absolute"):
        container_config("f" * 64, CreateOptions("x", working_dir="a/b"), IMAGE)


def test_environment_without_value_is_dropped() -> None:
    """A name alone must never become the host's value (CVE-2026-57231)."""
    assert merge_env(("A", "=b", "", "C=", "D=e=f"), ("A=1",)) == ("C=", "D=e=f", "A=1")


def test_host_config_keeps_all_it_is_given() -> None:
    """Ports, ranges, mounts and tmpfs come back as they were, also through JSON."""
    publish = (
        PortMapping(80, "tcp", "127.0.0.1", 8080),
        PortMapping(80, "tcp", "", 8000, 8010),
        PortMapping(53, "udp"),
    )
    binds = (
        BindMount("/a:b", "/c"),
        BindMount("/a", "/d", read_only=True),
        BindMount("/a", "/e", propagation="rshared"),
        BindMount("/a:/x", "/f", True, "rslave"),
    )
    tmpfs = (TmpfsMount("/t", ("size=1m", "mode=700")), TmpfsMount("/u"))
    options = CreateOptions("x", publish=publish, binds=binds, tmpfs=tmpfs)
    host = json.loads(json.dumps(host_config(options)))
    assert publish_of(host) == publish
    assert tmpfs_of(host) == tmpfs
    assert host["Binds"] == ["/a:b:/c", "/a:/d:ro", "/a:/e:rshared", "/a:/x:/f:ro,rslave"]
    assert host["PortBindings"]["80/tcp"][1] == {"HostIp": "", "HostPort": "8000-8010"}


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        ("default", ("bridge",)),
        ("", ("bridge",)),
        ("host", ("host",)),
        ("none", ("none",)),
        ("container:x", ()),
    ],
)
def test_network_has_its_name(mode: str, names: tuple[str, ...]) -> None:
    """The default network is the bridge; another container's is none of its own."""
    assert networks_of({"NetworkMode": mode}) == names


def test_ports_document() -> None:
    """Published ports have bindings, exposed ones null."""
    ports = (PortMapping(80, "tcp", "", 8080), PortMapping(80, "tcp", "::1", 81))
    assert ports_document(ports, ("80/tcp", "53/udp")) == {
        "80/tcp": [
            {"HostIp": "0.0.0.0", "HostPort": "8080"},
            {"HostIp": "::1", "HostPort": "81"},
        ],
        "53/udp": None,
    }


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ('CMD ["a", "b c"]', "cmd", ("a", "b c")),
        ("cmd echo $HOME", "cmd", ("/bin/sh", "-c", "echo $HOME")),
        ("CMD [not json", "cmd", ("/bin/sh", "-c", "[not json")),
        ('ENTRYPOINT ["e"]', "entrypoint", ("e",)),
        ("ENV A=9 N='x y'", "env", ("PATH=/bin", "A=9", "B=2", "N=x y")),
        ("ENV A nine lives", "env", ("PATH=/bin", "A=nine lives", "B=2")),
        ("EXPOSE 8080 53/udp", "exposed_ports", ("53/udp", "80/tcp", "8080/tcp")),
        ("LABEL a=b", "labels", {"k": "v", "a": "b"}),
        ("USER 1000:1000", "user", "1000:1000"),
        ('VOLUME ["/a", "/b"]', "volumes", ("/a", "/b")),
        ("VOLUME /a /b", "volumes", ("/a", "/b")),
        ("WORKDIR sub", "working_dir", "/srv/sub"),
        ("WORKDIR /abs", "working_dir", "/abs"),
        ("STOPSIGNAL SIGINT", "stop_signal", "SIGINT"),
        ("ONBUILD RUN x", "extra", {"OnBuild": ["RUN x"]}),
    ],
)
def test_change_is_applied(change: str, field: str, value: object) -> None:
    """Each instruction changes its own field."""
    image = IMAGE._replace(exposed_ports=("80/tcp",))
    changed = apply_changes(image, (change,))
    assert getattr(changed, field) == value
    assert changed._replace(**{field: getattr(image, field)}) == image


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("RUN true", "run is not a valid change command"),
        ("CMD", "CMD requires at least one argument"),
        ("", "is not a valid change command"),
        ("LABEL a=b c", "expected NAME=VALUE"),
        ("ENV A='x", "No closing quotation"),
        ("EXPOSE nine", "nine"),
        ("EXPOSE 80/xyz", "xyz"),
        ("STOPSIGNAL BOGUS", "Invalid signal: BOGUS"),
    ],
)
def test_bad_change_is_refused(change: str, message: str) -> None:
    """Before anything is made."""
    with pytest.raises(InvalidArgument, match=message):
        apply_changes(IMAGE, (change,))
    assert issubclass(InvalidChange, InvalidArgument)
