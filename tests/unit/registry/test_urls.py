# SPDX-License-Identifier: Apache-2.0
"""What host names and URLs say."""

import pytest

from minidock.registry.urls import (
    bypasses_proxy,
    is_local,
    is_loopback,
    parse_web_url,
    same_origin,
)


@pytest.mark.parametrize(
    "netloc", ["localhost", "localhost:5000", "127.0.0.1:1", "127.9.9.9", "[::1]:5000"]
)
def test_loopback(netloc: str) -> None:
    """This machine's names, with and without a port."""
    assert is_loopback(netloc)
    assert is_local(netloc)


@pytest.mark.parametrize(
    "netloc", ["", "localhost.example", "128.0.0.1", "10.0.0.1:5000", "[2001:db8::1]"]
)
def test_elsewhere(netloc: str) -> None:
    """Names that only look like this machine's, and private networks, are elsewhere."""
    assert not is_loopback(netloc)
    assert not is_local(netloc)


@pytest.mark.parametrize("netloc", ["127.1", "0x7f000001:80", "2130706433", "a.localhost"])
def test_other_spellings_are_local_only(netloc: str) -> None:
    """Unusual spellings are refused as targets and get no favours as registries."""
    assert is_local(netloc)
    assert not is_loopback(netloc)


@pytest.mark.parametrize("text", ["", "x", "a/b", "file:///x", "http://", "http://u@x/", "//x"])
def test_not_a_web_url(text: str) -> None:
    """Only http and https with a host and without a user."""
    assert parse_web_url(text) is None


def test_same_origin() -> None:
    """Case and default ports do not matter; scheme, host and port do."""
    first = parse_web_url("https://A.example/x")
    assert first is not None
    for text, expected in [
        ("https://a.example:443/y", True),
        ("https://a.example:444/", False),
        ("http://a.example/", False),
        ("https://b.example/", False),
    ]:
        other = parse_web_url(text)
        assert other is not None
        assert same_origin(first, other) == expected


@pytest.mark.parametrize(
    ("no_proxy", "url", "expected"),
    [
        ("", "https://a.example/", False),
        ("", "http://127.0.0.1:5000/", True),
        ("*", "https://a.example/", True),
        ("x, example ", "https://a.example/", True),
        (".example", "https://a.example/", True),
        ("*.example", "https://a.example/", True),
        ("ample", "https://a.example/", False),
        ("A.EXAMPLE", "https://a.example/", True),
        ("a.example:443", "https://a.example/", True),
        ("a.example:80", "https://a.example/", False),
        ("10.0.0.0/8", "https://10.2.3.4/", True),
        ("10.0.0.0/8", "https://11.2.3.4/", False),
        ("10.2.3.4", "https://10.2.3.4:5000/", True),
        ("2001:db8::/32", "https://[2001:db8::1]/", True),
        ("[2001:db8::1]:443", "https://[2001:db8::1]/", True),
    ],
)
def test_no_proxy(no_proxy: str, url: str, expected: bool) -> None:
    """Domains cover what is below them, blocks their addresses; a port narrows an entry."""
    parsed = parse_web_url(url)
    assert parsed is not None
    assert bypasses_proxy(parsed, no_proxy) == expected
