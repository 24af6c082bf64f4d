# SPDX-License-Identifier: Apache-2.0
"""``ps``, ``images`` and ``history``: rows from records."""

from minidock.config import Config
from minidock.engine.clock import parse_rfc3339
from minidock.engine.filters import container_filter, image_filter
from minidock.engine.health import NONE, health_of
from minidock.engine.inspect import size_of
from minidock.engine.mount_points import VOLUME, mount_points
from minidock.engine.options import ListContainers, ListImages
from minidock.engine.reconcile import reconcile
from minidock.engine.records import networks_of, published
from minidock.engine.resolve import resolve
from minidock.engine.views import ContainerView, HistoryView, ImageView
from minidock.errors import DataCorrupted, MinidockError, NotFound
from minidock.fs.trees import disk_usage
from minidock.oci.reference import parse_reference
from minidock.store.containers import (
    DEAD,
    PAUSED,
    RESTARTING,
    RUNNING,
    Container,
    ContainerNotFound,
    ContainerRecord,
    ContainerState,
)
from minidock.store.images import ImageEntry
from minidock.store.store import Store


def list_images(store: Store, options: ListImages) -> tuple[ImageView, ...]:
    """Return a row for each tag and each untagged image, newest first.

    Raises:
        InvalidArgument: an unknown filter, or a name that is none.
    """
    accepts = image_filter(options, store)
    counted = any(key == "containers" for key, _ in options.filters)
    views = [_image(store, entry, counted=counted) for entry in store.images.entries()]
    return tuple(sorted(filter(accepts, views), key=lambda view: -view.created))


def _image(store: Store, entry: ImageEntry, *, counted: bool) -> ImageView:
    reference = parse_reference(entry.name) if entry.name else None
    name, _, digest = entry.digests[0].partition("@") if entry.digests else ("", "", "")
    if name:
        name = parse_reference(name).familiar_name
    row = ImageView(
        entry.id,
        reference.familiar_name if reference else name,
        reference.tag if reference else "",
        digest,
        created=0.0,
        size=0,
        containers=-1,
        shared_size=-1,
        labels={},
    )
    try:
        stored = store.images.read(entry.manifest)
    except (NotFound, DataCorrupted):
        return row  # a damaged image is shown, so that it can be removed or pulled again
    users = (c for c in store.containers.all() if c.record.image_id == entry.id)
    return row._replace(
        created=parse_rfc3339(stored.image.created),
        size=size_of(store, stored),
        labels=stored.image.config.labels,
        containers=sum(1 for _ in users) if counted else -1,
    )


def image_history(store: Store, entry: ImageEntry) -> tuple[HistoryView, ...]:
    """Return how each layer of an image came to be, newest first."""
    image = store.images.read(entry.manifest).image
    diff_ids = iter(image.diff_ids)
    rows = []
    for step in image.history:
        diff_id = None if step.empty_layer else next(diff_ids, None)
        record = store.unpacked.record(diff_id) if diff_id else None
        size = record.size if record else 0
        created = parse_rfc3339(step.created)
        rows.append(HistoryView("", created, step.created_by, size, step.comment))
    if rows:
        rows[-1] = rows[-1]._replace(id=entry.id)
    return tuple(reversed(rows))


def list_containers(
    config: Config, store: Store, options: ListContainers
) -> tuple[ContainerView, ...]:
    """Return the containers, newest first; only the running ones unless asked for all.

    Raises:
        InvalidFilter
    """
    accepts = container_filter(options.filters, store)
    everything = options.all or options.last > 0
    everything = everything or any(k in ("status", "exited") for k, _ in options.filters)
    views = []
    shown = _ShownImages(store)
    for container in store.containers.all():
        try:
            state = _state(config, store, container)
            view = _container(store, container, state, shown, options.size)
        except ContainerNotFound:
            continue  # removed meanwhile
        if (everything or view.state in (RUNNING, PAUSED, RESTARTING)) and accepts(view):
            views.append(view)
    views.sort(key=lambda view: -view.created)
    return tuple(views[: options.last or None])


def _state(config: Config, store: Store, container: Container) -> ContainerState:
    """Return the state, a made up one if it can't be read: one container hides no other."""
    try:
        return reconcile(config, store, container)
    except DataCorrupted:
        return ContainerState(status=DEAD)


def _container(
    store: Store,
    container: Container,
    state: ContainerState,
    shown: "_ShownImages",
    size: bool,
) -> ContainerView:
    record = container.record
    config = record.config
    ports = published(state)
    taken = {f"{p.container_port}/{p.protocol}" for p in ports}
    exposed = [p for p in config.get("ExposedPorts") or () if p not in taken]
    live = state.status in (RUNNING, PAUSED)
    points = mount_points(record)
    health = health_of(container, state)
    size_rw, size_root = _sizes(store, container) if size else (-1, -1)
    return ContainerView(
        container.id,
        container.name,
        shown.name_of(record),
        record.image_id,
        (*config.get("Entrypoint", ()), *config.get("Cmd", ())),
        record.created,
        state.status,
        state.exit_code,
        state.started,
        state.finished,
        ports,
        tuple(exposed) if live else (),
        config.get("Labels") or {},
        tuple(point.name or point.source for point in points),
        networks_of(record.host),
        size_rw,
        size_root,
        tuple(point.destination for point in points),
        sum(point.type == VOLUME for point in points),
        health.status if health else NONE,
    )


def _sizes(store: Store, container: Container) -> tuple[int, int]:
    try:
        own = disk_usage(container.upper)
    except FileNotFoundError as e:
        raise ContainerNotFound(container.id) from e
    records = map(store.unpacked.record, container.record.layers)
    return own, own + sum(record.size for record in records if record)


class _ShownImages:
    """What the image of a container is called in a list, each name looked up once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ids: dict[str, str] = {}

    def name_of(self, record: ContainerRecord) -> str:
        """Return the name the user gave, or the image's id once it means another image."""
        if record.image not in self._ids:
            try:
                entry = resolve(self._store.images, record.image).entry
                self._ids[record.image] = entry.id
            except MinidockError:
                self._ids[record.image] = ""
        return record.image if self._ids[record.image] == record.image_id else record.image_id
