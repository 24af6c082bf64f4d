"""Containers seen from inside, and images that attack their engine."""

import contextlib
import gc
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from minidock.errors import CommandNotExecutable, CommandNotFound, SystemFailure
from minidock.fs.rooted import NotRegular, RootedDir
from minidock.linux import capabilities, mounts, namespaces
from minidock.oci.runtime import LinuxDevice, Rlimit
from minidock.rootfs import overlay
from minidock.runtime import users
from minidock.runtime.devices import host_devices
from minidock.runtime.enter import EnterProcess, NotRunning, Target, enter
from minidock.runtime.launch import Bundle, Launched, MissingSource, Stdio, launch
from minidock.runtime.spec import SpecInputs, bind_mount, make_spec, tmpfs_mount
from minidock.runtime.users import User

BUSYBOX = "/bin/busybox"
DEFAULT = capabilities.names(capabilities.DOCKER_DEFAULT)

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not os.path.exists(BUSYBOX), reason="needs a static busybox"),
]


class Result(NamedTuple):
    status: int
    out: str
    err: str


def with_pipes(start: Callable[[Stdio], Launched]) -> tuple[Launched, tuple[int, int]]:
    """Return what `start` returns, and where to read its output and its errors."""
    out, err, null = os.pipe(), os.pipe(), os.open("/dev/null", os.O_RDWR)
    try:
        return start(Stdio(null, out[1], err[1])), (out[0], err[0])
    except BaseException:
        os.close(out[0])
        os.close(err[0])
        raise
    finally:
        for fd in (null, out[1], err[1]):
            os.close(fd)


def finish(launched: Launched, outs: tuple[int, int]) -> Result:
    """Start the process, read all it writes, wait for it."""
    try:
        launched.start()
    except BaseException:
        launched.close()
        for fd in outs:
            os.close(fd)
        raise
    return read_all(launched, outs)


def read_all(launched: Launched, outs: tuple[int, int]) -> Result:
    try:
        texts = [b"".join(iter(lambda fd=fd: os.read(fd, 65536), b"")) for fd in outs]
        return Result(launched.wait(), *(text.decode() for text in texts))
    finally:
        launched.close()
        for fd in outs:
            os.close(fd)


def read_terminal(master: int) -> str:
    """Return all that comes until the other side is closed."""
    text = b""
    with contextlib.suppress(OSError):  # EIO is the end
        while part := os.read(master, 4096):
            text += part
    return text.decode()


class Box:
    """A container's directories: an image of busybox and whatever a test adds to it."""

    def __init__(self, base: str, directory: Path) -> None:
        self.base = base
        self.directory = directory
        self.image = directory / "image"
        for name in ("image", "upper", "work", "mountpoint"):
            (directory / name).mkdir()
        self.upper = directory / "upper"

    def bundle(
        self, *args: str, seccomp: bytes = b"", cgroup: tuple[str, ...] = (), **inputs: object
    ) -> Bundle:
        values = SpecInputs(args, User(), hostname="box", capabilities=DEFAULT)
        layers = (str(self.image), self.base)
        plan = overlay.plan(layers, str(self.upper), str(self.directory / "work"))
        return Bundle(
            "box",
            make_spec(values._replace(**inputs)),
            overlay.mount(plan),
            str(self.directory / "mountpoint"),
            seccomp,
            cgroup,
        )

    def launch(self, *args: str, **inputs: object) -> tuple[Launched, tuple[int, int]]:
        bundle = self.bundle(*args, **inputs)
        try:
            return with_pipes(lambda stdio: launch(bundle, stdio))
        finally:
            os.close(bundle.root)

    def run(self, *args: str, **inputs: object) -> Result:
        return finish(*self.launch(*args, **inputs))

    def sh(self, script: str, **inputs: object) -> list[str]:
        """Run a script that must succeed; return its lines."""
        result = self.run("sh", "-ec", script, **inputs)
        assert result.status == 0, result
        return result.out.splitlines()

    def enter(self, launched: Launched, process: EnterProcess) -> Result:
        target = Target(launched.pid, launched.start_time)
        return finish(*with_pipes(lambda stdio: enter(target, process, stdio)))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A layer with busybox, its commands, and two users."""
    layer = tmp_path_factory.mktemp("base")
    for name in ("bin", "etc", "tmp", "root"):
        (layer / name).mkdir()
    (layer / "root").chmod(0o700)
    shutil.copy(BUSYBOX, layer / "bin/busybox")
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True)
    for name in set(applets.stdout.split()) - {"busybox"}:
        (layer / "bin" / name).symlink_to("busybox")
    (layer / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nu:x:1000:1000::/h:/bin/sh\n")
    (layer / "etc/group").write_text("root:x:0:\nu:x:1000:\nextra:x:2000:u\n")
    return str(layer)


@pytest.fixture(autouse=True, scope="module")
def _quiet_mounts() -> Iterator[None]:
    """A copy of the host's mounts that other programs don't change meanwhile."""
    if os.geteuid():
        pytest.skip("needs root")
    cwd, host = os.getcwd(), os.open("/proc/self/ns/mnt", os.O_RDONLY)
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mounts.make_private()
    yield
    namespaces.setns(host, namespaces.CLONE_NEWNS)
    os.chdir(cwd)
    os.close(host)


@pytest.fixture
def box(base: str, tmp_path: Path) -> Iterator[Box]:
    """A container; the host has the same mounts, descriptors and children after it."""
    before = Path("/proc/self/mountinfo").read_text()
    gc.collect()  # what earlier tests left to it
    descriptors = set(os.listdir("/proc/self/fd"))
    namespace = os.readlink("/proc/self/ns/pid_for_children")
    yield Box(base, tmp_path)
    assert Path("/proc/self/mountinfo").read_text() == before
    assert set(os.listdir("/proc/self/fd")) == descriptors
    assert os.readlink("/proc/self/ns/pid_for_children") == namespace
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.fixture
def sleeper(box: Box) -> Iterator[Launched]:
    """A running container."""
    launched, outs = box.launch("sleep", "1000")
    launched.start()
    yield launched
    launched.kill()
    launched.wait()
    launched.close()
    for fd in outs:
        os.close(fd)


def canary(directory: Path) -> dict[str, object]:
    """Return all that could be seen to change in a directory."""
    found: dict[str, object] = {}
    for path in (directory, *sorted(directory.rglob("*"))):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (
            *(status.st_mode, status.st_uid, status.st_nlink, status.st_mtime_ns, content),
        )
    return found


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory of the host that must not change."""
    directory = tmp_path_factory.mktemp("canary")
    (directory / "secret").write_text("SECRET")
    (directory / "null").write_text("")
    before = canary(directory)
    yield directory
    assert canary(directory) == before


class TestIsolation:
    def test_every_namespace_is_its_own(self, box: Box) -> None:
        """None of the seven is shared with the host, and the process is number one."""
        kinds = ("mnt", "uts", "ipc", "net", "pid", "cgroup")
        names = " ".join(f"/proc/self/ns/{kind}" for kind in kinds)
        *links, pid = box.sh(f"for n in {names}; do readlink $n; done; echo $$")
        assert pid == "1"
        assert not set(links) & {os.readlink(f"/proc/self/ns/{kind}") for kind in kinds}

    def test_capabilities_are_dockers(self, box: Box) -> None:
        """Fourteen, none inheritable or ambient (CVE-2022-24769); signals as after boot."""
        lines = box.run("cat", "/proc/self/status").out.splitlines()
        status = dict(line.split(":\t") for line in lines)
        assert status["CapEff"] == status["CapPrm"] == status["CapBnd"] == "00000000a80425fb"
        assert status["CapInh"] == status["CapAmb"] == "0000000000000000"
        assert status["SigIgn"] == status["SigBlk"] == "0000000000000000"
        assert status["NoNewPrivs"] == "0"

    def test_user_without_root_has_no_capabilities(self, box: Box) -> None:
        """The sets are empty but for the bounding set."""
        inputs = {"user": User(1000, 1000, (1000, 2000), "/h", "u")}
        lines = box.sh("id -u; id -G; grep Cap /proc/self/status; echo $HOME", **inputs)
        assert lines[:2] == ["1000", "1000 2000"]
        assert lines[2:-1] == [
            "CapInh:\t0000000000000000",
            "CapPrm:\t0000000000000000",
            "CapEff:\t0000000000000000",
            "CapBnd:\t00000000a80425fb",
            "CapAmb:\t0000000000000000",
        ]
        assert lines[-1] == "/h"

    def test_user_can_open_its_pipes(self, box: Box) -> None:
        """/dev/stdout works for an ordinary user."""
        assert box.sh("echo out > /dev/stdout", user=User(1000, 1000)) == ["out"]

    def test_nothing_else_is_open(self, box: Box) -> None:
        """Descriptors 0, 1 and 2, and the one of ls (CVE-2024-21626)."""
        assert box.sh("ls /proc/self/fd") == ["0", "1", "2", "3"]

    def test_environment_names_and_umask(self, box: Box) -> None:
        """Host name, environment, umask and working directory are the container's."""
        lines = box.sh("hostname; umask; pwd; env", cwd="/made/here", env=("A=1",))
        assert lines[:3] == ["box", "0022", "/made/here"]
        assert {"A=1", "HOSTNAME=box", "HOME=/"} <= set(lines)
        made = box.upper / "made/here"
        assert (made.stat().st_uid, made.stat().st_mode & 0o7777) == (0, 0o755)

    def test_mounts_are_dockers(self, box: Box) -> None:
        """Nothing of the host's tree is left; /sys and the control groups are read-only."""
        rows = [line.split() for line in box.sh("cat /proc/mounts")]
        seen = {row[1]: (row[2], row[3].split(",")) for row in rows}
        assert seen["/"][0] == "overlay"
        for place, fstype, options in (
            ("/proc", "proc", {"rw", "nosuid", "nodev", "noexec"}),
            ("/dev", "tmpfs", {"nosuid", "mode=755", "size=65536k"}),
            ("/dev/pts", "devpts", {"gid=5", "mode=620", "ptmxmode=666", "noexec"}),
            ("/dev/shm", "tmpfs", {"size=65536k", "nosuid", "nodev", "noexec"}),
            ("/dev/mqueue", "mqueue", {"nosuid", "nodev", "noexec"}),
            ("/sys", "sysfs", {"ro", "nosuid", "nodev", "noexec"}),
            ("/proc/sys", "proc", {"ro"}),
        ):
            assert seen[place][0] == fstype
            assert options <= set(seen[place][1])
        assert all("ro" in seen[m][1] for m in seen if m.startswith("/sys"))
        assert {m.split("/")[1] for m in seen} == {"", "proc", "dev", "sys"}

    def test_devices(self, box: Box) -> None:
        """The usual devices and links, and those asked for."""
        extra = LinuxDevice("/dev/sub/zero", "c", 1, 5, 0o640, 7, 8)
        lines = box.sh(
            "ls /dev; stat -c '%a %u:%g %t,%T' /dev/null /dev/sub/zero; readlink /dev/ptmx;"
            "head -c 3 /dev/zero | wc -c; echo x > /dev/null",
            devices=(extra,),
        )
        assert " ".join(lines[:15]) == (
            "fd full mqueue null ptmx pts random shm stderr stdin stdout sub tty urandom zero"
        )
        assert lines[15:] == ["666 0:0 1,3", "640 7:8 1,5", "pts/ptmx", "3"]

    def test_privileged(self, box: Box) -> None:
        """All the host's devices and capabilities, /sys for writing, nothing hidden."""
        every = capabilities.bounding()
        lines = box.sh(
            "grep CapEff /proc/self/status; grep -c -E '/sys.* ro,' /proc/mounts || true;"
            "test ! -c /proc/keys; for d in $DEVICES; do ls $d; done",
            privileged=True,
            capabilities=capabilities.names(every),
            devices=host_devices(),
            env=("DEVICES=" + " ".join(device.path for device in host_devices()),),
        )
        assert lines[:2] == [f"CapEff:\t{every:016x}", "0"]
        assert lines[2:] == [device.path for device in host_devices()]

    def test_mounts_of_the_host_appear_in_a_slave(self, box: Box, tmp_path: Path) -> None:
        """With rslave what is mounted later below the source is seen, with rprivate not."""
        source = tmp_path / "source"
        (source / "sub").mkdir(parents=True)
        shared = mounts.open_filesystem("tmpfs")
        os.mkdir("sub", dir_fd=shared)
        mounts.set_attributes(shared, 0, propagation=mounts.MS_SHARED)
        place = os.open(source, os.O_PATH)
        mounts.attach(shared, place)
        binds = (
            bind_mount(str(source), "/slave", propagation="rslave"),
            bind_mount(str(source), "/private"),
        )
        script = "while ! test -e /private/go; do sleep 0.01; done; grep late /proc/mounts"
        launched, outs = box.launch("sh", "-c", script, mounts=binds)
        launched.start()
        late = mounts.open_filesystem("tmpfs", (("source", "late"),))
        sub = os.open(source / "sub", os.O_PATH)
        mounts.attach(late, sub)
        for fd in (late, sub, place, shared):
            os.close(fd)
        (source / "go").write_text("")
        out = read_all(launched, outs).out
        mounts.detach(str(source))
        assert out.split()[:2] == ["late", "/slave/sub"]
        assert out.count("late") == 1

    def test_masked_paths_are_empty(self, box: Box) -> None:
        """Files read as nothing, directories as empty, and can't be changed."""
        lines = box.sh(
            "for p in keys timer_list interrupts; do wc -c < /proc/$p; done;"
            "ls /proc/acpi /sys/firmware | grep -v : | grep . | wc -l;"
            "chmod 777 /proc/keys 2>&1 || true; stat -c %a /dev/null"
        )
        assert lines[:4] == ["0", "0", "0", "0"]
        assert "Read-only" in lines[4]
        assert lines[5] == "666"
        assert os.stat("/dev/null").st_mode & 0o777 == 0o666

    @pytest.mark.parametrize(
        "path",
        ["/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper"],
    )
    def test_kernel_settings_are_read_only(self, box: Box, path: str) -> None:
        """No write to what concerns the host."""
        result = box.run("sh", "-c", f"echo x > {path}")
        assert result.status != 0
        assert "Read-only" in result.err or "nonexistent" in result.err

    def test_sysctls_of_the_network_are_set(self, box: Box) -> None:
        """Pings and low ports are for every user."""
        assert box.sh("cd /proc/sys/net/ipv4; cat ping_group_range") == ["0\t2147483647"]

    def test_loopback_is_up(self, box: Box) -> None:
        """Also where nobody attaches a network."""
        assert box.sh("cat /sys/class/net/lo/flags") == ["0x9"]

    def test_read_only_root(self, box: Box) -> None:
        """Nothing can be written but to mounts; mount points are still made."""
        lines = box.sh(
            "touch /x 2>&1 || true; touch /dev/shm/y /new/z",
            read_only=True,
            mounts=(tmpfs_mount("/new"),),
        )
        assert "Read-only file system" in lines[0]

    def test_no_new_privileges(self, box: Box) -> None:
        """Set when asked for."""
        lines = box.sh("grep NoNewPrivs /proc/self/status", no_new_privileges=True)
        assert lines == ["NoNewPrivs:\t1"]

    def test_limit_above_the_hosts_is_a_warning(self, box: Box) -> None:
        """Limits that can't be raised are clamped, others hold."""
        limits = (Rlimit("RLIMIT_NOFILE", 64, 128), Rlimit("RLIMIT_CORE", 0, 0))
        assert box.sh("ulimit -n; ulimit -Hn; ulimit -c", rlimits=limits) == ["64", "128", "0"]
        if capabilities.bounding() & capabilities.mask(["CAP_SYS_RESOURCE"]):
            return
        launched, outs = box.launch(
            "true", rlimits=(Rlimit("RLIMIT_NOFILE", 1 << 40, 1 << 40),)
        )
        assert finish(launched, outs).status == 0
        assert launched.warnings == (
            "RLIMIT_NOFILE is lowered to the limit that minidock was started with",
        )

    def test_oom_score(self, box: Box) -> None:
        """Set for the container's first process."""
        assert box.sh("cat /proc/1/oom_score_adj", oom_score_adj=500) == ["500"]

    def test_host_network_is_shared_when_asked(self, box: Box) -> None:
        """Without its own namespace the container has the host's."""
        lines = box.sh("readlink /proc/self/ns/net", host_namespaces=("network",))
        assert lines == [os.readlink("/proc/self/ns/net")]


class TestLifecycle:
    @pytest.mark.parametrize(
        ("script", "status"), [("exit 0", 0), ("exit 7", 7), ("exit 255", 255)]
    )
    def test_exit_status(self, box: Box, script: str, status: int) -> None:
        """The program's own."""
        assert box.run("sh", "-c", script).status == status

    def test_killed_by_a_signal(self, box: Box) -> None:
        """128 plus the number, as docker says it."""
        launched, outs = box.launch("sleep", "1000")
        launched.start()
        launched.kill()
        assert launched.wait() == 128 + signal.SIGKILL
        launched.kill()  # once more is harmless
        launched.close()
        for fd in outs:
            os.close(fd)

    def test_failure_before_the_start(self, box: Box) -> None:
        """A process that has failed while it was to wait says why; one that waits is killed."""
        launched, outs = box.launch("nope")
        select.select([launched.pidfd], [], [])
        assert isinstance(launched.failure(), CommandNotFound)
        waiting, more = box.launch("sleep", "1000")
        assert waiting.failure() is None
        assert waiting.wait() == 128 + signal.SIGKILL
        for each in (launched, waiting):
            each.wait()
            each.close()
        for fd in (*outs, *more):
            os.close(fd)

    @pytest.mark.parametrize(
        ("command", "kind", "message"),
        [
            ("nope", CommandNotFound, 'exec: "nope": executable file not found in $PATH'),
            ("/x", CommandNotFound, 'exec: "/x": stat /x: no such file or directory'),
            ("/etc/passwd", CommandNotExecutable, 'exec: "/etc/passwd": permission denied'),
            ("/etc", CommandNotExecutable, 'exec: "/etc": is a directory'),
            ("/garbage", CommandNotExecutable, "exec /garbage: exec format error"),
            ("/noloader", CommandNotFound, "exec /noloader: no such file or directory"),
        ],
    )
    def test_command_that_can_not_run(
        self, box: Box, command: str, kind: type[Exception], message: str
    ) -> None:
        """Docker's texts; the child is gone afterwards."""
        for name, text in (("garbage", b"\x00\x01"), ("noloader", b"#!/no/such\n")):
            (box.image / name).write_bytes(text)
            (box.image / name).chmod(0o755)
        launched, outs = box.launch(command)
        with pytest.raises(kind) as caught:
            finish(launched, outs)
        assert str(caught.value) == message

    def test_command_on_a_volume_is_found(self, box: Box, tmp_path: Path) -> None:
        """Commands are looked up when the mounts are there."""
        script = tmp_path / "tools/hello"
        script.parent.mkdir()
        script.write_text("#!/bin/sh\necho hello ${1:-nobody}\n")
        script.chmod(0o755)
        bind = bind_mount(str(script.parent), "/tools", read_only=True)
        assert box.run("/tools/hello", "you", mounts=(bind,)).out == "hello you\n"
        found = box.run("hello", mounts=(bind,), env=("PATH=/bin:/tools",))
        assert found.out == "hello nobody\n"

    def test_container_that_is_not_started_goes_away(self, box: Box) -> None:
        """Closing the handle ends the waiting process."""
        launched, outs = box.launch("true")
        launched.close()
        assert launched.wait() == 125
        for fd in outs:
            os.close(fd)

    def test_init_killed_at_the_gate_is_an_error(self, box: Box) -> None:
        """A child that dies without a word is not a start."""
        launched, outs = box.launch("true")
        launched.kill()
        with pytest.raises(SystemFailure, match="exit status 137"):
            finish(launched, outs)

    def test_control_groups_are_joined(self, box: Box, tmp_path: Path) -> None:
        """The process writes itself into each file; a missing one is an error."""
        files = [tmp_path / "a", tmp_path / "b"]
        for file in files:
            file.write_text("")
        assert box.run("true", cgroup=tuple(map(str, files))).status == 0
        assert [file.read_text() for file in files] == ["0", "0"]

    def test_missing_control_group_is_an_error(self, box: Box) -> None:
        """The stage is named."""
        with pytest.raises(SystemFailure, match="join the control group: no such file"):
            box.run("true", cgroup=("/no/such/cgroup.procs",))

    def test_terminal(self, box: Box) -> None:
        """The console is a terminal of the container's own, and the controlling one."""
        script = "tty; stat -c %t /dev/console; echo here > /dev/tty; ls /dev/pts; test -t 0"
        bundle = box.bundle("sh", "-c", script, terminal=True)
        launched = launch(bundle, None)
        os.close(bundle.root)
        launched.start()
        text = read_terminal(launched.console)
        assert launched.wait() == 0
        assert text.split() == ["/dev/pts/0", "88", "here", "0", "ptmx"]
        os.close(launched.console)
        launched.close()

    def test_seccomp_filter_is_loaded(self, box: Box) -> None:
        """A filter holds with and without no_new_privs, for ordinary users too."""
        for no_new_privileges in (False, True):
            for user in (User(), User(1000, 1000)):
                result = box.run(
                    *("rmdir", "/missing"),
                    user=user,
                    no_new_privileges=no_new_privileges,
                    seccomp=_refuse_rmdir(),
                )
                assert result.status == 1
                assert "Operation not permitted" in result.err


def _refuse_rmdir() -> bytes:
    """Return a filter: rmdir(2) or unlinkat(2) fails with EPERM, all else passes."""
    number = {"x86_64": 84, "aarch64": 35}[os.uname().machine]
    words = (
        (0x20, 0, 0, 0),  # load the number
        (0x15, 0, 1, number),
        (0x06, 0, 0, 0x00050001),  # SECCOMP_RET_ERRNO, EPERM
        (0x06, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
    )
    return b"".join(
        code.to_bytes(2, "little") + bytes((yes, no)) + value.to_bytes(4, "little")
        for code, yes, no, value in words
    )


class TestMounts:
    def test_bind_mounts(self, box: Box, tmp_path: Path) -> None:
        """Files and directories, read-only or not; missing places are made."""
        source = tmp_path / "source"
        source.mkdir()
        (source / "file").write_text("text\n")
        lines = box.sh(
            "cat /etc/hosts /a/b/file; touch /a/b/new; touch /ro/x 2>&1 || true",
            mounts=(
                bind_mount(f"{source}/file", "/etc/hosts"),
                bind_mount(str(source), "/a/b"),
                bind_mount(str(source), "/ro", read_only=True),
            ),
        )
        assert lines[:2] == ["text", "text"]
        assert "Read-only" in lines[2]
        assert (source / "new").exists()
        assert not (source / "x").exists()

    def test_missing_source_is_named(self, box: Box) -> None:
        """With docker's text."""
        with pytest.raises(MissingSource, match="bind source path does not exist: /no/such"):
            box.run("true", mounts=(bind_mount("/no/such", "/x"),))

    def test_tmpfs(self, box: Box) -> None:
        """Size and mode are taken; programs on it don't run."""
        mount = tmpfs_mount("/scratch", ("size=1m", "mode=1777"))
        lines = box.sh("stat -c %a /scratch; grep scratch /proc/mounts", mounts=(mount,))
        assert lines[0] == "1777"
        assert {"size=1024k", "noexec", "nosuid", "nodev"} <= set(
            lines[1].split()[3].split(",")
        )

    def test_mount_point_is_left_empty(self, box: Box) -> None:
        """The root is attached in the container's own tree only."""
        launched, outs = box.launch("sleep", "1000")
        launched.start()
        assert list((box.directory / "mountpoint").iterdir()) == []
        assert str(box.directory) not in Path("/proc/self/mountinfo").read_text()
        launched.kill()
        finish_killed(launched, outs)


def finish_killed(launched: Launched, outs: tuple[int, int]) -> None:
    launched.wait()
    launched.close()
    for fd in outs:
        os.close(fd)


class TestEnter:
    def test_sees_what_the_container_sees(self, box: Box, sleeper: Launched) -> None:
        """The same namespaces, root, capabilities and descriptors."""
        script = (
            "for n in /proc/1/ns/* /proc/self/ns/*; do readlink $n; done;"
            "ls /proc/self/fd; grep Cap /proc/self/status"
        )
        result = box.enter(
            sleeper,
            EnterProcess(
                ("sh", "-c", script),
                env=("PATH=/bin", "A=1"),
                capabilities=capabilities.DOCKER_DEFAULT,
            ),
        )
        assert (result.status, result.err) == (0, "")
        lines = result.out.splitlines()
        spaces, rest = lines[:-9], lines[-9:]
        assert spaces[: len(spaces) // 2] == spaces[len(spaces) // 2 :]
        assert rest[:4] == ["0", "1", "2", "3"]
        assert rest[4:] == [
            "CapInh:\t0000000000000000",
            "CapPrm:\t00000000a80425fb",
            "CapEff:\t00000000a80425fb",
            "CapBnd:\t00000000a80425fb",
            "CapAmb:\t0000000000000000",
        ]

    def test_user_home_and_directory(self, box: Box, sleeper: Launched) -> None:
        """The user is looked up in the container."""
        process = EnterProcess(
            ("sh", "-c", "id -u; id -G; pwd; echo $HOME"), user="u", cwd="/tmp"
        )
        result = box.enter(sleeper, process)
        assert result.out.splitlines() == ["1000", "1000 2000", "/tmp", "/h"]

    def test_exit_status_and_signal(self, box: Box, sleeper: Launched) -> None:
        """Unlike the first process, this one dies of a signal."""
        assert box.enter(sleeper, EnterProcess(("sh", "-c", "exit 9"))).status == 9
        assert box.enter(sleeper, EnterProcess(("sh", "-c", "kill -9 $$"))).status == 137

    def test_missing_directory_and_command(self, box: Box, sleeper: Launched) -> None:
        """Docker's texts, before anything is started."""
        with pytest.raises(CommandNotExecutable) as caught:
            box.enter(sleeper, EnterProcess(("true",), cwd="/nope"))
        assert 'chdir to cwd ("/nope") set in config.json failed: no such file' in str(
            caught.value
        )
        with pytest.raises(CommandNotFound, match="executable file not found in"):
            box.enter(sleeper, EnterProcess(("nope",)))
        make = "echo garbage > /bin/garbage; chmod +x /bin/garbage"
        assert box.enter(sleeper, EnterProcess(("sh", "-c", make))).status == 0
        (box.upper / "bin/garbage").write_bytes(b"\0\1")
        with pytest.raises(CommandNotExecutable, match="exec garbage: exec format error"):
            box.enter(sleeper, EnterProcess(("garbage",)))

    def test_terminal(self, box: Box, sleeper: Launched) -> None:
        """It is one of the container's."""
        process = EnterProcess(("sh", "-c", "tty; echo here > /dev/tty"), terminal=True)
        entered = enter(Target(sleeper.pid, sleeper.start_time), process, None)
        entered.start()
        text = read_terminal(entered.console)
        assert entered.wait() == 0
        assert text.split() == ["/dev/pts/0", "here"]
        os.close(entered.console)
        entered.close()

    def test_another_process_with_the_pid_is_not_entered(
        self, box: Box, sleeper: Launched
    ) -> None:
        """The start time tells a reused pid."""
        with pytest.raises(NotRunning):
            enter(Target(sleeper.pid, sleeper.start_time + 1), EnterProcess(("true",)), None)
        with pytest.raises(NotRunning):
            enter(Target(2**22 - 1, 1), EnterProcess(("true",)), None)

    def test_entering_process_is_not_seen(self, box: Box, sleeper: Launched) -> None:
        """Nobody inside sees the process before it executes the program."""
        target = Target(sleeper.pid, sleeper.start_time)
        waiting = enter(target, EnterProcess(("true",)), None)
        script = "ls -d /proc/[0-9]*; echo $$; readlink /proc/$$/exe"
        process = EnterProcess(("sh", "-c", script), capabilities=capabilities.DOCKER_DEFAULT)
        try:
            result = box.enter(sleeper, process)
        finally:
            waiting.kill()
            waiting.wait()
            waiting.close()
        assert result.out.split() == ["/proc/1", "/proc/2", "2", "/bin/busybox"]


class TestHostileImages:
    """Each is contained or refused; the host's directory is as before."""

    def test_dev_is_a_link_to_the_host(self, box: Box, host: Path) -> None:
        """No device is made and none replaced on the host (CVE-2026-41579)."""
        (box.image / "dev").symlink_to(host)
        with pytest.raises(SystemFailure, match="mount /dev"):
            box.run("true")

    def test_dev_is_a_relative_link(self, box: Box, host: Path) -> None:
        """It leads to a directory of the image at most."""
        (box.image / "dev").symlink_to("../" * 20 + "etc")
        assert box.run("test", "-c", "/etc/null").status == 0

    def test_dev_is_a_link_to_the_root(self, box: Box) -> None:
        """The root itself is no place for a mount."""
        (box.image / "dev").symlink_to("/")
        with pytest.raises(SystemFailure, match="mount /dev: device or resource busy"):
            box.run("true")

    @pytest.mark.parametrize("name", ["proc", "sys"])
    def test_proc_is_a_link(self, box: Box, host: Path, name: str) -> None:
        """Masks and settings can't be aimed elsewhere (CVE-2019-19921)."""
        (box.image / name).symlink_to(host)
        with pytest.raises(SystemFailure, match=f"mount /{name}"):
            box.run("true")
        (box.image / name).unlink()
        (box.image / name).symlink_to("/etc")
        with pytest.raises(SystemFailure, match=f"mount /{name}"):
            box.run("true")

    def test_etc_is_a_link_to_the_host(self, box: Box, host: Path, tmp_path: Path) -> None:
        """Files bound into /etc make nothing on the host (CVE-2019-18837)."""
        (box.image / "etc").symlink_to(host)
        (tmp_path / "hosts").write_text("")
        with pytest.raises(SystemFailure, match="mount /etc/hosts"):
            box.run("true", mounts=(bind_mount(f"{tmp_path}/hosts", "/etc/hosts"),))

    def test_etc_hosts_is_a_link_to_the_host(
        self, box: Box, host: Path, tmp_path: Path
    ) -> None:
        """The link's target is looked up in the image."""
        (box.image / "etc").mkdir()
        (box.image / "etc/hosts").symlink_to(host / "secret")
        (tmp_path / "hosts").write_text("")
        with pytest.raises(SystemFailure, match="mount /etc/hosts"):
            box.run("true", mounts=(bind_mount(f"{tmp_path}/hosts", "/etc/hosts"),))

    def test_mount_below_a_link_to_the_host(self, box: Box, host: Path, tmp_path: Path) -> None:
        """A destination's parents are resolved in the image (CVE-2021-30465)."""
        (box.image / "vol").symlink_to(host)
        with pytest.raises(SystemFailure, match="mount /vol/a/b"):
            box.run("true", mounts=(bind_mount(str(tmp_path), "/vol/a/b"),))

    def test_mount_through_procs_links(self, box: Box, tmp_path: Path) -> None:
        """/proc's magic links are never followed."""
        (box.image / "way").symlink_to("/proc/self/cwd")
        with pytest.raises(SystemFailure, match="mount /way"):
            box.run("true", mounts=(bind_mount(str(tmp_path), "/way/x"),))

    @pytest.mark.parametrize("place", ["/proc/self/attr", "/way", "/proc/sys"])
    def test_mount_inside_proc(self, box: Box, tmp_path: Path, place: str) -> None:
        """Nothing is mounted over the kernel's files."""
        (box.image / "way").symlink_to("/proc/sys/kernel")
        with pytest.raises(SystemFailure, match=f"mount {place}: operation not permitted"):
            box.run("true", mounts=(bind_mount(str(tmp_path), place),))

    def test_dev_null_of_the_image_is_not_used(self, box: Box) -> None:
        """Masks are devices of our own, whatever the image has (CVE-2025-31133)."""
        (box.image / "dev").mkdir()
        (box.image / "dev/null").symlink_to("/proc/kallsyms")
        assert box.sh("wc -c < /proc/keys; stat -c %F /proc/keys") == [
            "0",
            "character special file",
        ]

    @pytest.mark.parametrize("number", range(3, 30))
    def test_working_directory_is_a_descriptor(self, box: Box, number: int) -> None:
        """A leaked descriptor of the host leads nowhere (CVE-2024-21626)."""
        for cwd in (f"/proc/self/fd/{number}", f"/proc/self/fd/{number}/../.."):
            with pytest.raises(CommandNotExecutable, match="chdir to cwd"):
                box.run("cat", "secret", cwd=cwd)

    def test_working_directory_is_a_link_to_the_host(self, box: Box, host: Path) -> None:
        """No directory is made there (CVE-2026-55686)."""
        (box.image / "w").symlink_to(host)
        with pytest.raises(CommandNotExecutable, match="chdir to cwd"):
            box.run("true", cwd="/w/newdir")

    def test_fifo_as_passwd(self, box: Box, sleeper: Launched) -> None:
        """`exec` does not wait for its writer (CVE-2024-9676)."""
        box.enter(sleeper, EnterProcess(("sh", "-c", "rm /etc/passwd; mkfifo /etc/passwd")))
        with pytest.raises(NotRegular):
            box.enter(sleeper, EnterProcess(("true",), user="u"))

    def test_users_come_from_the_mounted_image(self, box: Box) -> None:
        """The union can be read through the detached mount before anything runs."""
        bundle = box.bundle("true")
        with RootedDir(bundle.root) as root:
            assert users.resolve(root, "u").additional_gids == (1000, 2000)

    def test_modules_of_the_image_are_not_imported(self, box: Box, host: Path) -> None:
        """Python files at the host's places in the image stay unread (CVE-2019-14271)."""
        marker = "open('/pwned', 'w')\n"
        for path in [*sys.path, os.path.dirname(os.__file__)]:
            if not path.startswith("/"):
                continue
            directory = box.image / path.lstrip("/")
            directory.mkdir(parents=True, exist_ok=True)
            for name in ("encodings", "traceback", "linecache", "warnings", "codecs", "ast"):
                (directory / f"{name}.py").write_text(marker)
        assert box.run("true").status == 0
        with pytest.raises(CommandNotFound):
            box.run("n\udce4pe")
        with pytest.raises(SystemFailure):
            box.run("true", mounts=(bind_mount(str(host), "/proc/self/attr"),))
        assert not (box.upper / "pwned").exists()

    def test_interpreter_line_of_proc_self_exe(
        self, box: Box, tmp_path: Path, host: Path
    ) -> None:
        """`#!/proc/self/exe` is the tiny program, never Python (CVE-2019-5736).

        The interpreter is a copy. As a positive control a naive engine runs the image's loader.
        """
        copy = tmp_path / "python"
        shutil.copy(os.path.realpath(sys.executable), copy)
        before = copy.read_bytes()
        loader = _loader_of(copy)
        if loader is None:
            pytest.skip("the interpreter is static")
        (box.image / "attack").write_text("#!/proc/self/exe\n")
        (box.image / "attack").chmod(0o755)
        target = box.image / loader.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_marker_program())
        target.chmod(0o755)
        environment = {
            "PYTHONHOME": sys.base_prefix,
            "PYTHONPATH": ":".join([*filter(None, sys.path), str(Path(__file__).parents[2])]),
        }
        command = [str(copy), "-c", _ENGINE, str(box.directory), box.base]
        naive = subprocess.run([*command, "naive"], env=environment, check=False, timeout=30)
        assert naive.returncode == 42, "the attack must work against a naive engine"
        (box.upper / "proc").unlink()
        ours = subprocess.run(
            [*command, "ours"],
            env=environment,
            check=False,
            timeout=30,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert ours.returncode == 0
        assert "minidock-exec" in ours.stdout
        assert "python" not in ours.stdout
        assert copy.read_bytes() == before


_ENGINE = """
import os, signal, sys, time
directory, base, engine = sys.argv[1:]
from minidock.rootfs import overlay
from minidock.runtime.launch import Bundle, launch
from minidock.runtime.spec import SpecInputs, make_spec
from minidock.runtime.users import User
layers = (directory + "/image", base)
root = overlay.mount(overlay.plan(layers, directory + "/upper", directory + "/work"))
if engine == "naive":
    from minidock.linux import mounts, namespaces
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mounts.make_private()
    place = directory + "/mountpoint"
    mounts.attach(root, os.open(place, os.O_PATH))
    mounts.attach(mounts.open_filesystem("proc"), os.open(place + "/tmp", os.O_PATH))
    os.chroot(place)
    os.chdir("/")
    os.symlink("tmp", "proc")
    os.execv("/attack", ["/attack"])
spec = make_spec(SpecInputs(("/attack",), User()))
launched = launch(Bundle("x", spec, root, directory + "/mountpoint"), None)
launched.start()
seen = set()
for _ in range(50):
    seen.add(os.readlink(f"/proc/{launched.pid}/exe"))
    try:
        fd = os.open(f"/proc/{launched.pid}/exe", os.O_WRONLY)
        os.pwrite(fd, b"x", 0)
        seen.add("python written")
    except OSError:
        pass
    time.sleep(0.001)
print(*seen)
launched.kill()
sys.exit(0 if launched.wait() == 137 else 1)
"""


def _loader_of(program: Path) -> str | None:
    """Return the ELF interpreter (PT_INTERP) of `program`."""
    raw = program.read_bytes()[:4096]
    start = raw.find(b"/lib")
    return raw[start : raw.index(b"\0", start)].decode() if start >= 0 else None


def _marker_program() -> bytes:
    """Return a static program that exits with 42, in the form of a loader."""
    from minidock.runtime import final

    whole = final.image()
    code = {
        "x86_64": bytes.fromhex("bf2a000000b8e70000000f05"),  # exit_group(42)
        "aarch64": bytes.fromhex("400580d2c80b80d2010000d4"),
    }[os.uname().machine]
    return whole[:120] + code + whole[120 + len(code) :]


@pytest.mark.oracle
def test_runc_accepts_our_config(base: str, tmp_path: Path) -> None:
    """A strict runtime starts a container from our config.json and shows the same masks."""
    runc = shutil.which("runc")
    if runc is None:
        pytest.skip("needs runc")
    values = SpecInputs(
        ("sh", "-c", "hostname; id -u; wc -c < /proc/keys; grep CapEff /proc/self/status"),
        User(),
        hostname="box",
        capabilities=DEFAULT,
    )
    config = make_spec(values)._replace(root_path=base, root_readonly=False).to_json()
    (tmp_path / "config.json").write_text(json.dumps(config))
    name = f"minidock-test-{os.getpid()}"
    command = [runc, "--root", str(tmp_path / "state"), "run", "--bundle", str(tmp_path), name]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["box", "0", "0", "CapEff:", "00000000a80425fb"]


def test_destination_swapped_for_a_link(box: Box, host: Path, tmp_path: Path) -> None:
    """A directory that becomes a link while the container starts leads nowhere."""
    volume = tmp_path / "volume"
    (volume / "a").mkdir(parents=True)
    (volume / "evil").symlink_to(host)
    swapper = os.fork()
    if not swapper:
        _swap(volume)
    try:
        outcomes = {_outcome(lambda: _with_volume(box, volume, tmp_path)) for _ in range(30)}
    finally:
        os.kill(swapper, signal.SIGKILL)
        os.waitpid(swapper, 0)
    assert "ok" in outcomes


def _swap(volume: Path) -> None:
    deadline = time.monotonic() + 30
    try:
        while time.monotonic() < deadline:
            os.rename(volume / "a", volume / "b")
            os.rename(volume / "evil", volume / "a")
            os.rename(volume / "a", volume / "evil")
            os.rename(volume / "b", volume / "a")
            time.sleep(0)
    finally:
        os._exit(0)


def _with_volume(box: Box, volume: Path, source: Path) -> None:
    binds = (bind_mount(str(volume), "/vol"), bind_mount(str(source / "image"), "/vol/a/x"))
    box.run("true", mounts=binds)


def _outcome(action: Callable[[], None]) -> str:
    try:
        action()
    except SystemFailure:
        return "refused"
    return "ok"
