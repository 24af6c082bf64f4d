# SPDX-License-Identifier: Apache-2.0
"""What `run` and `exec` have in common: environment, capabilities, system call filter."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from minidock.errors import InvalidArgument
from minidock.fs.atomic import read_file
from minidock.linux import capabilities
from minidock.runtime import seccomp
from minidock.runtime.cgroup_plan import DOCKER_DEVICES, DeviceRule
from minidock.values import NamedTuple


class Security(NamedTuple):
    """What a process may do: capabilities as bits, the filter as a BPF program.

    Without `devices` there are no device rules at all.
    """

    capabilities: int
    seccomp: bytes
    no_new_privileges: bool
    privileged: bool
    devices: tuple[DeviceRule, ...]


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
    options = _security_options(host.get("SecurityOpt") or ())
    profile = options.get("seccomp", "")
    program = b""
    if not privileged and profile != "unconfined":
        program = _filter(bits, profile, cache)
    return Security(
        bits,
        program,
        options.get("no-new-privileges", "false") == "true",
        privileged,
        () if privileged else DOCKER_DEVICES,
    )


def check_security(
    cap_add: tuple[str, ...], cap_drop: tuple[str, ...], options: tuple[str, ...]
) -> None:
    """Raise UnknownCapability or InvalidArgument for a value that is none."""
    capabilities.effective_set(
        cap_add, cap_drop, privileged=False, bounding=capabilities.bounding()
    )
    _security_options(options)


def _security_options(texts: Iterable[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator:
            key, separator, value = text.partition(":")
        if key == "no-new-privileges":
            options[key] = value or "true"
        elif key in ("seccomp", "apparmor", "label", "systempaths"):
            options[key] = value
        else:
            raise InvalidArgument(f'invalid --security-opt: "{text}"')
    return options


def _filter(bits: int, profile: str, cache: str) -> bytes:
    machine = os.uname().machine
    kernel = seccomp.kernel_version(os.uname().release)
    if profile:
        return seccomp.compile_profile(_read_profile(profile), machine, bits, kernel)
    return seccomp.cached(cache, machine, bits, kernel)


def seccomp_document(host: Mapping[str, Any], bits: int, cache: str) -> dict[str, Any]:
    """Return the filter of HostConfig `host` as ``linux.seccomp`` of a runtime spec.

    `bits` are the container's capabilities; arguments and errors else as of `security_of`.
    """
    profile = _security_options(host.get("SecurityOpt") or ()).get("seccomp", "")
    if host.get("Privileged") or profile == "unconfined":
        return {}
    machine = os.uname().machine
    kernel = seccomp.kernel_version(os.uname().release)
    if profile:
        return seccomp.profile_document(_read_profile(profile), machine, bits, kernel)
    return seccomp.default_document(cache, machine, bits, kernel)


def _read_profile(path: str) -> bytes:
    try:
        return read_file(path)
    except OSError as e:
        raise InvalidArgument(
            f"opening seccomp profile ({path}) failed: {(e.strerror or '').lower()}"
        ) from e
