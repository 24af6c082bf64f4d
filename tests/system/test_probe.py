# SPDX-License-Identifier: Apache-2.0
"""Each line of what a container sees of its confinement, with the flags that change it."""

import os
import re
from collections.abc import Mapping

import pytest

from minidock.linux import capabilities
from tests.system.place import Place
from tests.system.probing import parse, probe

QUIET = ("--network", "none")
DOCKER = "00000000a80425fb"
NONE = "0" * 16
ALL = f"{capabilities.bounding():016x}"

DEVICES = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
NODES = ("dev_b8_0", "dev_mem", "dev_kmsg", "dev_fuse", "dev_tun")
LOCKED = "ro,nosuid,nodev,noexec,relatime"
DENIED = (
    "w_proc_sys", "w_sysrq", "w_core_pattern", "w_uevent", "w_cgroup", "mount_tmpfs",
    "remount_sys", "umount_mask", "unshare_m", "unshare_U", "unshare_n", "cve_2022_0492",
    "sethostname", "dmesg",
)  # fmt: skip
SYS_ADMIN = (
    "mount_tmpfs", "remount_sys", "umount_mask", "unshare_m", "unshare_U", "unshare_n",
    "sethostname", "dmesg",
)  # fmt: skip
"""What CAP_SYS_ADMIN gives, and CAP_SYSLOG."""

BY_DEFAULT: Mapping[str, str] = {
    "CapInh": NONE,
    "CapPrm": DOCKER,
    "CapEff": DOCKER,
    "CapBnd": DOCKER,
    "CapAmb": NONE,
    "NoNewPrivs": "0",
    "Seccomp": "2",
    "Seccomp_filters": "1",
    "umask": "0022",
    "uid_map": "0 0 4294967295",
    "fds": "0 1 2 3",
    "dev": DEVICES,
    "env": "HOME HOSTNAME PATH PWD SHLVL",
    **dict.fromkeys(NODES, "mknod-ok,open-denied"),
    **dict.fromkeys(DENIED, "denied"),
    "w_root": "OK",
    "chroot": "OK",
    "chown": "OK",
    "ping": "OK",
    "environ_1": "OK",
    "pid1": "sh",
    "nprocs": "few",
}
"""But for what is masked, read-only and mounted: `check_paths`."""

UNPRIVILEGED = {
    **dict.fromkeys(("CapPrm", "CapEff"), NONE),
    **dict.fromkeys(NODES, "mknod-denied"),
    **dict.fromkeys(("chroot", "chown", "ping"), "denied"),  # busybox pings by raw sockets only
}
EMPOWERED = {
    **dict.fromkeys(("CapPrm", "CapEff", "CapBnd"), ALL),
    **dict.fromkeys(SYS_ADMIN, "OK"),
}

CASES: Mapping[str, tuple[tuple[str, ...], Mapping[str, str]]] = {
    "default": ((), {}),
    "drop": (("--cap-drop", "ALL"), {**UNPRIVILEGED, "CapBnd": NONE}),
    "add": (("--cap-add", "ALL"), EMPOWERED),
    "read-only": (("--read-only",), {"w_root": "denied"}),
    "user": (("--user", "1000"), {**UNPRIVILEGED, "w_root": "denied"}),
    "no-new-privileges": (("--security-opt", "no-new-privileges"), {"NoNewPrivs": "1"}),
    "host-network": (("--network", "host"), {}),
}


def check_paths(seen: dict[str, str]) -> None:
    """Take what is seen of masked, read-only and mounted paths out of `seen`; it must be so."""
    hidden = {key: seen.pop(key) for key in list(seen) if key.startswith("masked:")}
    assert len(hidden) == 12
    for key, how in hidden.items():
        assert how in ("absent", "devnull", "dir:0"), key
    for key in [key for key in seen if key.startswith("ropath:")]:
        assert seen.pop(key) == LOCKED, key
    mounts = {key: seen.pop(key) for key in list(seen) if key.startswith("mnt:")}
    root = mounts["mnt:/"]
    assert mounts == {
        "mnt:/": root,
        "mnt:/etc/hosts": root,
        "mnt:/sys/fs/cgroup": "ro",
        **{f"mnt:{path}": "rw" for path in ("/proc", "/dev", "/dev/pts")},
        **{f"mnt:{path}": "rw" for path in ("/dev/shm", "/dev/mqueue")},
    }


@pytest.fixture(scope="module")
def known(place: Place, images: None) -> Mapping[str, str]:
    """What every container sees here: without control groups no device can be made."""
    enforced = place.result("run", "--rm", *QUIET, "base", "true").errors == ""
    if enforced:
        return BY_DEFAULT
    lacking = f"{capabilities.DOCKER_DEFAULT & ~capabilities.mask(['CAP_MKNOD']):016x}"
    sets = dict.fromkeys(("CapPrm", "CapEff", "CapBnd"), lacking)
    return {**BY_DEFAULT, **sets, **dict.fromkeys(NODES, "mknod-denied")}


@pytest.mark.parametrize("case", CASES)
def test_run(minidock: Place, known: Mapping[str, str], case: str):
    """A flag changes what it should, and nothing else."""
    flags, changes = CASES[case]
    network = () if "--network" in flags else QUIET
    seen = parse(minidock("run", "--rm", *network, *flags, "base", *probe()))
    check_paths(seen)
    assert seen == {**known, **changes}


def test_exec(minidock: Place):
    """What enters a container sees what the container sees, but for the first process."""
    seen = {}
    for flags in ((), ("--user", "1000"), ("--cap-drop", "ALL")):
        started = parse(minidock("run", "--rm", *QUIET, *flags, "base", *probe()))
        box = minidock("run", "-d", *QUIET, *flags, "base", "sleep", "60").strip()
        seen = parse(minidock("exec", box, *probe()))
        assert (started.pop("pid1"), seen.pop("pid1")) == ("sh", "sleep")
        assert seen == started, flags


def test_privileged(minidock: Place):
    """All the host has: capabilities, devices, settings; but no more than the host."""
    seen = parse(minidock("run", "--rm", *QUIET, "--privileged", "base", *probe()))
    assert "UNMASKED" in {how for key, how in seen.items() if key.startswith("masked:")}
    assert {how for key, how in seen.items() if key.startswith("ropath:/proc")} == {"none"}
    assert seen["ropath:/sys"].startswith("rw")
    own = ("pts", "shm", "fd", "mqueue", "console", "ptmx", "log")
    theirs = {entry.name for entry in os.scandir("/dev") if not entry.is_symlink()}
    assert set(seen["dev"].split()) >= theirs - set(own) - {"hugepages", "disk", "mapper"}
    expected = {
        **BY_DEFAULT,
        **EMPOWERED,
        "Seccomp": "0",
        "Seccomp_filters": "0",
        **dict.fromkeys(("w_proc_sys", "w_core_pattern", "w_cgroup"), "OK"),
    }
    ours = {"dev", "umount_mask", "w_sysrq", "w_uevent", *NODES}  # what there is on the host
    for key in set(expected) - ours:
        assert seen[key] == expected[key], key
    for key in NODES:
        assert re.fullmatch("mknod-ok,open-(ok|failed)", seen[key]), key


def test_exec_privileged(minidock: Place):
    """The command has all capabilities and no filter; what is mounted stays as it was."""
    box = minidock("run", "-d", *QUIET, "base", "sleep", "60").strip()
    before = parse(minidock("exec", box, *probe()))
    seen = parse(minidock("exec", "--privileged", box, *probe()))
    changes = {**EMPOWERED, "Seccomp": "0", "Seccomp_filters": "0"}
    for key in NODES:
        del before[key], seen[key]  # it may make them where others may not
    assert seen == {**before, **changes}


def test_processes_of_the_host(minidock: Place, known: Mapping[str, str]):
    """With ``--pid host`` the first process is the host's, and its environment is closed."""
    seen = parse(minidock("run", "--rm", *QUIET, "--pid", "host", "base", *probe()))
    check_paths(seen)
    with open("/proc/1/cmdline") as file:
        first = file.read().split("\0")[0]
    assert seen.pop("pid1") == first
    assert int(seen.pop("nprocs")) > 5
    assert seen == {
        **{k: v for k, v in known.items() if k not in ("pid1", "nprocs")},
        "environ_1": "denied",
    }
