# SPDX-License-Identifier: Apache-2.0
"""Ports of the host that are held by really binding them.

The sockets never serve anyone: the firewall sends the traffic to the container before it gets
to a socket. They make the kernel say who came first, keep other programs from taking the port
while the container lives, and pick free ports without a race.
"""

import errno
import os
from collections.abc import Iterable
from types import TracebackType

from minidock.errors import Conflict, MinidockError, Unsupported
from minidock.linux import sockets
from minidock.network.ports import ANY_ADDRESS, PortMapping

_KINDS = {
    "tcp": (sockets.SOCK_STREAM, sockets.IPPROTO_TCP),
    "udp": (sockets.SOCK_DGRAM, sockets.IPPROTO_UDP),
    "sctp": (sockets.SOCK_STREAM, sockets.IPPROTO_SCTP),
}


class PortTaken(Conflict):
    """Another container or program has the port; the message is docker's."""

    def __init__(self, mapping: PortMapping) -> None:
        super().__init__(f"Bind for {mapping.binding} failed: port is already allocated")


class AddressNotHere(Conflict):
    """The host does not have the address to publish on."""

    def __init__(self, mapping: PortMapping) -> None:
        super().__init__(f"Bind for {mapping.binding} failed: cannot assign requested address")


class UnsupportedBinding(Unsupported):
    """A protocol or address that can't be published here."""


class Reservation:
    """Held ports; they are free again when it is closed and the holding processes are gone.

    Keep it open in the process that lives as long as the container.
    """

    def __init__(self) -> None:
        self._sockets: list[sockets.Socket] = []

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The sockets' descriptors (close-on-exec), for those who close all but some."""
        return tuple(held.fileno() for held in self._sockets)

    def take(self, mapping: PortMapping) -> PortMapping:
        """Hold the host's port of `mapping`; return it with the port that it got.

        Raises:
            PortTaken, AddressNotHere, UnsupportedBinding: nothing more is held than before.
        """
        if ":" in mapping.host_ip:
            raise UnsupportedBinding(
                f"publishing on IPv6 address {mapping.host_ip} is not supported",
                hint="leave the address out, or give one of IPv4",
            )
        last = max(mapping.host_port, mapping.last_host_port)
        for port in range(mapping.host_port, last + 1):
            wanted = mapping._replace(host_port=port, last_host_port=0)
            try:
                held = _bind(wanted)
            except OSError as e:
                if e.errno == errno.EADDRINUSE and port < last:
                    continue
                raise _explain(wanted, e) from e
            self._sockets.append(held)
            return wanted._replace(host_port=held.getsockname()[1])
        raise AssertionError(f"no port in {mapping}")

    def detach(self) -> tuple[int, ...]:
        """Return the descriptors, which are the caller's from now on, and hold nothing more."""
        descriptors = tuple(held.detach() for held in self._sockets)
        self._sockets.clear()
        return descriptors

    def close(self) -> None:
        """Let all ports go; a second call does nothing."""
        while self._sockets:
            self._sockets.pop().close()

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def reserve(mappings: Iterable[PortMapping]) -> tuple[tuple[PortMapping, ...], Reservation]:
    """Hold the ports of all `mappings`; return those with their host ports, and the holder.

    Raises:
        PortTaken, AddressNotHere, UnsupportedBinding: nothing is held.
    """
    reservation = Reservation()
    try:
        # Chosen ports first, so that a free one is never one that was asked for.
        order = sorted(mappings, key=lambda mapping: mapping.host_port == 0)
        taken = {mapping: reservation.take(mapping) for mapping in order}
        return tuple(taken[mapping] for mapping in mappings), reservation
    except BaseException:
        reservation.close()
        raise


def _bind(mapping: PortMapping) -> sockets.Socket:
    kind, protocol = _KINDS[mapping.protocol]
    held = sockets.Socket(sockets.AF_INET, kind, protocol)
    try:
        if kind == sockets.SOCK_STREAM and mapping.host_port:
            # Connections of the last holder in TIME-WAIT must not refuse the port. Two sockets
            # with the option can bind the same port; the second listen(2) fails.
            held.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        held.bind((mapping.host_ip or ANY_ADDRESS, mapping.host_port))
        if kind == sockets.SOCK_STREAM:
            held.listen(0)
    except BaseException:
        held.close()
        raise
    return held


def _explain(mapping: PortMapping, error: OSError) -> MinidockError:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(mapping)
    if error.errno == errno.EADDRNOTAVAIL:
        return AddressNotHere(mapping)
    reason = os.strerror(error.errno or 0).lower()
    return UnsupportedBinding(f"can't publish {mapping.binding}/{mapping.protocol}: {reason}")
