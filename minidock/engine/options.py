# SPDX-License-Identifier: Apache-2.0
"""What each user verb takes: frozen values that the front ends build."""

from collections.abc import Mapping

from minidock.network.ports import PortMapping
from minidock.oci.descriptor import Platform
from minidock.values import NamedTuple

Filters = tuple[tuple[str, str], ...]
"""``--filter key=value`` pairs: the same key is OR, different keys are AND."""


class BindMount(NamedTuple):
    """A host path (absolute) seen in the container at `destination` (absolute).

    `create` makes a missing source directory, as ``-v`` does and ``--mount`` does not.
    """

    source: str
    destination: str
    read_only: bool = False
    propagation: str = "rprivate"
    create: bool = True


class TmpfsMount(NamedTuple):
    """A tmpfs at `destination` (absolute); `options` as in mount(8), e.g. ``size=64m``."""

    destination: str
    options: tuple[str, ...] = ()


class VolumeMount(NamedTuple):
    """A volume at `destination` (absolute); no `source` means a new one without a name.

    A volume that there is not yet is made, with `labels` and the `options` of `driver`, of
    which there is docker's local one. Unless `nocopy`, an empty one gets what the image has at
    `destination`. `subpath` is the directory or file of the volume to mount, empty for all of
    it. `modes` are those of ``-v``, as they were written.
    """

    source: str
    destination: str
    read_only: bool = False
    nocopy: bool = False
    labels: Mapping[str, str] = {}
    driver: str = ""
    options: Mapping[str, str] = {}
    subpath: str = ""
    modes: str = ""


class VolumesFrom(NamedTuple):
    """The mounts of another container, by its name or id."""

    container: str
    read_only: bool = False


class Resources(NamedTuple):
    """What a container may use; 0 or empty stands for no limit.

    Attributes:
        memory: bytes.
        memory_swap: bytes of memory and swap together, -1 without limit, 0 for twice `memory`.
        memory_reservation: bytes that reclaim aims at when memory is short.
        memory_swappiness: 0 to 100, -1 for the system's.
        oom_kill_disable: wait for memory instead of being killed (version 1 of cgroups).
        nano_cpus: processors, in billionths.
        cpu_shares: weight against others, 1024 is the kernel's default.
        cpu_period: microseconds.
        cpu_quota: microseconds of processor time in each `cpu_period`.
        cpuset_cpus: processors as ``0-2,5``; `cpuset_mems` memory nodes likewise.
        pids_limit: processes and threads; -1 for no limit.
        blkio_weight: 10 to 1000.
    """

    memory: int = 0
    memory_swap: int = 0
    memory_reservation: int = 0
    memory_swappiness: int = -1
    oom_kill_disable: bool = False
    nano_cpus: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int = 0
    blkio_weight: int = 0


class Ulimit(NamedTuple):
    """A resource limit by its short name, ``nofile``; -1 is unlimited."""

    name: str
    soft: int
    hard: int


class DeviceMapping(NamedTuple):
    """A device of the host in the container; `permissions` is a subset of rwm."""

    source: str
    destination: str
    permissions: str = "rwm"


class RestartPolicy(NamedTuple):
    """When a container that has ended is started again.

    `name` is no, always, unless-stopped or on-failure; `maximum` 0 stands for no limit.
    """

    name: str = "no"
    maximum: int = 0


class HealthCheck(NamedTuple):
    """How a container's health is found out; what is None is taken from the image.

    `test` is ``("NONE",)``, ``("CMD", word, ...)`` or ``("CMD-SHELL", line)``; times are in
    nanoseconds.
    """

    test: tuple[str, ...] | None = None
    interval: int | None = None
    timeout: int | None = None
    start_period: int | None = None
    start_interval: int | None = None
    retries: int | None = None


class PullOptions(NamedTuple):
    """How to pull; no platform means the configured one."""

    platform: Platform | None = None


class CreateOptions(NamedTuple):
    """A container to be made.

    `attach` are the streams (stdin, stdout, stderr) of whoever starts it first. `entrypoint`
    None means the image's, () none at all. `env` are ``NAME=value`` texts with the host's
    values already filled in. `binds` are from ``-v``, `mounts` from ``--mount``; `volumes` are
    the places of new volumes beside those that the image names. `pull` is missing, always or
    never. `network` is bridge, host or none. `stop_timeout` is in seconds, `shm_size` in bytes,
    0 for the default. The namespace modes are docker's: empty, ``host``, ``private``,
    ``container:NAME``.
    """

    image: str
    command: tuple[str, ...] = ()
    name: str = ""
    entrypoint: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}
    user: str = ""
    working_dir: str = ""
    hostname: str = ""
    domainname: str = ""
    interactive: bool = False
    attach: frozenset[str] = frozenset(("stdout", "stderr"))
    tty: bool = False
    remove: bool = False
    read_only: bool = False
    binds: tuple[BindMount | VolumeMount, ...] = ()
    mounts: tuple[BindMount | VolumeMount | TmpfsMount, ...] = ()
    tmpfs: tuple[TmpfsMount, ...] = ()
    volumes: tuple[str, ...] = ()
    volumes_from: tuple[VolumesFrom, ...] = ()
    publish: tuple[PortMapping, ...] = ()
    publish_all: bool = False
    expose: tuple[str, ...] = ()
    network: str = "bridge"
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    stop_signal: str = ""
    stop_timeout: int | None = None
    group_add: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    privileged: bool = False
    log_driver: str = "json-file"
    log_options: Mapping[str, str] = {}
    pull: str = "missing"
    platform: Platform | None = None
    resources: Resources = Resources()
    devices: tuple[DeviceMapping, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    sysctls: Mapping[str, str] = {}
    pid_mode: str = ""
    ipc_mode: str = ""
    uts_mode: str = ""
    cgroupns_mode: str = ""
    userns_mode: str = ""
    oom_score_adj: int = 0
    shm_size: int = 0
    init: bool = False
    runtime: str = ""
    restart: RestartPolicy = RestartPolicy()
    health: HealthCheck | None = None
    annotations: Mapping[str, str] = {}


class UpdateOptions(NamedTuple):
    """What to change of a container: limits other than those of Resources(), and the rest."""

    resources: Resources = Resources()
    restart: RestartPolicy | None = None


class CreateVolume(NamedTuple):
    """A volume to be made; no name means 64 random digits."""

    name: str = ""
    driver: str = ""
    labels: Mapping[str, str] = {}
    options: Mapping[str, str] = {}


class ExecOptions(NamedTuple):
    """A command to run in a running container; `env` as in CreateOptions."""

    command: tuple[str, ...]
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    interactive: bool = False
    tty: bool = False
    detach: bool = False
    privileged: bool = False


class CommitOptions(NamedTuple):
    """How a container becomes an image; `reference` empty makes it untagged.

    `changes` are Dockerfile instructions such as ``CMD ["x"]``.
    """

    reference: str = ""
    message: str = ""
    author: str = ""
    changes: tuple[str, ...] = ()
    pause: bool = True


class CopyOptions(NamedTuple):
    """How files are copied into or out of a container.

    `archive` is docker's ``-a``: what comes out keeps its owners, what goes in belongs to the
    container's user if it has one. `follow_link` copies what a link leads to.
    """

    archive: bool = False
    follow_link: bool = False


class EventOptions(NamedTuple):
    """Which events to tell; times are seconds since the epoch.

    `since` None means from now on, `until` None means for ever.
    """

    since: float | None = None
    until: float | None = None
    filters: Filters = ()


class LogOptions(NamedTuple):
    """Which lines of a container's log; times are seconds since the epoch.

    `tail` None means all lines.
    """

    follow: bool = False
    since: float | None = None
    until: float | None = None
    tail: int | None = None


class ListContainers(NamedTuple):
    """Which containers to list; `last` is docker's ``-n``, 0 for no limit."""

    all: bool = False
    filters: Filters = ()
    last: int = 0
    size: bool = False


class ListImages(NamedTuple):
    """Which images to list; `name` is ``REPOSITORY[:TAG]`` or empty."""

    name: str = ""
    all: bool = False
    filters: Filters = ()
