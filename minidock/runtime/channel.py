# SPDX-License-Identifier: Apache-2.0
"""What a container's monitor and its clients say to each other.

The channel is a Unix socket of type SOCK_SEQPACKET, see unix(7): the kernel keeps the borders
of messages, and a message is sent whole or not at all. A message is one byte for the kind, then
up to MAX_PAYLOAD bytes of payload; its length is that of the packet.

======== ============ =================== =====================================================
number   kind         direction           payload
======== ============ =================== =====================================================
1        STDIN        client → monitor    bytes for the program's standard input
2        STDIN_CLOSE  client → monitor    none: the client's input has ended
3        RESIZE       client → monitor    rows and columns of the user's terminal, ``!HH``
4        DETACH       client → monitor    none: the client leaves, the input stays open
5        PLAN         command → monitor   what is to be started, see seed.py; the first message
16       STARTED      monitor → client    the program has been executed; JSON list of warnings
17       FAILED       monitor → client    JSON object: the error, see failures.py
18       ATTACHED     monitor → client    none: output follows
19       STDOUT       monitor → client    bytes the program wrote
20       STDERR       monitor → client    bytes the program wrote
21       EXITED       monitor → client    exit status, ``!i``; the last message
======== ============ =================== =====================================================
"""

import errno
import struct

from minidock.errors import DataCorrupted
from minidock.linux import sockets
from minidock.linux.sockets import Socket
from minidock.values import NamedTuple

END = 0
"""Kind of the message that a closed channel is read as."""

STDIN = 1
STDIN_CLOSE = 2
RESIZE = 3
DETACH = 4
PLAN = 5

STARTED = 16
FAILED = 17
ATTACHED = 18
STDOUT = 19
STDERR = 20
EXITED = 21

MAX_PAYLOAD = 1 << 16

SIZE = struct.Struct("!HH")
STATUS = struct.Struct("!i")

_SEND = sockets.MSG_DONTWAIT | sockets.MSG_NOSIGNAL
_SEND_BUFFER = 212992  # what net.core.wmem_max allows by default; the kernel doubles it


class Message(NamedTuple):
    """One message; `payload` is valid until the next one is received."""

    kind: int
    payload: memoryview


class Connection:
    """One end of a channel."""

    def __init__(self, channel: Socket) -> None:
        channel.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, _SEND_BUFFER)
        self._channel = channel
        self._kind = bytearray(1)
        self._payload = bytearray(MAX_PAYLOAD)
        self._view = memoryview(self._payload)

    def fileno(self) -> int:
        """Return the descriptor, to be polled."""
        return self._channel.fileno()

    def close(self) -> None:
        """Close the channel; a second call does nothing."""
        self._channel.close()

    def send(self, kind: int, payload: bytes = b"") -> bool:
        """Send a message without waiting; tell whether there was room for it.

        Raises:
            ConnectionError: the other side has gone.
        """
        try:
            self._channel.sendmsg((bytes((kind,)), payload), (), _SEND)
        except OSError as e:
            if e.errno in (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM):
                return False
            raise
        return True

    def receive(self, *, wait: bool = True) -> Message:
        """Return the next message, END if there will be none.

        Raises:
            BlockingIOError: without `wait`, when none is there.
            DataCorrupted: a message longer than the protocol allows.
        """
        flags = 0 if wait else sockets.MSG_DONTWAIT
        buffers = (self._kind, self._payload)
        while True:
            try:
                size, _, status, _ = self._channel.recvmsg_into(buffers, 0, flags)
                break
            except ConnectionResetError:
                # The other side went without having read all. What it had sent before can
                # still be read: the error is reported once.
                continue
        if status & sockets.MSG_TRUNC:
            raise DataCorrupted("a message of the monitor is too long")
        if size == 0:
            return Message(END, self._view[:0])
        return Message(self._kind[0], self._view[: size - 1])


def pair() -> tuple[Connection, Connection]:
    """Return both ends of a new channel."""
    one, other = sockets.socketpair(sockets.AF_UNIX, sockets.SOCK_SEQPACKET)
    return Connection(one), Connection(other)
