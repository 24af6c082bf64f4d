# SPDX-License-Identifier: Apache-2.0
"""The lock that a container's monitor holds while it lives.

One without that lock held does not run, whatever its record says. It is an open file
description lock, see fcntl(2): others can ask for it without taking it, as they could not with
flock(2), and it outlives execve(2).
"""

import fcntl
import os
import struct

from minidock.errors import Conflict

LOCK = "monitor.lock"
"""Name of the file in the state directory."""

# struct flock of fcntl(2): type, whence, start, length (0 is to the end), pid.
_FLOCK = struct.Struct("@hhqqi4x")
_WHOLE_FILE = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


class AlreadyRunning(Conflict):
    """Another monitor supervises the container."""


def take(directory: str, container: str) -> int:
    """Return a descriptor that holds the lock of the container with state in `directory`.

    Raises:
        AlreadyRunning
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    fd = os.open(os.path.join(directory, LOCK), flags, 0o600)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _WHOLE_FILE)
    except BlockingIOError as e:
        os.close(fd)
        raise AlreadyRunning(f"container {container} is already running") from e
    return fd


def is_held(directory: str) -> bool:
    """Tell whether a monitor supervises the container whose state is in `directory`."""
    try:
        fd = os.open(os.path.join(directory, LOCK), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _WHOLE_FILE)
    finally:
        os.close(fd)
    return int(_FLOCK.unpack(answer)[0]) != fcntl.F_UNLCK
