# SPDX-License-Identifier: Apache-2.0
"""``container prune`` and ``image prune``: what is not used goes."""

from minidock.engine.containers import Containers
from minidock.engine.filters import prune_filter
from minidock.engine.images import Images
from minidock.engine.options import Filters, ListContainers, ListImages
from minidock.engine.resolve import resolve
from minidock.engine.views import ImageView, PrunedContainers, PrunedImages, Removed
from minidock.errors import Conflict, DataCorrupted, NotFound
from minidock.fs.trees import disk_usage
from minidock.oci.digest import DiffID, Digest
from minidock.store.containers import ContainerDamaged
from minidock.store.store import Store

_STOPPED = frozenset(("created", "exited"))


def containers(store: Store, verbs: Containers, filters: Filters) -> PrunedContainers:
    """Delete the containers that do not run and that `filters` accept.

    One whose records can't be read stays: nobody knows whether it was meant.

    Raises:
        InvalidFilter
    """
    accepts = prune_filter(filters)
    ids, freed = [], 0
    for view in verbs.list(ListContainers(all=True)):
        if view.state not in _STOPPED or not accepts(view):
            continue
        try:
            size = disk_usage(store.containers.find(view.id).upper)
            verbs.remove(view.id)
        except (Conflict, NotFound, FileNotFoundError, ContainerDamaged):
            continue  # started or removed meanwhile
        ids.append(view.id)
        freed += size
    return PrunedContainers(tuple(ids), freed)


def images(store: Store, verbs: Images, filters: Filters, *, everything: bool) -> PrunedImages:
    """Delete the images without a tag, with `everything` all, that no container has.

    Raises:
        InvalidFilter
        ContainerDamaged: of one container nobody knows which image it has.
    """
    accepts = prune_filter(filters)
    for container_id in store.containers.damaged():
        raise ContainerDamaged(container_id, "nobody knows its image")
    used = {container.record.image_id for container in store.containers.all()}
    views: dict[Digest, list[ImageView]] = {}
    for view in verbs.list(ListImages(all=True)):
        views.setdefault(view.id, []).append(view)
    removed: list[Removed] = []
    sizes: dict[DiffID, int] = {}
    for image, rows in views.items():
        tagged = any(row.tag for row in rows)
        if image in used or (tagged and not everything) or not accepts(rows[0]):
            continue
        try:
            sizes |= _layers(store, image)
            removed += verbs.remove(image, force=True, prune=False)
        except (Conflict, NotFound):
            continue  # taken or removed meanwhile
    collected = store.collect() if removed else None
    if collected is None:  # nothing to do, or another command still needs what it can't name
        return PrunedImages(tuple(removed))
    freed = collected.freed + sum(sizes.get(layer, 0) for layer in collected.layers)
    return PrunedImages(tuple(removed), freed)


def _layers(store: Store, image: Digest) -> dict[DiffID, int]:
    """Return the bytes of the files of each of an image's layers."""
    entry = resolve(store.images, image).entry
    try:
        diff_ids = store.images.read(entry.manifest).image.diff_ids
    except DataCorrupted:
        return {}
    records = {diff_id: store.unpacked.record(diff_id) for diff_id in diff_ids}
    return {diff_id: record.size for diff_id, record in records.items() if record}
