# SPDX-License-Identifier: Apache-2.0
"""What `run` and `exec` have in common: capabilities, system call filter, security modules."""

import os
from collections.abc import Mapping

from minidock.annotations import Any
from minidock.engine.security_options import TRUE, parse
from minidock.linux import capabilities, lsm
from minidock.runtime import seccomp
from minidock.runtime.cgroup_plan import DOCKER_DEVICES, DeviceRule
from minidock.values import NamedTuple


class Security(NamedTuple):
    """What a process may do: capabilities as bits, the filter as a BPF program.

    Without `devices` there are no device rules at all. `unmasked` shows all of /proc and /sys;
    `apparmor` is a profile, empty for none. `warnings` say what can't be had here.
    """

    capabilities: int
    seccomp: bytes
    no_new_privileges: bool
    privileged: bool
    devices: tuple[DeviceRule, ...]
    unmasked: bool = False
    apparmor: str = ""
    warnings: tuple[str, ...] = ()


def contained(security: Security, *, devices_enforced: bool) -> Security:
    """Return `security` without CAP_MKNOD where no cgroup keeps new device nodes closed.

    /dev is a file system whose devices work: a node of the host's disk made there would too.
    """
    if devices_enforced or security.privileged:
        return security
    bits = security.capabilities & ~capabilities.mask(["CAP_MKNOD"])
    return security._replace(capabilities=bits)


def security_of(host: Mapping[str, Any], cache: str, *, privileged: bool = False) -> Security:
    """Return what the HostConfig `host` allows; `cache` is the directory of compiled filters.

    Raises:
        UnknownCapability, InvalidArgument: a value that is none.
    """
    privileged = privileged or bool(host.get("Privileged"))
    bits = capabilities.effective_set(
        host.get("CapAdd") or (),
        host.get("CapDrop") or (),
        privileged=privileged,
        bounding=capabilities.bounding(),
    )
    options = parse(host.get("SecurityOpt") or ())
    profile = _seccomp_profile(options, privileged=privileged)
    apparmor, warnings = _security_modules(options)
    return Security(
        bits,
        b"" if profile == "unconfined" else _filter(bits, profile, cache),
        options.get("no-new-privileges") in TRUE,
        privileged,
        () if privileged else DOCKER_DEVICES,
        privileged or "systempaths" in options,
        apparmor,
        warnings,
    )


def _seccomp_profile(options: Mapping[str, str], *, privileged: bool) -> str:
    """Return ``unconfined``, ``builtin`` or the JSON of a profile."""
    return options.get("seccomp") or ("unconfined" if privileged else "builtin")


def _security_modules(options: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Return the AppArmor profile to apply, and what can't be applied here."""
    warnings = []
    profile = options.get("apparmor", "unconfined")
    if profile == "unconfined":
        profile = ""
    elif not lsm.has_apparmor():
        warnings.append(f"apparmor={profile} has no effect: the kernel has no AppArmor")
        profile = ""
    label = options.get("label", "disable")
    if label != "disable":
        warnings.append(f"label={label} has no effect: SELinux labels are not supported")
    return profile, tuple(warnings)


def _filter(bits: int, profile: str, cache: str) -> bytes:
    machine = os.uname().machine
    kernel = seccomp.kernel_version(os.uname().release)
    if profile == "builtin":
        return seccomp.cached(cache, machine, bits, kernel)
    return seccomp.compile_profile(profile.encode(), machine, bits, kernel)


def seccomp_document(host: Mapping[str, Any], bits: int, cache: str) -> dict[str, Any]:
    """Return the filter of HostConfig `host` as ``linux.seccomp`` of a runtime spec.

    `bits` are the container's capabilities; arguments and errors else as of `security_of`.
    """
    options = parse(host.get("SecurityOpt") or ())
    profile = _seccomp_profile(options, privileged=bool(host.get("Privileged")))
    if profile == "unconfined":
        return {}
    machine = os.uname().machine
    kernel = seccomp.kernel_version(os.uname().release)
    if profile == "builtin":
        return seccomp.default_document(cache, machine, bits, kernel)
    return seccomp.profile_document(profile.encode(), machine, bits, kernel)
