"""Images and containers that attack who runs them, enters them and commits them."""

import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from minidock.runtime import messages
from tests.hostile.snapshots import look
from tests.hostile.victims import SECRET, Canary, Guarded
from tests.system.images import Entry
from tests.system.place import require
from tests.system.terminal import Terminal

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(require()), reason=require()),
]


@pytest.fixture
def minidock(place: Guarded, canary: Canary) -> Iterator[Guarded]:
    """The command line, watched: the canary must be as it was at the end."""
    yield place
    canary.assert_intact()
    if place.entries("containers"):
        place.clear()


# A process of the container that meets one that enters it.

STOPPER = """
exec 2>/dev/null
while :; do
    kill -STOP -1 || continue
    for p in /proc/[0-9]*; do
        [ $p != /proc/1 -a -e $p/fd/3 ] || continue
        printf '{record}' >$p/fd/3 && wrote=wrote && echo wrote
    done
    {after}
    echo met
done
"""
"""As process 1 it stops all but itself, and writes where the error pipe of an exec would be."""


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the host that no container knows."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def stopper(victim: int, after: str = "kill -CONT -1") -> str:
    """Return a script that names `victim` as the process that an exec has forked."""
    record = struct.pack("<BBHi", messages.FORKED, messages.EXEC, 0, victim)
    return STOPPER.format(record="".join(f"\\{byte:03o}" for byte in record), after=after)


def test_entering_process_is_closed_to_the_container(
    minidock: Guarded, bystander: subprocess.Popen[bytes]
) -> None:
    """Stopped on its way, it shows no descriptor to who stopped it (CVE-2016-9962)."""
    script = stopper(bystander.pid)
    minidock("run", "-d", "--name", "box", "--network", "none", "base", "sh", "-c", script)
    for _ in range(8):
        minidock("exec", "box", "sleep", "0.05")
    minidock.await_log("box", "met")
    assert "wrote" not in minidock("logs", "box")


def test_signals_of_exec_reach_no_process_of_the_host(
    minidock: Guarded, bystander: subprocess.Popen[bytes]
) -> None:
    """A container that may trace can forge what its exec says, not whom it stands for."""
    script = stopper(bystander.pid, after="kill -CONT -1; [ $wrote ] && exec sleep 1000")
    tracing = ("--cap-add", "SYS_PTRACE", "--network", "none")
    minidock("run", "-d", "--name", "box", *tracing, "base", "sh", "-c", script)
    for _ in range(8):
        with minidock.background("exec", "box", "sleep", "0.05") as process:
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGTERM)
                process.wait(1)
        if "wrote" in minidock("logs", "box"):
            break
    if "wrote" not in minidock("logs", "box"):
        pytest.skip("the container was never fast enough")
    assert bystander.poll() is None


# Where a container begins.

DIRECTORIES = [
    *(f"/proc/self/fd/{number}" for number in (3, 5, 7, 8, 9, 11)),
    "/proc/self/cwd",
    "/proc/self/root",
    "/proc/1/root",
    "/proc/1/cwd/../../../..",
    "/dev/fd/8",
    "/../../../../..",
]


@pytest.fixture
def opened(canary: Canary) -> Iterator[tuple[int, ...]]:
    """Descriptors 3 to 12 of the caller, leaked by whoever called it: the canary."""
    fd = os.open(canary.path, os.O_RDONLY | os.O_DIRECTORY)
    low = [os.dup(fd) for _ in range(6)]
    yield (fd, *low)
    for number in (fd, *low):
        os.close(number)


def leaking(minidock: Guarded, opened: tuple[int, ...], *words: str) -> str:
    """Call minidock with `opened` inherited; return all it says, whatever its status."""
    merged = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    with minidock.background(*words, pass_fds=opened, **merged) as process:
        out = process.communicate(timeout=20)[0].decode()
    assert SECRET not in out, (words, out)
    assert "Traceback" not in out
    return out


LOOK = "pwd; ls; cat secret ./../secret; for n in 3 4 5 6 7 8 9; do ls /proc/self/fd/$n/; done"


def test_working_directory_is_in_the_container(
    minidock: Guarded, opened: tuple[int, ...]
) -> None:
    """No magic link of /proc leads a process to the host's files (CVE-2024-21626)."""
    minidock("run", "-d", "--name", "box", "base", "sleep", "1000")
    for directory in DIRECTORIES:
        for words in (
            ("run", "--rm", "-w", directory, "base"),
            ("exec", "-w", directory, "box"),
        ):
            said = leaking(minidock, opened, *words, "sh", "-c", LOOK)
            assert said.startswith("/\n") or f'"{directory}"' in said, (words, said)


def test_working_directory_of_an_image(minidock: Guarded) -> None:
    """It is made inside the image, whatever links lead to it (CVE-2026-55686)."""
    minidock.refused(126, "run", minidock.add("magic", WorkingDir="/proc/self/fd/7/x"), "pwd")
    entries: list[Entry] = [("out", 0o777, "../../../../../.." + minidock.directory)]
    image = minidock.add("linked", *entries, Cmd=["pwd"], WorkingDir="/out/new")
    minidock.refused(125, "run", image)
    assert "new" not in os.listdir(minidock.directory)


@pytest.mark.parametrize("terminal", [(), ("-t",)], ids=["pipes", "terminal"])
def test_no_descriptor_of_the_caller_is_inherited(
    minidock: Guarded, opened: tuple[int, ...], terminal: tuple[str, ...]
) -> None:
    """A program has 0, 1, 2 and what it opens."""
    minidock("run", "-d", "--name", "box", "base", "sleep", "1000")
    for words in (
        ("run", "--rm", *terminal, "base"),
        ("exec", *terminal, "box"),
        ("exec", "-i", *terminal, "box"),
        ("exec", "-u", "bob", *terminal, "box"),
    ):
        if "-i" in words and "-t" in words:
            continue  # needs a terminal of the user's
        said = leaking(minidock, opened, *words, "ls", "/proc/self/fd")
        assert said.split() == ["0", "1", "2", "3"], words


def test_reason_of_a_failed_start_is_the_containers(minidock: Guarded) -> None:
    """A process that fails before its network is attached says why, not the network."""
    for _ in range(8):
        said = minidock.refused(126, "run", "--rm", "-w", "/proc/self/cwd", "base")
        assert "chdir to cwd" in said


# Files of an image that stand where a container's own belong.

PLACES = ("dev", "proc", "sys", "etc", "etc/hosts", "etc/resolv.conf", "etc/hostname")


@pytest.mark.parametrize("name", PLACES)
def test_mount_point_that_leads_out(minidock: Guarded, canary: Canary, name: str) -> None:
    """A link to the host is followed inside the image, or refused."""
    target = f"{canary.path}/hosts" if "/" in name else canary.path
    for kind, link in (("absolute", target), ("relative", "../" * 12 + target[1:])):
        image = f"link-{kind}-{name.replace('/', '-').replace('.', '')}"
        minidock.offer(image, (name, 0o777, link))
        words = ("run", "--rm", "-q", "-t", "--network", "none", image)
        result = minidock.result(*words, "sh", "-c", f"ls -la {target}; tty")
        refused = name in ("proc", "sys")
        assert result.status in ((125,) if refused else (0, 125, 126, 127)), result


DEVICES: tuple[Entry, ...] = (
    ("dev", 0o755, None),
    ("dev/pts", 0o755, None),
    *((f"dev/pts/{n}", 0o777, "CANARY/0") for n in range(4)),
    ("dev/console", 0o777, "CANARY/0"),
    ("dev/null", 0o777, "CANARY/null"),
    ("dev/ptmx", 0o777, "CANARY/ptmx"),
    ("dev/shm", 0o777, "CANARY/directory"),
    ("dev/mqueue", 0o777, "CANARY/directory"),
)


def test_devices_of_an_image(minidock: Guarded, canary: Canary) -> None:
    """What an image has in /dev is not what a container gets (CVE-2025-52565, -31133)."""
    entries = [
        (name, mode, what.replace("CANARY", canary.path) if isinstance(what, str) else what)
        for name, mode, what in DEVICES
    ]
    image = minidock.add("devices", *entries)
    script = "tty; stat -c '%t:%T' $(tty) /dev/console /dev/null"
    lines = minidock.result("run", "--rm", "-t", image, "sh", "-c", script).text.split("\r\n")
    assert lines[:4] == ["/dev/pts/0", "88:0", "88:0", "1:3"]


def test_proc_is_no_place_for_mounts(minidock: Guarded) -> None:
    """Neither by its name nor through links of the image (CVE-2019-16884, CVE-2023-27561)."""
    image = minidock.add(
        "links", ("kernel", 0o777, "/proc/sys/kernel"), ("p", 0o777, "../proc")
    )
    source = f"{minidock.directory}/empty"
    os.makedirs(source, exist_ok=True)
    for destination in (
        "/proc",
        "/proc/self",
        "/kernel",
        "/p",
        "/p/1/attr",
        "/etc/../proc/sys",
    ):
        for mount in (("-v", f"{source}:{destination}"), ("--tmpfs", destination)):
            minidock.refused(125, "run", "--network", "none", *mount, image)


SWAP = "while :; do mv -T /v/a /v/b; ln -s {target} /v/a; rm /v/a; mv -T /v/b /v/a; done"


def test_mount_point_that_is_swapped(
    minidock: Guarded, canary: Canary, tmp_path: os.PathLike[str]
) -> None:
    """A directory that becomes a link and back leads no mount out (CVE-2021-30465)."""
    volume, source = f"{os.fspath(tmp_path)}/volume", f"{os.fspath(tmp_path)}/source"
    os.makedirs(f"{volume}/a")
    os.mkdir(source)
    script = SWAP.format(target="../../../../../../../../.." + canary.path)
    shared = ("-v", f"{volume}:/v", "--network", "none")
    minidock("run", "-d", "--name", "swapper", *shared, "base", "sh", "-c", script)
    with open("/proc/self/mountinfo") as file:
        before = file.read()
    statuses = [
        minidock.result(
            "run", "--rm", *shared, "-v", f"{source}:/v/a/x", "-w", "/v/a/y", "base", "true"
        ).status
        for _ in range(15)
    ]
    assert 0 in statuses
    with open("/proc/self/mountinfo") as file:
        assert file.read() == before
    minidock("rm", "-f", "swapper")


# What a process is given.


def test_environment_is_the_images_alone(minidock: Guarded) -> None:
    """Names without values are not filled in from the caller's (CVE-2026-57231)."""
    names = [
        "*",
        "H*",
        "HOST_*",
        "HOST_SECRET",
        "HOST_SECRET*",
        "=HOST_SECRET",
        "A=$HOST_SECRET",
    ]
    image = minidock.add("env", Cmd=["env"], Env=names)
    out = minidock("run", "--rm", image)
    assert "A=$HOST_SECRET\n" in out
    assert "HOST_SECRET=" not in out
    minidock("run", "-d", "--name", "box", image, "sleep", "1000")
    assert "HOST_SECRET=" not in minidock("exec", "box", "env")
    everywhere = "cat /proc/1/environ /proc/self/environ /proc/1/cmdline"
    assert "HOST_" not in minidock("exec", "box", "sh", "-c", everywhere).replace("$HOST_", "")


def test_environment_that_is_too_long(minidock: Guarded) -> None:
    """execve(2) takes 128 KiB a text: more is an error of the container, in words."""
    image = minidock.add("huge", Env=["A=" + "x" * (1 << 18)])
    result = minidock.result("run", "--rm", image, "true")
    assert result.status in (125, 126)
    assert "argument list too long" in result.errors.lower()


def test_environment_reaches_no_helper(minidock: Guarded) -> None:
    """Programs of the host are run without what the image says about them."""
    marker = f"{minidock.directory}/loaded"
    env = ["PATH=/evil", f"LD_PRELOAD={marker}", "PYTHONPATH=/evil", "PYTHONHOME=/evil"]
    image = minidock.add("loader", ("evil", 0o755, None), Env=env)
    minidock("run", "--rm", "-p", "8080", image, "/bin/true")
    minidock("run", "-d", "--name", "box", "-p", "8080", image, "/bin/sleep", "1000")
    minidock("exec", "-u", "bob", "box", "/bin/true")
    minidock("commit", "box", "helped")


USERS = (
    "4294967296", "2147483648", "-1", "0x0", "nosuchuser", "bob:nosuchgroup", "1000:1000:0",
    "0:", "+0", "0\n", "٠",
)  # fmt: skip


def test_user_that_is_none(minidock: Guarded) -> None:
    """No text wraps around to root (CVE-2024-40635)."""
    minidock("run", "-d", "--name", "box", "base", "sleep", "1000")
    for user in USERS:
        assert minidock.result("exec", "-u", user, "box", "id").status == 126, user
        minidock.refused(125, "run", "--rm", "--network", "none", "-u", user, "base", "id")


def test_user_of_an_image_that_is_none(minidock: Guarded) -> None:
    """An image's user is no more trusted than the flag."""
    for number, user in enumerate(("4294967296", "root:nosuchgroup")):
        minidock.refused(125, "run", "--rm", minidock.add(f"user{number}", User=user), "id")


def test_password_file_that_is_none(minidock: Guarded) -> None:
    """A link out or around, a fifo or a huge file is refused at once (CVE-2024-9676)."""
    script = {
        "fifo": "rm /etc/passwd; mkfifo /etc/passwd",
        "zero": "rm /etc/passwd; mknod /etc/passwd c 1 5",
        "loop": "ln -sf passwd /etc/passwd",
        "huge": "truncate -s 8M /etc/passwd",
        "link": f"ln -sf {minidock.directory}/passwd /etc/passwd",
        "directory": "rm /etc/passwd; mkdir /etc/passwd",
    }
    with open(f"{minidock.directory}/passwd", "w") as file:
        file.write("eve:x:0:0::/:\n")
    for name, change in script.items():
        minidock(
            "run",
            *("-d", "--name", name, "--network", "none"),
            "base",
            "sh",
            "-c",
            f"{change}; echo done; sleep 1000",
        )
        minidock.await_log(name, "done")
        minidock("commit", name, f"passwd-{name}")
        for words in (
            ("exec", "-u", "eve", name),
            ("run", "--rm", "--network", "none", "-u", "eve", f"passwd-{name}"),
        ):
            result = minidock.result(*words, "id")
            assert result.status != 0, (name, words)
            assert result.text == ""
        minidock("rm", "-f", name)


CALLERS = {
    "blocks": lambda: signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals()),
    "ignores": lambda: [
        signal.signal(number, signal.SIG_IGN)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}
    ],
    "groups": lambda: os.setgroups([4242, 4243]),
    "open": lambda: os.umask(0),
    "closed": lambda: os.umask(0o777),
    "closes": lambda: os.closerange(0, 1),
}


@pytest.mark.parametrize("caller", CALLERS)
def test_nothing_of_the_caller_is_inherited(minidock: Guarded, caller: str) -> None:
    """Signals, groups, umask and descriptors are the same whoever calls."""
    script = "grep -E '^(Sig(Blk|Ign)|Groups|Umask)' /proc/self/status; id -G; ls /proc/self/fd"
    minidock("run", "-d", "--name", "box", "base", "sleep", "1000")
    for words in (("run", "--rm", "base"), ("exec", "box")):
        said = []
        for setup in (None, CALLERS[caller]):
            call = (*words, "sh", "-c", script)
            with minidock.background(*call, preexec_fn=setup) as process:
                said.append(process.communicate(timeout=20))
        assert said[0] == said[1], words
        assert b"Umask:\t0022" in said[0][0]


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_state_is_private_whatever_the_umask(
    minidock: Guarded, tmp_path: os.PathLike[str], umask: int
) -> None:
    """No other user of the host gets to a setuid file of an image (CVE-2021-41091)."""
    root = f"{os.fspath(tmp_path)}/state"
    image = minidock.add("setuid", ("su", 0o6755, b"#!/bin/sh\n"))
    mask = os.umask(umask)
    try:
        for words in (
            ("pull", "-q", image),
            ("run", "--network", "none", image, "touch", "/new"),
        ):
            assert minidock.result(*words, MINIDOCK_ROOT=root).status == 0
        stat = minidock.result(
            "run", "--rm", image, "stat", "-c", "%a", "/su", MINIDOCK_ROOT=root
        )
        assert stat.text == "6755\n"
        diff = minidock.result("ps", "-aq", MINIDOCK_ROOT=root).text.strip()
    finally:
        os.umask(mask)
    upper = f"{root}/containers/{os.listdir(f'{root}/containers')[0]}/upper"
    assert os.stat(f"{upper}/new").st_mode & 0o7777 == 0o644
    for name in ("", "layers", "containers", "chains", "images", "tmp", "cache", "network"):
        assert os.stat(f"{root}/{name}").st_mode & 0o7777 == 0o700, name
    for directory, _, files in os.walk(f"{root}/images"):
        for name in files:
            assert os.stat(f"{directory}/{name}").st_mode & 0o077 == 0, name
    minidock.result("rm", "-f", diff, MINIDOCK_ROOT=root)


# The host's programs and its kernel.


def test_modules_of_an_image_are_not_imported(minidock: Guarded, canary: Canary) -> None:
    """Whatever python finds in the image stays unread (CVE-2019-14271)."""
    trojan = b"open('/MARK', 'w').close()\n"
    places = {os.path.dirname(os.__file__), f"{sys.prefix}/lib/python3.11/site-packages"}
    entries: list[Entry] = []
    for place in sorted({path.strip("/") for path in places}):
        names = ("shlex", "traceback", "encodings/idna", "stringprep", "minidock", "linecache")
        entries += [(f"{place}/{name}.py", 0o644, trojan) for name in names]
    repository = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    entries += [
        (f"{repository.strip('/')}/{name}.py", 0o644, trojan) for name in ("pwd", "traceback")
    ]
    entries += [
        (f"{lib}/libnss_{name}.so.2", 0o755, b"\x7fELF")
        for lib in ("lib", "usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
        for name in ("files", "compat", "dns")
    ]
    image = minidock.add("trojan", *entries)
    minidock("run", "-d", "--name", "box", image, "sleep", "1000")
    minidock("exec", "-u", "bob:wheel", "box", "true")
    for words in (("nosuch",), ("-w", "/nosuch", "true"), ("/etc/passwd",)):
        minidock.result("exec", *words[:-1], "box", words[-1])
        minidock.result("run", *words[:-1], image, words[-1])
    minidock("commit", "box", "trojan2")
    for name in minidock("ps", "-aq").split():
        assert "MARK" not in minidock("diff", name)


def test_interpreter_of_the_host_is_out_of_reach(
    minidock: Guarded, canary: Canary, tmp_path: os.PathLike[str]
) -> None:
    """A program that is /proc/self/exe gets a sealed file, not python (CVE-2019-5736)."""
    python = f"{os.fspath(tmp_path)}/python"
    shutil.copy(os.path.realpath(sys.executable), python)  # never the host's own
    before = look(python)
    paths = {
        "PYTHONHOME": sys.base_prefix,
        "PYTHONPATH": os.pathsep.join([minidock.environment["PYTHONPATH"], *sys.path]),
    }
    copied = Guarded(minidock.root, minidock.registry, [python, "-m", "minidock"])
    copied.environment.update(paths)
    write = b"#!/bin/sh\nfor p in /proc/[0-9]*; do echo x >>$p/exe; readlink $p/exe; done\n"
    image = minidock.add(
        "selfexe",
        ("self", 0o755, b"#!/proc/self/exe\n"),
        ("parent", 0o755, b"#!/proc/1/exe\n"),
        ("write", 0o755, write),
    )
    assert "python" not in copied.result("run", "--rm", image, "/write").text
    copied(
        "run", "-d", "--name", "box", image, "sh", "-c", "while :; do /write; done 2>/dev/null"
    )
    for _ in range(4):
        copied("exec", "box", "true")
    for name in ("self", "parent"):
        for words in (("run", "-d", "--network", "none", image), ("exec", "-d", "box")):
            copied.result(*words, f"/{name}", "a", "b")
    assert "python" not in copied("logs", "box")
    assert look(python) == before


KERNEL = """
for f in core_pattern modprobe hostname panic ../vm/panic_on_oom ../fs/binfmt_misc/register
do true >>/proc/sys/kernel/$f; done
true >>/proc/sysrq-trigger
true >>/sys/kernel/uevent_helper
for d in /sys/fs/cgroup /sys/fs/cgroup/*; do
    mkdir $d/hostile && echo made $d
    for f in release_agent notify_on_release cgroup.procs devices.allow tasks
    do [ -e $d/$f ] && true >>$d/$f && echo opened $d/$f; done
done
for m in "tmpfs t /tmp" "cgroup -omemory /tmp" "proc p /tmp" "sysfs s /tmp"; do
    mount -t $m && echo mounted $m
    unshare -UrmC mount -t $m && echo mounted $m
done
mount -o remount,rw /sys && echo remounted
echo end
"""


@pytest.mark.parametrize("shared", ["bridge", "host"])
def test_kernel_takes_no_orders(minidock: Guarded, shared: str) -> None:
    """Settings and control groups can't be written, nor mounted anew (CVE-2022-0492)."""
    result = minidock.result("run", "--rm", "--network", shared, "base", "sh", "-c", KERNEL)
    assert result.text == "end\n"
    box = minidock("run", "-d", "--network", shared, "base", "sleep", "1000").strip()
    assert minidock.result("exec", box, "sh", "-c", KERNEL).text == "end\n"


def test_no_socket_of_the_host_network_is_ours(minidock: Guarded) -> None:
    """A monitor's socket has a path: it is no abstract one (CVE-2020-15257)."""
    minidock("run", "-d", "--name", "box", "base", "sleep", "1000")
    assert "@" not in minidock(
        "run", "--rm", "--network", "host", "base", "cat", "/proc/net/unix"
    )


def test_terminal_of_the_user_is_out_of_reach(minidock: Guarded) -> None:
    """Without -t a process has no terminal to type into (CVE-2017-5226)."""
    minidock("run", "-d", "--name", "box", "base", "sleep", "1000")
    script = "exec 2>&1; tty; true </dev/tty; cut -d' ' -f7 /proc/self/stat\n"
    script += "ls -l /proc/self/fd; echo END"
    for words in (("exec", "-i", "box"), ("run", "-i", "--rm", "base")):
        call = [*minidock.words, *words, "sh", "-c", script]
        with Terminal(call, minidock.environment, 24, 80) as terminal:
            shown = terminal.expect("END")
            assert "not a tty" in shown
            assert "No such device or address" in shown
            assert "\n0\r\n" in shown
            assert "pts" not in shown
            assert terminal.ends() == 0


# What is shown and what is kept.

ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b"


def test_control_characters_are_escaped(minidock: Guarded) -> None:
    """Names, labels, commands and history of an image don't drive the user's terminal."""
    image = minidock.add(
        "escape",
        Labels={f"a{ESCAPE}": ESCAPE},
        Env=[f"A={ESCAPE}"],
        Cmd=["sh", "-c", f"echo >'/{ESCAPE}'; exit 3", ESCAPE],
        StopSignal="SIGTERM",
    )
    minidock.result("run", "--name", "box", image)
    for words in (
        ("ps", "-a", "--no-trunc"), ("ps", "-a", "--format", "{{.Labels}}{{.Command}}"),
        ("ps", "-a", "--format", "json"), ("inspect", "box"), ("inspect", image),
        ("diff", "box"),
        ("images",), ("history", "--no-trunc", image), ("history", "--format", "json", image),
        ("run", "--rm", "base", ESCAPE), ("run", "--rm", "-u", ESCAPE, "base"),
        ("run", "--rm", "-w", "/proc/self/exe" + ESCAPE, "base"), ("rm", ESCAPE),
        ("run", ESCAPE), ("exec", "box", ESCAPE),
    ):  # fmt: skip
        result = minidock.result(*words)
        said = (result.out + result.err).decode()
        controls = {"\x1b", "\x07"} if words[0] == "inspect" else {"\x1b", "\x07", "\x9b"}
        assert not controls & set(said), (words, said)


def test_labels_are_not_options(minidock: Guarded) -> None:
    """What an image says about itself gives it no rights."""
    labels = {
        "io.containers.capabilities": "SYS_ADMIN",
        "org.opencontainers.image.privileged": "true",
        "run": "docker run --privileged -v /:/host IMAGE",
        "minidock.privileged": "true",
        "io.podman.annotations.privileged": "TRUE",
    }
    extra = {"HostConfig": {"Privileged": True, "Binds": [f"{minidock.directory}:/host"]}}
    image = minidock.add("labels", Labels=labels, Privileged=True, **extra)
    result = minidock.result(
        "run", "--rm", image, "sh", "-c", "grep Cap /proc/self/status; ls /host"
    )
    assert "CapEff:\t00000000a80425fb" in result.text
    assert "/host: No such file" in result.errors


PLANT = """
mkdir /a /a/b; cd /a
ln -s {canary} link; ln -s {canary}/secret b/secret; ln -s ../../../../../../../..{canary} up
mkfifo fifo; mknod disk b 8 0; mknod null c 1 3
nc -l -s 127.0.0.1 -p 9 & nc -lU socket 2>/dev/null & sleep 0.1
rm -r /home /root; ln -s {canary} /home
touch .wh.passwd .wh..wh..opq
mv /bin/yes /a/yes
echo done
sleep 1000
"""


def test_commit_of_what_a_container_planted(minidock: Guarded, canary: Canary) -> None:
    """Links stay links, pipes are not waited for, marks of overlayfs and of layers are none."""
    script = PLANT.format(canary=canary.path)
    minidock("run", "-d", "--name", "box", "base", "sh", "-c", script)
    minidock.await_log("box", "done")
    upper = minidock.upper("box")
    for name, value in (("redirect", b"/etc"), ("metacopy", b""), ("origin", b"x")):
        os.setxattr(f"{upper}/a/b", f"trusted.overlay.{name}", value)
    minidock("commit", "box", "planted")
    minidock("rm", "-f", "box")
    script = "for l in /a/link /a/b/secret /home; do readlink $l; done\n"
    script += "cat /home/secret /a/b/secret; ls /etc/passwd /a/b"
    result = minidock.result("run", "--rm", "planted", "sh", "-c", script)
    assert result.text.split() == [
        *(canary.path, f"{canary.path}/secret", canary.path),
        *("/etc/passwd", "/a/b:", "secret"),
    ]
    opened = minidock.result("run", "--rm", "planted", "sh", "-c", "true </a/disk")
    assert "ermitted" in opened.errors


SHUFFLE = "cd /; while :; do for n in 1 2 3; do rm -rf x; mkdir x; ln -s {canary}/secret x/s;"
SHUFFLE += " rm -rf x; ln -s {canary} x; rm x; mkfifo x; rm x; echo y >x; done; done"


def test_commit_during_changes(minidock: Guarded, canary: Canary) -> None:
    """A name that is a directory, a link, a pipe and a file by turns leads nowhere."""
    script = SHUFFLE.format(canary=canary.path)
    minidock("run", "-d", "--name", "box", "--network", "none", "base", "sh", "-c", script)
    for number in range(4):
        minidock("commit", "box", f"shuffled{number}")
        minidock.result("diff", "box")
    for number in range(4):
        words = ("run", "--rm", "--network", "none", f"shuffled{number}", "sh", "-c")
        minidock.result(*words, "ls -lR /x; [ -f /x ] && cat /x; [ -d /x ] && cat /x/s")


def test_image_that_goes_while_it_starts(minidock: Guarded) -> None:
    """A start with an image that is being removed is whole or refused."""
    for number in range(4):
        minidock.add("goes", ("file", 0o644, b"whole\n"))
        with minidock.background(
            *("run", "--rm", "--pull", "never", "--network", "none", "goes", "cat", "/file")
        ) as process:
            time.sleep(number * 0.05)
            minidock.result("rmi", "-f", "goes")
            out, err = process.communicate(timeout=20)
        assert (process.returncode, out) in ((0, b"whole\n"), (125, b"")), err
        assert b"internal" not in err


ODD: tuple[dict[str, object], ...] = (
    {"WorkingDir": "relative"}, {"WorkingDir": "/a\0b"}, {"WorkingDir": "/" + "d" * 300},
    {"WorkingDir": "/x" * 3000}, {"WorkingDir": "/bin/busybox"},
    {"User": "0\0"}, {"User": "\ud800"}, {"User": "x" * 100000},
    {"Env": "A=b"}, {"Env": ["A=\0"]}, {"Env": ["\ud800=1"]},
    {"Cmd": [""]}, {"Cmd": ["a\0b"]}, {"Cmd": ["..", "x"]},
    {"Cmd": ["true"] + ["x"] * 100000}, {"Cmd": None, "Entrypoint": []},
    {"StopSignal": "NONE"},
    {"ExposedPorts": {"99999/tcp": {}}}, {"ExposedPorts": {"0-65535/tcp": {}}},
    {"ExposedPorts": {"x": {}}}, {"ExposedPorts": ["80"]},
    {"Volumes": {"/../../../x": {}, "/": {}, "": {}, "proc": {}, "/proc/sys": {}}},
    {"Labels": {"a": 1, "b": None}},
    {"Healthcheck": {"Test": ["CMD", "/evil"]}, "OnBuild": ["RUN evil"], "Shell": ["/evil"]},
)  # fmt: skip


def test_odd_configurations(minidock: Guarded) -> None:
    """An image whose config makes no sense runs, or is refused in words."""
    for number, config in enumerate(ODD):
        minidock.offer(f"odd{number}", **config)
        wanted = ("-P",) if "ExposedPorts" in config else ("--network", "none")
        result = minidock.result("run", "--rm", "-q", *wanted, f"odd{number}")
        assert result.status in (0, 1, 125, 126, 127), (config, result)
        if result.status > 1:
            assert result.errors.strip()
