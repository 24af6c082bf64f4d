"""The runtime spec that docker's defaults give."""

import json

import pytest

from minidock.errors import DataCorrupted
from minidock.oci.runtime import LinuxDevice, Mount, Rlimit, Spec
from minidock.runtime.spec import (
    InvalidMount,
    InvalidSysctl,
    SpecInputs,
    bind_mount,
    make_spec,
    tmpfs_mount,
)
from minidock.runtime.users import User

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PLAIN = SpecInputs(args=("true",), user=User(home="/root"), hostname="box")


def destinations(spec: Spec) -> list[str]:
    return [mount.destination for mount in spec.mounts]


def test_environment_has_dockers_order() -> None:
    """PATH, HOSTNAME, TERM, the image's, the user's, HOME; later values win in place."""
    spec = make_spec(
        PLAIN._replace(terminal=True, image_env=("A=1", "B=2"), env=("A=3", "PATH=/x", "C="))
    )
    assert spec.process.env == (
        "PATH=/x",
        "HOSTNAME=box",
        "TERM=xterm",
        "A=3",
        "B=2",
        "C=",
        "HOME=/root",
    )


def test_environment_entries_without_value_are_dropped() -> None:
    """Nothing of the caller's environment gets in through odd entries (CVE-2026-57231)."""
    spec = make_spec(PLAIN._replace(image_env=("*", "HOME_SECRET", "=x", "P*")))
    assert spec.process.env == (PATH, "HOSTNAME=box", "HOME=/root")


def test_users_mount_replaces_the_default() -> None:
    """A mount at /dev/shm comes once; one at /dev takes all defaults below it away."""
    shm = make_spec(PLAIN._replace(mounts=(tmpfs_mount("/dev/shm", ("size=1m",)),)))
    assert destinations(shm).count("/dev/shm") == 1
    assert shm.mounts[-1].options == ("nosuid", "noexec", "nodev", "size=1m")
    dev = make_spec(PLAIN._replace(mounts=(bind_mount("/dev", "/dev"),)))
    assert destinations(dev) == ["/proc", "/sys", "/sys/fs/cgroup", "/dev"]


def test_parents_are_mounted_first() -> None:
    """A mount below another one is not hidden by it."""
    spec = make_spec(
        PLAIN._replace(mounts=(bind_mount("/b", "/a/b/c"), bind_mount("/a", "/a")))
    )
    assert destinations(spec)[-2:] == ["/a", "/a/b/c"]


@pytest.mark.parametrize(
    "destination", ["/", "relative", "/proc", "/x/../proc/", "//", "/a/.."]
)
def test_dangerous_destinations_are_refused(destination: str) -> None:
    """The root and /proc can't be replaced."""
    with pytest.raises(InvalidMount):
        make_spec(PLAIN._replace(mounts=(bind_mount("/x", destination),)))


def test_privileged_has_no_masks_and_writable_sys() -> None:
    """Nothing is hidden from a privileged container."""
    spec = make_spec(PLAIN._replace(privileged=True))
    assert spec.linux.masked_paths == spec.linux.readonly_paths == ()
    assert all("ro" not in mount.options for mount in spec.mounts)


def test_default_masks() -> None:
    """The paths of docker, /proc/interrupts among them; /sys and its cgroups read-only."""
    spec = make_spec(PLAIN)
    assert {"/proc/kcore", "/proc/interrupts", "/sys/firmware"} <= set(spec.linux.masked_paths)
    assert "/sys/devices/system/cpu/cpu0/thermal_throttle" in spec.linux.masked_paths
    assert "/proc/sys" in spec.linux.readonly_paths
    read_only = [mount.destination for mount in spec.mounts if "ro" in mount.options]
    assert read_only == ["/sys", "/sys/fs/cgroup"]


def test_host_network_keeps_the_hosts_sysctls() -> None:
    """Sysctls of the network are set in a namespace of its own only."""
    assert "net.ipv4.ping_group_range" in make_spec(PLAIN).linux.sysctl
    shared = make_spec(PLAIN._replace(host_namespaces=("network",)))
    assert shared.linux.sysctl == {}
    assert "network" not in [namespace.type for namespace in shared.linux.namespaces]


def test_spec_survives_json() -> None:
    """from_json(to_json(spec)) == spec."""
    spec = make_spec(
        PLAIN._replace(
            user=User(1, 2, (2, 3)),
            cwd="/w",
            terminal=True,
            domainname="d",
            capabilities=("CAP_KILL",),
            mounts=(bind_mount("/a", "/b", read_only=True, propagation="rslave"),),
            devices=(LinuxDevice("/dev/x", "b", 8, 1, 0o600, 5, 6),),
            rlimits=(Rlimit("RLIMIT_NOFILE", 10, 20),),
            oom_score_adj=100,
            no_new_privileges=True,
            read_only=True,
            cgroups_path="/minidock/x",
        )
    )
    assert Spec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_json_has_the_specifications_names() -> None:
    """Names and nesting are those of runtime-spec 1.0.2."""
    out = make_spec(PLAIN._replace(capabilities=("CAP_KILL",), read_only=True)).to_json()
    assert out["ociVersion"] == "1.0.2"
    assert out["root"] == {"path": "rootfs", "readonly": True}
    assert out["process"]["capabilities"]["bounding"] == ["CAP_KILL"]
    assert out["process"]["capabilities"]["inheritable"] == []
    assert {"type": "pid"} in out["linux"]["namespaces"]
    assert out["mounts"][0]["destination"] == "/proc"


@pytest.mark.parametrize(
    "broken",
    [
        [],
        {},
        {"process": {"args": [1]}},
        {"process": {"user": {"uid": "0"}}},
        {"process": {}, "mounts": {}},
        {"process": {}, "linux": {"devices": [{"major": True}]}},
    ],
)
def test_broken_json_is_refused(broken: object) -> None:
    """A damaged record raises our own kind of error."""
    with pytest.raises(DataCorrupted):
        Spec.from_json(broken)


def test_mount_helpers() -> None:
    """A bind takes all mounts below its source along."""
    assert bind_mount("/s", "/d", read_only=True) == Mount(
        "/d", "bind", "/s", ("rbind", "ro", "rprivate")
    )


@pytest.mark.parametrize(
    ("sysctl", "shared", "message"),
    [
        ("kernel.panic", (), "is not in a separate kernel namespace"),
        ("vm.overcommit_memory", (), "is not in a separate kernel namespace"),
        ("net.core.somaxconn", ("network",), "not allowed in host network namespace"),
        ("kernel.shmmax", ("ipc",), "is not allowed in the hosts ipc namespace"),
        ("fs.mqueue.msg_max", ("ipc",), "is not allowed in the hosts ipc namespace"),
    ],
)
def test_sysctl_of_the_host(sysctl: str, shared: tuple[str, ...], message: str) -> None:
    """What would change the host is refused, whoever asks."""
    inputs = SpecInputs(("x",), User(), sysctl={sysctl: "1"}, host_namespaces=shared)
    with pytest.raises(InvalidSysctl, match=message):
        make_spec(inputs)


def test_namespaces_of_others() -> None:
    """One that is joined has a path; of the host's nothing is made, named or set."""
    inputs = SpecInputs(
        ("x",),
        User(),
        hostname="h",
        host_namespaces=("uts",),
        joined={"network": "/proc/7/ns/net"},
    )
    spec = make_spec(inputs)
    found = {namespace.type: namespace.path for namespace in spec.linux.namespaces}
    assert found["network"] == "/proc/7/ns/net"
    assert "uts" not in found
    assert spec.hostname == ""
    assert not [name for name in spec.linux.sysctl if name.startswith("net.")]
    assert "HOSTNAME=h" in spec.process.env


def test_unmasked() -> None:
    """All of /proc is shown, and /sys stays read-only."""
    spec = make_spec(SpecInputs(("x",), User(), unmasked=True))
    assert (spec.linux.masked_paths, spec.linux.readonly_paths) == ((), ())
    (sys,) = (mount for mount in spec.mounts if mount.destination == "/sys")
    assert "ro" in sys.options
