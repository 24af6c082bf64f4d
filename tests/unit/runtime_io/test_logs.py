# SPDX-License-Identifier: Apache-2.0
"""The json-file log: what is written, rotated, read back and followed."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidock.runtime.log_writer import PIECE, LogFile, LogWriter, format_time
from minidock.runtime.logs import Entry, parse_time, read


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "log.json")


def write(path: str, *chunks: bytes, max_size: int = 1 << 30, max_files: int = 5) -> None:
    writer = LogWriter(LogFile(path, max_size, max_files))
    for chunk in chunks:
        writer.write("stdout", chunk)
    writer.close()


def texts(path: str, **options: object) -> list[bytes]:
    return [entry.data for entry in read(path, **options)]  # type: ignore[arg-type]


def lines(start: int, end: int) -> list[bytes]:
    return [f"line {number}\n".encode() for number in range(start, end)]


def test_entry_is_docker_json(path: str) -> None:
    """A line of output is one JSON line with log, stream and time in docker's order."""
    write(path, b"hello\n")
    with open(path) as file:
        (line,) = file.readlines()
    value = json.loads(line)
    assert list(value) == ["log", "stream", "time"]
    assert value["log"] == "hello\n"
    assert value["stream"] == "stdout"
    assert format_time(parse_time(value["time"])) == value["time"]


def test_escapes_as_docker(path: str) -> None:
    """HTML's characters and the two line separators are escaped."""
    write(path, '<a&b>\u2028\u2029"\\n\t\x1b\n'.encode())
    with open(path, "rb") as file:
        assert file.read().startswith(
            rb'{"log":"\u003ca\u0026b\u003e\u2028\u2029\"\\n\t\u001b\n","stream"'
        )


@given(st.lists(st.text() | st.sampled_from(["\n", "x" * PIECE, "é" * PIECE]), max_size=8))
def test_text_round_trip(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    """All UTF-8 text comes back, however it was cut into writes and entries."""
    path = str(tmp_path_factory.mktemp("log") / "log.json")
    raw = "".join(parts).encode()
    write(path, *(raw[i : i + 5000] for i in range(0, len(raw), 5000)))
    assert b"".join(texts(path)) == raw


@given(st.binary(max_size=300))
def test_no_utf8_is_replaced(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    """Bytes that are no UTF-8 become U+FFFD and every line stays JSON."""
    path = str(tmp_path_factory.mktemp("log") / "log.json")
    write(path, raw)
    assert b"".join(texts(path)) == raw.decode("utf-8", "replace").encode()


def test_long_line_is_split(path: str) -> None:
    """A line longer than a piece becomes entries of which the last has the newline."""
    write(path, b"x" * (2 * PIECE + 5) + b"\n", b"next\n")
    assert [len(text) for text in texts(path)] == [PIECE, PIECE, 6, 5]


def test_lines_as_long_as_a_piece(path: str) -> None:
    """The newline after a whole piece is an entry, as docker has it."""
    write(path, b"x" * (PIECE - 1) + b"\n", b"y" * PIECE + b"\n")
    assert [len(text) for text in texts(path)] == [PIECE, PIECE, 1]


def test_partial_line_waits(path: str) -> None:
    """A line that comes in parts is one entry; the last one needs no newline."""
    write(path, b"a", b"b\nc", b"d")
    assert texts(path) == [b"ab\n", b"cd"]


def test_streams_do_not_mix(path: str) -> None:
    """Unfinished lines of the two streams are kept apart."""
    writer = LogWriter(LogFile(path))
    writer.write("stdout", b"out")
    writer.write("stderr", b"err\n")
    writer.write("stdout", b"!\n")
    writer.close()
    assert [(e.stream, e.data) for e in read(path)] == [
        ("stderr", b"err\n"),
        ("stdout", b"out!\n"),
    ]


def test_rotation_keeps_to_its_limits(path: str) -> None:
    """No file is larger than max_size, no more than max_files stay, the newest lines do."""
    write(path, *lines(0, 500), max_size=1000, max_files=3)
    names = sorted(os.listdir(os.path.dirname(path)))
    assert names == ["log.json", "log.json.1", "log.json.2"]
    assert all(os.path.getsize(os.path.join(os.path.dirname(path), n)) <= 1000 for n in names)
    kept = texts(path)
    assert kept == lines(500 - len(kept), 500)


def test_rotation_inside_one_write(path: str) -> None:
    """One large write is spread over files and reads back whole."""
    write(path, b"".join(lines(0, 500)), max_size=10_000, max_files=50)
    assert texts(path) == lines(0, 500)
    assert os.path.getsize(path) <= 10_000


def test_single_file_starts_anew(path: str) -> None:
    """With one file a full log begins again and leaves no other name."""
    write(path, *lines(0, 100), max_size=1000, max_files=1)
    assert os.listdir(os.path.dirname(path)) == ["log.json"]
    assert texts(path)[-1] == b"line 99\n"


def test_entry_larger_than_the_limit(path: str) -> None:
    """An entry that no file can hold within max_size is kept all the same."""
    write(path, b"x" * 5000 + b"\n", b"y\n", max_size=100, max_files=4)
    assert texts(path) == [b"x" * 5000 + b"\n", b"y\n"]


def test_torn_entry_is_skipped(path: str) -> None:
    """A writer that died inside an entry costs that entry only."""
    write(path, b"one\n")
    with open(path, "ab") as file:
        file.write(b'{"log":"tor')
    assert texts(path) == [b"one\n"]
    write(path, b"two\n")
    assert texts(path) == [b"one\n", b"two\n"]


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"null",
        b"[]",
        b'{"log":1,"stream":"stdout","time":"2024-01-01T00:00:00Z"}',
        b"\xff",
    ],
)
def test_corrupt_line_is_skipped(path: str, junk: bytes) -> None:
    """A line that is no entry is passed over."""
    write(path, b"one\n")
    with open(path, "ab") as file:
        file.write(junk + b"\n")
    write(path, b"two\n")
    assert texts(path) == [b"one\n", b"two\n"]


@pytest.mark.parametrize("count", [0, 1, 7, 99, 100, 101])
@pytest.mark.parametrize("max_size", [1000, 1 << 20])
def test_tail(path: str, count: int, max_size: int) -> None:
    """The last lines are found, across rotated files too."""
    write(path, *lines(0, 100), max_size=max_size, max_files=100)
    assert texts(path, tail=count) == lines(max(0, 100 - count), 100)


def test_tail_over_blocks(path: str) -> None:
    """A tail larger than one block of the file is exact."""
    write(path, b"".join(lines(0, 5000)))
    assert texts(path, tail=3000) == lines(2000, 5000)


def test_since_and_until(path: str) -> None:
    """Entries from since to until are given, both included."""
    with open(path, "w") as file:
        for second in range(10):
            time = format_time(second * 1_000_000_000)
            file.write(json.dumps({"log": f"{second}\n", "stream": "stdout", "time": time}))
            file.write("\n")
    assert texts(path, since=3, until=5.5) == [b"3\n", b"4\n", b"5\n"]


def test_missing_log_is_empty(path: str) -> None:
    """A container that never wrote has no entries."""
    assert texts(path) == []


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T23:59:59.5Z", 951868799_500000000),
        ("2024-12-31T12:34:56.000000001Z", 1735648496_000000001),
    ],
)
def test_parse_time(text: str, nanoseconds: int) -> None:
    """Fractions have any number of digits, leap days count."""
    assert parse_time(text) == nanoseconds


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_time_round_trip(nanoseconds: int) -> None:
    """Every time that is written is read as itself."""
    assert parse_time(format_time(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    "text", ["", "now", "2024-01-01T00:00:00+02:00", "2024-xx-01T00:00:00Z"]
)
def test_parse_time_refuses(text: str) -> None:
    """What is no time in UTC is an error."""
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)


@pytest.mark.parametrize(("max_size", "max_files"), [(1 << 20, 5), (2000, 1000)])
def test_follow(path: str, max_size: int, max_files: int) -> None:
    """A follower gets every line once, over rotations, and ends after the writer."""
    first_seen = threading.Event()
    done = threading.Event()

    def work() -> None:
        writer = LogWriter(LogFile(path, max_size, max_files))
        writer.write("stdout", b"".join(lines(0, 10)))
        first_seen.wait(30)
        for line in lines(10, 1000):
            writer.write("stdout", line)
        writer.close()
        done.set()

    writer = threading.Thread(target=work)
    writer.start()
    seen = []
    for entry in read(path, follow=True, alive=lambda: not done.is_set()):
        seen.append(entry.data)
        first_seen.set()
    writer.join()
    assert seen == lines(0, 1000)


def test_follow_of_a_dead_container_ends(path: str) -> None:
    """Following what has stopped gives what is there."""
    write(path, b"one\n")
    dead: Callable[[], bool] = lambda: False  # noqa: E731
    assert [e.data for e in read(path, follow=True, tail=5, alive=dead)] == [b"one\n"]


def test_full_disk_costs_entries_only(path: str) -> None:
    """A log that can't be written does not raise."""
    os.symlink("/dev/full", path)
    writer = LogWriter(LogFile(path))
    writer.write("stdout", b"lost\n")
    writer.close()


def test_entry_names_its_stream(path: str) -> None:
    """Entries carry time, stream and data."""
    write(path, b"x\n")
    (entry,) = read(path)
    assert entry == Entry(entry.time, "stdout", b"x\n")
