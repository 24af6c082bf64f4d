# SPDX-License-Identifier: Apache-2.0
"""What /proc says of processes, read from outside the container: proc(5).

Nothing of an image is executed or opened: what stands there is the kernel's word, though a
process chooses its own name and arguments.
"""

import os
from collections.abc import Iterator, Sequence

from minidock.fs.atomic import read_file
from minidock.runtime.cgroups import processes
from minidock.values import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")
"""Clock ticks a second."""
PAGE = os.sysconf("SC_PAGESIZE")
"""Bytes."""

_ARGUMENTS = 1 << 16  # bytes of a command line that are read


class ProcessStat(NamedTuple):
    """A process as /proc/PID/stat describes it, times in clock ticks, sizes in bytes.

    `user` and `system` are times on a processor, `reaped` those of children that were waited
    for. `started` is counted from boot. `terminal` is a device number, `foreground` the process
    group that the terminal listens to.
    """

    pid: int
    name: str
    state: str
    parent: int
    group: int
    session: int
    terminal: int
    foreground: int
    user: int
    system: int
    reaped: int
    priority: int
    nice: int
    threads: int
    started: int
    virtual: int
    resident: int
    processor: int


def read_stat(pid: int) -> ProcessStat:
    """Return what is known of process `pid`; raise OSError when it is gone."""
    text = os.fsdecode(read_file(f"/proc/{pid}/stat"))
    # The name may hold anything, parentheses too.
    name, _, rest = text.partition("(")[2].rpartition(")")
    state, *fields = rest.split()
    numbers = [int(field) for field in fields]

    def field(number: int) -> int:
        return numbers[number - 4]  # proc_pid_stat(5) counts from 1, and 4 comes after state

    return ProcessStat(
        pid,
        name,
        state,
        parent=field(4),
        group=field(5),
        session=field(6),
        terminal=field(7),
        foreground=field(8),
        user=field(14),
        system=field(15),
        reaped=field(16) + field(17),
        priority=field(18),
        nice=field(19),
        threads=field(20),
        started=field(22),
        virtual=field(23),
        resident=field(24) * PAGE,
        processor=field(39),
    )


def read_fields(path: str, separator: str = ":") -> dict[str, str]:
    """Return the lines ``name: value`` of a file; raise OSError."""
    lines = os.fsdecode(read_file(path)).splitlines()
    parts = (line.partition(separator) for line in lines)
    return {name.strip(): value.strip() for name, _, value in parts}


def kilobytes(text: str) -> int:
    """Return the bytes of a field such as ``312 kB``, 0 if it is not there."""
    return int(text.split(maxsplit=1)[0]) * 1024 if text else 0


def effective_ids(pid: int) -> tuple[int, int]:
    """Return the effective user and group of a process; raise OSError when it is gone."""
    fields = read_fields(f"/proc/{pid}/status")
    return int(fields["Uid"].split()[1]), int(fields["Gid"].split()[1])


def arguments(pid: int) -> tuple[str, ...]:
    """Return the words of a process's command line, none for a zombie; raise OSError."""
    with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as file:
        words = os.fsdecode(file.read(_ARGUMENTS)).split("\0")
    return tuple(words[:-1] if not words[-1] else words)


def total_memory() -> int:
    """Return the bytes of memory of this machine."""
    return kilobytes(read_fields("/proc/meminfo").get("MemTotal", ""))


def members(cgroups: Sequence[str], init: int) -> tuple[int, ...]:
    """Return the pids of a container's processes, lowest first.

    They are those of its cgroups. Without any it is the descendants of its first process, and
    who shares the latter's process namespace.
    """
    if cgroups:
        return processes(cgroups)
    parents = dict(_parents())
    found = {init}
    for pid in sorted(parents):
        _add_descendant(pid, parents, found)
    namespace = _namespace(init)
    if namespace and namespace != _namespace(os.getpid()):
        found.update(pid for pid in parents if _namespace(pid) == namespace)
    return tuple(sorted(found))


def _add_descendant(pid: int, parents: dict[int, int], found: set[int]) -> None:
    """Add `pid` and those between to `found` if one of `found` is above it."""
    line = []
    while pid in parents and pid not in found:
        line.append(pid)
        pid = parents[pid]
    if pid in found:
        found.update(line)


def _parents() -> Iterator[tuple[int, int]]:
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                yield int(name), read_stat(int(name)).parent
            except OSError:
                pass  # it has ended


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""
