# SPDX-License-Identifier: Apache-2.0
"""What of a config.json that others wrote is understood, and what is refused."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from minidock.errors import DataCorrupted, SystemFailure
from minidock.ocicli.features import example
from minidock.runtime.oci_bundle import InvalidConfig, UnsupportedConfig, load, understand

EXAMPLE = json.loads(json.dumps(example().to_json()))


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the example with `value` at a path such as ``process.cwd``."""
    document = copy.deepcopy(EXAMPLE)
    *parents, last = path.split(".")
    place = document
    for name in parents:
        place = place.setdefault(name, {})
    place[last] = value
    return document


def test_our_own_example_is_understood() -> None:
    """What `spec` writes is read without a complaint."""
    loaded = understand(EXAMPLE)
    assert (loaded.spec, loaded.warnings) == (example(), ())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("process.selinuxLabel", "system_u:system_r:container_t:s0"),
        ("linux.uidMappings", [{"containerID": 0, "hostID": 1, "size": 1}]),
        ("linux.personality", {"domain": "LINUX32"}),
        ("linux.timeOffsets", {"boottime": {"secs": 1}}),
        ("hooks.createContainer", [{"path": "/bin/true"}]),
        ("linux.namespaces", [{"type": "mount"}, {"type": "user"}]),
        ("linux.namespaces", [{"type": "mount"}, {"type": "time"}]),
        ("mounts", [{"destination": "/x", "source": "/", "options": ["rbind", "idmap"]}]),
    ],
)
def test_what_would_be_missed_is_refused(path: str, value: object, tmp_path: Path) -> None:
    """A container never runs with less than its configuration asks for."""
    (tmp_path / "config.json").write_text(json.dumps(changed(path, value)))
    with pytest.raises(UnsupportedConfig):
        load(str(tmp_path))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ociVersion", "2.0.0"),
        ("ociVersion", None),
        ("process.args", []),
        ("process.cwd", "tmp"),
        ("process.rlimits", [{"type": "RLIMIT_BOGUS", "soft": 1, "hard": 1}]),
        ("process.rlimits", [{"type": "prlimit", "soft": 1, "hard": 1}]),
        ("process.consoleSize", {"height": 1 << 16, "width": 1}),
        ("linux.namespaces", [{"type": "mount"}, {"type": "mount"}]),
        ("linux.namespaces", [{"type": "mount"}]),  # and a hostname
        ("linux.sysctl", {"kernel.panic": "1"}),
        ("linux.sysctl", {"vm.overcommit_memory": "1"}),
    ],
)
def test_contradictions_are_refused(path: str, value: object) -> None:
    """What would change the host, or can't be meant, is an error that names it."""
    with pytest.raises(InvalidConfig):
        understand(changed(path, value))


@pytest.mark.parametrize("kinds", [("mount", "uts"), ("mount", "uts", "network")])
def test_sysctls_need_their_namespace(kinds: tuple[str, ...]) -> None:
    """A setting is changed in a namespace of the container's, or not at all."""
    document = changed("linux.namespaces", [{"type": kind} for kind in kinds])
    document["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.hostname": "x"}
    if "network" in kinds:
        assert understand(document).spec.linux.sysctl["net.ipv4.ip_forward"] == "1"
    else:
        with pytest.raises(InvalidConfig):
            understand(document)


def test_without_a_mount_namespace_there_is_no_container() -> None:
    """The host's mounts are not to be changed."""
    with pytest.raises(UnsupportedConfig):
        understand(changed("linux.namespaces", [{"type": "uts"}]))


def test_what_is_left_out_is_said() -> None:
    """Keys without effect and unknown capabilities become warnings."""
    document = changed("process.ioPriority", {"class": "IOPRIO_CLASS_IDLE"})
    document["process"]["capabilities"]["bounding"].append("CAP_FUTURE")
    loaded = understand(document)
    assert "CAP_FUTURE" not in loaded.spec.process.capabilities.bounding
    assert len(loaded.warnings) == 2
    document["neverHeardOf"] = {"x": 1}
    assert understand(document) == loaded


def test_paths_are_relative_to_the_bundle(tmp_path: Path) -> None:
    """The root and the sources of binds are found from the bundle's directory."""
    mounts = [
        {"destination": "/data", "type": "bind", "source": "data", "options": ["rbind", "rro"]},
        {"destination": "/proc", "type": "proc", "source": "proc"},
    ]
    (tmp_path / "config.json").write_text(json.dumps(changed("mounts", mounts)))
    spec = load(str(tmp_path)).spec
    assert spec.root_path == f"{tmp_path}/rootfs"
    assert [mount.source for mount in spec.mounts] == [f"{tmp_path}/data", "proc"]
    assert spec.mounts[0].options == ("rbind", "ro")


def test_a_bundle_that_is_none(tmp_path: Path) -> None:
    """A missing and a broken config.json are errors of ours."""
    with pytest.raises(SystemFailure):
        load(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DataCorrupted):
        load(str(tmp_path))
