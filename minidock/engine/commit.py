# SPDX-License-Identifier: Apache-2.0
"""``commit``: a container's writable layer becomes an image's topmost layer."""

import errno
import os
import time
from collections.abc import Callable

from minidock.annotations import Any
from minidock.config import Config
from minidock.engine.changes import apply_changes
from minidock.engine.clock import exact_rfc3339
from minidock.engine.lowers import lowers_of
from minidock.engine.options import CommitOptions
from minidock.errors import InvalidArgument, SystemFailure
from minidock.fs.atomic import make_directory, write_all
from minidock.layers.apply import Limits, apply
from minidock.layers.compression import compress
from minidock.layers.diff import write_layer
from minidock.oci.content import HashingWriter, Writer
from minidock.oci.descriptor import Descriptor
from minidock.oci.digest import DiffID, Digest
from minidock.oci.image import History, Image, ImageConfig
from minidock.oci.manifest import MAX_LAYERS, Manifest
from minidock.oci.media_types import (
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    GZIP,
    OCI_LAYER_GZIP,
)
from minidock.oci.reference import Reference
from minidock.runtime.workers import Emit, run_all
from minidock.store.chains import LayerRecord
from minidock.store.containers import Container
from minidock.store.images import StoredImage
from minidock.store.scratch import scratch
from minidock.store.store import Store
from minidock.store.unpacked import boot_id

LEVEL = 1
"""Of gzip: isal's first level packs as well as zlib's third, at several times its speed."""


def commit(
    config: Config,
    store: Store,
    container: Container,
    options: CommitOptions,
    reference: Reference | None,
) -> Digest:
    """Make an image of the container as it is; return the image's id.

    Raises:
        InvalidChange: nothing was made.
        SystemFailure: such as no space left; nothing half-made is kept.
    """
    record = container.record
    base = store.images.read(Descriptor(record.manifest_type, record.manifest, 0))
    image_config = apply_changes(_image_config(container, base), options.changes)
    if len(base.layers) >= MAX_LAYERS:
        raise InvalidArgument(
            "max depth exceeded", hint=f"an image may have at most {MAX_LAYERS} layers"
        )
    epoch = config.source_date_epoch
    created = time.time() if epoch is None else epoch
    try:
        with store.lease():
            layer, diff_id = _write_layer(config, store, container, base)
            image = _image(base, image_config, diff_id, options, container, created)
            return _publish(store, base, image, layer, reference)
    except (OSError, SystemFailure) as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            store.collect()  # a layer that was published but has no image
        if isinstance(e, OSError):
            raise SystemFailure.of("commit", e) from e
        raise


def _image_config(container: Container, base: StoredImage) -> ImageConfig:
    stored = ImageConfig.from_json(dict(container.record.config))
    return stored._replace(extra=base.image.config.extra)


def _image(
    base: StoredImage,
    image_config: ImageConfig,
    diff_id: DiffID,
    options: CommitOptions,
    container: Container,
    created: float,
) -> Image:
    config = container.record.config
    command = " ".join([*config.get("Entrypoint", ()), *config.get("Cmd", ())])
    when = exact_rfc3339(created)
    step = History(when, command, options.author, options.message)
    return base.image._replace(
        config=image_config,
        diff_ids=(*base.image.diff_ids, diff_id),
        history=(*_complete_history(base.image), step),
        created=when,
        author=options.author,
        extra={k: v for k, v in base.image.extra.items() if k not in _STALE},
    )


def _complete_history(image: Image) -> tuple[History, ...]:
    """Return the history with a step for each layer: the new step must not be another's."""
    told = sum(not step.empty_layer for step in image.history)
    return (*image.history, *[History()] * (len(image.diff_ids) - told))


_STALE = {"container", "container_config", "docker_version", "id", "parent"}
"""Keys of old docker versions that describe the build of the base, not this image."""


def _publish(
    store: Store,
    base: StoredImage,
    image: Image,
    layer: Descriptor,
    reference: Reference | None,
) -> Digest:
    raw = image.to_json()
    image_id = store.blobs.put(raw)
    base_manifest = store.images.read_manifest(base.manifest.digest, base.manifest.media_type)
    config = Descriptor(base_manifest.config.media_type, image_id, len(raw))
    manifest = Manifest(base_manifest.media_type, config, (*base.layers, layer))
    data = manifest.to_json()
    descriptor = Descriptor(manifest.media_type, store.blobs.put(data), len(data))
    store.sync()
    store.unpacked.mark_synced((image.diff_ids[-1],))
    with store.images.transaction() as tx:
        tx.set(descriptor, image_id, str(reference) if reference else "")
    return image_id


def _write_layer(
    config: Config, store: Store, container: Container, base: StoredImage
) -> tuple[Descriptor, DiffID]:
    """Write the layer's blob and unpack it, side by side, from one reading of the upper."""
    lowers = lowers_of(store, container)
    with scratch(store.layout) as directory:
        make_directory(f"{directory}/layer/diff")
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        jobs = (
            _packing(container.upper, lowers, directory, write_end, config.source_date_epoch),
            _unpacking(directory, read_end, write_end),
        )
        packed, applied = run_all(jobs, len(jobs), _no_event, (read_end, write_end))
        diff_id, digest, size = packed
        record = LayerRecord(applied[0], applied[1], tuple(applied[2]), boot_id())
        store.unpacked.publish(f"{directory}/layer", DiffID(diff_id), record)
        store.blobs.adopt(f"{directory}/blob", Digest(digest), durable=False)
    docker = base.manifest.media_type == DOCKER_MANIFEST
    media_type = DOCKER_LAYER_GZIP if docker else OCI_LAYER_GZIP
    return Descriptor(media_type, Digest(digest), size), DiffID(diff_id)


def _no_event(_event: list[Any]) -> None:
    """Packing reports no progress."""


class _Fd:
    """A file descriptor as a stream."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes."""
        return os.read(self._fd, size)

    def write(self, data: bytes, /) -> None:
        """Write all of `data`."""
        write_all(self._fd, data)


class _Both:
    """Write to two streams."""

    def __init__(self, first: Writer, second: Writer) -> None:
        self._first = first
        self._second = second

    def write(self, data: bytes, /) -> None:
        """Write all of `data` to each."""
        self._first.write(data)
        self._second.write(data)


def _packing(
    upper: str, lowers: tuple[str, ...], directory: str, pipe: int, epoch: int | None
) -> Callable[[Emit], list[Any]]:
    def run(_emit: Emit) -> list[Any]:
        with open(f"{directory}/blob", "xb", buffering=0) as file:
            blob = HashingWriter(_Fd(file.fileno()))
            packer = compress(blob, GZIP, LEVEL)
            tar = HashingWriter(_Both(packer, _Fd(pipe)))
            write_layer(upper, lowers, tar, epoch=epoch)
            packer.close()
        return [tar.digest, blob.digest, blob.count]

    return run


def _unpacking(directory: str, pipe: int, other_end: int) -> Callable[[Emit], list[Any]]:
    def run(_emit: Emit) -> list[Any]:
        os.close(other_end)  # else this pipe would never end
        applied = apply(_Fd(pipe), f"{directory}/layer/diff", Limits())
        return [applied.size, applied.entries, list(applied.implied_parents)]

    return run
