# SPDX-License-Identifier: Apache-2.0
"""The journal: appended by many, read by some, never larger than two files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minidock.store import journal
from minidock.store.journal import append
from minidock.store.journal_reader import JournalReader
from minidock.store.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(str(tmp_path))


def test_lines_are_read_once_and_in_order(layout: Layout) -> None:
    """A reader gets what there is, and the next time what has come since."""
    append(layout, b"one")
    reader = JournalReader(layout, from_start=True)
    assert list(reader.lines()) == [b"one"]
    append(layout, b"two")
    append(layout, b"three")
    assert list(reader.lines()) == [b"two", b"three"]
    assert list(reader.lines()) == []
    reader.close()


def test_a_reader_may_begin_now(layout: Layout) -> None:
    """Without the start it gets only what comes, even if there is no file yet."""
    first = JournalReader(layout, from_start=False)
    assert list(first.lines()) == []
    append(layout, b"one")
    second = JournalReader(layout, from_start=False)
    append(layout, b"two")
    assert list(first.lines()) == [b"one", b"two"]
    assert list(second.lines()) == [b"two"]
    first.close()
    second.close()


def test_old_lines_go_and_a_reader_loses_none(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files are kept; who reads along reads all lines."""
    monkeypatch.setattr(journal, "MAX_SIZE", 100)
    reader = JournalReader(layout, from_start=False)
    lines = [b"%03d" % number for number in range(210)]
    read = []
    for line in lines:
        append(layout, line)
        if line[-1:] in b"07":
            read += reader.lines()
    read += reader.lines()
    reader.close()
    assert read == lines
    assert sum(os.path.getsize(path) for path in (layout.journal, layout.old_journal)) < 300
    kept = JournalReader(layout, from_start=True)
    last = list(kept.lines())
    kept.close()
    assert last == lines[-len(last) :]
    assert 25 <= len(last) <= 60


def test_a_line_that_is_being_written_is_waited_for(layout: Layout) -> None:
    """Half a line is no line."""
    reader = JournalReader(layout, from_start=True)
    with open(layout.journal, "ab", buffering=0) as file:
        file.write(b"ha")
        assert list(reader.lines()) == []
        file.write(b"lf\n")
        assert list(reader.lines()) == [b"half"]
    reader.close()


def test_many_writers_mix_no_lines(layout: Layout) -> None:
    """Each process's lines arrive whole, and files that give way lose none of them."""
    script = (
        "import sys;"
        "from minidock.store import journal;"
        "from minidock.store.layout import Layout;"
        "journal.MAX_SIZE = 20_000;"
        "[journal.append(Layout(sys.argv[1]), sys.argv[2].encode() * 50) for _ in range(100)]"
    )
    words = [sys.executable, "-c", script, layout.root]
    reader = JournalReader(layout, from_start=True)
    writers = [subprocess.Popen([*words, letter]) for letter in "abcd"]
    lines: list[bytes] = []
    while any(writer.poll() is None for writer in writers):
        lines += reader.lines()
    lines += reader.lines()
    reader.close()
    assert set(lines) == {letter * 50 for letter in (b"a", b"b", b"c", b"d")}
    assert len(lines) > 350, "of four hundred; who opens a file that gives way may be too late"


def test_what_cannot_be_written_is_not(tmp_path: Path) -> None:
    """No directory, no line, and no error."""
    append(Layout(f"{tmp_path}/nothing"), b"lost")
    assert not (tmp_path / "nothing").exists()
