# SPDX-License-Identifier: Apache-2.0
"""The verbs on images."""

from minidock.annotations import TYPE_CHECKING, Any
from minidock.config import Config
from minidock.engine.options import Filters, ListImages, PullOptions
from minidock.engine.resolve import Resolved, resolve
from minidock.engine.views import HistoryView, ImageView, PrunedImages, Pulled, Removed
from minidock.errors import DataCorrupted, InvalidArgument, NotFound
from minidock.oci.digest import ChainID, Digest, chain_ids
from minidock.oci.reference import Reference, parse_reference
from minidock.progress import Progress
from minidock.store import journal
from minidock.store.containers import ContainerNotFound
from minidock.store.images import ImageEntry, Transaction
from minidock.store.store import Store

if TYPE_CHECKING:
    from minidock.engine.removal import Removal, User


class Images:
    """The verbs on the images of one store."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store

    def pull(self, reference: Reference, options: PullOptions, progress: Progress) -> Pulled:
        """Fetch an image and unpack its layers; see `minidock.engine.pull.pull`."""
        from minidock.engine.pull import pull  # urllib3 costs 70 ms

        pulled = pull(self._config, self._store, reference, options, progress)
        name = reference.familiar_name
        journal.image(self._store.layout, "pull", reference.familiar, name)
        return pulled

    def list(self, options: ListImages) -> tuple[ImageView, ...]:
        """Return a row for each tag and each untagged image, newest first.

        Raises:
            InvalidArgument: an unknown filter, or a name that is none.
        """
        from minidock.engine.listing import list_images  # only images needs it

        return list_images(self._store, options)

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
        journal.image(self._store.layout, "tag", entry.id, reference.familiar)

    def inspect(self, name: str) -> dict[str, Any]:
        """Return docker's description of an image; raise ImageNotFound."""
        from minidock.engine.inspect import image_document, size_of  # only inspect needs it

        entry = resolve(self._store.images, name).entry
        stored = self._store.images.read(entry.manifest)
        tags = [e for e in self._store.images.entries() if e.id == entry.id]
        return image_document(self._store, tags, stored, size_of(self._store, stored))

    def history(self, name: str) -> tuple[HistoryView, ...]:
        """Return how each layer came to be, newest first; raise ImageNotFound."""
        from minidock.engine.listing import image_history  # only history needs it

        return image_history(self._store, resolve(self._store.images, name).entry)

    def remove(self, name: str, force: bool = False, prune: bool = True) -> tuple[Removed, ...]:
        """Remove a tag, and the image with its last tag, by docker's rules.

        With `prune` the layers that nothing needs any more are deleted as well.

        Raises:
            ImageNotFound, ImageInUse
        """
        with self._store.images.transaction() as tx:
            resolved = resolve(self._store.images, name)
            entry = resolved.entry
            removal = self._plan_removal(tx, resolved, name, force)
            chains = self._chains(entry)
            for reference in removal.untag:
                (tx.forget_digest if "@" in reference else tx.untag)(reference)
            if removal.delete:
                for sibling in tx.entries:
                    if sibling.id == entry.id:
                        tx.drop(sibling.manifest.digest)
        steps = [Removed("Untagged", _familiar(reference)) for reference in removal.untag]
        if removal.delete:
            steps.append(Removed("Deleted", entry.id))
            steps += self._collect(chains) if prune else ()
        for reference in removal.untag:
            if "@" not in reference:
                journal.image(self._store.layout, "untag", entry.id, entry.id)
        if removal.delete:
            journal.image(self._store.layout, "delete", entry.id, entry.id)
        return tuple(steps)

    def prune(self, filters: Filters, *, everything: bool = False) -> PrunedImages:
        """Delete the images without a tag, or all, that no container has.

        Raises:
            InvalidFilter, ContainerDamaged
        """
        from minidock.engine import prune  # only prune needs it

        return prune.images(self._store, self, filters, everything=everything)

    def _plan_removal(
        self, tx: Transaction, resolved: Resolved, name: str, force: bool
    ) -> "Removal":
        from minidock.engine.removal import plan_by_id, plan_by_name  # only rmi needs it

        image = resolved.entry.id
        siblings = [entry for entry in tx.entries if entry.id == image]
        references = [entry.name for entry in siblings if entry.name]
        references += sorted({digest for entry in siblings for digest in entry.digests})
        users = self._users(image)
        named = resolved.reference
        if named is None:
            return plan_by_id(image, references, users, force=force)
        full = f"{named.name}@{named.digest}" if named.digest else str(named)
        return plan_by_name(image, name, full, references, users, force=force)

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

    def _users(self, image: Digest) -> "tuple[User, ...]":
        from minidock.engine import liveness  # images needs no runtime
        from minidock.engine.removal import User  # only rmi needs it

        users = []
        for container in self._store.containers.all():
            if container.record.image_id != image:
                continue
            try:
                state = container.state
            except ContainerNotFound:
                continue  # removed meanwhile
            except DataCorrupted:
                users.append(User(container.id, liveness.monitor_alive(container)))
                continue
            users.append(User(container.id, liveness.is_used(container, state)))
        return tuple(users)


def _familiar(name: str) -> str:
    return parse_reference(name, default_tag="").familiar
