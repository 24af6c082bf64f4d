# SPDX-License-Identifier: Apache-2.0
"""What a starting container tells its launcher: records of eight bytes over a pipe.

=====  ====  ==========================================================
bytes  type  meaning
=====  ====  ==========================================================
0      u8    kind: READY, WARNING, FAILED, EXECUTING, FORKED or WAITING
1      u8    stage, one of the constants below
2-3    u16   which thing: index of the mount, of the sysctl, ...
4-7    i32   errno, 0 for an error that came from no system call;
             of FORKED the process id, or -errno
=====  ====  ==========================================================

Little-endian. A record is shorter than PIPE_BUF, so it arrives whole. READY says that the
namespaces exist, WAITING that all is made and only the gate is left; EXECUTING is the Python
child's last word, and the end of the file after it says that the program runs. FORKED names the
process that goes on instead of the child. Numbers only: once its root has changed the child
must not format errors, as that may import.
"""

import os
import struct

from minidock.values import NamedTuple

READY = 1
WARNING = 2
FAILED = 3
EXECUTING = 4
FORKED = 5
WAITING = 6

SETUP = 0
CGROUP = 1
NAMESPACES = 2
GATE = 3
ROOT = 4
MOUNT = 5
DEVICE = 6
SYSCTL = 7
MASK = 8
READ_ONLY = 9
LOOKUP = 10
PIVOT = 11
CONSOLE = 12
HOSTNAME = 13
RLIMIT = 14
OOM_SCORE = 15
WORKING_DIRECTORY = 16
PRIVILEGES = 17
SECCOMP = 18
EXEC = 19
APPARMOR = 20

STAGES = {
    SETUP: "prepare the process",
    CGROUP: "join the control group",
    NAMESPACES: "enter the namespaces",
    GATE: "wait for the start",
    ROOT: "mount the root",
    MOUNT: "mount",
    DEVICE: "make device",
    SYSCTL: "set sysctl",
    MASK: "mask",
    READ_ONLY: "make read-only",
    LOOKUP: "find the command",
    PIVOT: "change the root",
    CONSOLE: "set up the console",
    HOSTNAME: "set the host name",
    RLIMIT: "set the limit",
    OOM_SCORE: "set oom_score_adj",
    WORKING_DIRECTORY: "change to the working directory",
    PRIVILEGES: "drop privileges",
    SECCOMP: "load the seccomp filter",
    EXEC: "execute",
    APPARMOR: "apply the AppArmor profile",
}
"""What is being done in each stage, for messages."""

_LAYOUT = struct.Struct("<BBHi")


class Record(NamedTuple):
    """One message."""

    kind: int
    stage: int
    item: int = 0
    errno: int = 0

    def encode(self) -> bytes:
        """Return the record's eight bytes."""
        return _LAYOUT.pack(*self)


def receive(fd: int) -> Record | None:
    """Wait for the next record of the pipe; None at its end."""
    raw = os.read(fd, _LAYOUT.size)
    return Record(*_LAYOUT.unpack(raw)) if len(raw) == _LAYOUT.size else None


class Reporter:
    """The child's end. `stage` and `item` say where it is when something fails."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.stage = SETUP
        self.item = 0

    def at(self, stage: int, item: int = 0) -> None:
        """Note that `stage` begins."""
        self.stage = stage
        self.item = item

    def send(self, kind: int, errno: int = 0) -> None:
        """Send a record about the current stage; a launcher that has gone is ignored."""
        try:
            os.write(self.fd, Record(kind, self.stage, self.item, errno).encode())
        except OSError:
            pass
