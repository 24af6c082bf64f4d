# SPDX-License-Identifier: Apache-2.0
"""What this runtime can do (features.md of the specification), and a bundle to begin with."""

from minidock import __version__
from minidock.annotations import Any
from minidock.linux import capabilities, namespaces
from minidock.linux.lsm import has_apparmor
from minidock.oci.runtime import VERSION, Spec
from minidock.runtime.cgroup_plan import DOCKER_DEVICES, Limits
from minidock.runtime.mounts import OPTIONS
from minidock.runtime.oci_resources import to_spec
from minidock.runtime.seccomp_profile import ABIS, ACTIONS, OPERATORS
from minidock.runtime.spec import SpecInputs, make_spec
from minidock.runtime.users import User

_STARTING = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")


def features() -> dict[str, Any]:
    """Return the object of ``features``."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": VERSION,
        "hooks": ["prestart", "createRuntime", "poststart", "poststop"],
        "mountOptions": sorted(OPTIONS),
        "linux": {
            "namespaces": sorted(set(namespaces.FLAGS) - {"user"}),
            "capabilities": list(capabilities.NAMES),
            "cgroup": {
                "v1": True,
                "v2": True,
                "systemd": False,
                "systemdUser": False,
                "rdma": False,
            },
            "seccomp": {
                "enabled": True,
                "actions": sorted(ACTIONS),
                "operators": sorted((*OPERATORS, "SCMP_CMP_MASKED_EQ")),
                "archs": sorted(ABIS),
            },
            "apparmor": {"enabled": has_apparmor()},
            "selinux": {"enabled": False},
            "intelRdt": {"enabled": False},
        },
        "annotations": {"io.github.minidock.version": __version__},
    }


def example() -> Spec:
    """Return the configuration of a shell in ``rootfs``, to be changed by whoever reads it."""
    inputs = SpecInputs(
        ("sh",),
        User(),
        terminal=True,
        hostname="minidock",
        capabilities=_STARTING,
        no_new_privileges=True,
        read_only=True,
        resources=to_spec(Limits(), DOCKER_DEVICES),
    )
    return make_spec(inputs)
