# SPDX-License-Identifier: Apache-2.0
"""/etc/hosts, /etc/hostname and /etc/resolv.conf."""

import pytest

from minidock.network.files import (
    InvalidHost,
    hostname_file,
    hosts,
    names_only_stub,
    parse_extra_host,
    resolv_conf,
)

HOST = """\
# a comment
nameserver 127.0.0.53
nameserver 192.168.1.1
nameserver fe80::1%eth0
search example.org example.com
options edns0 trust-ad
"""


def test_own_line_of_hosts_comes_last() -> None:
    """After localhost's lines and those of --add-host, as docker does."""
    text = hosts("abc", "172.29.0.2", ("db:10.0.0.1", "up=host-gateway"), gateway="172.29.0.1")
    assert text.startswith("127.0.0.1\tlocalhost\n::1\tlocalhost")
    assert text.endswith("10.0.0.1\tdb\n172.29.0.1\tup\n172.29.0.2\tabc\n")


def test_hosts_without_network_has_no_own_line() -> None:
    """Network none."""
    assert "abc" not in hosts("abc", "")


def test_domain_name_makes_the_name_a_full_one() -> None:
    """Both forms stand on the container's line."""
    assert hosts("a", "10.0.0.2", domainname="b.c").endswith("10.0.0.2\ta.b.c a\n")


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [("a:::1", "a", "::1"), ("a=[::1]", "a", "::1"), ("a.b:1.2.3.4", "a.b", "1.2.3.4")],
)
def test_extra_hosts_take_both_separators(text: str, name: str, address: str) -> None:
    """IPv6 addresses may stand in brackets."""
    assert parse_extra_host(text) == (name, address)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", 'bad format for add-host: "a"'),
        (":1.2.3.4", 'bad format for add-host: ":1.2.3.4"'),
        ("a:b", 'invalid IP address in add-host: "b"'),
    ],
)
def test_bad_extra_host_is_refused(text: str, message: str) -> None:
    """In docker's words."""
    with pytest.raises(InvalidHost) as caught:
        parse_extra_host(text)
    assert str(caught.value) == message


def test_host_gateway_needs_a_gateway() -> None:
    """Without a network there is nothing to put there."""
    with pytest.raises(InvalidHost):
        hosts("a", "", ("h:host-gateway",))


def test_hostname_ends_with_a_newline() -> None:
    """One line, as hostname(5) says."""
    assert hostname_file("abc") == "abc\n"


def test_unreachable_nameservers_are_left_out() -> None:
    """Loopback and IPv6 servers can't be reached from a private namespace."""
    assert resolv_conf(HOST) == (
        "nameserver 192.168.1.1\nsearch example.org example.com\noptions edns0 trust-ad\n"
    )


def test_public_nameservers_stand_in_when_none_is_left() -> None:
    """Docker's fallback."""
    assert resolv_conf("nameserver ::1\n") == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


def test_shared_namespace_keeps_all_nameservers() -> None:
    """With network host the loopback is the host's."""
    assert "nameserver 127.0.0.53\n" in resolv_conf(HOST, private=False)


def test_asked_for_values_replace_those_of_the_host() -> None:
    """Each of the three alone; a server on loopback is taken if it was asked for."""
    assert resolv_conf(HOST, ("127.0.0.1",), ("x.y",), ("ndots:1",)) == (
        "nameserver 127.0.0.1\nsearch x.y\noptions ndots:1\n"
    )


def test_dot_means_no_search_list() -> None:
    """As for docker's --dns-search."""
    assert "search" not in resolv_conf(HOST, search=(".",))


def test_bad_nameserver_is_refused() -> None:
    """A name is no address."""
    with pytest.raises(InvalidHost, match="invalid IP address: dns"):
        resolv_conf(HOST, ("dns.example",))


def test_stub_resolver_is_known() -> None:
    """Only when it is the one server."""
    assert names_only_stub("nameserver 127.0.0.53\noptions edns0\n")
    assert not names_only_stub(HOST)
