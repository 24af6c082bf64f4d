# SPDX-License-Identifier: Apache-2.0
"""Subnets and addresses."""

import pytest

from minidock.network.addresses import (
    InvalidSubnet,
    NoFreeAddress,
    NoFreeSubnet,
    choose_address,
    choose_subnet,
    mac_of,
    parse_subnet,
)

WANTED = parse_subnet("172.29.0.0/16")


def test_host_bits_of_a_subnet_are_dropped() -> None:
    """The text may name any address of the subnet; the gateway is the first."""
    subnet = parse_subnet("10.1.2.3/24")
    assert str(subnet) == "10.1.2.0/24"
    assert subnet.gateway == "10.1.2.1"


@pytest.mark.parametrize("text", ["", "10.0.0.0", "10.0.0.0/31", "10.0.0/16", "::/64", "x/16"])
def test_unusable_subnets_are_refused(text: str) -> None:
    """No IPv4 subnet, or no room in it."""
    with pytest.raises(InvalidSubnet):
        parse_subnet(text)


def test_wanted_subnet_is_taken_when_no_route_overlaps() -> None:
    """Default routes, and neighbours of the subnet, don't count."""
    routes = [
        parse_subnet("10.0.0.0/8"),
        parse_subnet("172.28.0.0/16"),
        parse_subnet("172.30.0.0/15"),
        WANTED._replace(base=0, prefix=0),
        WANTED._replace(base=1 << 31, prefix=1),
    ]
    assert choose_subnet(WANTED, routes) == WANTED


@pytest.mark.parametrize("route", ["172.29.7.0/24", "172.16.0.0/12", "172.29.0.0/16"])
def test_overlapping_route_moves_the_subnet(route: str) -> None:
    """Inside, around or equal: another private /16 is chosen that is free."""
    taken = parse_subnet(route)
    chosen = choose_subnet(WANTED, [taken])
    assert not chosen.overlaps(taken)
    assert str(chosen).startswith(("172.", "10."))


def test_no_subnet_is_left() -> None:
    """A host that routes all private ranges is told so."""
    with pytest.raises(NoFreeSubnet):
        choose_subnet(WANTED, [parse_subnet("172.16.0.0/12"), parse_subnet("10.0.0.0/8")])


def test_lowest_free_address_is_leased() -> None:
    """Network, gateway and broadcast are never given."""
    subnet = parse_subnet("10.0.0.0/29")
    leased: list[str] = []
    for _ in range(5):
        leased.append(choose_address(subnet, leased))
    assert leased == [f"10.0.0.{n}" for n in range(2, 7)]
    with pytest.raises(NoFreeAddress):
        choose_address(subnet, leased)
    leased.remove("10.0.0.4")
    assert choose_address(subnet, leased) == "10.0.0.4"


def test_mac_is_made_of_the_address() -> None:
    """As docker does."""
    assert mac_of("172.29.0.2") == "02:42:ac:1d:00:02"
