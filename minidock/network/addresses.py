# SPDX-License-Identifier: Apache-2.0
"""IPv4 subnets and who gets which address of them. Pure.

The standard ipaddress module is left out: 4 ms of import for four operations.
"""

from collections.abc import Collection, Iterable, Iterator

from minidock.errors import Conflict, InvalidArgument
from minidock.linux.sockets import AF_INET, inet_aton, inet_ntoa, inet_pton
from minidock.values import NamedTuple

_BITS = 32


class InvalidSubnet(InvalidArgument):
    """A text that names no usable IPv4 subnet."""


class NoFreeSubnet(Conflict):
    """Every subnet that a bridge could have is routed elsewhere."""


class NoFreeAddress(Conflict):
    """Every address of the subnet is leased."""


class Subnet(NamedTuple):
    """An IPv4 subnet; `base` is its first address as a number, `prefix` its length in bits."""

    base: int
    prefix: int

    def __str__(self) -> str:
        return f"{format_address(self.base)}/{self.prefix}"

    @property
    def size(self) -> int:
        """The number of addresses, with network and broadcast."""
        return 1 << (_BITS - self.prefix)

    @property
    def gateway(self) -> str:
        """The first usable address, which the bridge has."""
        return format_address(self.base + 1)

    def overlaps(self, other: "Subnet") -> bool:
        """Tell whether some address is in both."""
        return self.base < other.base + other.size and other.base < self.base + self.size


def parse_subnet(text: str) -> Subnet:
    """Return the subnet of ``address/prefix``; bits of the host part are dropped.

    Raises:
        InvalidSubnet: no IPv4 address, or a prefix length not from 8 to 29.
    """
    address, _, length = text.partition("/")
    if not (length.isascii() and length.isdigit() and 8 <= int(length) <= 29):
        raise InvalidSubnet(f"invalid subnet {text}: prefix length must be from 8 to 29")
    try:
        number = int.from_bytes(inet_pton(AF_INET, address), "big")
    except OSError as e:
        raise InvalidSubnet(f"invalid subnet {text}: no IPv4 address") from e
    prefix = int(length)
    return Subnet(number >> (_BITS - prefix) << (_BITS - prefix), prefix)


def choose_subnet(wanted: Subnet, routed: Collection[Subnet]) -> Subnet:
    """Return `wanted` if no subnet of `routed` overlaps it, else the first free private /16.

    Routes for the whole world (0.0.0.0/0, and the halves that VPNs like) don't count.

    Raises:
        NoFreeSubnet: all are taken.
    """
    taken = [route for route in routed if route.prefix > 1]
    for candidate in (wanted, *_private_subnets()):
        if not any(candidate.overlaps(route) for route in taken):
            return candidate
    raise NoFreeSubnet("no subnet is free: the host has routes into all private ranges")


def choose_address(subnet: Subnet, leased: Iterable[str]) -> str:
    """Return the lowest address that is neither leased, the gateway, network nor broadcast.

    Raises:
        NoFreeAddress: all are leased.
    """
    taken = {parse_address(address) for address in leased}
    for number in range(subnet.base + 2, subnet.base + subnet.size - 1):
        if number not in taken:
            return format_address(number)
    raise NoFreeAddress(f"no address of {subnet} is free")


def mac_of(address: str) -> str:
    """Return the MAC address that goes with an IPv4 address, locally administered as docker's.

    An address that is leased again keeps its MAC, so no neighbour's ARP entry gets stale.
    """
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + inet_aton(address))


def format_address(number: int) -> str:
    """Return the dotted form of an address."""
    return inet_ntoa(number.to_bytes(4, "big"))


def parse_address(text: str) -> int:
    """Return an address in dotted form as a number; raise OSError."""
    return int.from_bytes(inet_aton(text), "big")


def _private_subnets() -> Iterator[Subnet]:
    """Yield /16 networks of RFC 1918, those last that docker takes first."""
    for second in range(31, 15, -1):
        yield Subnet(172 << 24 | second << 16, 16)
    for second in range(255, -1, -1):
        yield Subnet(10 << 24 | second << 16, 16)
