# SPDX-License-Identifier: Apache-2.0
"""Values of flags."""

from collections.abc import Callable

import pytest

from minidock.cli import params
from minidock.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("arm64", "linux/arm64"),
        ("aarch64", "linux/arm64"),
        ("linux/arm/v7", "linux/arm/v7"),
        ("armhf", "linux/arm/v7"),
        ("Linux/AMD64", "linux/amd64"),
    ],
)
def test_platform(text: str, platform: str) -> None:
    """Platforms have docker's names, the kernel's machine names are understood."""
    assert str(params.parse_platform(text)) == platform


@pytest.mark.parametrize("text", ["", "foo", "linux/foo", "linux/arm/v7/x", "linux//"])
def test_bad_platform(text: str) -> None:
    """An unknown platform is refused."""
    with pytest.raises(InvalidArgument, match="error parsing specified platform"):
        params.parse_platform(text)


def test_size() -> None:
    """Sizes are powers of 1024 whatever the unit looks like."""
    texts = ("5", "1k", "1KB", "2MiB", "1.5g", "1 m")
    assert [params.parse_size(t) for t in texts] == [
        5,
        1024,
        1024,
        2 << 20,
        3 << 29,
        1 << 20,
    ]


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (params.parse_size, "1x", "invalid size: '1x'"),
        (params.parse_size, "-1", "invalid size: '-1'"),
        (params.parse_filter, "bogus", "bad format of filter (expected name=value)"),
        (params.parse_label, "=x", "invalid label '=x': empty name"),
        (params.parse_env, "=x", "invalid environment variable: =x"),
        (params.parse_env, "", "invalid environment variable: "),
        (params.parse_stream, "foo", "valid streams are STDIN, STDOUT and STDERR"),
        (params.parse_address, "foo", "IP address is not correctly formatted: foo"),
        (params.parse_host, "foo", 'bad format for add-host: "foo"'),
        (params.parse_host, "a:b", 'invalid IP address in add-host: "b"'),
    ],
)
def test_errors(parse: Callable[[str], object], text: str, message: str) -> None:
    """Wrong values are refused with docker's words."""
    with pytest.raises((ValueError, InvalidArgument)) as caught:
        parse(text)
    assert str(caught.value) == message


def test_values() -> None:
    """Right values are taken apart."""
    assert params.parse_filter(" Label = a=b ") == ("label", "a=b")
    assert params.parse_label("a=b=c") == ("a", "b=c")
    assert params.parse_stream("STDOUT") == "stdout"
    assert params.parse_host("h:1.2.3.4") == "h:1.2.3.4"
    assert params.parse_host("h=[::1]") == "h:::1"
    assert params.parse_host("h:host-gateway") == "h:host-gateway"
