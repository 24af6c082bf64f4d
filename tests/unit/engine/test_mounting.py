# SPDX-License-Identifier: Apache-2.0
"""What a container's mounts are at its start."""

import contextlib
import os
from pathlib import Path

import pytest

from minidock.engine.mount_points import MountPoint
from minidock.engine.mounting import mounts
from minidock.errors import SystemFailure, Unsupported
from minidock.oci.digest import digest_of
from minidock.oci.runtime import Mount
from minidock.store.containers import ContainerRecord

IMAGE = digest_of(b"image")


def made(*points: MountPoint, nodev: bool = False, runtime: str = "minidock") -> list[Mount]:
    """Return the mounts; what they need open is closed again."""
    stored = tuple(point._asdict() for point in points)
    host = {"Runtime": runtime}
    record = ContainerRecord("c" * 64, 1.0, "i", IMAGE, IMAGE, "t", (), {}, host, stored)
    with contextlib.ExitStack() as opened:
        return mounts(record, opened, nodev=nodev)


def test_devices_on_volumes() -> None:
    """They don't work where nobody guards them; on a bind mount they are the user's matter."""
    bind = MountPoint("bind", "/a", "/b", read_only=True, propagation="private")
    volume = MountPoint("volume", "/v/_data", "/c", "v")
    assert [mount.options for mount in made(bind, volume)] == [
        ("rbind", "ro", "private"),
        ("rbind", "rw", "rprivate"),
    ]
    assert [mount.options[3:] for mount in made(bind, volume, nodev=True)] == [(), ("nodev",)]


def test_a_part_of_a_volume(tmp_path: Path) -> None:
    """It is named by a descriptor, so that it stays what it was when it was looked up."""
    (tmp_path / "data/inner").mkdir(parents=True)
    (tmp_path / "data/out").symlink_to(tmp_path)
    point = MountPoint("volume", f"{tmp_path}/data", "/c", "v", subpath="inner")
    (mount,) = made(point)
    assert mount.source.startswith(f"/proc/{os.getpid()}/fd/")
    for subpath in ("out", "out/data", "nosuch"):
        with pytest.raises(
            SystemFailure, match=f"cannot access path {subpath} of the volume v"
        ):
            made(point._replace(subpath=subpath))
    with pytest.raises(Unsupported, match="the runtime runc can't mount a part of a volume"):
        made(point, runtime="runc")
