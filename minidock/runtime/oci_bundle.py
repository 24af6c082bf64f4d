# SPDX-License-Identifier: Apache-2.0
"""A bundle that others wrote: a directory with ``config.json``. What of it can be done here.

What the document asks for and minidock has not got is refused where leaving it out would weaken
the container, and else a warning; keys that the specification does not know are no error.
"""

import os
import resource
from collections.abc import Iterator, Mapping

from minidock.annotations import Any
from minidock.errors import InvalidArgument, SystemFailure, Unsupported
from minidock.fs.atomic import read_file
from minidock.linux import capabilities, namespaces
from minidock.oci.descriptor import json_object
from minidock.oci.manifest import load_json
from minidock.oci.runtime import Capabilities, Mount, Process, Spec
from minidock.runtime.spec import is_namespaced
from minidock.values import NamedTuple

CONFIG = "config.json"

_REFUSED = (
    ("process", "selinuxLabel"),
    ("linux", "mountLabel"),
    ("linux", "uidMappings"),
    ("linux", "gidMappings"),
    ("linux", "timeOffsets"),
    ("linux", "intelRdt"),
    ("linux", "personality"),
    ("hooks", "createContainer"),
    ("hooks", "startContainer"),
)
"""What protects or is relied on: without it the container would not be what was asked for."""

_IGNORED = (
    ("process", "ioPriority"),
    ("process", "scheduler"),
    ("process", "execCPUAffinity"),
)

_UTS_SYSCTLS = ("kernel.domainname", "kernel.hostname")

_RECURSIVE = {
    f"r{name}": name
    for name in ("ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "nosymfollow")
}
_IDMAPS = frozenset(("idmap", "ridmap"))


class UnsupportedConfig(Unsupported):
    """A config.json asks for what minidock's runtime has not got."""


class InvalidConfig(InvalidArgument):
    """A config.json that is in contradiction with itself or the specification."""


class Loaded(NamedTuple):
    """What config.json says, as far as it can be done, and warnings about the rest."""

    spec: Spec
    warnings: tuple[str, ...] = ()


def load(directory: str) -> Loaded:
    """Return the configuration of the bundle in `directory`; paths in it become absolute.

    Raises:
        InvalidDocument, InvalidConfig: it is wrong.
        UnsupportedConfig: it can't be done.
        SystemFailure: it can't be read.
    """
    try:
        raw = read_file(f"{directory}/{CONFIG}")
    except OSError as e:
        raise SystemFailure.of("read the bundle", e) from e
    loaded = understand(load_json(raw, CONFIG))
    spec = loaded.spec
    mounts = tuple(_understood(mount, directory) for mount in spec.mounts)
    root = os.path.join(directory, spec.root_path)
    return loaded._replace(spec=spec._replace(root_path=root, mounts=mounts))


def _understood(mount: Mount, directory: str) -> Mount:
    """Return `mount` as `mounts.plan` takes it: attributes there are a whole tree's."""
    if mount.type == "bind" or {"bind", "rbind"} & set(mount.options):
        mount = mount._replace(source=os.path.join(directory, mount.source))
    options = tuple(_RECURSIVE.get(option, option) for option in mount.options)
    if _IDMAPS.intersection(options):
        raise UnsupportedConfig(f"{CONFIG}: {mount.destination}: id-mapped mounts")
    return mount._replace(options=options)


def understand(document: Mapping[str, Any]) -> Loaded:
    """Return what the object of config.json says; raise as `load`."""
    version = document.get("ociVersion")
    if not isinstance(version, str) or not version.startswith("1."):
        raise InvalidConfig(f"{CONFIG}: unsupported ociVersion {version!r}")
    for group, key in _present(document, _REFUSED):
        raise UnsupportedConfig(f"{CONFIG}: {group}.{key} is not supported")
    warnings = [f"{group}.{key} has no effect" for group, key in _present(document, _IGNORED)]
    spec = Spec.from_json(document)
    _check_namespaces(spec)
    process, unknown = check_process(spec.process)
    return Loaded(spec._replace(process=process), (*warnings, *unknown))


def _present(
    document: Mapping[str, Any], keys: tuple[tuple[str, str], ...]
) -> Iterator[tuple[str, str]]:
    for group, key in keys:
        if json_object(document.get(group) or {}, group).get(key):
            yield group, key


def check_process(process: Process) -> tuple[Process, tuple[str, ...]]:
    """Return the process without capabilities that nobody knows, and warnings of these.

    Raises:
        InvalidConfig: no arguments, a relative directory, or an unknown limit.
    """
    if not process.args:
        raise InvalidConfig(f"{CONFIG}: process.args is empty")
    if not process.cwd.startswith("/"):
        raise InvalidConfig(f"{CONFIG}: process.cwd {process.cwd!r} is not absolute")
    if not all(0 <= number < 1 << 16 for number in process.console_size):
        raise InvalidConfig(f"{CONFIG}: process.consoleSize {process.console_size}")
    for limit in process.rlimits:
        if not limit.type.startswith("RLIMIT_") or not (
            hasattr(resource, limit.type) or limit.type == "RLIMIT_LOCKS"
        ):
            raise InvalidConfig(f"{CONFIG}: unknown limit {limit.type!r}")
    known = set(capabilities.NAMES)
    unknown = sorted({name for names in process.capabilities for name in names} - known)
    kept = (tuple(name for name in names if name in known) for names in process.capabilities)
    warnings = tuple(f"unknown capability {name} is left out" for name in unknown)
    return process._replace(capabilities=Capabilities(*kept)), warnings


def _check_namespaces(spec: Spec) -> None:
    own = [namespace.type for namespace in spec.linux.namespaces]
    for kind in own:
        if kind not in namespaces.FLAGS or kind == "user":
            raise UnsupportedConfig(f"{CONFIG}: namespace {kind!r} is not supported")
    if len(set(own)) != len(own):
        raise InvalidConfig(f"{CONFIG}: a namespace is listed twice")
    if "mount" not in own:
        raise UnsupportedConfig(f"{CONFIG}: a container without a mount namespace")
    if (spec.hostname or spec.domainname) and "uts" not in own:
        raise InvalidConfig(f"{CONFIG}: a hostname needs a uts namespace")
    for name in spec.linux.sysctl:
        if _namespace_of(name) not in own:  # it would change the host
            raise InvalidConfig(f"{CONFIG}: sysctl {name!r} is not in a namespace of its own")


def _namespace_of(sysctl: str) -> str:
    """Return the type of the namespace that has its own value of `sysctl`, empty for none."""
    if sysctl in _UTS_SYSCTLS:
        return "uts"
    if is_namespaced(sysctl):
        return "network" if sysctl.startswith("net.") else "ipc"
    return ""
