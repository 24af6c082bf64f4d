# SPDX-License-Identifier: Apache-2.0
"""Streams, exit statuses and flags of run, create and exec, as scripts use them."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.system.place import Place, lives, published, wait_for


def test_streams_are_kept_apart_and_binary_safe(minidock: Place):
    """Bytes go in and come out as they are; stderr stays stderr."""
    data = bytes(range(256)) * 4000
    script = "cat; echo complaint >&2"
    result = minidock.result("run", "--rm", "-i", "base", "sh", "-c", script, stdin=data)
    assert result == (0, data, b"complaint\n")
    minidock("run", "-d", "--name", "box", "base", "sleep", "60")
    assert minidock.result("exec", "-i", "box", "sh", "-c", script, stdin=data) == result


def test_stdin_is_for_those_who_ask(minidock: Place):
    """Without -i the container reads an end of file, and the caller's input is left alone."""
    assert minidock("run", "--rm", "base", "cat", stdin=b"not for you") == ""
    command = " ".join([*minidock.words, "run", "--rm", "base", "cat"])
    script = f"printf 'a\\nb\\n' | while read line; do echo $line; {command}; done"
    done = subprocess.run(
        ["sh", "-c", script],
        env=minidock.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("a\nb\n", "")


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 42", 42),
        ("exit 125", 125),
        ("exec 2>/dev/null; sh -c 'kill -TERM $$'; exit $?", 143),
        ("kill -9 $$", 0),  # pid_namespaces(7): init can't kill itself
    ],
)
def test_the_status_is_the_containers(minidock: Place, script: str, status: int):
    """The exit status of run is that of its command, and nothing is said about it."""
    assert minidock.result("run", "--rm", "base", "sh", "-c", script) == (status, b"", b"")


def test_kill_ends_with_137(minidock: Place):
    """A container that is killed from outside has the status 128 + 9."""
    command = ("run", "--rm", "--name", "box", "base", "sh", "-c", "echo ready; sleep 60")
    with minidock.background(*command) as process:
        assert process.stdout.readline() == b"ready\n"
        assert minidock("kill", "box") == "box\n"
        assert process.communicate(timeout=20) == (b"", b"")
        assert process.returncode == 137


def test_exec_gives_the_status_of_its_command(minidock: Place):
    """Statuses, signals and commands that can't be run, as docker has them."""
    minidock("run", "-d", "--name", "box", "base", "sleep", "60")
    assert minidock.result("exec", "box", "sh", "-c", "exit 3") == (3, b"", b"")
    assert minidock.result("exec", "box", "sh", "-c", "kill -9 $$") == (137, b"", b"")
    err = minidock.refused(127, "exec", "box", "nosuch")
    assert err == 'Error: exec: "nosuch": executable file not found in $PATH\n'
    err = minidock.refused(126, "exec", "box", "/etc/not-a-program")
    assert err == 'Error: exec: "/etc/not-a-program": permission denied\n'
    assert minidock("exec", "-d", "box", "touch", "/tmp/made") == ""
    wait_for(lambda: minidock.result("exec", "box", "ls", "/tmp").out == b"made\n", "the file")
    assert minidock("exec", "-w", "/home/bob", "-u", "bob", "-e", "A=1", "box", "sh", "-c",
                    "pwd; id; echo $A $HOME") == (
        "/home/bob\nuid=1000(bob) gid=1000(bob) groups=10(wheel),1000(bob)\n1 /home/bob\n"
    )  # fmt: skip


def test_rm_leaves_nothing_even_after_a_failure(minidock: Place):
    """With --rm a container that ran, or could not, is gone with its name."""
    for status, command in ((0, "true"), (1, "false"), (127, "nosuch"), (126, "/etc/group")):
        assert (
            minidock.result("run", "--rm", "--name", "gone", "base", command).status == status
        )
    minidock.assert_clean()


def test_detached_prints_the_id_and_writes_it(minidock: Place, tmp_path: Path):
    """-d prints the id; --cidfile has it without a newline and is never overwritten."""
    cidfile = str(tmp_path / "cid")
    out = minidock("run", "-d", "--cidfile", cidfile, "base", "true")
    assert (tmp_path / "cid").read_text() == out.strip()
    assert minidock("wait", out.strip()) == "0\n"
    err = minidock.refused(125, "run", "--cidfile", cidfile, "base", "true")
    assert err.startswith(
        "minidock: container ID file found, make sure the other container isn't"
    )


def test_environment_user_directory_and_names(minidock: Place, tmp_path: Path):
    """-e, --env-file, -w, -u, -h, --entrypoint and labels arrive."""
    env_file = tmp_path / "env"
    env_file.write_text("# a comment\nFILE=from 'file' # kept\nBOTH=file\nHOST_A\nHOST_NO\n")
    result = minidock.result(
        "run", "--rm", "-e", "BOTH=flag", "-e", "HOST_A", "--env-file", str(env_file),
        "-w", "/made/for/this", "-u", "bob", "-h", "named", "--entrypoint", "sh", "-l", "x=y",
        "base", "-c", "env | sort; pwd; id; hostname; umask; stat -c %u:%g:%a /made",
        HOST_A="from host",
    )  # fmt: skip
    assert result.errors == ""
    assert result.text.splitlines() == [
        "BOTH=flag",
        "FILE=from 'file' # kept",
        "HOME=/home/bob",
        "HOSTNAME=named",
        "HOST_A=from host",
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "PWD=/made/for/this",
        "SHLVL=1",
        "/made/for/this",
        "uid=1000(bob) gid=1000(bob) groups=10(wheel),1000(bob)",
        "named",
        "0022",
        "0:0:755",
    ]


@pytest.mark.parametrize(
    ("user", "ids"),
    [
        ("1000", "uid=1000(bob) gid=1000(bob) groups=10(wheel),1000(bob)"),
        ("12345", "uid=12345 gid=0(root) groups=0(root)"),
        ("bob:wheel", "uid=1000(bob) gid=10(wheel) groups=10(wheel)"),
        (":10", "uid=0(root) gid=10(wheel) groups=10(wheel)"),
    ],
)
def test_users(minidock: Place, user: str, ids: str):
    """-u takes names and numbers, with and without a group."""
    assert minidock("run", "--rm", "-u", user, "base", "id") == f"{ids}\n"


def test_bind_mounts_and_read_only_roots(minidock: Place, tmp_path: Path):
    """-v binds for writing or reading; --read-only leaves only mounts writable."""
    (tmp_path / "ro").mkdir()
    (tmp_path / "ro/file").write_text("of the host\n")
    result = minidock.result(
        "run", "--rm", "--read-only", "--tmpfs", "/scratch",
        "-v", f"{tmp_path}/rw:/rw", "-v", f"{tmp_path}/ro:/ro:ro", "base", "sh", "-c",
        "cat /ro/file; echo x > /rw/new; echo x > /scratch/new; echo x > /ro/no; echo x > /no",
    )  # fmt: skip
    assert result.text == "of the host\n"
    assert result.errors.splitlines() == [
        "sh: can't create /ro/no: Read-only file system",
        "sh: can't create /no: Read-only file system",
    ]
    assert result.status == 1
    assert (tmp_path / "rw/new").read_text() == "x\n"
    assert os.listdir(tmp_path / "ro") == ["file"]


def test_signals_reach_the_container(minidock: Place):
    """SIGTERM to the command line is the container's, and so is the exit status."""
    script = "trap 'echo got it; exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    with minidock.background("run", "--rm", "base", "sh", "-c", script) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (9, b"got it\n", b"")


def test_the_container_outlives_a_killed_command_line(minidock: Place):
    """After SIGKILL of the command line the container runs on, and its log grows."""
    script = "echo ready; read line; echo after; sleep 60"
    with minidock.background(
        "run", "-i", "--name", "box", "base", "sh", "-c", script
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        process.kill()
        process.wait()
    assert minidock.state("box")["Running"] is True
    minidock.await_log("box", "after")  # stdin has ended with its only client
    assert minidock("kill", "box") == "box\n"


def test_a_killed_monitor_leaves_the_truth(minidock: Place):
    """Without its monitor a container can still be seen, ended, started and removed."""
    minidock("run", "-d", "--name", "box", "-P", "tomcat:9.0")
    (monitor,) = minidock.monitors()
    pid = minidock.state("box")["Pid"]
    os.kill(monitor, signal.SIGKILL)
    wait_for(lambda: not minidock.monitors(), "the monitor's end")
    running = minidock.state("box")["Running"]
    assert running == lives(pid)
    assert ("box" in minidock("ps")) == running
    assert minidock("stop", "-t", "0", "box") == "box\n"
    assert not lives(pid)
    assert minidock.state("box")["Status"] == "exited"
    assert published() == []
    assert minidock("start", "box") == "box\n"
    assert minidock("rm", "-f", "box") == "box\n"
    minidock.assert_clean()


def test_create_start_attached_and_attach(minidock: Place):
    """Create prints the id; start -ai relays streams and gives the status."""
    script = "read line; echo got $line; exit 5"
    container = minidock("create", "-i", "base", "sh", "-c", script).strip()
    assert minidock.state(container)["Status"] == "created"
    result = minidock.result("start", "-ai", container, stdin=b"word\n")
    assert result == (5, b"got word\n", b"")
    assert minidock("run", "-di", "--name", "box", "base", "sh", "-c", script) != ""
    result = minidock.result("attach", "box", stdin=b"more\n")
    assert result == (5, b"got more\n", b"")


def test_networks(minidock: Place):
    """None has a loopback only, host is the host's, bridge has an address and a name."""
    show = "ip -o link | wc -l; hostname"
    assert minidock(
        "run", "--rm", "--network", "none", "-h", "x", "base", "sh", "-c", show
    ) == ("1\nx\n")
    links = len(socket.if_nameindex())
    assert minidock("run", "--rm", "--network", "host", "base", "sh", "-c", show) == (
        f"{links}\n{os.uname().nodename}\n"
    )
    minidock("run", "-d", "--name", "box", "-h", "me", "base", "sleep", "60")
    address = minidock.inspect("box")["NetworkSettings"]["IPAddress"]
    assert minidock("exec", "box", "hostname", "-i") == f"{address}\n"
    assert minidock("exec", "box", "cat", "/etc/hosts").endswith(f"\n{address}\tme\n")


def test_a_signal_at_any_moment(minidock: Place):
    """It comes too early for a container, or is the container's: none is left half-made."""
    script = "trap 'exit 7' TERM; for i in 1 2 3 4; do sleep 0.1; done; exit 9"
    for milliseconds in range(20, 260, 30):
        command = (
            "run",
            "--rm",
            "--network",
            "none",
            "--name",
            "box",
            "base",
            "sh",
            "-c",
            script,
        )
        with minidock.background(*command) as process:
            time.sleep(milliseconds / 1000)
            process.terminate()
            _, err = process.communicate(timeout=20)
        assert err == b""
        assert process.returncode in (-signal.SIGTERM, 7, 9)
        wait_for(lambda: minidock("ps", "-aq") == "", "the end of the container")


def test_the_mount_table_of_an_image_without_one(minidock: Place):
    """df(1) and mount(8) look at /etc/mtab; it is no change of the container's."""
    minidock("run", "--name", "box", "--network", "none", "base", "grep", " / ", "/etc/mtab")
    assert minidock("diff", "box") == ""


@pytest.mark.parametrize(("mode", "server"), [("bridge", "10.1.2.3"), ("host", "127.0.0.53")])
def test_name_servers_behind_a_stub(minidock: Place, mode: str, server: str):
    """Where the host asks systemd-resolved a container of its own asks whom that asks."""
    show = ("grep", "nameserver", "/etc/resolv.conf")
    command = ["run", "--rm", "--network", mode, "base", *show]
    script = """
    mount -t tmpfs none /run
    mkdir -p /run/systemd/resolve
    echo nameserver 10.1.2.3 > /run/systemd/resolve/resolv.conf
    echo nameserver 127.0.0.53 > /run/stub
    mount --bind /run/stub /etc/resolv.conf
    "$@"
    """
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", script, "sh", *minidock.words, *command],
        env=minidock.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"nameserver {server}\n", "")


def test_publish_all_takes_free_ports(minidock: Place):
    """-P publishes what the image exposes; two containers get two ports."""
    for name in ("one", "two"):
        minidock("run", "-d", "-P", "--name", name, "tomcat:9.0")
    ports = {minidock("port", name, "8080/tcp") for name in ("one", "two")}
    assert len(ports) == 2
    assert all(text.startswith("0.0.0.0:") for text in ports)


@pytest.mark.parametrize("attached", [False, True])
def test_no_line_is_lost(minidock: Place, attached: bool):
    """What is written fast, to both streams, by a program that ends at once."""
    script = "seq 200000 & seq 1000000 1020000 >&2; wait"
    expected = (
        0,
        b"".join(b"%d\n" % i for i in range(1, 200_001)),
        b"".join(b"%d\n" % i for i in range(1_000_000, 1_020_001)),
    )
    run = ("run", "--name", "box", "--network", "none")
    command = ("base", "sh", "-c", script)
    if attached:
        assert minidock.result(*run, *command) == expected
    else:
        minidock(*run, "-d", *command)
        minidock("wait", "box")
    assert minidock.result("logs", "box") == expected


def test_logs_follow_until_the_end(minidock: Place):
    """Logs -f shows what comes, in order, and ends with the container; -n and -t choose."""
    script = "for i in 1 2 3 4 5; do echo line $i; sleep 0.1; done"
    minidock("run", "-d", "--name", "box", "base", "sh", "-c", script)
    lines = [f"line {i}\n" for i in range(1, 6)]
    assert minidock("logs", "-f", "box") == "".join(lines)
    assert minidock("logs", "-n", "2", "box") == "".join(lines[3:])
    stamped = minidock("logs", "-t", "--tail=1", "box")
    assert stamped.endswith("Z line 5\n")


def test_version_and_info(minidock: Place):
    """Version and info print what docker's do."""
    assert minidock("version").startswith("Client:\n Version:")
    info = minidock("info")
    assert f"Docker Root Dir: {minidock.root}\n" in info
    assert "Images: 2\n" in info
