# SPDX-License-Identifier: Apache-2.0
"""What we write as config.json is one by the OCI runtime specification."""

import json

import pytest

from minidock.linux.capabilities import DOCKER_DEFAULT, names
from minidock.oci.runtime import Hook, LinuxDevice, Rlimit, Spec
from minidock.runtime.cgroup_plan import DOCKER_DEVICES, Limits
from minidock.runtime.oci_resources import to_spec
from minidock.runtime.seccomp_document import document
from minidock.runtime.seccomp_policy import DEFAULT
from minidock.runtime.spec import SpecInputs, bind_mount, make_spec, tmpfs_mount
from minidock.runtime.users import User
from tests.fakes.oci_schema import check

PLAIN = SpecInputs(
    args=("true",),
    user=User(home="/root"),
    hostname="box",
    capabilities=names(DOCKER_DEFAULT),
    root_path="/var/lib/minidock/containers/x/mount",
    cgroups_path="/minidock/x",
    resources=to_spec(Limits(), DOCKER_DEVICES),
    seccomp=document(DEFAULT, "x86_64", DOCKER_DEFAULT, (6, 1)),
)
FULL = PLAIN._replace(
    user=User(1, 2, (2, 3)),
    terminal=True,
    domainname="d",
    mounts=(
        bind_mount("/a", "/b", read_only=True, propagation="rslave"),
        tmpfs_mount("/t", ("size=1m",)),
    ),
    devices=(LinuxDevice("/dev/x", "b", 8, 1, 0o600, 5, 6),),
    rlimits=(Rlimit("RLIMIT_NOFILE", 10, -1),),
    oom_score_adj=-5,
    no_new_privileges=True,
    read_only=True,
    sysctl={"net.core.somaxconn": "100"},
    resources=to_spec(
        Limits(memory=1 << 26, pids=5, cpu_quota=-1, cpuset_cpus="0", io_weight=10), ()
    ),
    annotations={"a": "b"},
)
INPUTS = {
    "plain": PLAIN,
    "full": FULL,
    "privileged": PLAIN._replace(privileged=True, seccomp={}, resources=to_spec(Limits(), ())),
    "shared": PLAIN._replace(host_namespaces=("network", "pid", "ipc", "uts", "cgroup")),
    "joined": PLAIN._replace(joined={"network": "/proc/1/ns/net"}),
}


@pytest.mark.parametrize("inputs", INPUTS.values(), ids=INPUTS)
def test_structure(inputs: SpecInputs) -> None:
    """Names, types and what must be there are the specification's; it is read as it was."""
    spec = make_spec(inputs)
    written = json.loads(json.dumps(spec.to_json()))
    check(written)
    again = Spec.from_json(written)
    unlimited = [limit._replace(hard=(1 << 64) - 1) for limit in spec.process.rlimits]
    assert again == spec._replace(process=spec.process._replace(rlimits=tuple(unlimited)))


def test_root_has_all_sets_and_others_one() -> None:
    """Nobody but root has capabilities from the beginning; nobody inherits any."""
    root = make_spec(PLAIN).to_json()["process"]["capabilities"]
    assert (
        root["bounding"] == root["effective"] == root["permitted"] == list(PLAIN.capabilities)
    )
    bob = make_spec(PLAIN._replace(user=User(1000))).to_json()["process"]["capabilities"]
    assert bob["bounding"] == list(PLAIN.capabilities)
    assert not any(bob[name] for name in ("effective", "permitted", "inheritable", "ambient"))
    assert root["inheritable"] == root["ambient"] == []


def test_the_root_is_as_connected_as_its_mounts() -> None:
    """Other runtimes make a slave of a slave only."""
    shared = make_spec(PLAIN._replace(mounts=(bind_mount("/a", "/b", propagation="rshared"),)))
    assert make_spec(FULL).linux.rootfs_propagation == "rslave"
    assert shared.linux.rootfs_propagation == "rshared"
    assert make_spec(PLAIN).linux.rootfs_propagation == ""


def test_hooks_and_sizes_survive() -> None:
    """What only other engines write is kept as it is."""
    hook = Hook("/bin/hook", ("hook", "x"), ("A=1",), 5)
    spec = make_spec(PLAIN)._replace(hooks={"poststop": (hook, Hook("/bin/other"))})
    spec = spec._replace(process=spec.process._replace(console_size=(24, 80)))
    assert Spec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
