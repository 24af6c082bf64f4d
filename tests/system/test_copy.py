# SPDX-License-Identifier: Apache-2.0
"""``cp`` with containers that run, have run, and have never run."""

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.system.place import Place
from tests.system.terminal import Terminal


def archive(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar}


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A directory of the host to copy from and to."""
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/file").write_text("from the host\n")
    (tmp_path / "file").write_text("a file\n")
    return tmp_path


@pytest.mark.parametrize("state", ["created", "running", "exited"])
def test_copies_in_every_state(minidock: Place, host: Path, state: str):
    """What goes in comes out again, and is there when the container runs."""
    (host / "data").mkdir()
    volume = f"{host}/data:/data"
    minidock("create", "--name", "box", "-v", volume, "base", "sleep", "60")
    if state != "created":
        minidock("start", "box")
    if state == "exited":
        minidock("kill", "box")
    minidock("cp", f"{host}/tree", "box:/srv")
    minidock("cp", f"{host}/file", "box:/data/file")
    minidock("cp", "box:/srv/.", f"{host}/back")
    minidock("cp", "box:data/file", f"{host}/back/")
    assert (host / "data/file").read_text() == "a file\n"
    assert (host / "back/sub/file").read_text() == "from the host\n"
    assert (host / "back/file").read_text() == "a file\n"
    if state != "running":
        minidock("start", "box")
    assert minidock("exec", "box", "cat", "/srv/sub/file", "/data/file") == (
        "from the host\na file\n"
    )
    assert "A /srv\nA /srv/sub\nA /srv/sub/file" in minidock("diff", "box")


def test_a_tar_goes_through_stdin_and_stdout(minidock: Place, host: Path):
    """``-`` is a tar; a file, a directory and its contents have docker's names in it."""
    minidock("create", "--name", "box", "base")
    with tarfile.open(host / "in.tar.xz", "w:xz") as tar:
        tar.add(host / "tree", "tree")
    minidock("cp", "-", "box:/tmp", stdin=(host / "in.tar.xz").read_bytes())
    for path, names in {
        "/tmp/tree": ["tree", "tree/sub", "tree/sub/file"],
        "/tmp/tree/.": [".", "./sub", "./sub/file"],
        "/tmp/tree/sub/file": ["file"],
    }.items():
        result = minidock.result("cp", f"box:{path}", "-")
        assert (result.status, result.errors) == (0, "")
        assert list(archive(result.out)) == names


def test_the_whole_root_comes_without_what_the_kernel_shows(minidock: Place):
    """/proc, /sys and /dev of a running container come out empty, as from docker."""
    minidock("run", "-d", "--name", "box", "--tmpfs", "/scratch", "base", "sleep", "60")
    minidock("exec", "box", "touch", "/scratch/there")
    names = set(archive(minidock.result("cp", "box:/", "-").out))
    assert {"./bin/busybox", "./proc", "./sys", "./dev", "./scratch/there"} <= names
    assert not [name for name in names if name.startswith(("./proc/", "./sys/", "./dev/"))]
    assert "Could not find the file /proc/version in container box" in minidock.refused(
        1, "cp", "box:/proc/version", "."
    )


def test_mounts_are_not_overwritten(minidock: Place, host: Path):
    """A read-only volume or root is refused in docker's words; a mounted file stays mounted."""
    minidock("run", "-d", "--name", "box", "-v", f"{host}:/h:ro", "base", "sleep", "60")
    minidock("create", "--name", "ro", "--read-only", "-v", f"{host}:/h", "base")
    file = f"{host}/file"
    assert "mounted volume is marked read-only" in minidock.refused(1, "cp", file, "box:/h/x")
    assert "container rootfs is marked read-only" in minidock.refused(1, "cp", file, "ro:/x")
    minidock("cp", file, "ro:/h/x")
    assert (host / "x").read_text() == "a file\n"
    assert "busy" in minidock.refused(1, "cp", file, "box:/etc/hosts")
    assert "/etc/hosts" in minidock("exec", "box", "cat", "/proc/mounts")


@pytest.mark.parametrize("runs", [True, False], ids=["running", "created"])
def test_a_link_in_a_volume_leads_nowhere_on_the_host(minidock: Place, host: Path, runs: bool):
    """It is copied as a link; followed, it means a path of the container."""
    (host / "volume").mkdir()
    for name, target in (
        ("file", f"{host}/file"),
        ("up", "../../.." + str(host)),
        ("etc", "/etc"),
    ):
        (host / "volume" / name).symlink_to(target)
    verb = ("run", "-d") if runs else ("create",)
    minidock(*verb, "--name", "box", "-v", f"{host}/volume:/v", "base", "sleep", "60")
    assert archive(minidock.result("cp", "box:/v/file", "-").out)["file"].issym()
    for words in (("-L", "box:/v/file"), ("box:/v/up/file",), ("box:/v/file/",)):
        refused = minidock.refused(1, "cp", *words, f"{host}/stolen")
        assert "Could not find the file" in refused
    minidock.refused(1, "cp", f"{host}/tree/sub/file", "box:/v/up/file")
    assert (host / "file").read_text() == "a file\n"
    minidock("cp", "box:/v/etc/passwd", f"{host}/passwd")
    assert (host / "passwd").read_text().startswith("root:x:0:0:root:/root:/bin/sh\nbob:")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("nosuch:/x", "."), "No such container: nosuch"),
        (("a:/x", "b:/y"), "copying between containers is not supported"),
        (("x", "y"), "must specify at least one container source"),
        (("", "a:/"), "source can not be empty"),
        (("x", ""), "destination can not be empty"),
        (("x",), "'minidock cp' requires 2 arguments"),
        (("box:/nothing", "."), "Could not find the file /nothing in container box"),
        (("./no:thing", "box:/"), "no:thing: no such file or directory"),
        (("-", "box:/nothing"), 'destination "box:/nothing" must be a directory'),
        (("box:/etc/passwd", "/dev/null"), '"/dev/null" must be a directory or a regular file'),
    ],
)
def test_refusals(minidock: Place, arguments: tuple[str, ...], text: str):
    """What can't be copied ends with 1 and docker's words."""
    if "box" in "".join(arguments):
        minidock("create", "--name", "box", "base")
    assert text in minidock.refused(1, "cp", *arguments)


def test_a_broken_archive_is_decompressed_by_no_program(minidock: Place, host: Path):
    """What looks like xz starts neither the host's xz nor the container's (CVE-2026-41567)."""
    minidock("create", "--name", "box", "base")
    (host / "xz").write_text(f"#!/bin/sh\ntouch {host}/started\n")
    (host / "xz").chmod(0o755)
    for target in ("box:/bin/xz", "box:/bin/unxz"):
        minidock("cp", f"{host}/xz", target)
    path = f"{host}:{os.environ['PATH']}"
    result = minidock.result("cp", "-", "box:/", stdin=b"\xfd7zXZ\0" + bytes(600), PATH=path)
    assert (result.status, result.text) == (1, "")
    assert "xz" in result.errors
    assert not (host / "started").exists()


# A process starts with the high-water mark of the one that forked it, and a test's is high.
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""


def test_large_files_take_no_memory(minidock: Place, host: Path):
    """A file of 200 MB goes in, and out through a pipe, in less than half of that."""
    with open(host / "large", "wb") as file:
        for _ in range(200):
            file.write(b"x" * 1_000_000)
    minidock("create", "--name", "box", "base")
    for words in (("cp", f"{host}/large", "box:/large"), ("cp", "box:/large", "-")):
        with open(host / "out", "wb") as out:
            measured = subprocess.run(
                [sys.executable, "-c", MEASURE, *minidock.words, *words],
                env=minidock.environment,
                stdout=out,
                stderr=subprocess.PIPE,
                check=True,
            )
        assert int(measured.stderr) < 100_000, "kilobytes"
    assert (host / "out").stat().st_size > 200_000_000


def test_only_a_terminal_sees_what_was_copied(minidock: Place, host: Path):
    """On a terminal cp says what it did, unless -q; -q=false says it anywhere, on stderr."""
    minidock("create", "--name", "box", "base")
    words = ("cp", f"{host}/file", "box:/x")
    said = "Successfully copied 2.05kB to box:/x"
    assert minidock(*words) == ""
    assert minidock.result("cp", "-q=false", *words[1:]) == (0, b"", f"{said}\n".encode())
    with Terminal([*minidock.words, *words], minidock.environment, 24, 80) as terminal:
        terminal.expect(said)
        assert terminal.ends() == 0
    quiet = [*minidock.words, "cp", "-q", *words[1:]]
    with Terminal(quiet, minidock.environment, 24, 80) as terminal:
        assert terminal.ends() == 0
        os.write(terminal._slave, b"nothing before this")
        assert terminal.expect("nothing before this") == ""
