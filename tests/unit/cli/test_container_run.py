# SPDX-License-Identifier: Apache-2.0
"""``run`` and ``create``."""

from pathlib import Path

import pytest

from minidock.engine.options import (
    BindMount,
    CreateOptions,
    DeviceMapping,
    HealthCheck,
    Resources,
    RestartPolicy,
    TmpfsMount,
    Ulimit,
    VolumeMount,
    VolumesFrom,
)
from minidock.errors import SystemFailure
from minidock.network.ports import PortMapping
from minidock.oci.descriptor import Platform
from minidock.runtime.streams import Streams
from tests.unit.cli.conftest import Minidock
from tests.unit.cli.fakes import CONTAINER_ID, FakeEngine


def options_of(minidock: Minidock, engine: FakeEngine, *arguments: str) -> CreateOptions:
    result = minidock("create", *arguments)
    assert (result.status, result.err) == (0, ""), result
    assert engine.containers.options is not None
    return engine.containers.options


def test_defaults(minidock: Minidock, engine: FakeEngine) -> None:
    """Without flags the options are the defaults."""
    assert options_of(minidock, engine, "app") == CreateOptions("app")


def test_command(minidock: Minidock, engine: FakeEngine) -> None:
    """All that follows the image is the command."""
    options = options_of(minidock, engine, "-i", "app", "sh", "-c", "echo --rm", "--", "-d")
    assert options.command == ("sh", "-c", "echo --rm", "--", "-d")
    assert options.interactive
    assert not options.remove


@pytest.mark.parametrize(
    ("flags", "field", "value"),
    [
        ("--name web", "name", "web"),
        ("--entrypoint sh", "entrypoint", ("sh",)),
        ("-e A=1 -e B= -e NOT_SET", "env", ("A=1", "B=")),
        ("-l a=1 --label b", "labels", {"a": "1", "b": ""}),
        ("-u bob:staff", "user", "bob:staff"),
        ("-w /srv", "working_dir", "/srv"),
        ("-h box", "hostname", "box"),
        ("--domainname d", "domainname", "d"),
        ("-t", "tty", True),
        ("--rm", "remove", True),
        ("--rm=false", "remove", False),
        ("--rm --rm=false", "remove", False),
        ("--read-only", "read_only", True),
        ("-v /a:/b:ro", "binds", (BindMount("/a", "/b", True),)),
        ("-v /a:/b -v vol:/c", "binds", (BindMount("/a", "/b"), VolumeMount("vol", "/c"))),
        (
            "--mount type=bind,src=/c,dst=/d --mount type=tmpfs,dst=/u",
            "mounts",
            (BindMount("/c", "/d", create=False), TmpfsMount("/u")),
        ),
        ("--tmpfs /t:size=1m", "tmpfs", (TmpfsMount("/t", ("size=1m",)),)),
        ("-v /a -v /b", "volumes", ("/a", "/b")),
        (
            "--volumes-from a --volumes-from b:ro",
            "volumes_from",
            (VolumesFrom("a"), VolumesFrom("b", read_only=True)),
        ),
        (
            "-p 8080:80 -p 127.0.0.1:53:53/udp",
            "publish",
            (PortMapping(80, host_port=8080), PortMapping(53, "udp", "127.0.0.1", 53)),
        ),
        ("-P", "publish_all", True),
        ("--expose 80 --expose 90-91/udp", "expose", ("80/tcp", "90/udp", "91/udp")),
        ("--network none", "network", "none"),
        ("--net host", "network", "host"),
        ("--network default", "network", "bridge"),
        ("--dns 1.1.1.1 --dns 8.8.8.8", "dns", ("1.1.1.1", "8.8.8.8")),
        ("--dns-search a.b", "dns_search", ("a.b",)),
        ("--dns-option ndots:1 --dns-opt debug", "dns_options", ("ndots:1", "debug")),
        ("--add-host h:1.2.3.4", "extra_hosts", ("h:1.2.3.4",)),
        ("--stop-signal INT", "stop_signal", "INT"),
        ("--stop-timeout 0", "stop_timeout", 0),
        ("--group-add 5", "group_add", ("5",)),
        ("--cap-add NET_ADMIN", "cap_add", ("NET_ADMIN",)),
        ("--cap-drop ALL", "cap_drop", ("ALL",)),
        ("--security-opt seccomp=unconfined", "security_opt", ("seccomp=unconfined",)),
        ("--privileged", "privileged", True),
        ("--log-driver none", "log_driver", "none"),
        ("--pull never", "pull", "never"),
        ("--platform arm64", "platform", Platform("linux", "arm64")),
    ],
)
def test_flags(
    minidock: Minidock, engine: FakeEngine, flags: str, field: str, value: object
) -> None:
    """Each flag arrives in its option, and nowhere else."""
    options = options_of(minidock, engine, *flags.split(), "app")
    assert options == CreateOptions("app")._replace(**{field: value})


def test_empty_entrypoint(minidock: Minidock, engine: FakeEngine) -> None:
    """An empty entrypoint clears the image's; it is never split."""
    assert options_of(minidock, engine, "--entrypoint", "", "app", "x").entrypoint == ()
    assert options_of(minidock, engine, "--entrypoint=a b", "app").entrypoint == ("a b",)


def test_env_file(
    minidock: Minidock,
    engine: FakeEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Variables come of files, flags and the host."""
    monkeypatch.setenv("FROM_HOST", "h")
    (tmp_path / "ef").write_text("A=file\nB=file\n")
    options = options_of(
        minidock, engine, "--env-file", f"{tmp_path}/ef", "-eA=flag", "-e", "FROM_HOST", "app"
    )
    assert options.env == ("A=flag", "B=file", "FROM_HOST=h")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            "--rm --restart always",
            "conflicting options: cannot specify both --restart and --rm",
        ),
        ("--pull bogus", "invalid pull option: 'bogus'"),
        ("-w rel", "the working directory 'rel' is invalid"),
        ("--network=", "no name set for network"),
        ("-v /a:/x -v /b:/x", "Duplicate mount point: /x"),
        ("-v /a:/x --tmpfs /x", "Duplicate mount point: /x"),
        ("-v a:b:c:d", "invalid volume specification: 'a:b:c:d'"),
        ("-p x", "invalid containerPort: x"),
        ("--platform foo", 'error parsing specified platform: "foo"'),
        ("--env-file nosuch", "open nosuch: no such file or directory"),
        ("--label-file nosuch", "open nosuch: no such file or directory"),
        ("--expose foo", "invalid range format for --expose: foo"),
    ],
)
def test_bad_options(minidock: Minidock, flags: str, message: str) -> None:
    """Options that can't be meant keep run from starting: 125."""
    for verb in ("run", "create"):
        result = minidock(verb, *flags.split(), "app")
        assert (result.status, result.out) == (125, "")
        assert result.err.startswith(f"minidock: {message}")
        assert result.err.endswith(f"\n\nRun 'minidock {verb} --help' for more information\n")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            "-e =x",
            'invalid argument "=x" for "-e, --env" flag: invalid environment variable: =x',
        ),
        ("-l =x", "invalid label '=x': empty name"),
        ("--mount foo", "invalid field 'foo' must be a key=value pair"),
        ("-a foo", "valid streams are STDIN, STDOUT and STDERR"),
        ("--add-host foo", 'bad format for add-host: "foo"'),
        ("-d=maybe", 'invalid argument "maybe" for "-d, --detach" flag'),
        ("--dns foo", "IP address is not correctly formatted: foo"),
    ],
)
def test_bad_values(minidock: Minidock, flags: str, message: str) -> None:
    """Values that their flag refuses show the usage: 125."""
    result = minidock("run", *flags.split(), "app")
    assert result.status == 125
    assert message in result.err
    assert "\n\nUsage:  minidock run" in result.err


@pytest.mark.parametrize(
    "flags", ["--gpus all", "--isolation=hyperv", "--ip 10.0.0.2", "--use-api-socket"]
)
def test_ignored_flags(minidock: Minidock, engine: FakeEngine, flags: str) -> None:
    """A flag of docker's without effect here is one warning, and the run goes on."""
    result = minidock("run", *flags.split(), "app")
    assert result.status == 0
    lines = result.err.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith(" is not supported yet and is ignored")
    assert engine.containers.options == CreateOptions("app")


@pytest.mark.parametrize(
    ("flags", "field", "wanted"),
    [
        ("-m 64m --memory-swap=-1", "resources", Resources(memory=64 << 20, memory_swap=-1)),
        ("--cpus 1.5 -c 5", "resources", Resources(nano_cpus=1_500_000_000, cpu_shares=5)),
        ("--pids-limit=9", "resources", Resources(pids_limit=9)),
        ("--ulimit nofile=1:2", "ulimits", (Ulimit("nofile", 1, 2),)),
        ("--ulimit core=-1", "ulimits", (Ulimit("core", -1, -1),)),
        ("--device /dev/fuse", "devices", (DeviceMapping("/dev/fuse", "/dev/fuse"),)),
        ("--device /dev/a:/dev/b:r", "devices", (DeviceMapping("/dev/a", "/dev/b", "r"),)),
        ("--device /dev/a:rw", "devices", (DeviceMapping("/dev/a", "/dev/a", "rw"),)),
        ("--sysctl net.core.somaxconn=9", "sysctls", {"net.core.somaxconn": "9"}),
        ("--shm-size 1m", "shm_size", 1 << 20),
        ("--pid container:x", "pid_mode", "container:x"),
        ("--restart on-failure:3", "restart", RestartPolicy("on-failure", 3)),
        (
            "--health-retries 2 --health-interval 1m",
            "health",
            HealthCheck(interval=60_000_000_000, retries=2),
        ),
        ("--health-cmd true", "health", HealthCheck(("CMD-SHELL", "true"))),
        ("--no-healthcheck", "health", HealthCheck(("NONE",))),
        ("--log-opt max-size=1m", "log_options", {"max-size": "1m"}),
    ],
)
def test_flags_with_a_form_of_their_own(
    minidock: Minidock, engine: FakeEngine, flags: str, field: str, wanted: object
) -> None:
    """Each becomes the value that it stands for."""
    assert minidock("run", *flags.split(), "app").status == 0
    assert engine.containers.options is not None
    assert getattr(engine.containers.options, field) == wanted


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--cpus=x", "failed to parse x as a rational number"),
        ("--cpus=0.0000000001", "value is too precise"),
        ("-m 1x", "invalid size: '1x'"),
        ("--ulimit nofile", "invalid ulimit argument: nofile"),
        ("--ulimit no=1", "invalid ulimit type: no"),
        ("--ulimit nofile=2:1", "ulimit soft limit must be less than or equal to hard limit"),
        ("--ulimit nofile=1:2:3", "too many limit values"),
        ("--device fuse", "fuse is not an absolute path"),
        ("--device /dev/a:/dev/b:x", "bad mode specified: x"),
        ("--device /a:/b:r:w", "invalid device specification"),
        ("--device-cgroup-rule c", "invalid device cgroup format 'c'"),
        ("--restart=often", "invalid restart policy: unknown policy 'often'"),
        ("--restart=on-failure:x", "maximum retry count must be an integer"),
        ("--restart=always:3", "maximum retry count can only be used with 'on-failure'"),
        ("--restart=on-failure:-1", "maximum retry count cannot be negative"),
        ("--restart=:1", "no policy provided before colon"),
        ("--pid=mine", "--pid: invalid PID mode"),
        ("--pid=container:", "--pid: invalid PID mode"),
        ("--uts=container:x", "--uts: invalid UTS mode"),
        ("--health-retries=-1", "--health-retries cannot be negative"),
        ("--no-healthcheck --health-cmd x", "--no-healthcheck conflicts with --health-*"),
        ("--memory-swappiness=101", "Valid memory swappiness range is 0-100"),
        ("--sysctl net.x", "sysctl 'net.x' is not allowed"),
        ("--sysctl kernel.panic=1", "sysctl 'kernel.panic=1' is not allowed"),
        ("--annotation x", "invalid format 'x': expected key=value"),
        ("--security-opt seccomp=/nosuch", "opening seccomp profile (/nosuch) failed"),
        ("--security-opt seccomp=/etc/passwd", "compacting json for seccomp profile"),
    ],
)
def test_forms_that_are_none(minidock: Minidock, flags: str, message: str) -> None:
    """A value that can't be meant is refused with docker's words: 125."""
    result = minidock("run", *flags.split(), "app")
    assert result.status == 125
    assert message in result.err


def test_harmless_flags(minidock: Minidock) -> None:
    """A flag that asks for what happens anyway is silent."""
    flags = ("--restart=no", "--ipc=private", "--oom-kill-disable=false")
    assert minidock("run", *flags, "app") == (0, "", "")


def test_attached_run(minidock: Minidock, engine: FakeEngine) -> None:
    """Run connects stdout and stderr, forwards signals, and ends with the status."""
    engine.containers.status = 7
    assert minidock("run", "app") == (7, "", "")
    assert engine.containers.streams == Streams(None, 1, 2)
    minidock("run", "-i", "--sig-proxy=false", "app")
    assert engine.containers.streams == Streams(0, 1, 2, forward_signals=False)


def test_chosen_streams(minidock: Minidock, engine: FakeEngine) -> None:
    """With -a only the streams that are named are connected."""
    assert minidock("run", "-a", "stderr", "app") == (0, "", "")
    streams = engine.containers.streams
    assert streams is not None
    assert (streams.stdin, streams.stderr) == (None, 2)
    assert streams.stdout > 2


def test_run_that_only_feeds_prints_nothing(minidock: Minidock, engine: FakeEngine) -> None:
    """-a stdin shows no id, as with docker; -i connects stdin whatever -a says."""
    assert minidock("run", "-a", "stdin", "app").out == ""
    assert minidock("run", "-i", "-a", "stdout", "app").out == ""
    assert engine.containers.streams is not None
    assert engine.containers.streams.stdin == 0


def test_left_by_detach_keys(minidock: Minidock, engine: FakeEngine) -> None:
    """Leaving a run by the detach keys is a success."""
    engine.containers.status = None
    assert minidock("run", "app").status == 0


def test_detached_run(minidock: Minidock, engine: FakeEngine) -> None:
    """A detached run prints the id, also when the start fails."""
    assert minidock("run", "-dit", "app") == (0, f"{CONTAINER_ID}\n", "")
    assert engine.containers.streams is None
    engine.containers.fails = SystemFailure("mount /proc", 1)
    result = minidock("run", "-d", "app")
    assert (result.status, result.out) == (125, f"{CONTAINER_ID}\n")


def test_create_prints_the_id(minidock: Minidock) -> None:
    """Create prints the id."""
    assert minidock("create", "app") == (0, f"{CONTAINER_ID}\n", "")


def test_terminal_wanted(minidock: Minidock, engine: FakeEngine) -> None:
    """A terminal with stdin needs one here; without stdin it does not."""
    assert minidock("run", "-it", "app") == (1, "", "the input device is not a TTY\n")
    assert engine.containers.options is None
    assert minidock("run", "-t", "app").status == 0
    assert engine.containers.streams == Streams(None, 1, 2)


def test_detach_and_attach_conflict(minidock: Minidock) -> None:
    """-d and -a exclude each other."""
    result = minidock("run", "-d", "-a", "stdout", "app")
    assert result.status == 1
    assert result.err == "conflicting options: cannot specify both --attach and --detach\n"


def test_published_ports_of_the_host_network(minidock: Minidock) -> None:
    """Ports of the host's network can't be published."""
    result = minidock("run", "--net", "host", "-p", "80:80", "app")
    assert result.status == 0
    assert result.err == (
        "WARNING: Published ports are discarded when using host network mode\n"
    )


@pytest.mark.parametrize("verb", ["run", "create"])
def test_cidfile(minidock: Minidock, tmp_path: Path, verb: str) -> None:
    """The id is written without a newline; a file that exists is never overwritten."""
    path = tmp_path / "cid"
    assert minidock(verb, "--cidfile", str(path), "app").status == 0
    assert path.read_text() == CONTAINER_ID
    result = minidock(verb, "--cidfile", str(path), "app")
    assert result.status == 125
    assert result.err.startswith("minidock: container ID file found, make sure the other ")


def test_cidfile_of_a_failed_creation(minidock: Minidock, tmp_path: Path) -> None:
    """Without a container there is no file."""
    path = tmp_path / "cid"
    result = minidock("run", "--pull", "never", "--cidfile", str(path), "nosuch")
    assert (result.status, path.exists()) == (125, False)
    assert "No such image: nosuch:latest" in result.err


def test_cidfile_in_a_missing_directory(minidock: Minidock, tmp_path: Path) -> None:
    """A file that can't be made is an error."""
    result = minidock("run", "--cidfile", f"{tmp_path}/no/cid", "app")
    assert result.status == 125
    assert "failed to create the container ID file" in result.err
