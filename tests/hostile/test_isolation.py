"""Containers that attack what another container's start relies on, and what flags lead to."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.victims import Canary, Guarded
from tests.system.images import Entry
from tests.system.place import require

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(require()), reason=require()),
]
QUIET = ("--network", "none")
ROUNDS = 5


@pytest.fixture
def minidock(place: Guarded, canary: Canary) -> Iterator[Guarded]:
    """The command line, watched: the canary must be as it was at the end."""
    yield place
    canary.assert_intact()
    if place.entries("containers"):
        place.clear()


# A volume that one container changes while others start with it.

SWAP_NULL = """
cd /v; mknod null c 1 3; mknod other c 1 5; ln -s /proc/keys link; echo data >file
echo ready
while :; do for name in other link file; do
    mv null kept; mv $name null; mv null $name; mv kept null
done; done
"""


def test_null_device_that_is_swapped(minidock: Guarded, tmp_path: Path) -> None:
    """What hides files is our own, whatever stands in the container's /dev (CVE-2025-31133)."""
    volume = tmp_path / "volume"
    volume.mkdir()
    shared = ("-v", f"{volume}:/v", *QUIET)
    minidock("run", "-d", "--name", "swapper", *shared, "base", "sh", "-c", SWAP_NULL)
    minidock.await_log("swapper", "ready")
    script = "cat /proc/keys /proc/kcore /proc/timer_list 2>/dev/null | wc -c"
    words = ("run", "--rm", *QUIET, "-v", f"{volume}:/dev", "base", "sh", "-c", script)
    for _ in range(ROUNDS):
        assert minidock.result(*words).text.strip() == "0"


SWAP = (
    "mkdir -p /v/a/b; echo ready; "
    "while :; do mv -T /v/a /v/b; ln -s {target} /v/a; rm /v/a; mv -T /v/b /v/a; done"
)


PLACES = (
    "--tmpfs /v/a/b/new:mode=700",
    "--mount type=tmpfs,dst=/v/a/new",
    "--device /dev/zero:/v/a/zero",
    "--device /dev/zero:/v/a/b/new/zero",
    "-w /v/a/b/new",
)


def test_place_that_is_swapped(minidock: Guarded, canary: Canary, tmp_path: Path) -> None:
    """A directory that becomes a link and back leads no mount, device or directory out."""
    volume = tmp_path / "volume"
    volume.mkdir()
    script = SWAP.format(target="../../../../../../../../.." + canary.path)
    shared = ("-v", f"{volume}:/v", *QUIET)
    minidock("run", "-d", "--name", "swapper", *shared, "base", "sh", "-c", script)
    minidock.await_log("swapper", "ready")
    for flags in PLACES:
        words = ("run", "--rm", *shared, *flags.split(), "base", "true")
        statuses = {minidock.result(*words).status for _ in range(ROUNDS)}
        assert statuses <= {0, 125, 126}, flags
    assert minidock.result("run", "--rm", *shared, "base", "true").status == 0
    mounted = Path("/proc/self/mountinfo").read_text()
    assert str(tmp_path) not in mounted
    assert minidock.root not in mounted


# Links of an image where a flag wants something.


def test_places_of_flags_that_lead_out(minidock: Guarded, canary: Canary) -> None:
    """A device, a tmpfs and a shared /dev/shm are made where the links lead inside."""
    entries: list[Entry] = [
        ("out", 0o777, canary.path),
        ("up", 0o777, "../" * 12 + canary.path[1:]),
    ]
    image = minidock.add("leading", *entries)
    minidock(
        "run", "-d", "--name", "donor", "--ipc", "shareable", *QUIET, "base", "sleep", "1000"
    )
    for flags in (
        "--device /dev/zero:/out/zero", "--device /dev/zero:/up/0", "--tmpfs /out/directory",
        "--tmpfs /up", "--mount type=tmpfs,dst=/out/x", "-w /out/made", "--shm-size 1m",
        "--ipc container:donor", "--ipc host", "--read-only --tmpfs /up/x",
    ):  # fmt: skip
        result = minidock.result("run", "--rm", *QUIET, *flags.split(), image, "true")
        assert result.status in (0, 125), (flags, result)


def test_settings_with_ways_out_in_their_names(minidock: Guarded) -> None:
    """The name of a sysctl is no path: dots in it lead nowhere but down."""
    before = Path("/proc/sys/kernel/panic").read_text()
    for name in ("net/../kernel/panic", "net./../kernel/panic", "net....kernel.panic", "net."):
        words = ("run", "--rm", *QUIET, "--sysctl", f"{name}=77", "base", "true")
        assert minidock.result(*words).status == 125, name
    assert Path("/proc/sys/kernel/panic").read_text() == before


# Numbers and names that are too long, or that mean something else.


def test_places_that_are_too_long(minidock: Guarded, tmp_path: Path) -> None:
    """A path of 70 KiB is refused in words; nothing overflows (CVE-2021-43784)."""
    long = "/d" * 35_000
    for flags in (
        ("-v", f"{tmp_path}:{long}"), ("--tmpfs", long), ("-w", long),
        ("--device", f"/dev/zero:{long}"), ("--device", f"/dev/zero:/dev{long}"),
        ("--annotation", f"a={long}"), ("--hostname", "h" * 70_000),
        ("--sysctl", f"net.{long}=1"), ("--group-add", "g" * 70_000),
        ("--security-opt", f"apparmor={long}"),
    ):  # fmt: skip
        result = minidock.result("run", "--rm", *QUIET, *flags, "base", "true")
        assert result.status in (0, 125, 126), (flags[0], result.errors[:200])
        if result.status:
            assert "internal" not in result.errors
            assert result.errors.strip()
    image = minidock.add("deep", Volumes={long: {}})
    refusal = minidock.refused(125, "run", "--rm", *QUIET, image, "true")
    assert "name too long" in refusal


def test_groups_are_those_of_the_user(minidock: Guarded) -> None:
    """All that the image gives, no others, and none is gained by leaving one out.

    A group that may do less than everybody else binds its members (CVE-2022-2989).
    """
    script = "id -G; cat /closed; exit 0"
    change = "echo open >/closed; chown 0:1000 /closed; chmod 604 /closed; sleep 1000"
    minidock("run", "-d", "--name", "box", *QUIET, "base", "sh", "-c", change)
    for user, groups in (
        ("bob", "1000 10"),
        ("1000", "1000 10"),
        ("1000:1000", "1000"),
        ("bob:bob", "1000"),
    ):
        result = minidock.result("exec", "-u", user, "box", "sh", "-c", script)
        assert result.text == f"{groups}\n", user
        assert "ermission denied" in result.errors, user
        run = ("run", "--rm", *QUIET, "-u", user, "base", "id", "-G")
        assert minidock(*run) == f"{groups}\n", user


# What the host runs to look into a container.


def test_programs_of_an_image_are_not_run_by_the_host(minidock: Guarded) -> None:
    """What looks at a container reads the host's /proc (CVE-2022-1227)."""
    marker = f"{minidock.directory}/marker"
    evil = f"#!/bin/sh\necho evil >/marker; echo evil >{marker}\n".encode()
    names = ("ps", "nsenter", "top", "tar", "kill", "sh", "nft", "ip")
    directories = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin")
    entries: list[Entry] = [
        (f"{directory}/{name}", 0o755, evil) for directory in directories for name in names
    ]
    image = minidock.add("evil", *entries)
    minidock("run", "-d", "--name", "box", "-p", "8080", image, "/bin/busybox", "sleep", "1000")
    assert "sleep 1000" in minidock("top", "box")
    minidock("stats", "--no-stream", "box")
    minidock("pause", "box")
    minidock("unpause", "box")
    minidock("diff", "box")
    minidock("commit", "box", "evil2")
    minidock("stop", "-t", "0", "box")
    assert "marker" not in minidock("diff", "box")
    assert not os.path.exists(marker)


# The network of the host.


def test_routers_that_a_container_announces(minidock: Guarded) -> None:
    """The host's end of the bridge takes no IPv6 routes from containers (CVE-2020-13401)."""
    minidock("run", "-d", "base", "sleep", "1000")
    bridges = [name for _, name in socket.if_nameindex() if name.startswith("minidock")]
    assert bridges
    for name in bridges:
        base = Path(f"/proc/sys/net/ipv6/conf/{name}")
        if base.exists():
            accepts = (base / "accept_ra").read_text().strip() != "0"
            assert (base / "disable_ipv6").read_text().strip() == "1" or not accepts
