# SPDX-License-Identifier: Apache-2.0
"""Limits, settings, devices and protections that flags ask for, seen from inside."""

import json
import os
import resource
import shlex
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from minidock.linux import lsm
from tests.system.place import Place

QUIET = ("--network", "none")


def inside(minidock: Place, flags: str, script: str) -> list[str]:
    """Return the lines that a script prints in a new container, without a warning."""
    words = (
        "run",
        "--rm",
        *QUIET,
        *shlex.split(flags),
        "base",
        "sh",
        "-c",
        f"exec 2>&1\n{script}",
    )
    return minidock(*words).splitlines()


SEEN = """
ulimit -n; ulimit -Hn; ulimit -c; grep locks /proc/self/limits
cat /proc/self/oom_score_adj
grep -E 'NoNewPrivs|Seccomp:' /proc/self/status
id -G
head -c 1 /dev/a/b | wc -c
"""


def test_exec_is_as_run(minidock: Place):
    """Limits, protections, groups and devices of a container are those of what enters it."""
    flags = (
        *("--ulimit", "nofile=9:10", "--ulimit", "nofile=64:128", "--ulimit", "core=0"),
        *("--ulimit", "locks=5", "--oom-score-adj", "500", "--device", "/dev/zero:/dev/a/b"),
        *("--security-opt", "no-new-privileges", "--group-add", "wheel", "--group-add", "77"),
    )
    script = f"{SEEN}\necho end; sleep 60"
    minidock("run", "-d", "--name", "box", *QUIET, *flags, "base", "sh", "-c", script)
    minidock.await_log("box", "end")
    lines = minidock("exec", "box", "sh", "-c", SEEN).splitlines()
    assert [*lines, "end"] == minidock("logs", "box").splitlines()
    assert lines[:3] == ["64", "128", "0"]
    assert lines[3].split() == ["Max", "file", "locks", "5", "5", "locks"]
    assert lines[4:] == ["500", "NoNewPrivs:\t1", "Seccomp:\t2", "0 10 77", "1"]


def test_ulimit_of_few_descriptors(minidock: Place):
    """The start itself needs none once the limit is set."""
    words = ("run", "--rm", *QUIET, "--ulimit", "nofile=4", "base")
    assert "4" in minidock(*words, "grep", "open", "/proc/self/limits").split()


def test_ulimit_above_the_callers(minidock: Place):
    """It is lowered to what the caller may have, and a warning says so."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    nr_open = int(Path("/proc/sys/fs/nr_open").read_text())
    words = ("run", "--rm", *QUIET, "--ulimit", f"nofile=64:{nr_open + 1}", "base")
    result = minidock.result(*words, "sh", "-c", "ulimit -n; ulimit -Hn")
    assert (result.status, result.text) == (0, f"64\n{hard}\n")
    assert result.errors.count("\n") == 1
    assert "RLIMIT_NOFILE is lowered" in result.errors


def test_oom_score(minidock: Place):
    """Out of range it is refused."""
    refusal = minidock.refused(125, "run", "--oom-score-adj", "1001", "base")
    assert "Invalid value 1001, range for oom score adj is [-1000, 1000]" in refusal


def test_oom_score_below_the_callers(minidock: Place):
    """To be spared by the kernel takes the right to it: without, a warning."""
    words = ("run", "--rm", *QUIET, "--oom-score-adj", "-500", "base")
    result = minidock.result(*words, "cat", "/proc/self/oom_score_adj")
    assert result.status == 0
    assert (result.text, result.errors != "") in (("-500\n", False), ("0\n", True))


def test_sysctls(minidock: Place):
    """Settings of the container's own namespaces are written; any user may bind port 80."""
    flags = (
        "--sysctl net.ipv4.ip_forward=0 --sysctl kernel.shmmni=100 --sysctl fs.mqueue.msg_max=9"
    )
    names = "net/ipv4/ip_forward kernel/shmmni fs/mqueue/msg_max"
    names += " net/ipv4/ip_unprivileged_port_start net/ipv4/ping_group_range"
    before = Path("/proc/sys/kernel/shmmni").read_text()
    script = f"cd /proc/sys; cat {names}"
    assert inside(minidock, flags, script) == ["0", "100", "9", "0", "0\t2147483647"]
    assert Path("/proc/sys/kernel/shmmni").read_text() == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--sysctl net.nosuch=1", "set sysctl net.nosuch: no such file or directory"),
        (
            "--network host --sysctl net.ipv4.ip_forward=1",
            'sysctl "net.ipv4.ip_forward" not allowed in host network namespace',
        ),
        (
            "--ipc host --sysctl kernel.shmmni=9",
            'sysctl "kernel.shmmni" is not allowed in the hosts ipc namespace',
        ),
    ],
)
def test_sysctls_that_are_refused(minidock: Place, flags: str, message: str):
    """What there is not, and what would change the host."""
    assert message in minidock.refused(125, "run", *QUIET, *flags.split(), "base", "true")


def test_shm_size(minidock: Place):
    """/dev/shm is as large as asked for, 64 MiB otherwise."""
    script = "df -k /dev/shm | tail -1"
    assert inside(minidock, "--shm-size 1m", script)[0].split()[1] == "1024"
    assert inside(minidock, "", script)[0].split()[1] == "65536"


DEVICE_SCRIPT = """
stat -c '%F %a %t:%T' {path}
head -c 1 {path} | wc -c
echo x >{path} && echo written
"""


def harmless() -> str:
    """Return a device that is none of the default ones, and that does nothing when opened."""
    for path in ("/dev/fuse", "/dev/net/tun", "/dev/loop-control"):
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        except OSError:
            continue
        return path
    pytest.skip("there is no device to try")


@pytest.fixture
def enforced(minidock: Place) -> bool:
    """Whether a control group keeps containers from other devices here."""
    return minidock.result("run", "--rm", *QUIET, "base", "true").errors == ""


def test_device(minidock: Place):
    """The host's device, under another name, with its mode."""
    script = DEVICE_SCRIPT.format(path="/dev/a/b")
    mode = f"{stat.S_IMODE(os.stat('/dev/zero').st_mode):o}"
    lines = inside(minidock, "--device /dev/zero:/dev/a/b", script)
    assert lines == [f"character special file {mode} 1:5", "1", "written"]


def test_device_that_may_be_read(minidock: Place, enforced: bool):
    """What is not allowed fails; without control groups the device is left out."""
    device = harmless()
    words = ("run", "--rm", *QUIET, "--device", f"{device}:/dev/x:r", "base", "sh", "-c")
    result = minidock.result(*words, "true </dev/x && echo read; true >/dev/x || echo refused")
    if enforced:
        assert result.text == "read\nrefused\n"
    else:
        assert "left out" in result.errors
        assert "read" not in result.text


def test_device_outside_of_dev(minidock: Place):
    """It appears there; in the container's layer there is none."""
    words = ("run", "--name", "box", *QUIET, "--device", "/dev/zero:/srv/zero", "base")
    script = DEVICE_SCRIPT.format(path="/srv/zero")
    assert minidock(*words, "sh", "-c", script).splitlines()[1:] == ["1", "written"]
    upper = f"{minidock.root}/containers/{minidock.inspect('box')['Id']}/upper"
    assert stat.S_ISREG(os.lstat(f"{upper}/srv/zero").st_mode)


def test_directory_of_devices(minidock: Place, tmp_path: Path):
    """All devices below it, and nothing else."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "file").write_text("")
    os.mknod(tmp_path / "inner/zero", stat.S_IFCHR | 0o640, os.makedev(1, 5))
    (tmp_path / "link").symlink_to("/dev/null")
    found = inside(
        minidock, f"--device {tmp_path}:/dev/more", "cd /dev/more; find . -type c -o -type f"
    )
    assert found == ["./inner/zero"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/dev/nosuch", "no such file or directory"), ("/etc/passwd", "not a device node")],
)
def test_device_that_is_none(minidock: Place, path: str, reason: str):
    """Docker's error, and no container is left with --rm."""
    message = (
        f'error gathering device information while adding custom device "{path}": {reason}'
    )
    assert message in minidock.refused(125, "run", "--rm", "--device", path, "base", "true")
    assert minidock("ps", "-aq") == ""


def test_device_of_a_privileged_container(minidock: Place):
    """It has the host's devices, and one of them under another name too."""
    lines = inside(
        minidock, "--privileged --device /dev/zero:/dev/other", "stat -c %t:%T /dev/other"
    )
    assert lines == ["1:5"]


def test_device_rules(minidock: Place, enforced: bool):
    """A rule opens devices that nodes are made of inside; a pair of numbers never opens all."""
    if not enforced:
        pytest.skip("no control group enforces device rules here")
    number = os.stat(harmless()).st_rdev
    major, minor = os.major(number), os.minor(number)
    script = f"mknod /k c {major} {minor}; mknod /m c 1 1\n"
    script += "true </k && echo k; true </m && echo m; rm /k /m"
    for rule in (f"c {major}:{minor} r", f"a {major}:* rwm", ""):
        flags = f"--device-cgroup-rule '{rule}'" if rule else ""
        lines = inside(minidock, flags, script)
        assert ("k" in lines, "m" in lines) == (bool(rule), False), rule


def test_annotations(minidock: Place):
    """They stand in the runtime's configuration."""
    box = minidock(
        "run", "-d", *QUIET, "--annotation", "a.b=c=d", "base", "sleep", "60"
    ).strip()
    with open(f"{minidock.root}/containers/{box}/config.json") as file:
        assert json.load(file)["annotations"] == {"a.b": "c=d"}


def test_read_only(minidock: Place):
    """The root can't be written, nor the files of /etc; tmpfs mounts and /dev/shm can."""
    script = "for f in /x /etc/hosts /etc/resolv.conf /data/x /dev/shm/x /dev/x\n"
    script += "do { echo >>$f; } 2>/dev/null && echo $f; done"
    written = inside(minidock, "--read-only --tmpfs /data", script)
    assert written == ["/data/x", "/dev/shm/x", "/dev/x"]


@pytest.mark.parametrize(
    ("flags", "shown", "options"),
    [
        ("--tmpfs /t", "1777 0:0", {"rw", "nosuid", "nodev", "noexec"}),
        (
            "--tmpfs /t:size=1m,mode=700,uid=5,gid=6,exec",
            "700 5:6",
            {"rw", "nosuid", "nodev", "size=1024k"},
        ),
        ("--tmpfs /home:ro", "755 0:0", {"ro", "noexec"}),
        ("--mount type=tmpfs,dst=/t,tmpfs-size=2m,tmpfs-mode=750", "750 0:0", {"size=2048k"}),
    ],
)
def test_tmpfs(minidock: Place, flags: str, shown: str, options: set[str]):
    """Size, mode and owner are as asked for; without a mode that of the place, or 1777."""
    path = "/home" if "/home" in flags else "/t"
    script = f"stat -c '%a %u:%g' {path}; grep ' {path} ' /proc/mounts"
    first, mount = inside(minidock, flags, script)
    assert first == shown
    have = set(mount.split()[3].split(","))
    assert options <= have
    assert ("noexec" in have) == ("exec" not in flags.split(","))


def test_tmpfs_option_that_is_none(minidock: Place):
    """Docker's error."""
    refusal = minidock.refused(125, "run", "--tmpfs", "/x:size=1m,bogus", "base", "true")
    assert 'invalid tmpfs option ["bogus"]' in refusal


@pytest.fixture
def shared_mount(tmp_path: Path) -> Iterator[Path]:
    """A mount of the host that shares what is mounted below it, with two directories."""
    subprocess.run(["mount", "-t", "tmpfs", "shared", tmp_path], check=True)
    subprocess.run(["mount", "--make-shared", tmp_path], check=True)
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
    yield tmp_path
    subprocess.run(["umount", "-R", tmp_path], check=True)


@pytest.mark.parametrize("propagation", ["rprivate", "rslave", "rshared"])
def test_propagation(minidock: Place, shared_mount: Path, propagation: str):
    """The host's mounts come in with rslave and rshared, the container's leave with rshared."""
    bind = f"type=bind,src={shared_mount},dst=/m,bind-propagation={propagation}"
    flags = ("--privileged", *QUIET, "--mount", bind)
    script = "mount -t tmpfs inner /m/theirs; echo done; sleep 60"
    minidock("run", "-d", "--name", "box", *flags, "base", "sh", "-c", script)
    minidock.await_log("box", "done")
    subprocess.run(["mount", "-t", "tmpfs", "outer", shared_mount / "ours"], check=True)
    assert ("outer" in minidock("exec", "box", "cat", "/proc/mounts")) == (
        propagation != "rprivate"
    )
    assert (f"{shared_mount}/theirs" in Path("/proc/mounts").read_text()) == (
        propagation == "rshared"
    )


@pytest.mark.parametrize(
    ("mode", "wanted"), [("rshared", "shared"), ("slave", "shared or slave")]
)
def test_propagation_that_can_not_be(minidock: Place, tmp_path: Path, mode: str, wanted: str):
    """A source on a private mount is refused as docker does."""
    subprocess.run(["mount", "-t", "tmpfs", "alone", tmp_path], check=True)
    try:
        subprocess.run(["mount", "--make-private", tmp_path], check=True)
        words = ("run", "--rm", *QUIET, "-v", f"{tmp_path}:/m:{mode}", "base", "true")
        message = f"path {tmp_path} is mounted on {tmp_path} but it is not a {wanted} mount"
        assert message in minidock.refused(125, *words)
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", "0"),
        ("--security-opt no-new-privileges", "1"),
        ("--security-opt no-new-privileges=true", "1"),
        ("--security-opt no-new-privileges:true", "1"),
        ("--security-opt no-new-privileges=false", "0"),
    ],
)
def test_no_new_privileges(minidock: Place, flags: str, expected: str):
    """In all of docker's spellings."""
    script = "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status"
    assert inside(minidock, flags, script) == [f"NoNewPrivs:\t{expected}", "Seccomp:\t2"]


def test_seccomp_profile(minidock: Place, tmp_path: Path):
    """A file's rules hold for run and exec, also when the file has gone; or there are none."""
    profile = tmp_path / "profile.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    flags = ("--security-opt", f"seccomp={profile}", *QUIET)
    minidock("create", "--name", "box", *flags, "base", "sleep", "60")
    profile.unlink()
    minidock("start", "box")
    for _ in range(2):
        refusal = minidock.result("exec", "box", "mkdir", "/x").errors
        assert "No space left on device" in refusal
        minidock("restart", "-t", "0", "box")
    script = "grep Seccomp: /proc/self/status"
    assert inside(minidock, "--security-opt seccomp=unconfined", script) == ["Seccomp:\t0"]


def test_system_paths(minidock: Place):
    """Unconfined shows what is hidden, and lets it be written."""
    script = "grep -c ' /proc/' /proc/mounts\n"
    script += "{ true >>/proc/sys/kernel/hostname; } 2>/dev/null && echo w; true"
    assert inside(minidock, "", script)[1:] == []
    assert inside(minidock, "--security-opt systempaths=unconfined", script) == ["0", "w"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("bogus", 'Invalid --security-opt: "bogus"'),
        ("bogus=x", 'invalid --security-opt 2: "bogus=x"'),
        ("no-new-privileges=maybe", 'invalid --security-opt 2: "no-new-privileges=maybe"'),
        ("systempaths=all", 'invalid --security-opt 2: "systempaths=all"'),
    ],
)
def test_security_options_that_are_none(minidock: Place, option: str, message: str):
    """Docker's errors."""
    assert message in minidock.refused(125, "run", "--security-opt", option, "base", "true")


@pytest.mark.parametrize(
    ("option", "warned"),
    [("label=disable", 0), ("label=type:x", 1), ("apparmor=unconfined", 0)],
)
def test_security_modules(minidock: Place, option: str, warned: int):
    """What can't be had is one warning."""
    result = minidock.result("run", "--rm", *QUIET, "--security-opt", option, "base", "true")
    assert result.status == 0
    assert result.errors.count("WARNING") == warned


def test_apparmor_profile(minidock: Place):
    """Without AppArmor it's a warning; with it, a profile that it has not is an error."""
    words = (
        "run",
        "--rm",
        *QUIET,
        "--security-opt",
        "apparmor=minidock-nosuch",
        "base",
        "true",
    )
    result = minidock.result(*words)
    if lsm.has_apparmor():
        assert result.status == 125
        assert "apply the AppArmor profile minidock-nosuch" in result.errors
    else:
        assert result.status == 0
        assert "the kernel has no AppArmor" in result.errors
