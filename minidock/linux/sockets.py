# SPDX-License-Identifier: Apache-2.0
"""Sockets as the kernel has them: the half of the standard library's that is written in C.

The other half, socket.py, is of no use here, and its enumerations cost every process that stays
a megabyte.
"""

from _socket import (
    AF_INET,
    AF_UNIX,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    MSG_TRUNC,
    SO_PEERCRED,
    SO_SNDBUF,
    SOCK_DGRAM,
    SOCK_SEQPACKET,
    SOL_SOCKET,
    socketpair,
)
from _socket import socket as Socket
from struct import Struct

__all__ = [
    "AF_INET",
    "AF_UNIX",
    "MSG_DONTWAIT",
    "MSG_NOSIGNAL",
    "MSG_TRUNC",
    "SOCK_DGRAM",
    "SOCK_SEQPACKET",
    "SOL_SOCKET",
    "SO_SNDBUF",
    "Socket",
    "accept",
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
