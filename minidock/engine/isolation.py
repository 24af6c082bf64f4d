# SPDX-License-Identifier: Apache-2.0
"""What separates a container from the host and from others, as its HostConfig has it."""

import json
import os
from collections.abc import Mapping

from minidock.annotations import Any
from minidock.engine.options import CreateOptions
from minidock.errors import Conflict, InvalidArgument
from minidock.oci.runtime import SHM, SHM_SIZE, Rlimit
from minidock.store.containers import Container
from minidock.values import NamedTuple

CONTAINER = "container:"
"""Begins the mode of a namespace that is another container's."""

_MODES = {
    "network": "NetworkMode",
    "pid": "PidMode",
    "ipc": "IpcMode",
    "uts": "UTSMode",
    "cgroup": "CgroupnsMode",
}
_TMPFS_OPTIONS = frozenset((
    "async", "atime", "defaults", "dev", "diratime", "dirsync", "exec", "gid", "huge", "mode",
    "mpol", "noatime", "nodev", "nodiratime", "noexec", "norelatime", "nostrictatime", "nosuid",
    "nr_blocks", "nr_inodes", "private", "relatime", "ro", "rprivate", "rshared", "rslave",
    "runbindable", "rw", "shared", "size", "slave", "strictatime", "suid", "sync", "uid",
    "unbindable",
))  # fmt: skip
_LOWEST_SCORE, _HIGHEST_SCORE = -1000, 1000


class Sharing(NamedTuple):
    """The namespaces that a container has not for itself, by their types in the runtime spec.

    `host` are the host's; `joined` those of other containers, with the ids of these.
    """

    host: tuple[str, ...] = ()
    joined: Mapping[str, str] = {}


class Joined(NamedTuple):
    """What a container shares, ready for the runtime.

    `host` are the types shared with the host. `paths` are those of other containers' namespaces
    by type, `namespaces` their descriptors. `shm` is the source of /dev/shm if that is shared;
    `trees` are detached mounts by their source.
    """

    host: tuple[str, ...] = ()
    paths: Mapping[str, str] = {}
    namespaces: Mapping[str, int] = {}
    shm: str = ""
    trees: Mapping[str, int] = {}


def sharing(host: Mapping[str, Any]) -> Sharing:
    """Return which namespaces HostConfig `host` shares."""
    modes = {kind: str(host.get(key) or "") for kind, key in _MODES.items()}
    return Sharing(
        tuple(kind for kind, mode in modes.items() if mode == "host"),
        {
            kind: mode.removeprefix(CONTAINER)
            for kind, mode in modes.items()
            if mode.startswith(CONTAINER)
        },
    )


def host_name(container: Container) -> str:
    """Return the host name of a container with a network of its own, or the host's."""
    config, host = container.record.config, container.record.host
    given = str(config["Hostname"])
    shared = host["NetworkMode"] == "host" and given == container.id[:12]
    return os.uname().nodename if shared else given


def shm_size(host: Mapping[str, Any]) -> int:
    """Return the bytes of a /dev/shm of the container's own, 0 if there is to be none."""
    return 0 if host.get("IpcMode") == "none" else int(host.get("ShmSize") or SHM_SIZE)


def shm_of_host(shared: tuple[str, ...]) -> str:
    """Return the path of the host's /dev/shm if it goes with the `shared` namespaces."""
    return SHM if "ipc" in shared and os.path.isdir(SHM) else ""


def rlimits(host: Mapping[str, Any]) -> tuple[Rlimit, ...]:
    """Return the limits of HostConfig `host`; of one that is there twice the last."""
    limits = {limit["Name"]: limit for limit in host.get("Ulimits") or ()}
    return tuple(
        Rlimit(f"RLIMIT_{name.upper()}", limit["Soft"], limit["Hard"])
        for name, limit in limits.items()
    )


def check(options: CreateOptions) -> None:
    """Refuse what contradicts itself; the texts are docker's.

    Raises:
        Conflict: a namespace is another's, and an option would change it.
        InvalidArgument: a value out of range.
    """
    if options.network == CONTAINER:
        raise InvalidArgument(
            "Invalid network mode: invalid container format container:<name|id>"
        )
    if options.network.startswith(CONTAINER):
        _check_network_of_another(options)
    for mount in options.tmpfs:
        if unknown := [o for o in mount.options if o.partition("=")[0] not in _TMPFS_OPTIONS]:
            raise InvalidArgument(f"invalid tmpfs option {json.dumps(unknown)}")
    if options.uts_mode == "host" and options.hostname:
        raise Conflict("conflicting options: hostname and the UTS mode")
    if not _LOWEST_SCORE <= options.oom_score_adj <= _HIGHEST_SCORE:
        raise InvalidArgument(
            f"Invalid value {options.oom_score_adj}, range for oom score adj is "
            f"[{_LOWEST_SCORE}, {_HIGHEST_SCORE}]"
        )


def _check_network_of_another(options: CreateOptions) -> None:
    for given, what in (
        (options.hostname, "hostname and the network mode"),
        (options.dns, "dns and the network mode"),
        (options.extra_hosts, "custom host-to-IP mapping and the network mode"),
        (
            options.publish or options.publish_all,
            "port publishing and the container type network mode",
        ),
        (options.expose, "port exposing and the container type network mode"),
    ):
        if given:
            raise Conflict(f"conflicting options: {what}")
