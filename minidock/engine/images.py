# SPDX-License-Identifier: Apache-2.0
"""The verbs on images."""

from typing import Any

from minidock.config import Config
from minidock.engine.clock import parse_rfc3339
from minidock.engine.options import ListImages, PullOptions
from minidock.engine.resolve import Resolved, resolve
from minidock.engine.views import HistoryView, ImageView, Pulled, Removed
from minidock.errors import Conflict, DataCorrupted, InvalidArgument, NotFound
from minidock.oci.digest import ChainID, chain_ids, hex_of
from minidock.oci.reference import Reference, parse_reference
from minidock.progress import Progress
from minidock.store.containers import RUNNING, Container
from minidock.store.images import ImageEntry, StoredImage
from minidock.store.store import Store

SHORT = 12


class ImageInUse(Conflict):
    """A container or another tag holds the image; the texts are docker's."""


class Images:
    """The verbs on the images of one store."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store

    def pull(self, reference: Reference, options: PullOptions, progress: Progress) -> Pulled:
        """Fetch an image and unpack its layers; see `minidock.engine.pull.pull`."""
        from minidock.engine.pull import pull  # urllib3 costs 70 ms

        return pull(self._config, self._store, reference, options, progress)

    def list(self, options: ListImages) -> tuple[ImageView, ...]:
        """Return a row for each tag and each untagged image, newest first.

        Raises:
            InvalidArgument: an unknown filter, or a name that is none.
        """
        from minidock.engine.filters import image_filter  # run needs no filters

        accepts = image_filter(options, self._store)
        views = [self._view(entry, options) for entry in self._store.images.entries()]
        found = [view for view in views if accepts(view)]
        return tuple(sorted(found, key=lambda view: -view.created))

    def _view(self, entry: ImageEntry, options: ListImages) -> ImageView:
        reference = parse_reference(entry.name) if entry.name else None
        repository = reference.familiar_name if reference else ""
        if not reference and entry.digests:
            repository = _familiar(entry.digests[0].partition("@")[0])
        digest = entry.digests[0].partition("@")[2] if entry.digests else ""
        row = ImageView(
            entry.id, repository, reference.tag if reference else "", digest, 0.0, 0, -1, -1, {}
        )
        try:
            stored = self._store.images.read(entry.manifest)
        except (NotFound, DataCorrupted):
            return row  # a damaged image is shown, so that it can be removed or pulled again
        used = any(key == "containers" for key, _ in options.filters)
        return row._replace(
            created=parse_rfc3339(stored.image.created),
            size=self._size(stored),
            labels=stored.image.config.labels,
            containers=len(self._users(entry)) if used else -1,
        )

    def _size(self, stored: StoredImage) -> int:
        records = map(self._store.unpacked.record, stored.image.diff_ids)
        return sum(record.size for record in records if record)

    def tag(self, source: str, target: str) -> None:
        """Give the image `source` the further name `target`.

        Raises:
            ImageNotFound, InvalidReference; InvalidArgument for a target with a digest.
        """
        reference = parse_reference(target)
        if reference.digest:
            raise InvalidArgument("refusing to create a tag with a digest reference")
        with self._store.lease(), self._store.images.transaction() as tx:
            entry = resolve(self._store.images, source).entry
            tx.set(entry.manifest, entry.id, str(reference))

    def inspect(self, name: str) -> dict[str, Any]:
        """Return docker's description of an image; raise ImageNotFound."""
        from minidock.engine.inspect import image_document  # only inspect needs it

        entry = resolve(self._store.images, name).entry
        stored = self._store.images.read(entry.manifest)
        tags = [e for e in self._store.images.entries() if e.id == entry.id]
        return image_document(self._store, tags, stored, self._size(stored))

    def history(self, name: str) -> tuple[HistoryView, ...]:
        """Return how each layer came to be, newest first; raise ImageNotFound."""
        entry = resolve(self._store.images, name).entry
        image = self._store.images.read(entry.manifest).image
        diff_ids = iter(image.diff_ids)
        rows = []
        for step in image.history:
            diff_id = None if step.empty_layer else next(diff_ids, None)
            record = self._store.unpacked.record(diff_id) if diff_id else None
            size = record.size if record else 0
            created = parse_rfc3339(step.created)
            rows.append(HistoryView("", created, step.created_by, size, step.comment))
        if rows:
            rows[-1] = rows[-1]._replace(id=entry.id)
        return tuple(reversed(rows))

    def remove(self, name: str, force: bool = False, prune: bool = True) -> tuple[Removed, ...]:
        """Remove a tag, and the image with its last tag, by docker's rules.

        With `prune` the layers that nothing needs any more are deleted as well.

        Raises:
            ImageNotFound, ImageInUse
        """
        with self._store.images.transaction() as tx:
            resolved = resolve(self._store.images, name)
            entry = resolved.entry
            siblings = [e for e in tx.entries if e.id == entry.id]
            tags = tuple(e.name for e in siblings if e.name)
            by_tag = resolved.reference is not None and not resolved.reference.digest
            if by_tag and len(tags) > 1:
                tx.untag(entry.name)
                return (Removed("Untagged", _familiar(entry.name)),)
            self._check_removable(resolved, name, tags, force)
            chains = self._chains(entry)
            for sibling in siblings:
                tx.drop(sibling.manifest.digest)
        steps = [Removed("Untagged", _familiar(tag)) for tag in tags]
        digests = {d for e in siblings for d in e.digests}
        steps += [Removed("Untagged", _familiar_digest(d)) for d in sorted(digests)]
        steps.append(Removed("Deleted", entry.id))
        if prune:
            steps += self._collect(chains)
        return tuple(steps)

    def _chains(self, entry: ImageEntry) -> dict[str, ChainID]:
        try:
            diff_ids = self._store.images.read(entry.manifest).image.diff_ids
        except (NotFound, DataCorrupted):
            return {}
        return dict(zip(diff_ids, chain_ids(diff_ids), strict=True))

    def _collect(self, chains: dict[str, ChainID]) -> tuple[Removed, ...]:
        collected = self._store.collect()
        gone = set(collected.layers) if collected else set()
        return tuple(
            Removed("Deleted", chain)
            for diff_id, chain in reversed(chains.items())
            if diff_id in gone
        )

    def _users(self, entry: ImageEntry) -> tuple[Container, ...]:
        everyone = self._store.containers.all()
        return tuple(c for c in everyone if c.record.image_id == entry.id)

    def _check_removable(
        self, resolved: Resolved, name: str, tags: tuple[str, ...], force: bool
    ) -> None:
        entry = resolved.entry
        short = hex_of(entry.id)[:SHORT]
        if resolved.reference is None:
            repositories = {tag.rpartition(":")[0] for tag in tags}
            if len(repositories) > 1 and not force:
                raise ImageInUse(
                    f"conflict: unable to delete {short} (must be forced) - image is "
                    "referenced in multiple repositories"
                )
        for container in self._users(entry):
            user = container.id[:SHORT]
            running = container.state.status == RUNNING
            if resolved.reference is not None and not force:
                raise ImageInUse(
                    f'conflict: unable to remove repository reference "{name}" (must force) - '
                    f"container {user} is using its referenced image {short}"
                )
            if resolved.reference is None and (running or not force):
                how = "cannot be forced" if running else "must be forced"
                what = "running" if running else "stopped"
                raise ImageInUse(
                    f"conflict: unable to delete {short} ({how}) - image is being used by "
                    f"{what} container {user}"
                )


def _familiar(name: str) -> str:
    return parse_reference(name, default_tag="").familiar


def _familiar_digest(text: str) -> str:
    name, _, digest = text.partition("@")
    return f"{_familiar(name)}@{digest}"
