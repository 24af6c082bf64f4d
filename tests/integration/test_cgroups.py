"""Cgroups of this machine: rules hold, freezing stops, nothing stays behind."""

import errno
import os
import signal
import stat
import time

import pytest

from minidock.linux.bpf import load_device_program
from minidock.runtime import cgroups
from minidock.runtime.cgroup_plan import (
    DOCKER_DEVICES,
    CgroupPlan,
    DeviceRule,
    Group,
    Hierarchy,
    Layout,
    Limits,
    Setting,
    discover,
    plan,
)
from minidock.runtime.device_filter import compile_rules

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="cgroups belong to root"),
]

LAYOUT = discover()
V1 = {name for h in LAYOUT.v1 for name in h.controllers}
V2 = set(LAYOUT.unified.controllers if LAYOUT.unified else ())


def needs(controller: str, there=V1 | V2):
    return pytest.mark.skipif(controller not in there, reason=f"no such {controller} cgroup")


def can_filter() -> bool:
    """Tell whether device programs can be loaded and there is a cgroup for them."""
    try:
        os.close(load_device_program(compile_rules(())))
    except OSError:
        return False
    return LAYOUT.unified is not None


needs_filter = pytest.mark.skipif(
    os.geteuid() != 0 or not can_filter(), reason="no bpf(2), or no cgroup version 2"
)


@pytest.fixture
def make():
    """Create cgroups that are removed after the test."""
    made = []

    def create(limits=Limits(), devices=(), layout=LAYOUT, name=""):  # noqa: B008
        name = f"test-{os.getpid()}-{name or len(made)}"
        made.append(cgroups.create(plan(layout, name, limits, devices)))
        return made[-1]

    yield create
    for cgroup in made:
        cgroups.remove(cgroup.paths)
        assert not any(map(os.path.exists, cgroup.paths))


def inside(cgroup: cgroups.Cgroup, probe) -> int:
    """Return what `probe` returns in a child that has joined the cgroup."""
    pid = os.fork()
    if pid == 0:
        try:
            cgroups.join(cgroup.paths, 0)
            os._exit(probe())
        finally:
            os._exit(255)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def sleeper(cgroup: cgroups.Cgroup) -> int:
    pid = os.fork()
    if pid == 0:
        os.execv("/bin/sleep", ["sleep", "60"])
    cgroups.join(cgroup.paths, pid)
    return pid


def opening(path, flags=os.O_RDONLY) -> int:
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK))
    except OSError as e:
        return e.errno or 255
    return 0


@pytest.mark.skipif(
    "devices" not in V1 and not can_filter(), reason="no devices cgroup, no filter"
)
def test_devices(make, tmp_path):
    """Any node can be made, but only docker's list can be opened."""
    cgroup = make(devices=DOCKER_DEVICES)
    assert cgroup.devices_enforced
    assert cgroup.warnings == ()

    def node(kind: int, major: int, minor: int):
        path = tmp_path / f"{kind}-{major}-{minor}"
        os.mknod(path, kind | 0o600, os.makedev(major, minor))
        return path

    def probe() -> int:
        assert opening("/dev/null", os.O_RDWR) == 0
        assert opening("/dev/zero") == 0
        assert opening("/dev/urandom") == 0
        assert opening(node(stat.S_IFBLK, 8, 0)) == errno.EPERM
        assert opening(node(stat.S_IFCHR, 1, 11)) == errno.EPERM  # kmsg
        assert opening(node(stat.S_IFCHR, 10, 200)) == errno.EPERM  # tun
        assert opening(node(stat.S_IFCHR, 10, 229)) == errno.EPERM  # fuse
        assert opening(node(stat.S_IFCHR, 1, 1)) == errno.EPERM  # mem
        return 0

    assert inside(cgroup, probe) == 0
    assert opening(tmp_path / f"{stat.S_IFCHR}-1-11") == 0  # the rule was it


@needs_filter
def test_devices_of_version_2(make, tmp_path):
    """A filter of the kernel holds docker's list, and a rule of the user's."""
    devices = (*DOCKER_DEVICES, DeviceRule("c", 1, 11, "r"))
    cgroup = make(devices=devices, layout=Layout((), LAYOUT.unified))
    assert cgroup.devices_enforced
    assert cgroup.warnings == ()

    def probe() -> int:
        assert opening("/dev/null", os.O_RDWR) == 0
        assert opening("/dev/ptmx", os.O_RDWR) == 0
        assert opening("/dev/kmsg") == 0
        assert opening("/dev/kmsg", os.O_WRONLY) == errno.EPERM
        path = tmp_path / "disk"
        os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(8, 0))
        assert opening(path) == errno.EPERM
        return 0

    assert inside(cgroup, probe) == 0


def test_where_no_filter_can_be_attached(tmp_path):
    """The rules are known not to hold, and a warning says so."""
    layout = Layout((), Hierarchy(str(tmp_path), ()))
    cgroup = cgroups.create(plan(layout, "x", Limits(), DOCKER_DEVICES))
    assert not cgroup.devices_enforced
    (warning,) = cgroup.warnings
    assert warning.startswith("device rules are not enforced: cgroup ")


@needs("cpuset")
def test_processors(make):
    """Only those that were chosen are used; memory nodes are the parent's if not chosen."""
    cgroup = make(Limits(cpuset_cpus="0"))
    assert cgroup.warnings == ()
    assert inside(cgroup, lambda: len(os.sched_getaffinity(0))) == 1


@needs("memory", V1)
def test_memory_limit_goes_up_and_down(make):
    """The kernel wants memory to be at most memory and swap at any moment."""
    for megabytes in (16, 64, 16):
        cgroup = make(Limits(memory=megabytes << 20), name="again")
        assert cgroup.warnings == ()
        (path,) = [p for p in cgroup.paths if os.path.exists(f"{p}/memory.limit_in_bytes")]
        with open(f"{path}/memory.memsw.limit_in_bytes") as stream:
            assert int(stream.read()) == megabytes << 21


def test_kernel_without_a_file(tmp_path):
    """A second name is tried; what has none becomes one warning, docker's where it has one."""
    group = Group(
        f"{tmp_path}/minidock/x",
        ("memory", "blkio"),
        (
            Setting("memory.memsw.limit_in_bytes", "1"),
            Setting("blkio.weight", "5", Setting("blkio.bfq.weight", "7")),
        ),
    )
    os.makedirs(group.path)
    with open(f"{group.path}/blkio.bfq.weight", "w"):
        pass
    (warning,) = cgroups.create(CgroupPlan((group,))).warnings
    assert "Memory limited without swap" in warning
    with open(f"{group.path}/blkio.bfq.weight") as file:
        assert file.read() == "7"


@needs("devices", V1)
def test_one_more_device(make):
    """A rule of the user's opens one device, as far as it says."""
    cgroup = make(devices=(*DOCKER_DEVICES, DeviceRule("c", 1, 11, "r")))
    assert inside(cgroup, lambda: opening("/dev/kmsg")) == 0
    assert inside(cgroup, lambda: opening("/dev/kmsg", os.O_WRONLY)) == errno.EPERM


@needs("pids")
def test_pids_limit(make):
    """The fourth process is refused."""

    def probe() -> int:
        for count in range(10):
            try:
                if os.fork() == 0:
                    time.sleep(30)
            except BlockingIOError:  # EAGAIN
                return count
        return 255

    cgroup = make(Limits(pids=4))
    assert inside(cgroup, probe) == 3
    cgroups.remove(cgroup.paths)  # with its children alive


@needs("memory")
def test_memory_limit(make):
    """Who takes more is killed."""
    cgroup = make(Limits(memory=32 << 20))
    assert inside(cgroup, lambda: len(bytearray(4 << 20)) >> 22) == 1
    assert inside(cgroup, lambda: len(b"x" * (64 << 20)) and 0) == -signal.SIGKILL


@needs("cpu", V1)
def test_cpu_limits_are_written(make):
    """The kernel shows the values back."""
    cgroup = make(Limits(cpu_shares=512, cpu_quota=20_000, cpu_period=50_000))
    assert cgroup.warnings == ()
    (path,) = [p for p in cgroup.paths if os.path.exists(f"{p}/cpu.shares")]
    shown = {}
    for file in ("cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us"):
        with open(f"{path}/{file}") as stream:
            shown[file] = int(stream.read())
    assert list(shown.values()) == [512, 20_000, 50_000]


@needs("memory", V2)
def test_version_2_keeps_what_is_written(make):
    """One directory has all of it; the kernel shows the values back."""
    limits = Limits(
        memory=64 << 20,
        memory_reservation=32 << 20,
        pids=9,
        cpu_shares=512,
        cpu_quota=20_000,
        cpu_period=50_000,
        cpuset_cpus="0",
    )
    cgroup = make(limits, layout=Layout((), LAYOUT.unified))
    assert cgroup.warnings == ()
    (path,) = cgroup.paths
    shown = {}
    for file in (
        "memory.max",
        "memory.low",
        "pids.max",
        "cpu.weight",
        "cpu.max",
        "cpuset.cpus",
    ):
        with open(f"{path}/{file}") as stream:
            shown[file] = stream.read().strip()
    assert shown == {
        "memory.max": str(64 << 20),
        "memory.low": str(32 << 20),
        "pids.max": "9",
        "cpu.weight": "20",
        "cpu.max": "20000 50000",
        "cpuset.cpus": "0",
    }


def test_freeze_and_thaw(make):
    """A frozen process makes no progress and ignores even SIGKILL until it is thawed."""
    cgroup = make()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        while True:
            os.write(write, b".")
            time.sleep(0.001)
    try:
        os.set_blocking(read, False)
        cgroups.join(cgroup.paths, pid)
        cgroups.freeze(cgroup.paths)
        try:
            os.read(read, 65536)
        except BlockingIOError:
            pass
        time.sleep(0.05)
        with pytest.raises(BlockingIOError):
            os.read(read, 1)
        cgroups.thaw(cgroup.paths)
        os.set_blocking(read, True)
        assert os.read(read, 1) == b"."
    finally:
        os.close(read)
        os.close(write)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_remove_kills_what_is_left(make):
    """Running, stopped and frozen processes and those in cgroups below all go."""
    cgroup = make(devices=DOCKER_DEVICES)
    pids = [sleeper(cgroup) for _ in range(3)]
    os.kill(pids[0], signal.SIGSTOP)
    for path in cgroup.paths:
        os.makedirs(f"{path}/a/b/c")
        with open(f"{path}/a/b/cgroup.procs", "w") as procs:
            procs.write(str(pids[1]))
    cgroups.freeze(cgroup.paths)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped as they die
    try:
        cgroups.remove(cgroup.paths)
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for pid in pids:
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, 0)
    assert not any(map(os.path.exists, cgroup.paths))


def test_remove_twice(make):
    """What is gone is no error."""
    cgroup = make()
    cgroups.remove(cgroup.paths)
    cgroups.remove(cgroup.paths)
    cgroups.remove(("/sys/fs/cgroup/no/such",))


def test_create_twice(make):
    """A directory that a crash left is used again."""
    planned = plan(LAYOUT, f"test-{os.getpid()}-again", Limits(), DOCKER_DEVICES)
    first = cgroups.create(planned)
    try:
        assert cgroups.create(planned) == first
    finally:
        cgroups.remove(first.paths)


def test_nothing_stays_behind():
    """With the last container minidock's own directory goes."""
    name = f"test-{os.getpid()}-last"
    paths = cgroups.create(plan(LAYOUT, name, Limits(), DOCKER_DEVICES)).paths
    cgroups.remove(paths)
    for path in paths:
        parent = os.path.dirname(path)
        assert not os.path.exists(parent) or os.listdir(parent)


def test_where_nothing_can_be_written(tmp_path):
    """Every failure is a warning; the device rules are known not to hold."""
    read_only = Group("/proc/minidock/x", ("devices",), (Setting("devices.deny", "a"),))
    no_files = Group(f"{tmp_path}/minidock/x", ("pids",), (Setting("pids.max", "3"),))
    cgroup = cgroups.create(CgroupPlan((read_only, no_files), ("said before",)))
    assert cgroup.paths == (f"{tmp_path}/minidock/x",)
    assert not cgroup.devices_enforced
    assert len(cgroup.warnings) == 3
    assert cgroup.warnings[0] == "said before"
    assert "device rules are not enforced" in cgroup.warnings[1]
    assert "pids.max" in cgroup.warnings[2]


def test_join_is_all_or_an_error(make, tmp_path):
    """A container must not start outside of the cgroup that was made for it."""
    cgroup = make()
    pid = sleeper(cgroup)
    try:
        with pytest.raises(cgroups.CgroupFailure, match="join cgroup"):
            cgroups.join((*cgroup.paths, str(tmp_path)), pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_no_freezer():
    """Without cgroups a container can't be paused, and the error says why."""
    with pytest.raises(cgroups.FreezerMissing):
        cgroups.freeze(())
