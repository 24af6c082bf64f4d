# SPDX-License-Identifier: Apache-2.0
"""Published ports in docker's syntax and docker's words."""

import doctest

import pytest

from minidock.network import ports
from minidock.network.ports import (
    InvalidPort,
    PortMapping,
    describe,
    parse_exposed,
    parse_publish,
    plan_bindings,
)


def test_examples_in_docstrings_are_true() -> None:
    """The worked examples run."""
    assert doctest.testmod(ports).failed == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", [PortMapping(80)]),
        ("8080:80", [PortMapping(80, "tcp", "", 8080)]),
        (":80", [PortMapping(80)]),
        ("0:80", [PortMapping(80)]),
        ("127.0.0.1::53/udp", [PortMapping(53, "udp", "127.0.0.1")]),
        ("127.0.0.1:8080:80/TCP", [PortMapping(80, "tcp", "127.0.0.1", 8080)]),
        ("[::1]:80:81", [PortMapping(81, "tcp", "::1", 80)]),
        ("::1:80:81", [PortMapping(81, "tcp", "::1", 80)]),
        ("9:80/sctp", [PortMapping(80, "sctp", "", 9)]),
        ("8000-9000:80", [PortMapping(80, "tcp", "", 8000, 9000)]),
        (
            "8100-8101:90-91",
            [PortMapping(90, "tcp", "", 8100), PortMapping(91, "tcp", "", 8101)],
        ),
        ("90-91/udp", [PortMapping(90, "udp"), PortMapping(91, "udp")]),
    ],
)
def test_publish_is_read_as_docker_reads_it(text: str, expected: list[PortMapping]) -> None:
    """Address, host port, range and protocol are all optional."""
    assert parse_publish(text) == tuple(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no port specified: <empty>"),
        ("80:", "no port specified: 80:<empty>"),
        ("80:x", "invalid containerPort: x"),
        ("80:0", "invalid containerPort: 0"),
        ("80:65536", "invalid containerPort: 65536"),
        ("80:+80", "invalid containerPort: +80"),
        ("x:80", "invalid hostPort: x"),
        ("9-8:80", "invalid hostPort: 9-8"),
        ("80-81-82", "invalid containerPort: 80-81-82"),
        ("80/foo", "invalid proto: foo"),
        ("1.2.3:80:80", "invalid IP address: 1.2.3"),
        ("[::1:80:80", "invalid IP address: [::1"),
        (
            "80-82:80-81",
            "invalid ranges specified for container and host Ports: 80-81 and 80-82",
        ),
        ("80:80-81", "invalid ranges specified for container and host Ports: 80-81 and 80"),
    ],
)
def test_bad_publish_is_refused_in_dockers_words(text: str, message: str) -> None:
    """The message names the part that is wrong."""
    with pytest.raises(InvalidPort) as caught:
        parse_publish(text)
    assert str(caught.value) == message


def test_exposed_ranges_and_protocols_are_read() -> None:
    """``--expose`` takes a port or a range, tcp if nothing is said."""
    assert parse_exposed("80") == ((80, "tcp"),)
    assert parse_exposed("80-82/udp") == ((80, "udp"), (81, "udp"), (82, "udp"))


@pytest.mark.parametrize("text", ["", "x", "82-80", "80-"])
def test_bad_exposed_is_refused(text: str) -> None:
    """The message is docker's for --expose."""
    with pytest.raises(InvalidPort, match="invalid range format for --expose: "):
        parse_exposed(text)


def test_publish_all_skips_ports_published_by_hand() -> None:
    """An exposed port with a mapping of its own gets no second one."""
    publish = parse_publish("8080:80")
    assert plan_bindings(publish, True, ("80/tcp", "53/udp")) == (
        *publish,
        PortMapping(53, "udp"),
    )
    assert plan_bindings(publish, False, ("53/udp",)) == publish


@pytest.mark.parametrize(
    ("publish", "exposed", "expected"),
    [
        ("", (), ""),
        ("18081:81", (), "0.0.0.0:18081->81/tcp"),
        ("80:80", (), "0.0.0.0:80->80/tcp"),
        ("80-82:80-82", (), "0.0.0.0:80-82->80-82/tcp"),
        ("[::1]:80:81", (), "[::1]:80->81/tcp"),
        ("", ("80", "53/udp"), "53/udp, 80/tcp"),
        ("", ("80-82", "90"), "80-82/tcp, 90/tcp"),
        (
            "8080:80 127.0.0.1:90:90",
            ("80", "443"),
            "127.0.0.1:90->90/tcp, 443/tcp, 0.0.0.0:8080->80/tcp",
        ),
    ],
)
def test_ports_are_shown_as_docker_ps_shows_them(
    publish: str, exposed: tuple[str, ...], expected: str
) -> None:
    """Consecutive equal ports are joined; exposed ones that are published are not repeated."""
    mappings = [m for text in publish.split() for m in parse_publish(text)]
    assert describe(mappings, exposed) == expected
