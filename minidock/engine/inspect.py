# SPDX-License-Identifier: Apache-2.0
"""``inspect``: docker's documents, key for key where scripts look."""

from collections.abc import Sequence

from minidock.annotations import Any
from minidock.engine.clock import ZERO, rfc3339
from minidock.engine.health import health_document, health_of
from minidock.engine.mount_points import mount_points
from minidock.engine.records import networks_of, ports_document
from minidock.network.ports import PortMapping
from minidock.oci.descriptor import Platform
from minidock.oci.reference import parse_reference
from minidock.store.containers import LIVE, PAUSED, RESTARTING, Container, ContainerState
from minidock.store.images import ImageEntry, StoredImage
from minidock.store.store import Store


def image_document(
    store: Store, entries: Sequence[ImageEntry], stored: StoredImage, size: int
) -> dict[str, Any]:
    """Return the description of an image; `entries` are its tags, `size` is in bytes."""
    image = stored.image
    names = [parse_reference(e.name).familiar for e in entries if e.name]
    digests = sorted({d for e in entries for d in e.digests})
    trees = [store.unpacked.tree(diff_id) for diff_id in reversed(image.diff_ids)]
    driver = {"LowerDir": ":".join(trees[1:]), "UpperDir": trees[0] if trees else ""}
    return {
        "Id": stored.id,
        "RepoTags": names,
        "RepoDigests": [parse_reference(d).familiar for d in digests],
        "Parent": "",
        "Comment": image.history[-1].comment if image.history else "",
        "Created": image.created or ZERO,
        "Author": image.author,
        "Config": _image_config(stored),
        "Architecture": image.platform.architecture,
        "Variant": image.platform.variant,
        "Os": image.platform.os,
        "Size": size,
        "GraphDriver": {"Name": "overlay2", "Data": driver},
        "RootFS": {"Type": "layers", "Layers": list(image.diff_ids)},
        "Metadata": {"LastTagTime": rfc3339(max((e.tagged for e in entries), default=0))},
        "Descriptor": {
            "mediaType": stored.manifest.media_type,
            "digest": stored.manifest.digest,
            "size": stored.manifest.size,
        },
    }


def _image_config(stored: StoredImage) -> dict[str, Any]:
    empty = {
        "User": "",
        "ExposedPorts": None,
        "Env": None,
        "Cmd": None,
        "Volumes": None,
        "WorkingDir": "",
        "Entrypoint": None,
        "Labels": None,
    }
    return empty | stored.image.config.to_json()


def container_document(
    container: Container,
    state: ContainerState,
    platform: Platform,
    ports: tuple[PortMapping, ...],
    owner: Container | None = None,
) -> dict[str, Any]:
    """Return the description of a container.

    `ports` are the published ones, `owner` is the container whose network it shares.
    """
    record, owner = container.record, owner or container
    config = dict(record.config)
    args = [*config.get("Entrypoint", ()), *config.get("Cmd", ())]
    for key in ("Entrypoint", "Cmd", "Volumes"):
        config[key] = config.get(key) or None
    return {
        "Id": container.id,
        "Created": rfc3339(record.created),
        "Path": args[0] if args else "",
        "Args": args[1:],
        "State": state_document(state) | _health(container, state),
        "Image": record.image_id,
        "ResolvConfPath": owner.file("resolv.conf"),
        "HostnamePath": owner.file("hostname"),
        "HostsPath": owner.file("hosts"),
        "LogPath": "" if record.host["LogConfig"]["Type"] == "none" else container.log,
        "Name": f"/{container.name}",
        "RestartCount": state.restarts,
        "Driver": "overlay2",
        "Platform": platform.os,
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": dict(record.host),
        "GraphDriver": {
            "Name": "overlay2",
            "Data": {"UpperDir": container.upper, "WorkDir": container.work},
        },
        "Mounts": [point.document() for point in mount_points(record)],
        "Config": config,
        "NetworkSettings": _network(container, state, ports),
    }


def _health(container: Container, state: ContainerState) -> dict[str, Any]:
    health = health_of(container, state)
    return {"Health": health_document(health)} if health else {}


def state_document(state: ContainerState) -> dict[str, Any]:
    """Return docker's ``State``."""
    running = state.status in LIVE
    return {
        "Status": state.status,
        "Running": running or state.status == RESTARTING,  # so docker says
        "Paused": state.status == PAUSED,
        "Restarting": state.status == RESTARTING,
        "OOMKilled": state.oom_killed,
        "Dead": False,
        "Pid": state.pid if running else 0,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": rfc3339(state.started),
        "FinishedAt": rfc3339(state.finished),
    }


def _network(
    container: Container, state: ContainerState, ports: tuple[PortMapping, ...]
) -> dict[str, Any]:
    endpoint = state.endpoint or {}
    networks = networks_of(container.record.host)
    address = str(endpoint.get("address", ""))
    network = {
        "IPAddress": address,
        "IPPrefixLen": endpoint.get("prefix", 0),
        "Gateway": endpoint.get("gateway", ""),
        "MacAddress": endpoint.get("mac", ""),
    }
    exposed = tuple(container.record.config.get("ExposedPorts") or ())
    live = bool(endpoint)
    return {
        **network,
        "SandboxKey": f"/proc/{state.pid}/ns/net" if state.pid else "",
        "Ports": ports_document(ports, exposed) if live else {},
        "Networks": {name: dict(network) for name in networks},
    }


def size_of(store: Store, stored: StoredImage) -> int:
    """Return the bytes of an image's files, layer by layer, as docker counts them."""
    records = map(store.unpacked.record, stored.image.diff_ids)
    return sum(record.size for record in records if record)
