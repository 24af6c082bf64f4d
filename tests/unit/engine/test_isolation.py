"""Namespace modes, limits and devices of a HostConfig."""

import pytest

from minidock.engine import devices, isolation, security_options
from minidock.engine.execution import Security
from minidock.engine.options import CreateOptions, TmpfsMount
from minidock.errors import Conflict, InvalidArgument
from minidock.oci.runtime import LinuxDevice, Rlimit
from minidock.runtime.cgroup_plan import DeviceRule

UNLIMITED = Security(0, b"", False, False, ())
ZERO = LinuxDevice("/dev/a", "c", 1, 5)


def test_sharing() -> None:
    """Modes tell which namespaces are the host's and which are other containers'."""
    host = {
        "NetworkMode": "container:abc",
        "PidMode": "host",
        "IpcMode": "shareable",
        "UTSMode": "",
        "CgroupnsMode": "private",
    }
    assert isolation.sharing(host) == isolation.Sharing(("pid",), {"network": "abc"})
    assert isolation.sharing({}) == isolation.Sharing()


@pytest.mark.parametrize(("mode", "size"), [("none", 0), ("private", 9), ("shareable", 9)])
def test_shared_memory(mode: str, size: int) -> None:
    """Without IPC there is none."""
    assert isolation.shm_size({"IpcMode": mode, "ShmSize": 9}) == size


def test_limits_have_the_kernels_names() -> None:
    """Of one that is there twice the last counts."""
    limits = [
        {"Name": "nofile", "Soft": 1, "Hard": 2},
        {"Name": "core", "Soft": -1, "Hard": -1},
        {"Name": "nofile", "Soft": 3, "Hard": 4},
    ]
    assert isolation.rlimits({"Ulimits": limits}) == (
        Rlimit("RLIMIT_NOFILE", 3, 4),
        Rlimit("RLIMIT_CORE", -1, -1),
    )


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"network": "container:"}, InvalidArgument, "Invalid network mode"),
        (
            {"network": "container:x", "dns": ("192.0.2.1",)},
            Conflict,
            "dns and the network mode",
        ),
        ({"uts_mode": "host", "hostname": "h"}, Conflict, "hostname and the UTS mode"),
        ({"oom_score_adj": -1001}, InvalidArgument, "Invalid value -1001, range"),
        (
            {"tmpfs": (TmpfsMount("/x", ("size=1m", "bogus=1")),)},
            InvalidArgument,
            'invalid tmpfs option ["bogus=1"]',
        ),
    ],
)
def test_contradictions(options: dict[str, object], kind: type, message: str) -> None:
    """They are refused in docker's words."""
    with pytest.raises(kind) as refused:
        isolation.check(CreateOptions("x", **options))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("c 1:3 rw", (DeviceRule("c", 1, 3, "rw"),)),
        ("b *:* m", (DeviceRule("b", -1, -1, "m"),)),
        ("a 7:* r", (DeviceRule("b", 7, -1, "r"), DeviceRule("c", 7, -1, "r"))),
    ],
)
def test_device_rules(text: str, rules: tuple[DeviceRule, ...]) -> None:
    """The type for both is never the kernel's "all devices"."""
    ruled = devices.with_rules(UNLIMITED, {"DeviceCgroupRules": [text]}, ())
    assert ruled.devices == rules


def test_device_has_a_rule() -> None:
    """But for privileged containers, which may use all devices anyway."""
    wanted = (devices.Device(ZERO, "r"),)
    assert devices.with_rules(UNLIMITED, {}, wanted).devices == (DeviceRule("c", 1, 5, "r"),)
    privileged = UNLIMITED._replace(privileged=True)
    assert devices.with_rules(privileged, {}, wanted).devices == ()


def test_device_that_could_be_written() -> None:
    """Where no rules are enforced, one that is only to be read is not there at all."""
    wanted = (devices.Device(ZERO, "r"), devices.Device(ZERO, "rw"))
    made, warnings = devices.contained(wanted, enforced=False)
    assert made == (ZERO,)
    assert warnings == ("device /dev/a is left out: access r can't be enforced here",)
    assert devices.contained(wanted, enforced=True) == ((ZERO, ZERO), ())


@pytest.mark.parametrize(
    "option", ["seccomp=", "no-new-privileges=yes", "systempaths=", "bogus", "bogus=1", "=x"]
)
def test_security_options_that_are_none(option: str) -> None:
    """A misspelt protection is never taken for none."""
    with pytest.raises(InvalidArgument):
        security_options.check((), (), (option,))
