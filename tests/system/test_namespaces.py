# SPDX-License-Identifier: Apache-2.0
"""Namespaces that are the host's or another container's."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.system.place import Place, lives, wait_for

QUIET = ("--network", "none")
KINDS = {"pid": "pid", "ipc": "ipc", "uts": "uts", "cgroupns": "cgroup", "network": "net"}


_LINKS = " ".join(KINDS.values())
LOOK = ("sh", "-c", f"cd /proc/self/ns; for n in {_LINKS}; do readlink $n; done")
OWN = [f"/proc/thread-self/ns/{kind}" for kind in KINDS.values()]


def namespace(minidock: Place, kind: str, *words: str) -> str:
    """Return the name of a namespace as a process that `words` start sees it."""
    return minidock(*words, "readlink", f"/proc/self/ns/{kind}").strip()


def shared_with_host(minidock: Place, *words: str) -> set[str]:
    """Return the flags of the host's namespaces that a process started by `words` is in."""
    shown = minidock(*words, *LOOK).split()
    own = map(os.readlink, OWN)
    return {flag for flag, ours, its in zip(KINDS, own, shown, strict=True) if ours == its}


@pytest.fixture
def target(minidock: Place) -> Iterator[Place]:
    """The command line, with a container ``target`` that shares what it has."""
    flags = ("--ipc", "shareable", "--hostname", "target.example", "--dns", "192.0.2.7")
    script = "echo secret >/dev/shm/file; echo ready; sleep 1000"
    minidock("run", "-d", "--name", "target", *flags, "base", "sh", "-c", script)
    minidock.await_log("target", "ready")
    yield minidock
    minidock.clear()


def test_hosts_namespaces(minidock: Place):
    """With ``host`` it is the host's, for run and exec, and nothing else is."""
    for flag in KINDS:
        words = ("run", "--rm", *QUIET, f"--{flag}", "host", "base")
        assert shared_with_host(minidock, *words) == {flag}
    flags = [word for flag in KINDS for word in (f"--{flag}", "host")]
    minidock("run", "-d", "--name", "box", *flags, "base", "sleep", "60")
    assert shared_with_host(minidock, "exec", "box") == set(KINDS)


def test_user_namespace_of_the_host(minidock: Place):
    """It is how it is anyway."""
    wanted = os.readlink("/proc/self/ns/user")
    assert (
        namespace(minidock, "user", "run", "--rm", *QUIET, "--userns", "host", "base") == wanted
    )


def test_host_name_of_the_host(minidock: Place):
    """Sharing it changes nothing on the host; the container can't either."""
    before = os.uname().nodename
    words = ("run", "--rm", *QUIET, "--uts", "host", "--domainname", "x.example", "base")
    result = minidock.result(*words, "sh", "-c", "hostname; hostname other")
    assert result.text == f"{before}\n"
    assert os.uname().nodename == before
    refusal = minidock.refused(125, "run", "--uts", "host", "--hostname", "h", "base")
    assert "conflicting options: hostname and the UTS mode" in refusal


def test_processes_of_the_host(minidock: Place):
    """They are seen; the container's own end with it, whoever started them."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        script = f"ls -d /proc/{process.pid}; sleep 987 & wait"
        flags = ("--name", "box", *QUIET, "--pid", "host")
        minidock("run", "-d", *flags, "base", "sh", "-c", script)
        minidock.await_log("box", str(process.pid))
        minidock("exec", "-d", "box", "sleep", "988")
        minidock("kill", "box")
        wait_for(lambda: not _running("sleep 98"), "the container's processes go on")
        assert lives(process.pid)
        process.kill()


def _running(command: str) -> list[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline") as file:
                line = file.read().replace("\0", " ")
        except OSError:
            continue
        if line.startswith(command) and lives(int(name)):
            found.append(int(name))
    return found


def test_ipc_of_the_host(minidock: Place):
    """/dev/shm is the host's."""
    with open("/dev/shm/minidock-test", "w") as file:
        file.write("host\n")
    try:
        words = ("run", "--rm", *QUIET, "--ipc", "host", "base", "cat")
        assert minidock(*words, "/dev/shm/minidock-test") == "host\n"
    finally:
        os.unlink("/dev/shm/minidock-test")


def test_no_shared_memory(minidock: Place):
    """``--ipc none``: a namespace of its own, and no /dev/shm."""
    words = ("run", "--rm", *QUIET, "--ipc", "none", "base")
    assert "shm" not in minidock(*words, "ls", "/dev").split()
    assert namespace(minidock, "ipc", *words) != os.readlink("/proc/self/ns/ipc")


def test_namespaces_of_a_container(target: Place):
    """They are that container's, for run and exec, whatever it is called later."""
    joined = ("network", "pid", "ipc")
    theirs = target("exec", "target", *LOOK).split()
    flags = [word for flag in joined for word in (f"--{flag}", "container:target")]
    target("create", "--name", "box", *flags, "base", "sleep", "1000")
    target("rename", "target", "renamed")
    target("start", "box")
    ours = target("exec", "box", *LOOK).split()
    same = {flag for flag, a, b in zip(KINDS, ours, theirs, strict=True) if a == b}
    assert same == set(joined)
    mode = f"container:{target.inspect('renamed')['Id']}"
    host = target.inspect("box")["HostConfig"]
    assert [host[key] for key in ("NetworkMode", "PidMode", "IpcMode")] == [mode] * 3


def test_network_of_a_container(target: Place):
    """The same addresses, host name and files; no address or sysctls of its own."""
    script = (
        "hostname; cat /etc/hosts /etc/hostname /etc/resolv.conf; ip -o address; echo $HOSTNAME"
    )
    theirs = target("exec", "target", "sh", "-c", script)
    assert "192.0.2.7" in theirs
    flags = ("--network", "container:target")
    assert target("run", "--rm", *flags, "base", "sh", "-c", script) == theirs
    target("run", "-d", "--name", "box", *flags, "base", "sleep", "1000")
    assert target("exec", "box", "sh", "-c", script) == theirs
    # One that joins a network by joining who has joined it.
    words = ("run", "--rm", "--network", "container:box", "base", "sh", "-c", script)
    assert target(*words) == theirs
    box = target.inspect("box")
    assert box["NetworkSettings"]["Networks"] == {}
    assert box["HostsPath"] == target.inspect("target")["HostsPath"]
    assert target("ps", "--filter", "name=box", "--format", "{{.Networks}}") == "\n"


def test_network_talk(target: Place):
    """What listens on the loopback of one is there for the other."""
    target("exec", "-d", "target", "sh", "-c", "echo hello | nc -l -p 99")
    words = ("run", "--rm", "--network", "container:target", "base", "sh", "-c")
    script = "for i in $(seq 20); do nc 127.0.0.1 99 && break; sleep 0.1; done 2>/dev/null"
    assert target(*words, script).strip() == "hello"


def test_hosts_network_of_a_container(minidock: Place):
    """Who joins a container that has the host's network has the host's: it can't be changed."""
    minidock("run", "-d", "--name", "target", "--network", "host", "base", "sleep", "60")
    flags = ("--network", "container:target", "--sysctl", "net.ipv4.ip_forward=1")
    refusal = minidock.refused(125, "run", "--rm", *flags, "base", "true")
    assert 'sysctl "net.ipv4.ip_forward" not allowed in host network namespace' in refusal


def test_processes_of_a_container(target: Place):
    """They are seen, and can be signalled; the newcomer ends with the namespace."""
    flags = (*QUIET, "--pid", "container:target")
    shown = target("run", "--rm", *flags, "base", "ps", "-o", "pid,args")
    assert "1 sleep 1000" in shown
    assert "python" not in shown
    target("run", "-d", "--name", "box", *flags, "base", "sleep", "1000")
    pid = target.state("box")["Pid"]
    target("kill", "target")
    wait_for(lambda: not lives(pid), "the newcomer lives on")
    assert target("wait", "box") == "137\n"
    assert "is not running" in target.refused(125, "run", "--rm", *flags, "base", "true")


WATCH = """
echo ready
while :; do for p in /proc/[0-9]*; do
    { line=$(tr '\\0' ' ' <$p/cmdline); exe=$(readlink $p/exe); } 2>/dev/null
    case "$line $exe" in *pytho[n]*) echo "seen $line $exe" ;; esac
done; done
"""


def test_newcomer_is_not_seen_while_it_is_made(minidock: Place):
    """A container whose processes others join never sees those of the host that make them."""
    tracing = ("--cap-add", "SYS_PTRACE", *QUIET)
    minidock("run", "-d", "--name", "target", *tracing, "base", "sh", "-c", WATCH)
    minidock.await_log("target", "ready")
    for _ in range(5):
        shown = minidock("run", "--rm", *QUIET, "--pid", "container:target", "base", "ps")
        assert "ps" in shown
    assert "seen" not in minidock("logs", "target")


def test_terminal_in_the_processes_of_a_container(target: Place):
    """A newcomer has a terminal of its own, and its status is told."""
    words = ("run", "--rm", "-t", *QUIET, "--pid", "container:target", "base", "sh", "-c")
    result = target.result(*words, "tty; ps -o pid,tty; mount -t proc p /tmp; exit 7")
    assert result.status == 7
    assert "/dev/pts/0" in result.text


def test_shared_memory_of_a_container(target: Place):
    """Files of /dev/shm are seen from both; queues and segments belong to both."""
    flags = (*QUIET, "--ipc", "container:target")
    assert target("run", "--rm", *flags, "base", "cat", "/dev/shm/file") == "secret\n"
    target("run", "--rm", *flags, "base", "sh", "-c", "echo back >/dev/shm/answer")
    assert target("exec", "target", "cat", "/dev/shm/answer") == "back\n"
    bind = ("-v", f"{target.directory}:/dev/shm")
    assert "file" not in target("run", "--rm", *flags, *bind, "base", "ls", "/dev/shm").split()


def test_shared_memory_that_is_a_link(target: Place):
    """What a container makes of its /dev/shm leads who joins it nowhere else."""
    target(
        "run", "-d", "--name", "evil", "--ipc", "shareable", "--privileged", *QUIET, "base",
        "sh", "-c",
        f"cd /dev; umount shm; rmdir shm; ln -s {target.directory} shm; echo ok; sleep 60",
    )  # fmt: skip
    target.await_log("evil", "ok")
    words = ("run", "--rm", *QUIET, "--ipc", "container:evil", "base", "ls", "/dev/shm")
    assert "share the mount" in target.refused(125, *words)


REFUSED = (
    ("--network container:nosuch", "No such container: nosuch"),
    ("--pid container:nosuch", "No such container: nosuch"),
    (
        "--network container:",
        "Invalid network mode: invalid container format container:<name|id>",
    ),
    ("--network container:stopped", "cannot join network of a non running container: ID"),
    ("--pid container:stopped", "container ID is not running"),
    ("--ipc container:stopped", "can't join IPC of container ID: container ID is not running"),
    ("--network container:target -p 80", "port publishing and the container type network mode"),
    ("--network container:target -P", "port publishing and the container type network mode"),
    (
        "--network container:target --expose 1",
        "port exposing and the container type network mode",
    ),
    ("--network container:target --hostname h", "hostname and the network mode"),
    ("--network container:target --dns 192.0.2.1", "dns and the network mode"),
    (
        "--network container:target --add-host a:192.0.2.1",
        "custom host-to-IP mapping and the network mode",
    ),
)


def test_what_can_not_be_joined(target: Place):
    """Docker's errors, in its words; no container is left of a run with --rm."""
    stopped = target("create", "--name", "stopped", "base").strip()
    before = target("ps", "-aq")
    for flags, message in REFUSED:
        words = ("run", "--rm", *(() if "--network" in flags else QUIET), *flags.split())
        assert message.replace("ID", stopped) in target.refused(125, *words, "base", "true"), (
            flags
        )
    assert target("ps", "-aq") == before


def test_ipc_that_is_private(minidock: Place):
    """A container says whether it shares: by default it does not."""
    box = minidock("run", "-d", *QUIET, "base", "sleep", "60").strip()
    words = ("run", "--rm", *QUIET, "--ipc", f"container:{box[:12]}", "base", "true")
    message = (
        f"can't join IPC of container {box}: non-shareable IPC (hint: use IpcMode:shareable"
    )
    assert message in minidock.refused(125, *words)


def test_pid_that_is_anothers_by_now(target: Place):
    """A process that only has the number of a container's is not joined."""
    box = target.inspect("target")["Id"]
    path = f"{target.root}/containers/{box}/state.json"
    with open(path) as file:
        state = file.read()
    start = target.state("target")["Pid"]
    with open(path, "w") as file:
        file.write(state.replace(f'"pid":{start}', f'"pid":{os.getpid()}'))
    try:
        for flag in ("network", "pid", "ipc"):
            words = ("run", "--rm", *QUIET, f"--{flag}", "container:target", "base", "true")
            assert "running" in target.refused(125, *words)
    finally:
        with open(path, "w") as file:
            file.write(state)
