# SPDX-License-Identifier: Apache-2.0
"""Sockets as the kernel has them: the half of the standard library's that is written in C.

The other half, socket.py, is of no use here, and its enumerations cost each command 2.5 ms, and
every process that stays a megabyte.
"""

from _socket import (
    AF_INET,
    AF_INET6,
    AF_NETLINK,
    AF_UNIX,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    MSG_TRUNC,
    SO_PEERCRED,
    SO_REUSEADDR,
    SO_SNDBUF,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    SOL_SOCKET,
    if_nametoindex,
    inet_aton,
    inet_ntoa,
    inet_pton,
    socketpair,
)
from _socket import socket as Socket
from struct import Struct

__all__ = [
    "AF_INET",
    "AF_INET6",
    "AF_NETLINK",
    "AF_UNIX",
    "IPPROTO_SCTP",
    "IPPROTO_TCP",
    "IPPROTO_UDP",
    "MSG_DONTWAIT",
    "MSG_NOSIGNAL",
    "MSG_TRUNC",
    "SOCK_DGRAM",
    "SOCK_RAW",
    "SOCK_SEQPACKET",
    "SOCK_STREAM",
    "SOL_SOCKET",
    "SO_REUSEADDR",
    "SO_SNDBUF",
    "Socket",
    "accept",
    "if_nametoindex",
    "inet_aton",
    "inet_ntoa",
    "inet_pton",
    "peer_user",
    "socketpair",
]

_UCRED = Struct("iII")  # pid, uid, gid


def accept(listener: Socket) -> Socket:
    """Return a close-on-exec socket for the next connection; raise OSError."""
    fd, _ = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001
    return Socket(fileno=fd)


def peer_user(connected: Socket) -> int:
    """Return the effective user id of who connected: SO_PEERCRED of unix(7)."""
    raw = connected.getsockopt(SOL_SOCKET, SO_PEERCRED, _UCRED.size)
    return int(_UCRED.unpack(raw)[1])
