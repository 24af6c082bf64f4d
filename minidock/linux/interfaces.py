# SPDX-License-Identifier: Apache-2.0
"""Network interfaces by ioctl: netdevice(7)."""

import fcntl
import struct

from minidock.linux.sockets import AF_INET, SOCK_DGRAM, Socket

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_IFREQ = struct.Struct("16sH14x")  # a name and, of the union, the flags


def bring_up(name: str) -> None:
    """Bring an interface of this network namespace up; raise OSError."""
    control = Socket(AF_INET, SOCK_DGRAM)
    try:
        request = _IFREQ.pack(name.encode(), 0)
        _, flags = _IFREQ.unpack(fcntl.ioctl(control, _SIOCGIFFLAGS, request))
        fcntl.ioctl(control, _SIOCSIFFLAGS, _IFREQ.pack(name.encode(), flags | _IFF_UP))
    finally:
        control.close()
