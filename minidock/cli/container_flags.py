# SPDX-License-Identifier: Apache-2.0
"""The flags of ``run`` and ``create``, and the CreateOptions they make."""

from collections.abc import Callable, Mapping

from minidock.annotations import Any, TypeVar
from minidock.cli.flags import INT, OPTIONAL, Flag, switch, value, values
from minidock.cli.health_flags import HEALTH_FLAGS, health_check
from minidock.cli.isolation_flags import (
    ISOLATION_FLAGS,
    PAIR,
    check_mode,
    parse_restart,
    read_security_options,
)
from minidock.cli.kvfiles import read_environment, read_labels
from minidock.cli.mounts import (
    MOUNT,
    VOLUMES_FROM,
    MountFlag,
    parse_mounts,
)
from minidock.cli.output import warn
from minidock.cli.params import (
    ADDRESS,
    ENV,
    HOST,
    LABEL,
    STREAM,
    parse_platform,
)
from minidock.cli.resource_flags import CREATION_FLAGS, RESOURCE_FLAGS, resources
from minidock.cli.settings import Environment
from minidock.engine.options import (
    CreateOptions,
    DeviceMapping,
    HealthCheck,
    Resources,
    Ulimit,
    VolumesFrom,
)
from minidock.errors import InvalidArgument
from minidock.network.ports import PortMapping, parse_exposed, parse_publish
from minidock.values import NamedTuple

F = TypeVar("F", bound=Callable[..., Any])

_IPC_MODES = ("host", "none", "private", "shareable", "container:NAME")
_PULLS = ("always", "missing", "never")


class Ignored(NamedTuple):
    """A flag of docker's that has no effect here.

    `kind` is empty for a switch; `harmless` are the values that ask for what happens anyway.
    """

    name: str
    kind: str
    short: str = ""
    harmless: tuple[str, ...] = ("",)

    @property
    def key(self) -> str:
        """The name of the flag's keyword argument."""
        return self.name.removeprefix("--").replace("-", "_")


IGNORED = (
    Ignored("--blkio-weight-device", "list"),
    Ignored("--cgroup-parent", "string"),
    Ignored("--cpu-count", "int"),
    Ignored("--cpu-percent", "int"),
    Ignored("--cpu-rt-period", "int", harmless=("", "0")),
    Ignored("--cpu-rt-runtime", "int", harmless=("", "0")),
    Ignored("--device-read-bps", "list"),
    Ignored("--device-read-iops", "list"),
    Ignored("--device-write-bps", "list"),
    Ignored("--device-write-iops", "list"),
    Ignored("--disable-content-trust", "", harmless=("True", "False")),
    Ignored("--gpus", "string"),
    Ignored("--io-maxbandwidth", "bytes"),
    Ignored("--io-maxiops", "int"),
    Ignored("--ip", "string"),
    Ignored("--ip6", "string"),
    Ignored("--isolation", "string", harmless=("", "default")),
    Ignored("--kernel-memory", "bytes"),
    Ignored("--link", "list"),
    Ignored("--link-local-ip", "list"),
    Ignored("--mac-address", "string"),
    Ignored("--network-alias", "list"),
    Ignored("--storage-opt", "list"),
    Ignored("--use-api-socket", ""),
    Ignored("--volume-driver", "string", harmless=("", "local")),
)

_FLAGS = (
    *RESOURCE_FLAGS,
    *CREATION_FLAGS,
    *HEALTH_FLAGS,
    *ISOLATION_FLAGS,
    values("--add-host", type=HOST, help="Add a custom host-to-IP mapping (host:ip)"),
    values("-a", "--attach", type=STREAM, help="Attach to STDIN, STDOUT or STDERR"),
    values("--cap-add", help="Add Linux capabilities"),
    values("--cap-drop", help="Drop Linux capabilities"),
    value("--cidfile", help="Write the container ID to the file"),
    value("--detach-keys", help="Override the key sequence for detaching a container"),
    values("--dns", type=ADDRESS, help="Set custom DNS servers"),
    values("--dns-option", "--dns-opt", "dns_options", help="Set DNS options"),
    values("--dns-search", help="Set custom DNS search domains"),
    value("--domainname", help="Container NIS domain name"),
    value("--entrypoint", type=OPTIONAL, help="Overwrite the default ENTRYPOINT of the image"),
    values("-e", "--env", type=ENV, help="Set environment variables"),
    values("--env-file", help="Read in a file of environment variables"),
    values("--expose", help="Expose a port or a range of ports"),
    values("--group-add", help="Add additional groups to join"),
    value("-h", "--hostname", help="Container host name"),
    switch("-i", "--interactive", help="Keep STDIN open even if not attached"),
    values("-l", "--label", type=LABEL, help="Set meta data on a container"),
    values("--label-file", help="Read in a line delimited file of labels"),
    value(
        "--log-driver",
        default="json-file",
        help="Logging driver for the container (json-file, local, none)",
    ),
    values("--log-opt", type=PAIR, help="Log driver options"),
    values(
        "--mount", type=MOUNT, kind="mount", help="Attach a filesystem mount to the container"
    ),
    value("--name", help="Assign a name to the container"),
    value(
        "--network",
        "--net",
        default="bridge",
        kind="network",
        help="Connect a container to a network (bridge, host, none, container:NAME)",
    ),
    value("--platform", help="Set platform if the image is for several"),
    switch("--privileged", help="Give extended privileges to this container"),
    values("-p", "--publish", help="Publish a container's port(s) to the host"),
    switch("-P", "--publish-all", help="Publish all exposed ports to random ports"),
    value(
        "--pull",
        default="missing",
        help='Pull image before running ("always", "missing", "never") (default "missing")',
    ),
    switch("-q", "--quiet", help="Suppress the pull output"),
    switch("--read-only", help="Mount the container's root filesystem as read only"),
    value("--restart", help="Restart policy to apply when a container exits"),
    switch("--rm", "remove", help="Automatically remove the container when it exits"),
    values("--security-opt", help="Security Options"),
    value("--stop-signal", help="Signal to stop the container"),
    value("--stop-timeout", type=INT, help="Timeout (in seconds) to stop a container"),
    values("--tmpfs", help="Mount a tmpfs directory"),
    switch("-t", "--tty", help="Allocate a pseudo-TTY"),
    value("-u", "--user", help="Username or UID (format: <name|uid>[:<group|gid>])"),
    values("-v", "--volume", help="Bind mount a volume"),
    values(
        "--volumes-from",
        type=VOLUMES_FROM,
        help="Mount volumes from the specified container(s)",
    ),
    value("-w", "--workdir", help="Working directory inside the container"),
)


def container_flags(function: F) -> F:
    """Declare the flags of ``run`` and ``create``; they come as keyword arguments."""
    for ignored in IGNORED:
        function = _declare(ignored)(function)
    for flag in _FLAGS:
        function = flag(function)
    return function


def _declare(ignored: Ignored) -> Flag:
    names = (ignored.short, ignored.name) if ignored.short else (ignored.name,)
    if not ignored.kind:
        return switch(*names, help="", hidden=True)
    if ignored.kind == "list":
        return values(*names, help="", hidden=True)
    return value(*names, help="", hidden=True)


class Flags(NamedTuple):
    """The values of the flags that have an effect, as they were given."""

    add_host: tuple[str, ...]
    annotation: tuple[tuple[str, str], ...]
    attach: tuple[str, ...]
    cap_add: tuple[str, ...]
    cap_drop: tuple[str, ...]
    cgroupns: str
    cidfile: str
    detach_keys: str
    device: tuple[DeviceMapping, ...]
    device_cgroup_rule: tuple[str, ...]
    dns: tuple[str, ...]
    dns_options: tuple[str, ...]
    dns_search: tuple[str, ...]
    domainname: str
    entrypoint: str | None
    env: tuple[str, ...]
    env_file: tuple[str, ...]
    expose: tuple[str, ...]
    group_add: tuple[str, ...]
    hostname: str
    init: bool
    interactive: bool
    ipc: str
    label: tuple[tuple[str, str], ...]
    label_file: tuple[str, ...]
    log_driver: str
    log_opt: tuple[tuple[str, str], ...]
    mount: tuple[MountFlag, ...]
    name: str
    network: str
    oom_score_adj: int
    pid: str
    platform: str
    privileged: bool
    publish: tuple[str, ...]
    publish_all: bool
    pull: str
    quiet: bool
    read_only: bool
    remove: bool
    restart: str
    runtime: str
    security_opt: tuple[str, ...]
    shm_size: int
    stop_signal: str
    stop_timeout: int | None
    sysctl: tuple[tuple[str, str], ...]
    tmpfs: tuple[str, ...]
    tty: bool
    ulimit: tuple[Ulimit, ...]
    user: str
    userns: str
    uts: str
    volume: tuple[str, ...]
    volumes_from: tuple[VolumesFrom, ...]
    workdir: str
    health: HealthCheck | None
    resources: Resources


def split_flags(flags: Mapping[str, Any]) -> Flags:
    """Return the values of the flags that have an effect; warn of the others that were given.

    Raises:
        InvalidArgument: two flags contradict each other.
    """
    if flags["remove"] and str(flags["restart"]) not in ("", "no"):
        raise InvalidArgument("conflicting options: cannot specify both --restart and --rm")
    for ignored in IGNORED:
        given = flags[ignored.key]
        if given and str(given) not in ignored.harmless:
            warn(f"{ignored.name} is not supported yet and is ignored")
    own = {name: flags[name] for name in Flags._fields if name in flags}
    return Flags(**own, health=health_check(flags), resources=resources(flags))


def make_options(
    flags: Flags, image: str, command: tuple[str, ...], host: Environment
) -> CreateOptions:
    """Return what the engine needs to make a container.

    Raises:
        InvalidArgument, NotFound, Conflict: a flag's value can't be meant.
        Unsupported: it asks for something that minidock does not have.
    """
    mounts = parse_mounts(flags.volume, flags.mount, flags.tmpfs)
    if flags.pull and flags.pull not in _PULLS:
        raise InvalidArgument(
            f"invalid pull option: '{flags.pull}': "
            'must be one of "always", "missing" or "never"'
        )
    return CreateOptions(
        image=image,
        command=command,
        name=flags.name,
        entrypoint=_entrypoint(flags.entrypoint),
        env=read_environment(flags.env_file, flags.env, host),
        labels=read_labels(flags.label_file, flags.label),
        user=flags.user,
        working_dir=_working_dir(flags.workdir),
        hostname=flags.hostname,
        domainname=flags.domainname,
        interactive=flags.interactive,
        attach=attached_streams(flags),
        tty=flags.tty,
        remove=flags.remove,
        read_only=flags.read_only,
        binds=mounts.binds,
        mounts=mounts.mounts,
        tmpfs=mounts.tmpfs,
        volumes=mounts.volumes,
        volumes_from=flags.volumes_from,
        publish=_publish(flags.publish),
        publish_all=flags.publish_all,
        expose=_expose(flags.expose),
        network=_network(flags),
        dns=flags.dns,
        dns_search=flags.dns_search,
        dns_options=flags.dns_options,
        extra_hosts=flags.add_host,
        stop_signal=flags.stop_signal,
        stop_timeout=flags.stop_timeout,
        group_add=flags.group_add,
        cap_add=flags.cap_add,
        cap_drop=flags.cap_drop,
        security_opt=read_security_options(flags.security_opt),
        privileged=flags.privileged,
        log_driver=flags.log_driver or "json-file",
        pull=flags.pull or "missing",
        platform=parse_platform(flags.platform) if flags.platform else None,
        log_options=dict(flags.log_opt),
        resources=flags.resources,
        devices=flags.device,
        device_cgroup_rules=flags.device_cgroup_rule,
        ulimits=flags.ulimit,
        sysctls=dict(flags.sysctl),
        pid_mode=check_mode("pid", flags.pid, ("host", "container:NAME"), "PID"),
        ipc_mode=check_mode("ipc", flags.ipc, _IPC_MODES, "IPC"),
        uts_mode=check_mode("uts", flags.uts, ("host",), "UTS"),
        cgroupns_mode=check_mode("cgroupns", flags.cgroupns, ("host", "private"), "CGROUP"),
        userns_mode=check_mode("userns", flags.userns, ("host",), "USER"),
        oom_score_adj=flags.oom_score_adj,
        shm_size=flags.shm_size,
        init=flags.init,
        runtime=flags.runtime,
        restart=parse_restart(flags.restart),
        health=flags.health,
        annotations=dict(flags.annotation),
    )


def attached_streams(flags: Flags) -> frozenset[str]:
    """Return the streams that the command line has unless it is detached."""
    streams = frozenset(flags.attach or ("stdout", "stderr"))
    return streams | {"stdin"} if flags.interactive else streams


def _entrypoint(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return (text,) if text else ()


def _working_dir(path: str) -> str:
    if path and not path.startswith("/"):
        raise InvalidArgument(
            f"the working directory '{path}' is invalid, it needs to be an absolute path"
        )
    return path


def _publish(texts: tuple[str, ...]) -> tuple[PortMapping, ...]:
    return tuple(mapping for text in texts for mapping in parse_publish(text))


def _expose(texts: tuple[str, ...]) -> tuple[str, ...]:
    pairs = (pair for text in texts for pair in parse_exposed(text))
    return tuple(f"{port}/{protocol}" for port, protocol in pairs)


def _network(flags: Flags) -> str:
    if not flags.network:
        raise InvalidArgument("no name set for network")
    if flags.network == "host" and (flags.publish or flags.publish_all):
        warn("Published ports are discarded when using host network mode")
    return "bridge" if flags.network == "default" else flags.network
