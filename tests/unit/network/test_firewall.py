# SPDX-License-Identifier: Apache-2.0
"""Rules and map elements of a bridge, as text and bytes."""

from minidock.linux.nfnetlink import Element
from minidock.network.addresses import parse_subnet
from minidock.network.firewall import Table, plan_elements
from minidock.network.ports import PortMapping
from tests.unit.network.test_leases import ENDPOINT


def test_elements_lead_host_ports_to_the_container() -> None:
    """Bindings of all addresses and of one go to different maps, padded to 4 bytes."""
    endpoint = ENDPOINT._replace(
        bindings=(
            PortMapping(80, "tcp", "", 8080),
            PortMapping(80, "tcp", "0.0.0.0", 8081),
            PortMapping(53, "udp", "127.0.0.1", 5353),
        )
    )
    target = b"\xac\x1d\x00\x02"
    assert plan_elements(endpoint) == (
        Element("published_any", b"\x06\0\0\0\x1f\x90\0\0", target + b"\0\x50\0\0"),
        Element("published_any", b"\x06\0\0\0\x1f\x91\0\0", target + b"\0\x50\0\0"),
        Element("published", b"\x11\0\0\0\x7f\0\0\x01\x14\xe9\0\0", target + b"\0\x35\0\0"),
    )


def test_marker_tells_tables_of_other_subnets_apart() -> None:
    """A table made for another subnet is not taken for this one."""
    one = Table("b0", parse_subnet("10.0.0.0/16"))
    other = Table("b0", parse_subnet("10.1.0.0/16"))
    assert one.marker != other.marker
    assert f"chain {one.marker} {{" in one.rules
