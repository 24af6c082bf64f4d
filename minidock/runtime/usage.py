# SPDX-License-Identifier: Apache-2.0
"""What a container uses: from its cgroups where they count, from its processes otherwise.

A container is in the cgroups of memory, processors and disks only if it has a limit there: each
would make its start slower. Without, its processes are added up:

- time on processors, with that of children already waited for, at the clock's 10 ms;
- memory as the sum of proportional set sizes: what processes share counts once;
- bytes that they caused to be read from and written to disks, /proc/PID/io.
"""

import os
from collections.abc import Iterable, Iterator, Sequence

from minidock.runtime import proc
from minidock.values import NamedTuple

_BILLION = 1_000_000_000


class Usage(NamedTuple):
    """What a container has used by now.

    `cpu` is in nanoseconds, the rest but `tasks` (processes and their threads) in bytes.
    `memory` leaves out file pages that the kernel would drop first, as docker does.
    """

    cpu: int = 0
    memory: int = 0
    received: int = 0
    sent: int = 0
    read: int = 0
    written: int = 0
    tasks: int = 0


class _Sum(NamedTuple):
    """What the processes of a container have used."""

    ticks: int
    read: int
    written: int
    tasks: int


def measure(cgroups: Sequence[str], init: int, *, memory_counted: bool) -> Usage:
    """Return what the container with these cgroups and this first process uses.

    `memory_counted` says that a cgroup has counted its memory from the beginning: in version 2
    one without a limit gets the files of the controller once any other container has one.
    Processes that end meanwhile, or may not be looked at, are left out.
    """
    pids = proc.members(cgroups, init)
    own = _processes(pids)
    cpu = _cgroup_cpu(cgroups)
    memory = _cgroup_memory(cgroups) if memory_counted else None
    disks = _cgroup_disks(cgroups)
    tasks = _number(cgroups, "pids.current")
    received, sent = _network(init)
    return Usage(
        cpu=own.ticks * _BILLION // proc.TICKS if cpu is None else cpu,
        memory=sum(map(_proportional_memory, pids)) if memory is None else memory,
        received=received,
        sent=sent,
        read=disks[0] if disks else own.read,
        written=disks[1] if disks else own.written,
        tasks=own.tasks if tasks is None else tasks,
    )


def _processes(pids: Iterable[int]) -> _Sum:
    ticks = read = written = tasks = 0
    for pid in pids:
        try:
            stat = proc.read_stat(pid)
            ticks += stat.user + stat.system + stat.reaped
            tasks += stat.threads
            fields = proc.read_fields(f"/proc/{pid}/io")
            read += int(fields["read_bytes"])
            written += int(fields["write_bytes"])
        except OSError:
            pass
    return _Sum(ticks, read, written, tasks)


def _proportional_memory(pid: int) -> int:
    """Return a process's memory, what it shares divided by the number of sharers."""
    try:
        return proc.kilobytes(proc.read_fields(f"/proc/{pid}/smaps_rollup").get("Pss", ""))
    except OSError:
        pass
    try:
        return proc.read_stat(pid).resident  # it may not be looked at so closely
    except OSError:
        return 0


def _cgroup_cpu(cgroups: Sequence[str]) -> int | None:
    nanoseconds = _number(cgroups, "cpuacct.usage")
    if nanoseconds is not None:
        return nanoseconds
    # In version 2 it is there without the controller. The file of version 1 says other things.
    for fields in _fields(cgroups, "cpu.stat"):
        if "usage_usec" in fields:
            return int(fields["usage_usec"]) * 1000
    return None


def _cgroup_memory(cgroups: Sequence[str]) -> int | None:
    for file, cache in (
        ("memory.usage_in_bytes", "total_inactive_file"),
        ("memory.current", "inactive_file"),
    ):
        used = _number(cgroups, file)
        for fields in _fields(cgroups, "memory.stat"):
            if used is not None:
                inactive = int(fields.get(cache, 0))
                return used - inactive if inactive < used else used
    return None


def _cgroup_disks(cgroups: Sequence[str]) -> tuple[int, int] | None:
    """Return the bytes read and written, of all disks together."""
    for path in cgroups:
        for file in ("blkio.throttle.io_service_bytes_recursive", "io.stat"):
            try:
                with open(f"{path}/{file}", encoding="ascii") as stream:
                    lines = stream.read().splitlines()
            except OSError:
                continue
            return _disk_sums(lines)
    return None


def _disk_sums(lines: Iterable[str]) -> tuple[int, int]:
    """Add up ``8:0 Read 4096`` of version 1, ``8:0 rbytes=4096 wbytes=0`` of version 2."""
    read = written = 0
    for line in lines:
        for word, value in _pairs(line.split()[1:]):
            if word in ("Read", "rbytes"):
                read += int(value)
            elif word in ("Write", "wbytes"):
                written += int(value)
    return read, written


def _pairs(words: list[str]) -> Iterator[tuple[str, str]]:
    if words and "=" not in words[0]:
        yield words[0], words[-1]
        return
    for word in words:
        name, _, value = word.partition("=")
        yield name, value


def _network(init: int) -> tuple[int, int]:
    """Return the bytes received and sent, 0 where the network is the host's."""
    received = sent = 0
    try:
        if os.readlink(f"/proc/{init}/ns/net") == os.readlink("/proc/self/ns/net"):
            return 0, 0
        for name, counters in proc.read_fields(f"/proc/{init}/net/dev").items():
            numbers = counters.split()
            if name != "lo" and numbers and numbers[0].isdecimal():
                received += int(numbers[0])
                sent += int(numbers[8])
    except OSError:
        pass  # it has ended
    return received, sent


def _number(cgroups: Sequence[str], file: str) -> int | None:
    for path in cgroups:
        try:
            with open(f"{path}/{file}", encoding="ascii") as stream:
                return int(stream.read())
        except OSError:
            continue
    return None


def _fields(cgroups: Sequence[str], file: str) -> Iterator[dict[str, str]]:
    """Give the file as a dictionary for each cgroup that has it."""
    for path in cgroups:
        try:
            yield proc.read_fields(f"{path}/{file}", " ")
        except OSError:
            continue
