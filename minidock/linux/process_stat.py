# SPDX-License-Identifier: Apache-2.0
"""When a process started, and whether it lives: proc_pid_stat(5)."""

import errno
import os

_FIRST = 3  # the number of the field after the name, which may hold anything


def start_time(pid: int) -> int:
    """Return when process `pid` started, in clock ticks since boot: proc_pid_stat(5), field 22.

    Raises:
        ProcessLookupError: there is no such process.
    """
    return int(_stat(pid)[22 - _FIRST])


def living_since(pid: int) -> int:
    """Return the start time of process `pid`, 0 when it is gone or a zombie."""
    try:
        fields = _stat(pid)
    except ProcessLookupError:
        return 0
    return 0 if fields[3 - _FIRST] in (b"Z", b"X") else int(fields[22 - _FIRST])


def _stat(pid: int) -> list[bytes]:
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as e:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from e
    try:
        return os.read(fd, 4096).rpartition(b")")[2].split()
    finally:
        os.close(fd)
