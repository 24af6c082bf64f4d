"""From the spec's mounts to steps."""

import os
from pathlib import Path

import pytest

from minidock.fs.rooted import RootedDir
from minidock.linux import mounts as kernel
from minidock.oci.runtime import LinuxDevice, Mount
from minidock.runtime.mounts import make_device, make_place, plan


def test_options_become_attributes_and_parameters() -> None:
    """Flags of the mount are attributes; the rest is for the file system."""
    (step,) = plan([Mount("/t", "tmpfs", "tmpfs", ("nosuid", "ro", "size=1m", "noswap"))], ())
    assert step.attributes == kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_RDONLY
    assert step.parameters == (("size", "1m"), ("noswap", None))


def test_last_option_wins() -> None:
    """``exec`` after ``noexec`` clears it."""
    (step,) = plan([Mount("/t", "tmpfs", "t", ("noexec", "exec"))], ())
    assert not step.attributes
    assert step.cleared == kernel.MOUNT_ATTR_NOEXEC


@pytest.mark.parametrize(
    ("options", "recursive", "propagation"),
    [
        (("bind",), False, kernel.MS_PRIVATE),
        (("rbind", "rslave"), True, kernel.MS_SLAVE),
        (("rbind", "shared"), True, kernel.MS_SHARED),
    ],
)
def test_binds(options: tuple[str, ...], recursive: bool, propagation: int) -> None:
    """The options make a mount a bind, whatever its type says."""
    (step,) = plan([Mount("/d", "none", "/s", options)], ())
    assert step.is_bind
    assert (step.source, step.recursive, step.propagation) == ("/s", recursive, propagation)
    assert step.parameters == ()


def test_cgroup_is_the_unified_hierarchy_or_each_of_the_old() -> None:
    """With version 1 every hierarchy has its directory, and every controller a name."""
    wanted = [Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro",))]
    assert [step.fstype for step in plan(wanted, ())] == ["cgroup2"]
    top, *parts = plan(wanted, ("cpu,cpuacct", "name=systemd"))
    assert top.directories == ("cpu,cpuacct", "systemd")
    assert top.links == (("cpu", "cpu,cpuacct"), ("cpuacct", "cpu,cpuacct"))
    assert [part.destination for part in parts] == [
        "/sys/fs/cgroup/cpu,cpuacct",
        "/sys/fs/cgroup/systemd",
    ]
    assert parts[1].parameters == (("none", None), ("name", "systemd"))
    assert all(step.attributes & kernel.MOUNT_ATTR_RDONLY for step in (top, *parts))


def test_places_are_made_in_the_root(tmp_path: Path) -> None:
    """Missing directories and files appear where links inside the root lead."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("/real")
    with RootedDir.at(str(tmp_path)) as root:
        make_place(root, "/link/a/file", is_directory=False)
        make_place(root, "/link/dir", is_directory=True)
    assert (tmp_path / "real/a/file").is_file()
    assert (tmp_path / "real/dir").is_dir()


@pytest.mark.parametrize("path", ["/dev/../etc/x", "/etc/x", "/dev/", "dev/x", "/dev//x"])
def test_devices_outside_dev_are_refused(tmp_path: Path, path: str) -> None:
    """A device path can't leave the /dev that is being filled."""
    fd = os.open(tmp_path, os.O_PATH)
    try:
        with pytest.raises(OSError, match="Invalid argument"):
            make_device(fd, LinuxDevice(path, "c", 1, 3))
    finally:
        os.close(fd)
