# SPDX-License-Identifier: Apache-2.0
"""``top``: the processes of a container in the forms of ps(1).

No program is executed for it, neither the image's nor the host's ps: all is read from /proc
outside of the container (CVE-2022-1227).
"""

import grp
import os
import pwd
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from minidock.engine import liveness
from minidock.engine.views import ProcessTable
from minidock.errors import InvalidArgument, Unsupported
from minidock.runtime import proc
from minidock.runtime.proc import TICKS, ProcessStat
from minidock.store.containers import PAUSED, RUNNING, Container, ContainerState
from minidock.values import NamedTuple

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_TERMINAL_MAJORS = {4: "tty", 136: "pts/"}


class UnsupportedOption(Unsupported):
    """An option of ps(1) that `top` does not have."""

    def __init__(self, option: str) -> None:
        super().__init__(
            f"ps: unsupported option '{option}'",
            hint="there are -e, -A, -f, -o FORMAT, aux, x and combinations of them",
        )


class NoPid(InvalidArgument):
    """The wanted columns lack the pid; the text is docker's."""

    def __init__(self) -> None:
        super().__init__("Couldn't find PID field in ps output")


class Process(NamedTuple):
    """A process, and what of the machine its columns depend on; times in seconds.

    `now` and `booted` are since the epoch, `memory` is the machine's.
    """

    stat: ProcessStat
    user: int
    group: int
    arguments: tuple[str, ...]
    now: float
    booted: float
    memory: int

    @property
    def started(self) -> float:
        """When it was started, since the epoch."""
        return self.booted + self.stat.started / TICKS

    @property
    def age(self) -> float:
        """How long ago that was."""
        return max(self.now - self.started, 0.0)

    @property
    def busy(self) -> float:
        """For how long it was on a processor."""
        return (self.stat.user + self.stat.system) / TICKS

    @property
    def percent(self) -> float:
        """How much of its life it was on a processor."""
        return self.busy / self.age * 100 if self.age else 0.0


class _Column(NamedTuple):
    title: str
    text: Callable[[Process], object]


def list_processes(
    container: Container, state: ContainerState, options: Sequence[str]
) -> ProcessTable:
    """Return the processes of a container as ps(1) with `options` shows them.

    Raises:
        NotRunning, UnsupportedOption, NoPid
    """
    columns = parse_options(options)
    if not any(column.title == "PID" for column in columns):
        raise NoPid
    if state.status not in (RUNNING, PAUSED):
        raise liveness.NotRunning(container)
    now = time.time()
    booted = now - time.clock_gettime(time.CLOCK_BOOTTIME)
    memory = proc.total_memory()
    rows = []
    for pid in proc.members(state.cgroups, state.pid):
        try:
            ids = proc.effective_ids(pid)
            words = proc.arguments(pid)
            process = Process(proc.read_stat(pid), *ids, words, now, booted, memory)
        except OSError:
            continue  # it has ended
        rows.append(tuple(str(column.text(process)) for column in columns))
    return ProcessTable(tuple(column.title for column in columns), tuple(rows))


def parse_options(options: Sequence[str]) -> tuple[_Column, ...]:
    """Return the columns that options of ps(1) ask for; raise UnsupportedOption."""
    formats: list[str] = []
    shape = "" if options else "f"
    words = list(reversed(options))
    while words:
        word = words.pop()
        letters = word.removeprefix("-")
        sysv = word.startswith("-") and letters[:2] != "au"  # -aux is taken for aux
        before, wants_format, after = letters.partition("o")
        allowed = "eAadfw" if sysv else "axuw"
        if not letters or not set(before) <= set(allowed):
            raise UnsupportedOption(word)
        shape = _shape(shape, before, sysv=sysv)
        if wants_format:
            if not after and not words:
                raise UnsupportedOption(word)
            formats.append(after or words.pop())
    if formats:
        return tuple(column for text in formats for column in _parse_format(text))
    return _SHAPES[shape or "e"]


def _shape(shape: str, letters: str, *, sysv: bool) -> str:
    """Return the shape after some more letters: the name of one of _SHAPES."""
    if sysv:
        return "f" if "f" in letters else shape or "e"
    return "u" if "u" in letters else "x"


def _parse_format(text: str) -> list[_Column]:
    """Return the columns of ``pid,comm`` or ``user=WHO``; raise UnsupportedOption."""
    columns = []
    name, equals, title = text.partition("=")
    *names, last = name.replace(",", " ").split() or [""]
    for one in (*names, last):
        column = _COLUMNS.get(one.lower())
        if column is None:
            raise UnsupportedOption(f"-o {text}")
        columns.append(column)
    if equals:  # all that follows is the title of the last column
        columns[-1] = columns[-1]._replace(title=title)
    return columns


@lru_cache
def _user(number: int) -> str:
    """Return the name that the host has for a user, as in docker, not the container's."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


@lru_cache
def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _terminal(stat: ProcessStat) -> str:
    prefix = _TERMINAL_MAJORS.get(os.major(stat.terminal))
    return f"{prefix}{os.minor(stat.terminal)}" if prefix else "?"


def _state(stat: ProcessStat) -> str:
    return "".join(
        (
            stat.state,
            "<" if stat.nice < 0 else "",
            "N" if stat.nice > 0 else "",
            "s" if stat.session == stat.pid else "",
            "l" if stat.threads > 1 else "",
            "+" if stat.foreground == stat.group else "",
        )
    )


def _command(process: Process) -> str:
    return " ".join(process.arguments) or f"[{process.stat.name}]{_defunct(process.stat)}"


def _short_command(process: Process) -> str:
    return f"{process.stat.name}{_defunct(process.stat)}"


def _defunct(stat: ProcessStat) -> str:
    return " <defunct>" if stat.state == "Z" else ""


def _clock(seconds: float, *, hours: bool) -> str:
    """Return ``[D-]HH:MM:SS``; without `hours` those only where there are some."""
    rest = int(seconds)
    days, rest = divmod(rest, _DAY)
    of_day, rest = divmod(rest, _HOUR)
    text = f"{rest // _MINUTE:02}:{rest % _MINUTE:02}"
    if hours or of_day or days:
        text = f"{of_day:02}:{text}"
    return f"{days}-{text}" if days else text


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // _MINUTE}:{int(seconds) % _MINUTE:02}"


def _start(process: Process) -> str:
    """Return the time of a start today, the day of another one, the year of an older one."""
    then, now = time.localtime(process.started), time.localtime(process.now)
    if then.tm_year != now.tm_year:
        return time.strftime("%Y", then)
    return time.strftime("%b%d" if then.tm_yday != now.tm_yday else "%H:%M", then)


def _exact_start(process: Process) -> str:
    return time.strftime(
        "%H:%M:%S" if process.age < _DAY else "%b %d", time.localtime(process.started)
    )


def _tenths(number: float) -> str:
    return f"{min(number, 9999):.1f}"


_COLUMNS: Mapping[str, _Column] = {
    "pid": _Column("PID", lambda p: p.stat.pid),
    "ppid": _Column("PPID", lambda p: p.stat.parent),
    "pgid": _Column("PGID", lambda p: p.stat.group),
    "pgrp": _Column("PGRP", lambda p: p.stat.group),
    "sid": _Column("SID", lambda p: p.stat.session),
    "sess": _Column("SESS", lambda p: p.stat.session),
    "uid": _Column("UID", lambda p: p.user),
    "euid": _Column("EUID", lambda p: p.user),
    "user": _Column("USER", lambda p: _user(p.user)),
    "euser": _Column("EUSER", lambda p: _user(p.user)),
    "uname": _Column("USER", lambda p: _user(p.user)),
    "gid": _Column("GID", lambda p: p.group),
    "egid": _Column("EGID", lambda p: p.group),
    "group": _Column("GROUP", lambda p: _group(p.group)),
    "egroup": _Column("EGROUP", lambda p: _group(p.group)),
    "comm": _Column("COMMAND", _short_command),
    "ucmd": _Column("CMD", _short_command),
    "cmd": _Column("CMD", _command),
    "args": _Column("COMMAND", _command),
    "command": _Column("COMMAND", _command),
    "c": _Column("C", lambda p: int(min(p.percent, 99))),
    "pcpu": _Column("%CPU", lambda p: _tenths(p.percent)),
    "%cpu": _Column("%CPU", lambda p: _tenths(p.percent)),
    "pmem": _Column("%MEM", lambda p: _tenths(p.stat.resident / p.memory * 100)),
    "%mem": _Column("%MEM", lambda p: _tenths(p.stat.resident / p.memory * 100)),
    "vsz": _Column("VSZ", lambda p: p.stat.virtual // 1024),
    "vsize": _Column("VSZ", lambda p: p.stat.virtual // 1024),
    "rss": _Column("RSS", lambda p: p.stat.resident // 1024),
    "rssize": _Column("RSS", lambda p: p.stat.resident // 1024),
    "sz": _Column("SZ", lambda p: p.stat.virtual // proc.PAGE),
    "tty": _Column("TT", lambda p: _terminal(p.stat)),
    "tt": _Column("TT", lambda p: _terminal(p.stat)),
    "tname": _Column("TTY", lambda p: _terminal(p.stat)),
    "stat": _Column("STAT", lambda p: _state(p.stat)),
    "s": _Column("S", lambda p: p.stat.state),
    "state": _Column("S", lambda p: p.stat.state),
    "stime": _Column("STIME", _start),
    "start_time": _Column("START", _start),
    "bsdstart": _Column("START", _start),
    "start": _Column("STARTED", _exact_start),
    "lstart": _Column("STARTED", lambda p: time.ctime(p.started)),
    "time": _Column("TIME", lambda p: _clock(p.busy, hours=True)),
    "cputime": _Column("TIME", lambda p: _clock(p.busy, hours=True)),
    "bsdtime": _Column("TIME", lambda p: _minutes(p.busy)),
    "etime": _Column("ELAPSED", lambda p: _clock(p.age, hours=False)),
    "etimes": _Column("ELAPSED", lambda p: int(p.age)),
    "ni": _Column("NI", lambda p: p.stat.nice),
    "nice": _Column("NI", lambda p: p.stat.nice),
    "pri": _Column("PRI", lambda p: 39 - p.stat.priority),
    "nlwp": _Column("NLWP", lambda p: p.stat.threads),
    "thcount": _Column("THCNT", lambda p: p.stat.threads),
    "psr": _Column("PSR", lambda p: p.stat.processor),
}
"""The columns by the names that ``-o`` takes."""

_SHAPES: Mapping[str, tuple[_Column, ...]] = {
    "e": tuple(_COLUMNS[name] for name in ("pid", "tname", "time", "ucmd")),
    "f": (
        _COLUMNS["user"]._replace(title="UID"),
        *(_COLUMNS[name] for name in ("pid", "ppid", "c", "stime", "tname", "time", "cmd")),
    ),
    "u": tuple(
        _COLUMNS[name]
        for name in (
            *("user", "pid", "%cpu", "%mem", "vsz", "rss"),
            *("tname", "stat", "bsdstart", "bsdtime", "args"),
        )
    ),
    "x": tuple(_COLUMNS[name] for name in ("pid", "tname", "stat", "bsdtime", "args")),
}
"""The columns without ``-o``: those of ``ps -e``, ``ps -ef``, ``ps u`` and ``ps x``."""
