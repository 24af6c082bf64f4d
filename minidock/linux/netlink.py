# SPDX-License-Identifier: Apache-2.0
"""Netlink (netlink(7)) and the few messages of rtnetlink(7) that a bridge needs.

The kernel works on a request while it is being sent: when send(2) returns, all answers are in
the socket's queue, and nothing here ever waits.
"""

import contextlib
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from types import TracebackType

from minidock.linux import sockets
from minidock.linux.libc import syscall
from minidock.values import NamedTuple

CLONE_NEWNET = 0x40000000

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_DUMP = 0x300
NLM_F_CREATE = 0x400

NLMSG_ERROR = 2
NLMSG_DONE = 3
NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF

RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_GETLINK = 18
RTM_NEWADDR = 20
RTM_NEWROUTE = 24
RTM_GETROUTE = 26

IFLA_ADDRESS = 1
IFLA_IFNAME = 3
IFLA_MASTER = 10
IFLA_OPERSTATE = 16
IFLA_LINKINFO = 18
IFLA_NET_NS_FD = 28
IFLA_INFO_KIND = 1
IFLA_INFO_DATA = 2
IFLA_INFO_SLAVE_KIND = 4
IFLA_INFO_SLAVE_DATA = 5
IFLA_BRPORT_MODE = 4
VETH_INFO_PEER = 1
IFA_ADDRESS = 1
IFA_LOCAL = 2
IFA_BROADCAST = 4
RTA_DST = 1
RTA_OIF = 4
RTA_GATEWAY = 5

IFF_UP = 0x1
IF_OPER_UP = b"\x06"
RTN_UNICAST = 1
RTPROT_BOOT = 3
RT_TABLE_MAIN = 254
RT_TABLE_LOCAL = 255

LOOPBACK_INDEX = 1
"""The kernel gives ``lo`` the first index of every network namespace."""

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg
_RECEIVE = 1 << 16
_BYTE_ORDER = sys.byteorder


class Message(NamedTuple):
    """One request: nlmsghdr's type and flags, the payload, and what to call it in errors.

    Without NLM_F_ACK or NLM_F_DUMP in `flags` no answer is expected.
    """

    kind: int
    flags: int
    payload: bytes
    what: str


class Answer(NamedTuple):
    """One message of the kernel that is no acknowledgement."""

    kind: int
    payload: bytes


class Route(NamedTuple):
    """A route of the host: destination in network order, and the interface (0 for none)."""

    destination: bytes
    prefix: int
    interface: int


class Netlink:
    """A netlink socket; it stays in the network namespace where it was made.

    After an OSError the rest of the answers is still queued: close it.
    """

    def __init__(self, protocol: int) -> None:
        self._socket = sockets.Socket(sockets.AF_NETLINK, sockets.SOCK_RAW, protocol)
        self._sequence = 0

    def close(self) -> None:
        """Close the socket; a second call does nothing."""
        self._socket.close()

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def perform(self, messages: Sequence[Message]) -> tuple[Answer, ...]:
        """Send `messages` as one datagram, in order; return the answers to them.

        Raises:
            OSError: the first refusal, with the message's `what` as file name. Later messages
                were tried all the same, except in a batch of nfnetlink.
        """
        pending: dict[int, str] = {}
        parts = []
        for message in messages:
            self._sequence += 1
            if message.flags & (NLM_F_ACK | NLM_F_DUMP):
                pending[self._sequence] = message.what
            length = _HEADER.size + len(message.payload)
            header = _HEADER.pack(length, message.kind, message.flags, self._sequence, 0)
            parts.append(_padded(header + message.payload))
        self._socket.send(b"".join(parts))
        answers: list[Answer] = []
        while pending:
            answers.extend(_read(self._socket.recv(_RECEIVE), pending))
        return tuple(answers)


@contextlib.contextmanager
def network_namespace(fd: int) -> Iterator[None]:
    """Be in network namespace `fd` for the block; the calling thread alone (setns(2)).

    What is made inside, such as a socket, stays there. /proc/sys/net shows that namespace too.
    Raises OSError.
    """
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscall("setns", fd, CLONE_NEWNET, path="network namespace")
        try:
            yield
        finally:
            syscall("setns", back, CLONE_NEWNET, path="network namespace")
    finally:
        os.close(back)


def attribute(kind: int, value: bytes) -> bytes:
    """Return one netlink attribute, padded."""
    return _padded(_ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value)


def nested(kind: int, *attributes: bytes) -> bytes:
    """Return an attribute that holds others."""
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """Return an attribute with a NUL-terminated string."""
    return attribute(kind, value.encode("ascii") + b"\0")


def attributes(data: bytes) -> dict[int, bytes]:
    """Return the attributes in `data` by type; of a repeated one the last."""
    found = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & NLA_TYPE_MASK] = data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)
    return found


def new_bridge(name: str, mac: bytes) -> Message:
    """Make a bridge. A MAC of its own keeps it from taking over those of its ports."""
    return _new_link(
        IFF_UP,
        f"bridge {name}",
        text(IFLA_IFNAME, name),
        attribute(IFLA_ADDRESS, mac),
        nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "bridge")),
    )


def new_veth(name: str, master: int, peer: str, mac: bytes, namespace: int) -> Message:
    """Make interface `name`, up and a port of bridge `master`, and its `peer` elsewhere.

    The peer is born in network namespace `namespace` (a descriptor), down, with address `mac`.
    """
    other = (
        _LINK.pack(0, 0, 0, 0, 0)
        + text(IFLA_IFNAME, peer)
        + attribute(IFLA_ADDRESS, mac)
        + attribute(IFLA_NET_NS_FD, struct.pack("=I", namespace))
    )
    data = nested(IFLA_INFO_DATA, attribute(VETH_INFO_PEER | NLA_F_NESTED, other))
    return _new_link(
        IFF_UP,
        f"interface {name}",
        text(IFLA_IFNAME, name),
        attribute(IFLA_MASTER, struct.pack("=I", master)),
        nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "veth"), data),
    )


def link_up(index: int) -> Message:
    """Bring interface `index` up."""
    payload = _LINK.pack(0, 0, index, IFF_UP, IFF_UP)
    return Message(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, payload, f"interface {index}")


def set_master(name: str, master: int) -> Message:
    """Make interface `name` a port of bridge `master`."""
    payload = (
        _LINK.pack(0, 0, 0, 0, 0)
        + text(IFLA_IFNAME, name)
        + attribute(IFLA_MASTER, struct.pack("=I", master))
    )
    return Message(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, payload, f"interface {name}")


def hairpin(name: str) -> Message:
    """Let the bridge send packets back to the port `name` that they came from."""
    data = nested(IFLA_INFO_SLAVE_DATA, attribute(IFLA_BRPORT_MODE, b"\x01"))
    payload = (
        _LINK.pack(0, 0, 0, 0, 0)
        + text(IFLA_IFNAME, name)
        + nested(IFLA_LINKINFO, text(IFLA_INFO_SLAVE_KIND, "bridge"), data)
    )
    return Message(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, payload, f"interface {name}")


def delete_link(name: str) -> Message:
    """Delete interface `name`; a veth takes its peer along."""
    payload = _LINK.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name)
    return Message(RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, payload, f"interface {name}")


def new_address(index: int, address: bytes, prefix: int) -> Message:
    """Give interface `index` an IPv4 address; one that it has already is no error."""
    size = 1 << (32 - prefix)
    broadcast = int.from_bytes(address, "big") | (size - 1)
    payload = (
        _ADDRESS.pack(sockets.AF_INET, prefix, 0, 0, index)
        + attribute(IFA_LOCAL, address)
        + attribute(IFA_ADDRESS, address)
        + attribute(IFA_BROADCAST, broadcast.to_bytes(4, "big"))
    )
    flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE
    return Message(RTM_NEWADDR, flags, payload, f"address {sockets.inet_ntoa(address)}")


def new_default_route(gateway: bytes) -> Message:
    """Send everything else through `gateway`."""
    payload = _ROUTE.pack(
        sockets.AF_INET, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, 0, RTN_UNICAST, 0
    ) + attribute(RTA_GATEWAY, gateway)
    flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE
    return Message(RTM_NEWROUTE, flags, payload, f"route by {sockets.inet_ntoa(gateway)}")


def is_operational(link: Netlink, name: str) -> bool:
    """Tell whether packets can pass interface `name` (RFC 2863); raise OSError.

    Since Linux 6.6 the question makes the kernel act on a change of the carrier that is still
    queued.
    """
    payload = _LINK.pack(0, 0, 0, 0, 0) + text(IFLA_IFNAME, name)
    (answer,) = link.perform(
        [Message(RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK, payload, f"interface {name}")]
    )
    return attributes(answer.payload[_LINK.size :]).get(IFLA_OPERSTATE) == IF_OPER_UP


def routes(link: Netlink) -> tuple[Route, ...]:
    """Return the IPv4 routes of every table but the local one."""
    payload = _ROUTE.pack(sockets.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
    found = []
    for answer in link.perform(
        [Message(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, payload, "routes")]
    ):
        _, prefix, _, _, table, _, _, _, _ = _ROUTE.unpack_from(answer.payload)
        fields = attributes(answer.payload[_ROUTE.size :])
        if table == RT_TABLE_LOCAL:
            continue
        interface = int.from_bytes(fields.get(RTA_OIF, b""), _BYTE_ORDER)
        found.append(Route(fields.get(RTA_DST, bytes(4)), prefix, interface))
    return tuple(found)


def _new_link(flags: int, what: str, *parts: bytes) -> Message:
    payload = _LINK.pack(0, 0, 0, flags, flags) + b"".join(parts)
    return Message(
        RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, payload, what
    )


def _read(data: bytes, pending: dict[int, str]) -> Iterator[Answer]:
    """Yield the answers in a datagram; take what they finish out of `pending`."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, at)
        payload = data[at + _HEADER.size : at + length]
        at += _aligned(length)
        if kind == NLMSG_ERROR:
            error = -int.from_bytes(payload[:4], _BYTE_ORDER, signed=True)
            what = pending.pop(sequence, "netlink")
            if error:
                raise OSError(error, os.strerror(error), what)
        elif kind == NLMSG_DONE:
            pending.pop(sequence, None)
        elif sequence in pending:
            yield Answer(kind, payload)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
