"""Which cgroups are found, and what is planned in them."""

from minidock.runtime.cgroup_plan import (
    DOCKER_DEVICES,
    DeviceRule,
    Hierarchy,
    Layout,
    Limits,
    Setting,
    parse_layout,
    plan,
)

V1_MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
37 31 0:34 / /sys/fs/cgroup/free\\040zer rw,relatime - cgroup cgroup rw,freezer
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
"""
V1_OWN = """\
5:devices:/
6:freezer:/user.slice
4:memory:/some/group
2:cpu,cpuacct:/
9:name=systemd:/user.slice/a:b
0::/
"""
V2_MOUNT = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"

DEVICES = Hierarchy("/dev", ("devices",))
FREEZER = Hierarchy("/frz", ("freezer",))
V1 = Layout(
    (
        Hierarchy("/cpu", ("cpu", "cpuacct")),
        Hierarchy("/mem", ("memory",)),
        Hierarchy("/pid", ("pids",)),
        Hierarchy("/set", ("cpuset",)),
        Hierarchy("/blk", ("blkio",)),
        DEVICES,
        FREEZER,
    )
)
V2 = Layout((), Hierarchy("/cg", ("cpu", "cpuset", "io", "memory", "pids")))


def settings(layout: Layout, limits: Limits, devices=()) -> dict[str, str]:
    groups = plan(layout, "c", limits, devices).groups
    return {f"{g.path}/{s.file}": s.value for g in groups for s in g.settings}


def test_version_1_is_found():
    """Directories are the mount and the process's own cgroup; escapes are undone."""
    layout = parse_layout(V1_MOUNTS, V1_OWN)
    assert {h.directory: h.controllers for h in layout.v1} == {
        "/sys/fs/cgroup/cpu,cpuacct": ("cpu", "cpuacct"),
        "/sys/fs/cgroup/memory/some/group": ("memory",),
        "/sys/fs/cgroup/devices": ("devices",),
        "/sys/fs/cgroup/free zer/user.slice": ("freezer",),
        "/sys/fs/cgroup/systemd/user.slice/a:b": ("name=systemd",),
    }
    assert layout.unified is None


def test_version_2_and_hybrid_are_found():
    """The unified hierarchy is the mount itself, beside those of version 1 if there are any."""
    only = parse_layout(V2_MOUNT, "0::/user.slice\n")
    assert only == Layout((), Hierarchy("/sys/fs/cgroup/unified", ()))
    hybrid = parse_layout(V1_MOUNTS + V2_MOUNT, V1_OWN)
    assert len(hybrid.v1) == 5
    assert hybrid.unified == only.unified


def test_inside_a_container():
    """A mount that shows a part of the tree is not searched for what is outside of it."""
    mounts = "36 31 0:33 /docker/abc /cg/devices rw - cgroup cgroup rw,devices\n"
    for own, directory in (
        ("/docker/abc", "/cg/devices"),
        ("/docker/abc/sub", "/cg/devices/sub"),
        ("/docker/abcdef", "/cg/devices"),
        ("/elsewhere", "/cg/devices"),
    ):
        assert parse_layout(mounts, f"5:devices:{own}\n").v1[0].directory == directory


def test_no_cgroups_at_all():
    """Nothing mounted means an empty layout and a plan that only warns."""
    layout = parse_layout("", V1_OWN)
    assert layout == Layout()
    limits = Limits(memory=1 << 20, pids=5, cpu_shares=2, cpuset_mems="0", io_weight=10)
    planned = plan(layout, "c", limits, DOCKER_DEVICES)
    assert planned.groups == ()
    assert len(planned.warnings) == 6
    assert plan(layout, "c", Limits(), ()).warnings == ()


def test_only_what_is_needed_is_joined():
    """By default that is the freezer and the device rules."""
    planned = plan(V1, "c", Limits(), DOCKER_DEVICES)
    assert sorted(g.path for g in planned.groups) == ["/dev/minidock/c", "/frz/minidock/c"]
    assert planned.warnings == ()
    limited = plan(V1, "c", Limits(memory=1, pids=1, cpu_quota=1), ())
    assert sorted(g.path for g in limited.groups) == [
        "/cpu/minidock/c",
        "/frz/minidock/c",
        "/mem/minidock/c",
        "/pid/minidock/c",
    ]


def test_device_rules_begin_with_nothing():
    """All is denied before the exceptions are made."""
    (group,) = [
        g for g in plan(V1, "c", Limits(), DOCKER_DEVICES).groups if "devices" in g.controllers
    ]
    assert group.settings[0] == Setting("devices.deny", "a")
    assert {setting.file for setting in group.settings[1:]} == {"devices.allow"}
    allowed = [setting.value for setting in group.settings[1:]]
    assert "c 1:3 rwm" in allowed
    assert "c 136:* rwm" in allowed
    assert "c *:* m" in allowed
    assert not any(rule.startswith("c 10:") for rule in allowed)  # fuse, tun
    assert str(DeviceRule("b", 8, 0, "r")) == "b 8:0 r"


def test_limits_of_version_1():
    """Swap counts with memory, and is as much again if nothing is said."""
    limits = Limits(
        memory=100,
        memory_reservation=60,
        swappiness=0,
        oom_kill_disable=True,
        pids=7,
        cpu_shares=512,
        cpu_quota=50_000,
        cpu_period=20_000,
        cpuset_cpus="0-2",
        cpuset_mems="0",
    )
    assert settings(V1, limits) == {
        "/mem/minidock/c/memory.limit_in_bytes": "100",
        "/mem/minidock/c/memory.memsw.limit_in_bytes": "200",
        "/mem/minidock/c/memory.soft_limit_in_bytes": "60",
        "/mem/minidock/c/memory.swappiness": "0",
        "/mem/minidock/c/memory.oom_control": "1",
        "/pid/minidock/c/pids.max": "7",
        "/cpu/minidock/c/cpu.shares": "512",
        "/cpu/minidock/c/cpu.cfs_period_us": "20000",
        "/cpu/minidock/c/cpu.cfs_quota_us": "50000",
        "/set/minidock/c/cpuset.cpus": "0-2",
        "/set/minidock/c/cpuset.mems": "0",
    }
    unlimited = settings(V1, Limits(memory=100, memory_swap=-1, pids=-1))
    assert unlimited["/mem/minidock/c/memory.memsw.limit_in_bytes"] == "-1"
    assert unlimited["/pid/minidock/c/pids.max"] == "max"
    assert plan(V1, "c", limits, ()).warnings == ()


def test_processors_of_version_1_are_never_none():
    """A new cpuset is empty, and nobody could join it."""
    (group,) = [
        g
        for g in plan(V1, "c", Limits(cpuset_cpus="1"), ()).groups
        if "cpuset" in g.controllers
    ]
    assert group.inherit == ("cpuset.cpus", "cpuset.mems")


def test_limits_of_version_2():
    """One directory; swap is counted alone, shares become a weight."""
    limits = Limits(
        memory=100,
        memory_reservation=60,
        pids=7,
        cpu_shares=1024,
        cpu_quota=50_000,
        cpuset_cpus="1",
    )
    assert settings(V2, limits) == {
        "/cg/minidock/c/memory.max": "100",
        "/cg/minidock/c/memory.swap.max": "100",
        "/cg/minidock/c/memory.low": "60",
        "/cg/minidock/c/pids.max": "7",
        "/cg/minidock/c/cpu.weight": "39",
        "/cg/minidock/c/cpu.max": "50000 100000",
        "/cg/minidock/c/cpuset.cpus": "1",
    }
    (group,) = plan(V2, "c", limits, ()).groups
    assert group.delegate == ("cpu", "cpuset", "memory", "pids")
    assert settings(V2, Limits(memory=100, memory_swap=-1))[
        "/cg/minidock/c/memory.swap.max"
    ] == ("max")
    for shares, weight in ((2, "1"), (262144, "10000"), (1, "1"), (10**9, "10000")):
        assert settings(V2, Limits(cpu_shares=shares))["/cg/minidock/c/cpu.weight"] == weight
    assert settings(V2, Limits(cpu_period=5000))["/cg/minidock/c/cpu.max"] == "max 5000"


def test_weight_at_the_disks():
    """Each version has a file of the BFQ scheduler and one of another; scales differ."""
    (_, group) = sorted(plan(V1, "c", Limits(io_weight=10), ()).groups, reverse=True)
    assert group.settings == (Setting("blkio.weight", "10", Setting("blkio.bfq.weight", "10")),)
    for given, weight in ((10, "1"), (1000, "10000"), (500, "4950")):
        (group,) = plan(V2, "c", Limits(io_weight=given), ()).groups
        fallback = Setting("io.weight", weight)
        assert group.settings == (Setting("io.bfq.weight", str(given), fallback),)
        assert group.delegate == ("io",)


def test_what_only_version_1_has():
    """Version 2 can't switch the killer off, and has no swappiness: a warning each."""
    limits = Limits(memory=100, swappiness=3, oom_kill_disable=True)
    assert len(plan(V2, "c", limits, ()).warnings) == 2
    assert len(plan(V1, "c", Limits(oom_kill_disable=True), ()).warnings) == 1  # no limit


def test_version_2_filters_devices():
    """The rules go to the group as they are; that and freezing need no controller."""
    planned = plan(V2, "c", Limits(), DOCKER_DEVICES)
    assert planned.warnings == ()
    (group,) = planned.groups
    assert group.delegate == ()
    assert group.controllers == ("freezer", "devices")
    assert group.devices == DOCKER_DEVICES


def test_hybrid_takes_each_controller_where_it_is():
    """Version 1 comes first, the rest is looked for in version 2."""
    layout = Layout((DEVICES, FREEZER), Hierarchy("/cg", ("pids",)))
    planned = plan(layout, "c", Limits(pids=3, memory=1), DOCKER_DEVICES)
    assert [g.path for g in planned.groups] == [
        "/dev/minidock/c",
        "/frz/minidock/c",
        "/cg/minidock/c",
    ]
    assert planned.groups[2].settings == (Setting("pids.max", "3"),)
    assert planned.groups[2].devices == ()
    (warning,) = planned.warnings
    assert "memory limit" in warning
