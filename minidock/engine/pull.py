# SPDX-License-Identifier: Apache-2.0
"""``pull``: from a reference to an image whose layers are unpacked and verified."""

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator

from minidock import progress as events
from minidock.annotations import Any
from minidock.config import Config
from minidock.engine.options import PullOptions
from minidock.engine.readahead import ReadAhead
from minidock.engine.views import Pulled
from minidock.errors import DataCorrupted, NotFound, SystemFailure, Unavailable
from minidock.fs.atomic import make_directory, write_all
from minidock.fs.locks import Lock
from minidock.fs.trees import remove
from minidock.layers.apply import Limits, apply
from minidock.layers.compression import decompress
from minidock.oci.content import (
    HashingReader,
    Reader,
    SizeMismatch,
    VerifiedReader,
)
from minidock.oci.descriptor import Descriptor, Document, InvalidDocument, Platform
from minidock.oci.digest import DiffID, DigestMismatch, hex_of
from minidock.oci.image import Image
from minidock.oci.manifest import Index, Manifest
from minidock.oci.media_types import LAYERS, PLAIN
from minidock.oci.reference import Reference
from minidock.progress import Progress
from minidock.registry.client import BlobStream, Registry, connect
from minidock.registry.transport import Interrupted
from minidock.runtime.workers import run_all
from minidock.store.chains import LayerRecord
from minidock.store.scratch import scratch, sweep
from minidock.store.store import Store
from minidock.store.unpacked import boot_id
from minidock.values import NamedTuple

CHUNK = 1 << 18
MAX_BREAKS = 8
FLUSH_SECONDS = 0.05
PROGRESS = 1 << 20
"""Bytes after which the breaks of a connection are counted anew."""

FIRST_PAUSE, LAST_PAUSE = 0.05, 3.0
"""Seconds before a broken connection is made again, doubled each time."""

_EVENTS = {
    kind.__name__: kind
    for kind in (
        events.LayerExists,
        events.LayerDownloading,
        events.LayerVerified,
        events.LayerExtracting,
        events.LayerDone,
        events.Retrying,
        events.Warned,
    )
}


class PlatformNotFound(NotFound):
    """The index has no manifest for the platform; docker's text, and what there is."""

    def __init__(self, platform: Platform, index: Index) -> None:
        there = ", ".join(sorted({str(m.platform) for m in index.manifests if m.platform}))
        super().__init__(
            f"no matching manifest for {platform} in the manifest list entries",
            hint=f"there is: {there or 'nothing'}",
        )


class WrongPlatform(NotFound):
    """The only image there is, is for another platform; the text is docker's."""

    def __init__(self, reference: Reference, wanted: Platform, actual: Platform) -> None:
        super().__init__(
            f"image with reference {reference.familiar} was found but does not match the "
            f"specified platform: wanted {wanted}, actual: {actual}"
        )


class _Layer(NamedTuple):
    blob: Descriptor
    diff_id: DiffID


def pull(
    config: Config,
    store: Store,
    reference: Reference,
    options: PullOptions,
    progress: Progress,
) -> Pulled:
    """Fetch an image and unpack its layers; a second pull of the same image moves no layer.

    Raises:
        NotFound, Unauthorized, Forbidden, Unavailable: as the registry answers.
        DataCorrupted: what came is not what its digests promise; nothing of it is kept.
        SystemFailure: such as no space left; nothing half-made is kept.
    """
    platform = options.platform or config.platform
    registry = connect(reference, config, progress)
    progress(events.Resolving(reference.target, reference.repository))
    try:
        with store.lease():
            top = registry.manifest(reference.target)
            manifest = _manifest_for(registry, top, platform)
            image = registry.config(manifest.value.config)
            if not platform.accepts(image.value.platform):
                _other_platform(reference, platform, image.value.platform, options, progress)
            layers = _pair(manifest.value, image.value)
            _fetch(store, registry, layers, progress)
            return _publish(store, reference, top, manifest, image)
    except (OSError, SystemFailure) as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            store.collect()  # the layers that did arrive are of no use, and others need room
        if isinstance(e, OSError):
            raise SystemFailure.of("pull", e) from e
        raise


def _other_platform(
    reference: Reference,
    wanted: Platform,
    actual: Platform,
    options: PullOptions,
    progress: Progress,
) -> None:
    """Refuse an image that is not for the platform asked for, warn if none was."""
    if options.platform:
        raise WrongPlatform(reference, wanted, actual)
    progress(
        events.Warned(
            f"The requested image's platform ({actual}) does not match the detected host "
            f"platform ({wanted}) and no specific platform was requested"
        )
    )


def _manifest_for(
    registry: Registry, top: Document[Manifest | Index], platform: Platform
) -> Document[Manifest]:
    document = top
    if isinstance(top.value, Index):
        chosen = top.value.select(platform)
        if chosen is None:
            raise PlatformNotFound(platform, top.value)
        document = registry.manifest(chosen.digest)
        if document.descriptor.size != chosen.size:
            raise SizeMismatch(
                f"manifest {chosen.digest}", chosen.size, str(document.descriptor.size)
            )
    if isinstance(document.value, Index):
        raise InvalidDocument(f"invalid index: {document.descriptor.digest} is an index again")
    return Document(document.descriptor, document.raw, document.value)


def _pair(manifest: Manifest, image: Image) -> tuple[_Layer, ...]:
    blobs, diff_ids = manifest.layers, image.diff_ids
    if len(blobs) != len(diff_ids):
        raise InvalidDocument(
            f"invalid image: {len(blobs)} layers in the manifest, {len(diff_ids)} in the config"
        )
    for blob in blobs:
        if blob.media_type not in LAYERS:
            raise InvalidDocument(f"unsupported layer media type {blob.media_type[:100]!r}")
    return tuple(map(_Layer, blobs, diff_ids))


def _fetch(
    store: Store, registry: Registry, layers: tuple[_Layer, ...], progress: Progress
) -> None:
    missing: dict[DiffID, _Layer] = {}
    for layer in layers:
        if _is_complete(store, layer):
            progress(events.LayerExists(layer.blob.digest))
        elif layer.diff_id not in missing:
            progress(events.LayerWaiting(layer.blob.digest, layer.blob.size))
            missing[layer.diff_id] = layer
    # The largest first: the last worker to finish then has the least left to do.
    ordered = sorted(missing.values(), key=lambda layer: -layer.blob.size)
    jobs = [_job(store, registry, layer) for layer in ordered]
    try:
        run_all(jobs, max(2, os.cpu_count() or 2), lambda event: progress(_decode(event)))
    except BaseException:
        sweep(store.layout)  # what the jobs that were ended had half made
        raise
    if missing:
        store.sync()
        store.unpacked.mark_synced(tuple(missing))


def _is_complete(store: Store, layer: _Layer) -> bool:
    return store.blobs.has(layer.blob) and store.unpacked.record(layer.diff_id) is not None


def _decode(event: list[Any]) -> events.Event:
    name, *fields = event
    return _EVENTS[name](*fields)


def _job(
    store: Store, registry: Registry, layer: _Layer
) -> Callable[[Callable[[list[Any]], None]], None]:
    def run(emit: Callable[[list[Any]], None]) -> None:
        def tell(event: events.Event) -> None:
            emit([type(event).__name__, *event])

        # One writer a layer on this machine; whoever waits finds it done.
        with Lock(f"{store.layout.locks}/layer-{hex_of(layer.diff_id)[:2]}.lock"):
            if _is_complete(store, layer):
                tell(events.LayerExists(layer.blob.digest))
                return
            with _flushing(store):
                _fetch_layer(store, registry.telling(tell), layer, tell)
        tell(events.LayerDone(layer.blob.digest))

    return run


@contextlib.contextmanager
def _flushing(store: Store) -> Iterator[None]:
    """Have the disk write meanwhile, so that the sync at the end finds little left to do."""
    done = threading.Event()

    def flush() -> None:
        while not done.wait(FLUSH_SECONDS):
            try:
                store.sync()
            except OSError:  # the sync at the end says so
                return

    thread = threading.Thread(target=flush, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _fetch_layer(store: Store, registry: Registry, layer: _Layer, tell: Progress) -> None:
    with scratch(store.layout) as directory:
        if store.blobs.has(layer.blob) and _unpack_stored(store, layer, directory, tell):
            return
        with (
            open(f"{directory}/blob", "xb", buffering=0) as copy,
            _ResumingBlob(registry, layer.blob) as blob,
        ):
            source = VerifiedReader(
                _Ticking(blob, layer.blob, events.LayerDownloading, tell),
                layer.blob.digest,
                layer.blob.size,
                f"layer {layer.blob.digest}",
            )
            with ReadAhead(_Tee(source, copy.fileno())) as ahead:
                _unpack(store, ahead, layer, directory)
        tell(events.LayerVerified(layer.blob.digest))
        store.blobs.adopt(f"{directory}/blob", layer.blob.digest, durable=False)


def _unpack_stored(store: Store, layer: _Layer, directory: str, tell: Progress) -> bool:
    """Unpack the layer from the blob that is here; a damaged blob is deleted: return False."""
    try:
        with store.blobs.open(layer.blob.digest) as file:
            source = VerifiedReader(
                _Ticking(file, layer.blob, events.LayerExtracting, tell),
                layer.blob.digest,
                layer.blob.size,
                f"blob {layer.blob.digest}",
            )
            _unpack(store, source, layer, directory)
    except DataCorrupted:
        store.blobs.remove(layer.blob.digest)
        remove(f"{directory}/layer")
        return False
    return True


def _unpack(store: Store, source: Reader, layer: _Layer, directory: str) -> None:
    """Unpack the layer and publish it once every byte of it has been verified."""
    compression = LAYERS.get(layer.blob.media_type, PLAIN)
    tar = HashingReader(decompress(source, compression))
    make_directory(f"{directory}/layer/diff")
    limits = Limits(compressed_size=layer.blob.size)
    applied = apply(tar, f"{directory}/layer/diff", limits)
    while source.read(CHUNK):  # what stands after the compressed stream is hashed as well
        pass
    if str(tar.digest) != layer.diff_id:
        raise DigestMismatch(f"layer {layer.blob.digest}", layer.diff_id, tar.digest)
    record = LayerRecord(applied.size, applied.entries, applied.implied_parents, boot_id())
    store.unpacked.publish(f"{directory}/layer", layer.diff_id, record)


def _publish(
    store: Store,
    reference: Reference,
    top: Document[Manifest | Index],
    manifest: Document[Manifest],
    image: Document[Image],
) -> Pulled:
    store.blobs.put(image.raw)
    store.blobs.put(manifest.raw)
    image_id = image.descriptor.digest
    name = "" if reference.digest else str(reference)
    before = store.images.find(name) if name else None
    with store.images.transaction() as tx:
        digest = f"{reference.name}@{top.descriptor.digest}"
        known = any(digest in e.digests for e in tx.entries)
        tx.set(manifest.descriptor, image_id, name, (digest,))
    if name:
        known = before is not None and before.manifest.digest == manifest.descriptor.digest
    return Pulled(reference, top.descriptor.digest, image_id, known)


class _Ticking:
    """Tell the progress of a stream, at most once a percent."""

    def __init__(
        self,
        source: Reader,
        blob: Descriptor,
        event: type[events.LayerDownloading] | type[events.LayerExtracting],
        tell: Progress,
    ) -> None:
        self._source = source
        self._blob = blob
        self._event = event
        self._tell = tell
        self._done = 0
        self._next = 0

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes."""
        data = self._source.read(size)
        self._done += len(data)
        if self._done >= self._next:
            self._next = self._done + max(CHUNK, self._blob.size // 100)
            self._tell(self._event(self._blob.digest, self._done, self._blob.size))
        return data


class _Tee:
    """Keep a copy of what is read in a file."""

    def __init__(self, source: Reader, fd: int) -> None:
        self._source = source
        self._fd = fd

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes after writing them."""
        data = self._source.read(size)
        write_all(self._fd, data)
        return data


class _ResumingBlob:
    """A blob's bytes from the registry, taken up again where the connection broke."""

    def __init__(self, registry: Registry, blob: Descriptor) -> None:
        self._registry = registry
        self._blob = blob
        self._stream: BlobStream | None = None
        self._position = 0
        self._breaks = 0
        self._last_break = 0

    def __enter__(self) -> "_ResumingBlob":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._stream:
            self._stream.close()
            self._stream = None

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; raise Unavailable when it breaks again and again."""
        while True:
            try:
                if self._stream is None:
                    self._stream = self._open()
                data = self._stream.read(size)
            except Interrupted as e:
                self._close()
                self._count_break(e)
                continue
            self._position += len(data)
            return data

    def _count_break(self, cause: Interrupted) -> None:
        """Wait before another attempt; a connection that brought something is forgiven."""
        if self._position - self._last_break >= PROGRESS:
            self._breaks = 0
        self._last_break = self._position
        self._breaks += 1
        if self._breaks > MAX_BREAKS:
            raise Unavailable(
                f"{self._registry.host}: the connection broke {self._breaks} times",
                hint=cause.message,
            ) from cause
        time.sleep(min(FIRST_PAUSE * 2 ** (self._breaks - 1), LAST_PAUSE))

    def _open(self) -> BlobStream:
        stream = self._registry.blob(self._blob, self._position)
        skip = self._position - stream.offset
        while skip > 0:  # the registry does not do ranges
            data = stream.read(min(skip, CHUNK))
            if not data:
                raise Interrupted(self._registry.host, "the blob is too short")
            skip -= len(data)
        return stream
