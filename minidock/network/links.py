# SPDX-License-Identifier: Apache-2.0
"""Interfaces: the bridge on the host, and a container's loopback and ``eth0``."""

import contextlib
import errno
import os
import time
from collections.abc import Iterator

from minidock.linux import netlink
from minidock.linux.netlink import NETLINK_ROUTE, Netlink
from minidock.linux.sockets import if_nametoindex, inet_aton
from minidock.network.addresses import Subnet, mac_of
from minidock.network.leases import Endpoint

INTERFACE = "eth0"
"""The container's interface."""

_CARRIER_POLLS = 100
_CARRIER_POLL = 0.001  # seconds


def ensure_bridge(name: str, subnet: Subnet) -> bool:
    """Have bridge `name` up with the gateway address of `subnet`; tell whether it is new.

    Raises:
        OSError: the kernel refuses.
    """
    made = not exists(name)
    gateway = inet_aton(subnet.gateway)
    with Netlink(NETLINK_ROUTE) as link:
        if made:
            link.perform([netlink.new_bridge(name, _mac(mac_of(subnet.gateway)))])
        index = if_nametoindex(name)
        link.perform(
            [netlink.link_up(index), netlink.new_address(index, gateway, subnet.prefix)]
        )
    _sysctl("ipv4/ip_forward", "1")
    # Without it the kernel drops what 127.0.0.1 sends to a container.
    _sysctl(f"ipv4/conf/{name}/route_localnet", "1")
    # Containers must not configure the host by router advertisements (CVE-2020-13401).
    _sysctl(f"ipv6/conf/{name}/disable_ipv6", "1")
    return made


def join(endpoint: Endpoint, bridge: str, namespace: int) -> None:
    """Connect network namespace `namespace` (a descriptor) to `bridge` as `endpoint`.

    The calling process must have one thread. Raises OSError.
    """
    with Netlink(NETLINK_ROUTE) as link:
        veth = netlink.new_veth(
            endpoint.veth, if_nametoindex(bridge), INTERFACE, _mac(endpoint.mac), namespace
        )
        # With br_netfilter (which docker loads) a container that asks for its own published
        # port gets its packets back by way of the bridge's port, not of the bridge.
        link.perform([veth, netlink.hairpin(endpoint.veth)])
    with netlink.network_namespace(namespace):
        inside = Netlink(NETLINK_ROUTE)
        index = if_nametoindex(INTERFACE)
        # Before it comes up, so that it never has a link-local address nor hears routers.
        _sysctl(f"ipv6/conf/{INTERFACE}/disable_ipv6", "1")
    with inside:
        inside.perform(
            [
                netlink.link_up(netlink.LOOPBACK_INDEX),
                netlink.new_address(index, inet_aton(endpoint.address), endpoint.prefix),
                netlink.link_up(index),
                netlink.new_default_route(inet_aton(endpoint.gateway)),
            ]
        )
    _await_carrier(endpoint.veth, bridge)


def rejoin(veths: list[str], bridge: str) -> None:
    """Make interfaces ports of a bridge that was made anew; those that are gone don't count."""
    index = if_nametoindex(bridge)
    for veth in veths:
        with Netlink(NETLINK_ROUTE) as link, _absent_is_fine():
            link.perform([netlink.set_master(veth, index), netlink.hairpin(veth)])


def delete(name: str) -> None:
    """Delete interface `name`; none is no error. Raise OSError."""
    with Netlink(NETLINK_ROUTE) as link, _absent_is_fine():
        link.perform([netlink.delete_link(name)])


def index_of(name: str) -> int:
    """Return the index of interface `name`, 0 if there is none."""
    try:
        return if_nametoindex(name)
    except OSError:
        return 0


def exists(name: str) -> bool:
    """Tell whether there is an interface `name`."""
    return index_of(name) != 0


def routed_subnets(but: str) -> tuple[Subnet, ...]:
    """Return the subnets that the host has routes to, but for those of interface `but`."""
    own = index_of(but)
    with Netlink(NETLINK_ROUTE) as link:
        return tuple(
            Subnet(int.from_bytes(route.destination, "big"), route.prefix)
            for route in netlink.routes(link)
            if route.interface == 0 or route.interface != own
        )


@contextlib.contextmanager
def _absent_is_fine() -> Iterator[None]:
    try:
        yield
    except OSError as e:
        if e.errno != errno.ENODEV:
            raise


def _await_carrier(*names: str) -> None:
    """Wait until interfaces let packets pass.

    The kernel sees to that after the peer has come up. What is sent earlier is dropped, and
    the container's first ARP request would be repeated after a second only.
    """
    with Netlink(NETLINK_ROUTE) as link:
        for _ in range(_CARRIER_POLLS):
            if all(netlink.is_operational(link, name) for name in names):
                return
            time.sleep(_CARRIER_POLL)


def _sysctl(name: str, value: str) -> None:
    """Set ``net/name`` unless it has `value`; a kernel without it is no error."""
    path = f"/proc/sys/net/{name}"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if os.read(fd, 64).strip() != value.encode():
            os.pwrite(fd, value.encode(), 0)
    finally:
        os.close(fd)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
