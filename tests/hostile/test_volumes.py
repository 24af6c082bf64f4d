# SPDX-License-Identifier: Apache-2.0
"""Images and containers that use volumes to reach the host."""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator

import pytest

from tests.fakes.registry import FakeRegistry
from tests.hostile.victims import SECRET, Canary, Guarded
from tests.system.images import PATH, base_layer
from tests.system.place import require

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(require()), reason=require()),
]

OUT = "../../../../../../../../../../.."


@pytest.fixture
def minidock(place: Guarded, canary: Canary) -> Iterator[Guarded]:
    """The command line, watched: no mount is left, and the canary is as it was at the end."""
    yield place
    assert not mounts(os.path.dirname(place.directory))
    canary.assert_intact()
    place.clear()
    assert SECRET.encode() not in every_byte(f"{place.root}/volumes")
    place("volume", "prune", "-af")


def mounts(path: str) -> list[str]:
    """Return the mounts of this machine that are below `path`, or of something there."""
    with open("/proc/self/mountinfo") as file:
        return [line for line in file if path in line]


def every_byte(top: str) -> bytes:
    """Return the contents of all regular files below `top`."""
    parts = []
    for directory, _, names in os.walk(top):
        for name in names:
            path = f"{directory}/{name}"
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    parts.append(file.read())
    return b"".join(parts)


# What an image says.


def test_volumes_of_a_hostile_image(minidock: Guarded, canary: Canary) -> None:
    """Paths that leave the root, links to the host, and places that are protected."""
    link = OUT + canary.path
    entries = (
        ("absolute", 0o777, canary.path),
        ("relative", 0o777, link),
        ("parent", 0o777, os.path.dirname(canary.path)),
        ("self", 0o777, "/proc/self/root"),
    )
    hostile = (
        f"/{link}",
        "/..",
        "/",
        "/proc",
        "/sys",
        "/absolute",
        "/relative/directory",
        "/parent/canary",
        "/self",
        "/proc/self/cwd",
        "/dev/fd/7",
        "/" + "d" * 300,
        "/a" * 3000,
    )
    for number, path in enumerate(hostile):
        image = minidock.add(f"volume{number}", *entries, Volumes={path: {}})
        script = f"for f in {path[:500]} /absolute /relative; do cat $f/secret $f/inner; done"
        result = minidock.result("run", "--rm", "--network", "none", image, "sh", "-c", script)
        assert result.status in (1, 125, 126, 127), (path, result)
        assert minidock("volume", "ls", "-q") == "", path


def test_devices_of_an_image_stay_out_of_volumes(
    minidock: Guarded, registry: FakeRegistry
) -> None:
    """A volume gets files, directories and links."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, kind in (("data", tarfile.DIRTYPE), ("data/disk", tarfile.BLKTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, 0o777
            member.devmajor, member.devminor = 8, 0
            tar.addfile(member)
    config = {"config": {"Env": [PATH], "Volumes": {"/data": {}}}}
    layers = [base_layer(), raw.getvalue()]
    registry.add_image("library/devices", "latest", layers, config, "plain")
    minidock("pull", "-q", "devices")
    assert minidock("run", "--rm", "devices", "ls", "/data") == ""
    assert minidock("run", "--rm", "-v", "/other", "devices", "ls", "/other") == ""


# What a container leaves in a volume for another one.


def test_part_of_a_volume_that_is_a_link(minidock: Guarded, canary: Canary) -> None:
    """A link leads to somewhere in the volume, or nowhere."""
    script = "cd /v; mkdir -p in/side; echo inner >in/side/file; ln -s in/side good;"
    script += f"ln -s {canary.path} absolute; ln -s {OUT}{canary.path} relative;"
    script += "ln -s /proc/self/root magic; ln -s .. up; ln -s loop loop; ln -s /v/in rooted"
    minidock("run", "--rm", "--network", "none", "-v", "shared:/v", "base", "sh", "-c", script)

    def look(subpath: str) -> str:
        mount = f"type=volume,src=shared,dst=/part,volume-subpath={subpath}"
        words = ("run", "--rm", "--network", "none", "--mount", mount, "base")
        result = minidock.result(*words, "sh", "-c", "cat /part /part/file /part/secret")
        return result.text if result.status != 125 else result.errors

    assert look("good") == "inner\n"
    for subpath in (
        *("absolute", "absolute/secret", "relative/secret", "magic", "magic/etc/passwd"),
        *("up", "up/volume.json", "in/../up", "loop", "rooted"),
    ):
        said = look(subpath)
        assert "cannot access path" in said or "subpath must be a relative path" in said, (
            subpath
        )


def test_a_volume_full_of_links_is_had_and_removed(minidock: Guarded, canary: Canary) -> None:
    """Links are links: neither counting, inheriting nor removing follows one."""
    script = f"ln -s {canary.path} /v/a; ln -s {canary.path}/secret /v/b; mkfifo /v/c"
    words = (
        "run",
        "--name",
        "one",
        "--network",
        "none",
        "-v",
        "/v",
        "base",
        "sh",
        "-c",
        script,
    )
    minidock(*words)
    result = minidock.result(
        "run", "--rm", "--volumes-from", "one", "base", "cat", "/v/a/secret"
    )
    assert result.status == 1
    minidock("rm", "one")
    assert minidock("volume", "prune", "-f").endswith("Total reclaimed space: 0B\n")


# A directory that becomes a link and back, as fast as can be.

SWAPPER = """
import ctypes
call = ctypes.CDLL(None).syscall
while True:
    call({number}, -100, b"{data}/a", -100, b"{data}/evil", 2)
"""


@pytest.fixture
def swapped(minidock: Guarded, canary: Canary) -> Iterator[None]:
    """The volume shared, with a directory a that is exchanged for a link to the canary.

    The process that does so stands for one of a container that has the volume.
    """
    minidock("volume", "create", "shared")
    data = f"{minidock.root}/volumes/shared/_data"
    os.makedirs(f"{data}/a/b")
    os.symlink(OUT + canary.path, f"{data}/evil")
    number = {"x86_64": 316, "aarch64": 276}[os.uname().machine]  # renameat2, RENAME_EXCHANGE
    script = SWAPPER.format(number=number, data=data)
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        yield
        process.kill()


@pytest.mark.usefixtures("swapped")
def test_mount_below_a_volume_that_is_swapped(minidock: Guarded) -> None:
    """The place of a mount is in the volume or there is none (CVE-2021-30465)."""
    script = "cat /vol/a/secret /vol/a/b/secret; ls /vol/a/b"
    for number in range(30):
        place = ("/vol/a/b", "/vol/a/new/b", "/vol/a/directory")[number % 3]
        flags = ("-v", "shared:/vol", "-v", f"other:{place}", "--network", "none")
        minidock.result("run", "--rm", *flags, "base", "sh", "-c", script)


@pytest.mark.usefixtures("swapped")
def test_part_of_a_volume_that_is_swapped(minidock: Guarded) -> None:
    """What is mounted is of the volume, whatever its path leads to by then."""
    mount = "type=volume,src=shared,dst=/part,volume-subpath=a"
    words = ("run", "--rm", "--network", "none", "--mount", mount, "base")
    statuses = {minidock.result(*words, "cat", "/part/secret").status for _ in range(10)}
    assert statuses <= {1, 125}
