# SPDX-License-Identifier: Apache-2.0
"""What each user verb returns: frozen values that the front ends render.

Times are seconds since the epoch, sizes are bytes.
"""

from collections.abc import Mapping

from minidock.network.ports import PortMapping
from minidock.oci.digest import Digest
from minidock.oci.reference import Reference
from minidock.values import NamedTuple


class ImageView(NamedTuple):
    """One row of ``images``: one tag of one image.

    `id` is the config's digest. `repository` and `tag` are empty for ``<none>``, in docker's
    familiar form otherwise. `digest` is the repository digest if the image was pulled.
    """

    id: Digest
    repository: str
    tag: str
    digest: str
    created: float
    size: int
    containers: int
    shared_size: int
    labels: Mapping[str, str]


class HistoryView(NamedTuple):
    """One row of ``history``; `id` is empty for ``<missing>``."""

    id: str
    created: float
    created_by: str
    size: int
    comment: str


class ContainerView(NamedTuple):
    """One row of ``ps``.

    `state` is created, running, paused, restarting, exited, dead or removing. `ports` are the
    published ones, `exposed` (``53/udp``) the rest. `size_rw` and `size_root` are -1 when not
    asked for. `started` and `finished` are 0 when that did not happen. `mounts` are names of
    volumes and the host's paths, `destinations` the places of both in the container. `health`
    is starting, healthy, unhealthy, or none for a container without a check.
    """

    id: str
    name: str
    image: str
    image_id: Digest
    command: tuple[str, ...]
    created: float
    state: str
    exit_code: int
    started: float
    finished: float
    ports: tuple[PortMapping, ...]
    exposed: tuple[str, ...]
    labels: Mapping[str, str]
    mounts: tuple[str, ...]
    networks: tuple[str, ...]
    size_rw: int = -1
    size_root: int = -1
    destinations: tuple[str, ...] = ()
    local_volumes: int = 0
    health: str = "none"


class VolumeView(NamedTuple):
    """One row of ``volume ls``; `users` are the ids of the containers that have it."""

    name: str
    driver: str
    mountpoint: str
    created: float
    labels: Mapping[str, str]
    anonymous: bool
    users: tuple[str, ...]


class PrunedContainers(NamedTuple):
    """What ``container prune`` deleted: the ids, and the bytes of their files."""

    ids: tuple[str, ...] = ()
    freed: int = 0


class PrunedImages(NamedTuple):
    """What ``image prune`` deleted, and the bytes of blobs and layers."""

    removed: tuple["Removed", ...] = ()
    freed: int = 0


class PrunedVolumes(NamedTuple):
    """What ``volume prune`` deleted: the names, and the bytes of their files."""

    names: tuple[str, ...]
    freed: int


class Pulled(NamedTuple):
    """What a pull did; `digest` is that of the manifest or index the tag points to."""

    reference: Reference
    digest: Digest
    image_id: Digest
    up_to_date: bool


class Removed(NamedTuple):
    """One step of ``rmi``: `action` is Untagged or Deleted."""

    action: str
    name: str


class LogLine(NamedTuple):
    """One log entry: `stream` is stdout or stderr, `data` has its newline if it had one.

    `time` is nanoseconds since the epoch.
    """

    time: int
    stream: str
    data: bytes


class PortView(NamedTuple):
    """One row of ``port``."""

    container_port: int
    protocol: str
    host_ip: str
    host_port: int


class ChangeView(NamedTuple):
    """One row of ``diff``: `kind` is A, C or D; `path` is absolute."""

    kind: str
    path: str


class Finished(NamedTuple):
    """How an attached session ended: the status, or None after the detach keys."""

    status: int | None


class StatsView(NamedTuple):
    """One row of ``stats``; `asked` is how the user named the container, or its id.

    `cpu` is in percent of one processor, None without an earlier sample to compare with. Bytes
    are sums since the start, but for `memory` and `memory_limit`, which are of this moment.
    A container that does not run has 0 everywhere.
    """

    id: str
    name: str
    asked: str
    cpu: float | None = 0.0
    memory: int = 0
    memory_limit: int = 0
    received: int = 0
    sent: int = 0
    read: int = 0
    written: int = 0
    tasks: int = 0


class ProcessTable(NamedTuple):
    """What ``top`` shows: headers, and a row for each process."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
