# SPDX-License-Identifier: Apache-2.0
"""The default network: a bridge with NAT, and what a container needs to be on it.

The life of an endpoint: ``prepare`` (address and host ports, before anything starts),
``attach`` (interfaces and rules, while the container's init waits), ``release`` (by whoever
finds the container dead). All that ``release`` needs is on disk, so any process can do it after
the container's monitor was killed. A bridge or table that someone deleted is made again by the
next ``attach``, with all that belongs to the containers that run.
"""

import os
from collections.abc import Callable, Sequence

from minidock.errors import Conflict
from minidock.fs.atomic import make_directory, random_hex
from minidock.fs.locks import Lock
from minidock.network import links
from minidock.network.addresses import (
    choose_address,
    choose_subnet,
    mac_of,
    parse_subnet,
)
from minidock.network.firewall import NoFirewall, Table, remove_table
from minidock.network.leases import Endpoint, Leases, read_leases, write_leases
from minidock.network.ports import PortMapping
from minidock.network.reservation import Reservation, reserve
from minidock.values import NamedTuple

DEFAULT_BRIDGE = "minidock0"
_MAX_INTERFACE_NAME = 15  # IFNAMSIZ without the NUL

Alive = Callable[[str], bool]
"""Tells whether the container with an ID has not ended. Must not wait for a bridge."""


class EndpointFailure(Conflict):
    """A published port can't be had; the message is docker's."""


class BridgeSettings(NamedTuple):
    """Where a bridge keeps its state (a directory), its name and its wanted subnet.

    The name is also that of its nftables table. One state directory has one bridge of a name;
    state directories of the same machine need different names.
    """

    state: str
    name: str = DEFAULT_BRIDGE
    subnet: str = "172.29.0.0/16"


class Bridge:
    """A bridge of the host and the containers on it."""

    def __init__(self, settings: BridgeSettings) -> None:
        assert len(settings.name) <= _MAX_INTERFACE_NAME
        self._settings = settings
        self._path = os.path.join(settings.state, f"{settings.name}.json")
        self._lock = os.path.join(settings.state, f"{settings.name}.lock")

    def prepare(
        self, container_id: str, name: str, publish: Sequence[PortMapping], alive: Alive
    ) -> tuple[Endpoint, Reservation]:
        """Lease an address and hold the ports of the host for container `name`.

        `alive` must be true for `container_id` already: another process may ask at any time,
        and takes the lease of a container that is not. The caller keeps the reservation open
        while the container lives, and calls release() whatever happens next.

        Raises:
            EndpointFailure: a port of the host is taken; nothing is leased or held.
            InvalidSubnet, NoFreeSubnet, NoFreeAddress: likewise.
            OSError: the state can't be written, or the kernel refuses.
        """
        make_directory(self._settings.state)
        with Lock(self._lock):
            leases = self._sweep(lambda other: other != container_id and alive(other))
            leases = self._with_subnet(leases)
            subnet = parse_subnet(leases.subnet)
            address = choose_address(subnet, leases.taken)
            try:
                bindings, reservation = reserve(publish)
            except Conflict as e:
                raise EndpointFailure(
                    "driver failed programming external connectivity on endpoint "
                    f"{name} ({container_id}): {e.message}"
                ) from e
            endpoint = Endpoint(
                container_id=container_id,
                address=address,
                prefix=subnet.prefix,
                gateway=subnet.gateway,
                mac=mac_of(address),
                bindings=bindings,
                veth=f"veth{random_hex(4)}",
            )
            try:
                write_leases(self._path, leases.with_endpoint(endpoint))
            except BaseException:
                reservation.close()
                raise
            return endpoint, reservation

    def attach(self, endpoint: Endpoint, pid: int) -> tuple[str, ...]:
        """Connect the network namespace of process `pid` as `endpoint`; return warnings.

        The calling process must have one thread: it visits that namespace. On failure the
        caller calls release().

        Raises:
            FirewallFailure: nft(8) refuses the rules.
            OSError: the kernel refuses; the file name says what was to be done.
        """
        with Lock(self._lock):
            leases = read_leases(self._path)
            subnet = parse_subnet(f"{endpoint.gateway}/{endpoint.prefix}")
            others = [e for e in leases.endpoints.values() if e != endpoint]
            if links.ensure_bridge(self._settings.name, subnet):
                links.rejoin([other.veth for other in others], self._settings.name)
            warnings = self._publish(endpoint, Table(self._settings.name, subnet), others)
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            links.join(endpoint, self._settings.name, namespace)
        finally:
            os.close(namespace)
        return warnings

    def release(self, container_id: str) -> None:
        """Take back all that `container_id` has here, but for a reservation held open.

        May be called by any process, any number of times. The interfaces are left to the
        kernel, which deletes them with the last process of the container; to wait for that
        would cost 20 ms. Raises OSError.
        """
        if os.path.isdir(self._settings.state):
            with Lock(self._lock):
                self._sweep(lambda other: other != container_id)

    def sweep(self, alive: Alive) -> None:
        """Release all containers that are not alive, interfaces included; raise OSError."""
        if not os.path.isdir(self._settings.state):
            return
        with Lock(self._lock):
            leaving = self._sweep(alive).leaving
        for veth in leaving:
            links.delete(veth)

    def remove(self) -> None:
        """Delete the bridge and its table; containers on it lose their network.

        The next attach() makes both again. Raises OSError.
        """
        links.delete(self._settings.name)
        remove_table(self._settings.name)

    def _sweep(self, alive: Alive) -> Leases:
        leases = read_leases(self._path)
        kept = leases.with_leaving(links.exists)
        for container_id, endpoint in leases.endpoints.items():
            if not alive(container_id):
                Table(self._settings.name, parse_subnet(leases.subnet)).withdraw(endpoint)
                kept = kept.without(container_id)
        if kept != leases:
            write_leases(self._path, kept)
        return kept

    def _with_subnet(self, leases: Leases) -> Leases:
        """Choose the subnet anew while nobody lives in it and there is reason to."""
        name, wanted = self._settings.name, self._settings.subnet
        unchanged = leases.wanted == wanted
        if leases.endpoints or (unchanged and links.exists(name)):
            return leases
        if leases.wanted and not unchanged:
            links.delete(name)  # it has the address of another subnet
        chosen = choose_subnet(parse_subnet(wanted), links.routed_subnets(name))
        return leases._replace(wanted=wanted, subnet=str(chosen))

    def _publish(
        self, endpoint: Endpoint, table: Table, others: list[Endpoint]
    ) -> tuple[str, ...]:
        try:
            table.ensure(others)
        except NoFirewall as e:
            return (f"published ports and the outside are not reachable: {e.message}",)
        table.publish(endpoint)
        return table.warnings()
