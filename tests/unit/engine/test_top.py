"""The forms of ps(1) that `top` knows."""

import os
import time

import pytest

from minidock.engine.top import Process, UnsupportedOption, parse_options
from minidock.runtime import proc

HOURS = 3600


def process(age: float = 60, **changes) -> Process:
    """Return a process that was on a processor for 9 of the last `age` seconds."""
    now = time.mktime((2026, 11, 24, 15, 0, 0, 0, 0, -1))  # wherever we are
    booted = now - 400 * 24 * HOURS
    stat = proc.ProcessStat(
        pid=4321,
        name="sh",
        state="S",
        parent=4300,
        group=4321,
        session=4321,
        terminal=0,
        foreground=-1,
        user=6 * proc.TICKS,
        system=3 * proc.TICKS,
        reaped=0,
        priority=20,
        nice=0,
        threads=1,
        started=int((now - age - booted) * proc.TICKS),
        virtual=8192 * 1024,
        resident=1024 * 1024,
        processor=1,
    )
    stat = stat._replace(**{k: v for k, v in changes.items() if k in stat._fields})
    arguments = changes.get("arguments", ("sh", "-c", "a b"))
    return Process(stat, 0, 54321, arguments, now, booted, 100 << 20)


def table(*options: str, **changes) -> dict[str, str]:
    columns = parse_options(options)
    return {column.title: str(column.text(process(**changes))) for column in columns}


def test_without_options():
    """That is docker's ``-ef``."""
    expected = {
        "UID": "root",
        "PID": "4321",
        "PPID": "4300",
        "C": "15",
        "STIME": "14:59",
        "TTY": "?",
        "TIME": "00:00:09",
        "CMD": "sh -c a b",
    }
    assert table() == table("-ef") == table("-e", "-f") == expected
    assert list(table()) == list(expected)


def test_aux():
    """The form of BSD, with or without a dash."""
    assert (
        table("aux")
        == table("-aux")
        == {
            "USER": "root",
            "PID": "4321",
            "%CPU": "15.0",
            "%MEM": "1.0",
            "VSZ": "8192",
            "RSS": "1024",
            "TTY": "?",
            "STAT": "Ss",
            "START": "14:59",
            "TIME": "0:09",
            "COMMAND": "sh -c a b",
        }
    )


def test_short_forms():
    """Names only, or states and command lines."""
    assert list(table("-e")) == ["PID", "TTY", "TIME", "CMD"]
    assert table("-A")["CMD"] == "sh"
    assert list(table("x")) == ["PID", "TTY", "STAT", "TIME", "COMMAND"]


@pytest.mark.parametrize(
    "options",
    [
        ("-o", "pid,comm"),
        ("-opid,comm",),
        ("-eo", "pid,comm"),
        ("-o", "pid", "-o", "comm"),
        ("o", "pid comm"),
        ("axo", "PID,COMM"),
    ],
)
def test_chosen_columns(options):
    """All the ways to write them."""
    assert table(*options) == {"PID": "4321", "COMMAND": "sh"}


def test_title():
    """What follows the equals sign is the last column's title, commas included."""
    assert table("-o", "pid,user=WHO, then") == {"PID": "4321", "WHO, then": "root"}


@pytest.mark.parametrize(
    "options", [("-zz",), ("--sort=pid",), ("-o",), ("-o", "nosuch"), ("1234",), ("-",), ("e",)]
)
def test_what_there_is_not(options):
    """The option is named."""
    with pytest.raises(UnsupportedOption, match=f"ps: unsupported option '{options[0]}"):
        parse_options(options)


def test_states():
    """Letters behind the state tell of niceness, sessions, threads and the foreground."""
    assert table("-o", "stat", session=1) == {"STAT": "S"}
    changes = {"nice": 5, "threads": 3, "foreground": 4321, "state": "R"}
    assert table("-o", "stat", **changes) == {"STAT": "RNsl+"}
    assert table("-o", "stat", nice=-5)["STAT"] == "S<s"


def test_terminals():
    """By their device numbers."""
    assert table("-o", "tty", terminal=os.makedev(136, 7)) == {"TT": "pts/7"}
    assert table("-o", "tty", terminal=os.makedev(4, 1)) == {"TT": "tty1"}
    assert table("-o", "tty", terminal=os.makedev(204, 64)) == {"TT": "?"}


def test_times():
    """Of long lives the days, of old starts the date."""
    assert table("-o", "etime", age=59)["ELAPSED"] == "00:59"
    assert table("-o", "etime", age=2 * HOURS)["ELAPSED"] == "02:00:00"
    assert table("-o", "etime", age=50 * HOURS)["ELAPSED"] == "2-02:00:00"
    assert table("-o", "stime", age=50 * HOURS)["STIME"] == "Nov22"
    assert table("-o", "stime", age=9000 * HOURS)["STIME"] == "2025"
    assert table("-o", "time", user=100_000 * proc.TICKS)["TIME"] == "1-03:46:43"


def test_zombie():
    """It has no command line any more."""
    zombie = table("-o", "args,ucmd", arguments=(), state="Z")
    assert zombie == {"COMMAND": "[sh] <defunct>", "CMD": "sh <defunct>"}


def test_users_without_a_name():
    """Their number is shown."""
    assert table("-o", "group,gid") == {"GROUP": "54321", "GID": "54321"}
