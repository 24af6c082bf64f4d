# SPDX-License-Identifier: Apache-2.0
"""``container prune``, ``image prune``, ``system prune`` and ``export``."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.place import Place
from tests.system.terminal import Terminal

WARNING = "WARNING! This will remove {}\nAre you sure you want to continue? [y/N] "


@pytest.fixture
def containers(minidock: Place) -> dict[str, str]:
    """One that runs, one that has ended, one that never ran and is to be kept."""
    ids = {
        "running": minidock("run", "-d", "--name", "running", "base", "sleep", "60"),
        "ended": minidock("run", "-d", "--name", "ended", "base", "sh", "-c", "echo 12345 >/f"),
        "kept": minidock("create", "--name", "kept", "--label", "keep=yes", "base"),
    }
    minidock("wait", "ended")
    return {name: text.strip() for name, text in ids.items()}


def names(minidock: Place) -> set[str]:
    return set(minidock("ps", "-a", "--format", "{{.Names}}").split())


def test_container_prune(minidock: Place, containers: dict[str, str]):
    """It asks; then what does not run is gone, and its ids and bytes are told."""
    warning = WARNING.format("all stopped containers.")
    assert minidock("container", "prune") == warning
    assert minidock("container", "prune", stdin=b"n\n") == warning
    assert names(minidock) == {"running", "ended", "kept"}
    assert minidock("container", "prune", "--filter", "label!=keep", stdin=b"y\n") == (
        f"{warning}Deleted Containers:\n{containers['ended']}\n\nTotal reclaimed space: 6B\n"
    )
    assert names(minidock) == {"running", "kept"}
    assert minidock("container", "prune", "-f", "--filter", "until=1h") == (
        "Total reclaimed space: 0B\n"
    )
    assert containers["kept"] in minidock("container", "prune", "-f", "--filter", "until=0s")
    assert minidock("container", "prune", "-f") == "Total reclaimed space: 0B\n"
    assert names(minidock) == {"running"}


def test_prune_refuses_what_it_does_not_know(minidock: Place, containers: dict[str, str]):
    """A filter that there is not deletes nothing."""
    for kind in ("container", "image", "system"):
        refused = minidock.refused(1, kind, "prune", "-f", "--filter", "colour=red")
        assert "Invalid filter 'colour'" in refused
    refused = minidock.refused(125, "system", "prune", "--volumes", "--filter", "until=1h")
    assert 'The "until" filter is not supported with "--volumes"' in refused
    assert names(minidock) == {"running", "ended", "kept"}


@pytest.fixture
def committed(minidock: Place) -> Iterator[dict[str, str]]:
    """Images made of base: one without a tag, one with, one that a container has."""
    minidock("create", "--name", "box", "base")
    ids = {}
    for name in ("", "tagged", "used"):
        minidock("cp", "-", "box:/", stdin=_tar(f"{name}-file"))
        ids[name] = minidock("commit", "box", *([name] if name else ())).strip()
    minidock("create", "--name", "user", "used")
    minidock("rm", "box")
    yield ids
    minidock("rm", "-f", "user")
    for name in ("tagged", "used"):
        minidock.result("rmi", name)


def _tar(name: str) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = 1000
        tar.addfile(member, io.BytesIO(bytes(1000)))
    return raw.getvalue()


def test_image_prune(minidock: Place, committed: dict[str, str]):
    """Without a tag first, with -a all that no container has."""
    warning = WARNING.format("all dangling images.")
    pruned = minidock("image", "prune", stdin=b"y\n")
    assert pruned.startswith(f"{warning}Deleted Images:\ndeleted: {committed['']}\n\nTotal ")
    assert not pruned.endswith(" 0B\n")
    minidock("tag", "tagged", "again:1")
    assert minidock("image", "prune", "-af", "--filter", "until=1h").startswith("Deleted Im")
    left = minidock("images", "--format", "{{.Repository}}").split()
    assert set(left) == {"tagged", "again", "used"}, "the registry's images are years old"
    minidock("pull", "-q", "base")
    minidock("pull", "-q", "tomcat:9.0")
    pruned = minidock("image", "prune", "-af", "--filter", "until=0s", "--filter", "label!=x")
    assert f"deleted: {committed['tagged']}\n" in pruned
    assert "untagged: again:1\n" in pruned
    assert set(minidock("images", "-q", "--no-trunc").split()) == {committed["used"]}
    minidock("pull", "-q", "base")
    minidock("pull", "-q", "tomcat:9.0")


def test_system_prune(minidock: Place, containers: dict[str, str]):
    """Containers, anonymous volumes if asked to, and images, after one question."""
    minidock("create", "--name", "box", "-v", "/data", "base")
    shown = minidock("system", "prune", "--volumes", "--filter", "label!=keep", stdin=b"no\n")
    assert shown == WARNING.format(
        "\n  - all stopped containers\n"
        "  - all anonymous volumes not used by at least one container\n"
        "  - all dangling images\n\n"
        "  Items to be pruned will be filtered with:\n"
        "  - label!=keep\n"
    ).replace("remove \n", "remove:\n")
    (volume,) = minidock("volume", "ls", "-q").split()
    pruned = minidock("system", "prune", "-f", "--volumes", "--filter", "label!=keep")
    assert containers["ended"] in pruned
    assert f"Deleted Volumes:\n{volume}\n" in pruned
    assert names(minidock) == {"running", "kept"}
    assert minidock("volume", "ls", "-q") == ""


def test_export_is_a_flat_tar(minidock: Place, tmp_path: Path):
    """What the container and its image have, less what it removed and what is mounted."""
    (tmp_path / "file").write_text("of the host")
    script = "echo new >/new; rm /etc/not-a-program; sleep 60"
    flags = ("--name", "box", "-v", f"{tmp_path}:/host", "--tmpfs", "/scratch")
    minidock("run", "-d", *flags, "base", "sh", "-c", script)
    minidock("exec", "box", "sh", "-c", "while [ ! -e /new ]; do sleep 0.01; done; sleep 0.1")
    data = minidock.result("export", "box").out
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = {member.name: member for member in tar}
        new = tar.extractfile("new")
        assert new is not None
        assert new.read() == b"new\n"
    assert {"bin/busybox", "host", "scratch", "proc", "dev", "etc/hosts", ".dockerenv"} <= set(
        members
    )
    assert members["etc/hosts"].size == 0
    assert members["bin/sh"].linkname == "busybox"
    assert not {"etc/not-a-program", "host/file", "proc/1", "."} & set(members)


def test_export_into_a_file_or_not_at_all(minidock: Place, tmp_path: Path):
    """A file is whole and nobody else's; a terminal is not written to."""
    minidock("create", "--name", "box", "base")
    minidock("export", "-o", f"{tmp_path}/box.tar", "box")
    assert (tmp_path / "box.tar").stat().st_mode & 0o777 == 0o600
    with tarfile.open(tmp_path / "box.tar") as tar:
        assert "bin/busybox" in tar.getnames()
    assert "does not exist" in minidock.refused(1, "export", "-o", f"{tmp_path}/no/x", "box")
    assert "No such container: no" in minidock.refused(1, "export", "-o", f"{tmp_path}/x", "no")
    assert os.listdir(tmp_path) == ["box.tar"]
    words = [*minidock.words, "export", "box"]
    with Terminal(words, minidock.environment, 24, 80) as terminal:
        terminal.expect("cowardly refusing to save to a terminal")
        assert terminal.ends() == 1
