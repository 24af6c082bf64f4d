# SPDX-License-Identifier: Apache-2.0
"""Between the options of a new container and what is stored of it.

The stored forms are docker's Config and HostConfig, so that ``inspect`` shows them as they are.
"""

from collections.abc import Mapping

from minidock.annotations import Any
from minidock.engine.mount_points import mounts_config
from minidock.engine.options import (
    CreateOptions,
    HealthCheck,
    Resources,
    RestartPolicy,
)
from minidock.errors import DataCorrupted, InvalidArgument
from minidock.network.ports import InvalidPort, PortMapping, parse_exposed
from minidock.oci.image import ImageConfig, environment
from minidock.oci.runtime import SHM_SIZE
from minidock.store.containers import PAUSED, RUNNING, ContainerState

SHORT = 12
DEFAULT_RUNTIME = "minidock"
ANY = "0.0.0.0"  # noqa: S104 - shown, not bound to


class NoCommand(InvalidArgument):
    """Neither the user nor the image says what to run; the text is docker's."""

    def __init__(self) -> None:
        super().__init__(
            "No command specified", hint="give a command after the image, or --entrypoint"
        )


def container_config(
    container_id: str, options: CreateOptions, image: ImageConfig
) -> dict[str, Any]:
    """Return docker's Config of a new container; raise NoCommand."""
    entrypoint = image.entrypoint if options.entrypoint is None else options.entrypoint
    cmd = options.command
    if not cmd and options.entrypoint is None:
        cmd = image.cmd
    if not (*entrypoint, *cmd):
        raise NoCommand
    working_dir = options.working_dir or image.working_dir
    if options.working_dir and not options.working_dir.startswith("/"):
        raise InvalidArgument(
            f"the working directory '{working_dir}' is invalid, it needs to be an absolute path"
        )
    exposed = [*filter(_is_port, image.exposed_ports), *options.expose]
    exposed += [f"{p.container_port}/{p.protocol}" for p in options.publish]
    config = dict(image.extra)
    config |= {
        "Hostname": options.hostname or container_id[:SHORT],
        "Domainname": options.domainname,
        "User": options.user or image.user,
        "AttachStdin": "stdin" in options.attach,
        "AttachStdout": "stdout" in options.attach,
        "AttachStderr": "stderr" in options.attach,
        "Tty": options.tty,
        "OpenStdin": options.interactive,
        "StdinOnce": options.interactive and "stdin" in options.attach,
        "Env": list(merge_env(image.env, options.env)),
        "Entrypoint": list(entrypoint),
        "Cmd": list(cmd),
        "Image": options.image,
        "WorkingDir": working_dir,
        "Labels": {**image.labels, **options.labels},
        "ExposedPorts": {port: {} for port in sorted(set(exposed))},
        "Volumes": {path: {} for path in (*image.volumes, *options.volumes)},
        "StopSignal": options.stop_signal or image.stop_signal,
    }
    if options.stop_timeout is not None:
        config["StopTimeout"] = options.stop_timeout
    healthcheck = _healthcheck(options.health, image.extra.get("Healthcheck"))
    if healthcheck:
        config["Healthcheck"] = healthcheck
    return config


def _is_port(text: str) -> bool:
    """Tell whether an image's exposed port is one; what is none is of no use to anybody."""
    try:
        return bool(parse_exposed(text))
    except InvalidPort:
        return False


def merge_env(lower: tuple[str, ...], upper: tuple[str, ...]) -> tuple[str, ...]:
    """Return both lists, `upper` winning where a name is in both, each name in its first place.

    An entry without a name or without ``=`` is dropped: it must never become a value of the
    host (CVE-2026-57231).
    """
    merged = environment((*lower, *upper))
    return tuple(f"{name}={value}" for name, value in merged.items())


def host_config(options: CreateOptions) -> dict[str, Any]:
    """Return docker's HostConfig of a new container."""
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in options.publish:
        key = f"{port.container_port}/{port.protocol}"
        host_port = str(port.host_port or "")
        if port.last_host_port:
            host_port = f"{host_port}-{port.last_host_port}"
        bindings.setdefault(key, []).append({"HostIp": port.host_ip, "HostPort": host_port})
    return {
        **mounts_config(options),
        "LogConfig": {"Type": options.log_driver, "Config": dict(options.log_options)},
        "NetworkMode": options.network,
        "PortBindings": bindings,
        "PublishAllPorts": options.publish_all,
        "RestartPolicy": restart_config(options.restart),
        "AutoRemove": options.remove,
        "CapAdd": list(options.cap_add),
        "CapDrop": list(options.cap_drop),
        "Dns": list(options.dns),
        "DnsOptions": list(options.dns_options),
        "DnsSearch": list(options.dns_search),
        "ExtraHosts": list(options.extra_hosts),
        "GroupAdd": list(options.group_add),
        "Privileged": options.privileged,
        "ReadonlyRootfs": options.read_only,
        "SecurityOpt": list(options.security_opt),
        "PidMode": options.pid_mode,
        "IpcMode": options.ipc_mode or "private",
        "UTSMode": options.uts_mode,
        "CgroupnsMode": options.cgroupns_mode or "private",
        "UsernsMode": options.userns_mode,
        "OomScoreAdj": options.oom_score_adj,
        "ShmSize": options.shm_size or SHM_SIZE,
        "Sysctls": dict(options.sysctls),
        "Runtime": options.runtime or DEFAULT_RUNTIME,
        "Init": options.init,
        "Annotations": dict(options.annotations),
        "CgroupParent": "",
        "Devices": [
            {
                "PathOnHost": device.source,
                "PathInContainer": device.destination,
                "CgroupPermissions": device.permissions,
            }
            for device in options.devices
        ],
        "DeviceCgroupRules": list(options.device_cgroup_rules),
        "Ulimits": [
            {"Name": limit.name, "Soft": limit.soft, "Hard": limit.hard}
            for limit in options.ulimits
        ],
        **resources_config(options.resources),
        "MemorySwap": options.resources.memory_swap or 2 * options.resources.memory,
    }


def resources_config(resources: Resources) -> dict[str, Any]:
    """Return the limits among the keys of docker's HostConfig."""
    swappiness = resources.memory_swappiness
    return {
        "Memory": resources.memory,
        "MemorySwap": resources.memory_swap,
        "MemoryReservation": resources.memory_reservation,
        "MemorySwappiness": None if swappiness < 0 else swappiness,
        "OomKillDisable": resources.oom_kill_disable,
        "NanoCpus": resources.nano_cpus,
        "CpuShares": resources.cpu_shares,
        "CpuPeriod": resources.cpu_period,
        "CpuQuota": resources.cpu_quota,
        "CpusetCpus": resources.cpuset_cpus,
        "CpusetMems": resources.cpuset_mems,
        "PidsLimit": resources.pids_limit or None,
        "BlkioWeight": resources.blkio_weight,
    }


UNLIMITED = resources_config(Resources())


def is_limited(host: Mapping[str, Any]) -> bool:
    """Tell whether a HostConfig limits what the container may use."""
    return any(host.get(key, value) != value for key, value in UNLIMITED.items())


def restart_config(policy: RestartPolicy) -> dict[str, Any]:
    """Return docker's RestartPolicy."""
    return {"Name": policy.name, "MaximumRetryCount": policy.maximum}


def _healthcheck(wanted: HealthCheck | None, image: object) -> dict[str, Any] | None:
    """Return docker's Healthcheck: the user's where given, the image's otherwise."""
    merged = dict(image) if isinstance(image, dict) else {}
    if wanted:
        given = {
            "Test": None if wanted.test is None else list(wanted.test),
            "Interval": wanted.interval,
            "Timeout": wanted.timeout,
            "StartPeriod": wanted.start_period,
            "StartInterval": wanted.start_interval,
            "Retries": wanted.retries,
        }
        merged |= {key: value for key, value in given.items() if value is not None}
    return merged or None


def publish_of(host: Mapping[str, Any]) -> tuple[PortMapping, ...]:
    """Return the published ports of a HostConfig; host port 0 is still to be chosen."""
    ports = []
    for key, bindings in (host.get("PortBindings") or {}).items():
        number, _, protocol = key.partition("/")
        for binding in bindings:
            first, _, last = binding["HostPort"].partition("-")
            port = PortMapping(
                int(number), protocol, binding["HostIp"], int(first or 0), int(last or 0)
            )
            ports.append(port)
    return tuple(ports)


def has_other_runtime(host: Mapping[str, Any]) -> bool:
    """Tell whether another runtime than minidock's own makes the container of a HostConfig."""
    return bool(host.get("Runtime", DEFAULT_RUNTIME) != DEFAULT_RUNTIME)


def networks_of(host: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the networks of a HostConfig: bridge, host or none; () in another container's."""
    mode = str(host.get("NetworkMode") or "default")
    if mode.startswith("container:"):
        return ()
    return ("bridge" if mode == "default" else mode,)


def ports_document(
    published: tuple[PortMapping, ...], exposed: tuple[str, ...]
) -> dict[str, list[dict[str, str]] | None]:
    """Return docker's ``NetworkSettings.Ports``."""
    document: dict[str, list[dict[str, str]] | None] = dict.fromkeys(exposed)
    for port in published:
        key = f"{port.container_port}/{port.protocol}"
        bindings = document.get(key) or []
        bindings.append({"HostIp": port.host_ip or ANY, "HostPort": str(port.host_port)})
        document[key] = bindings
    return document


def published(state: ContainerState) -> tuple[PortMapping, ...]:
    """Return the ports that lead into a running container; raise DataCorrupted."""
    if not state.endpoint or state.status not in (RUNNING, PAUSED):
        return ()
    try:
        return tuple(PortMapping.from_json(b) for b in state.endpoint["bindings"])
    except (LookupError, TypeError, ValueError) as e:
        raise DataCorrupted("invalid state.json: endpoint") from e
