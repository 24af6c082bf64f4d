# SPDX-License-Identifier: Apache-2.0
"""Containers that change their files while these are copied (CVE-2018-15664)."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from minidock.engine import copy
from minidock.engine.copy import Files
from minidock.engine.options import CopyOptions
from minidock.errors import MinidockError
from minidock.fs.rooted import RootedDir
from minidock.progress import ignore
from tests.hostile import swapper
from tests.hostile.victims import SECRET, Canary

ROUNDS = 600
OPTIONS = CopyOptions()


class Sink:
    """Keeps what is written to it."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes, /) -> None:
        self.data += data


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    """A container's root with two names: a directory, and a link to the host's canary."""
    (tmp_path / "inside/place/directory").mkdir(parents=True)
    for name in ("secret", "directory/inner"):
        (tmp_path / "inside/place" / name).write_text("harmless")
    (tmp_path / "inside/trap").symlink_to(tmp_path / "canary")
    with RootedDir.at(f"{tmp_path}/inside") as root:
        yield Files(root, "hostile")


@pytest.fixture
def swapping(files: Files, tmp_path: Path) -> Iterator[None]:
    """Somebody exchanges the two all the time."""
    words = [sys.executable, swapper.__file__, "place", "trap"]
    with subprocess.Popen(words, cwd=tmp_path / "inside", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        assert process.poll() is None, "the race was live to the end"
        process.kill()


def attempt(action: object) -> bool:
    with contextlib.suppress(MinidockError):
        action()  # type: ignore[operator]
        return True
    return False


def test_nothing_of_the_host_comes_out(
    files: Files, swapping: None, canary: Canary, tmp_path: Path
) -> None:
    """Many rounds of copying out while the path is swapped: never the host's file."""
    (tmp_path / "got").mkdir()
    done = 0
    for _ in range(ROUNDS):
        for path in ("/place/secret", "/place/directory", "/place/."):
            sink = Sink()
            done += attempt(
                lambda p=path, s=sink: copy.write_archive(files, p, s, OPTIONS, ignore)
            )
            assert SECRET.encode() not in sink.data
        attempt(
            lambda: copy.copy_out(files, "/place/secret", f"{tmp_path}/got/x", OPTIONS, ignore)
        )
        with contextlib.suppress(FileNotFoundError):
            assert (tmp_path / "got/x").read_text() == "harmless"
    assert done > ROUNDS // 20, "it was never a directory"
    canary.assert_intact()


def test_nothing_is_written_to_the_host(
    files: Files, swapping: None, canary: Canary, tmp_path: Path
) -> None:
    """Many rounds of copying in while the destination is swapped: the host stays as it is."""
    (tmp_path / "tree/directory/inner").mkdir(parents=True)
    (tmp_path / "tree/directory/inner/x").write_text("x")
    (tmp_path / "secret").write_text("overwritten")
    done = 0
    for _ in range(ROUNDS):
        for source, target in (
            ("secret", "/place/secret"),
            ("secret", "/place"),
            ("secret", "/place/directory/inner"),
            ("tree/.", "/place/new"),
        ):
            done += attempt(
                lambda s=source, t=target: copy.copy_in(
                    files, f"{tmp_path}/{s}", t, OPTIONS, ignore
                )
            )
    assert done > ROUNDS // 20, "it was never a directory"
    canary.assert_intact()


def test_a_swap_leads_the_careless_out(
    swapping: None, files: Files, canary: Canary, tmp_path: Path
) -> None:
    """The tests above can fail: who opens what was resolved before gets the secret."""
    for _ in range(ROUNDS * 20):
        with contextlib.suppress(OSError):
            path = os.path.realpath(tmp_path / "inside/place")
            if path.startswith(f"{tmp_path}/inside"):
                with open(f"{path}/secret") as file:
                    if file.read() == SECRET:
                        return
    pytest.fail("no swap between the check and the use")


def test_a_directory_that_is_moved_away_is_noticed(files: Files, tmp_path: Path) -> None:
    """A walk whose directory goes elsewhere ends, and does not go on there."""

    class Mover(Sink):
        def write(self, data: bytes, /) -> None:
            super().write(data)
            if data.startswith(b"./a/b/deep"):
                os.rename(tmp_path / "inside/place/a/b", tmp_path / "canary/stolen")

    deep = tmp_path / "inside/place/a/b"
    deep.mkdir(parents=True)
    (deep / "deep").write_text("x")
    Canary(f"{tmp_path}/canary")
    sink = Mover()
    with pytest.raises(MinidockError, match="moved while it was copied"):
        copy.write_archive(files, "/place/.", sink, OPTIONS, ignore)
    assert SECRET.encode() not in sink.data


def test_devices_and_fifos_are_never_opened(files: Files, tmp_path: Path) -> None:
    """A fifo without a writer delays nothing, a socket is left out."""
    os.mkfifo(tmp_path / "inside/place/fifo")
    copy.copy_out(files, "/place", f"{tmp_path}/got", OPTIONS, ignore)
    assert sorted(os.listdir(tmp_path / "got")) == ["directory", "fifo", "secret"]
    copy.copy_in(files, f"{tmp_path}/got", "/again", OPTIONS, ignore)
    assert (tmp_path / "inside/again/fifo").is_fifo()
