# SPDX-License-Identifier: Apache-2.0
"""The state directory, every path named once. All directories are 0700, all records 0600.

::

    ROOT/
      images/                     an OCI image layout (image-spec image-layout.md)
        oci-layout  index.json    one entry per tag; org.opencontainers.image.ref.name is the
                                  full reference; untagged images have an entry without it
        blobs/sha256/HEX          manifests, configs, compressed layers
      layers/HEX/                 one unpacked layer, HEX from its diff_id
        diff/                     the tree in overlayfs form
        layer.json                {"size", "entries", "implied", "boot"}
      chains/HEX/diff/            the topmost layer of a stack, see chains.py; HEX from the
                                  chain id
      containers/ID/
        container.json            written once; rewritten whole by update
        state.json                rewritten whole
        name                      the container's name
        lock                      flock: held while the state changes
        monitor.lock              locked by the live monitor, see runtime/monitor_lock.py
        health.json               what health checks have found
        minidock-mon              link to the interpreter while a monitor becomes small
        upper/ work/ mount/       writable layer, overlayfs' scratch, init's mount point
        config.json               the runtime spec of the last start
        container.log             json-file log
        attach.sock               the monitor's socket
        freeze.lock               flock: held by who freezes the container, or lets it go on
        restart.lock              flock: shared by who restarts it: it is not removed at its end
        monitor.error             what went wrong in the monitor with nobody to tell
        hosts hostname resolv.conf
        places/                   directories to mount on, see places.py
      volumes/NAME/               made with the first volume, see volumes.py
        _data/                    what containers see; or a link to the host's directory it is
        volume.json               {"created", "labels", "options"}
        fill/files/               what is still to be moved to _data/
        fill.lock                 flock: the volume gets its first files
      names/NAME                  symbolic link to a container id: creating it takes the name
      network/                    owned by the network room
      events.log  events.log.1    what has happened, a JSON object a line, see journal.py
      cache/                      may be deleted at any time
      locks/gc.lock               shared: a lease on blobs and layers; exclusive: gc
      locks/meta.lock             exclusive: index.json is being changed
      locks/names.lock            exclusive: a name is being taken or freed
      locks/scratch.lock          see scratch.py
      locks/layer-XX.lock         exclusive: a layer whose diff_id begins so is being fetched
      tmp/RANDOM/                 half-made things; the directory is flocked by their maker
"""

from minidock.oci.digest import ChainID, DiffID, Digest, hex_of
from minidock.values import NamedTuple


class Layout(NamedTuple):
    """The paths below one root."""

    root: str

    @property
    def images(self) -> str:
        """The OCI image layout."""
        return f"{self.root}/images"

    @property
    def index_file(self) -> str:
        """The index of the image layout."""
        return f"{self.root}/images/index.json"

    @property
    def blobs(self) -> str:
        """The directory of sha256 blobs."""
        return f"{self.root}/images/blobs/sha256"

    def blob(self, digest: Digest) -> str:
        """The file of one blob."""
        return f"{self.root}/images/blobs/sha256/{hex_of(digest)}"

    @property
    def layers(self) -> str:
        """The directory of unpacked layers."""
        return f"{self.root}/layers"

    def layer(self, diff_id: DiffID) -> str:
        """The directory of one unpacked layer."""
        return f"{self.root}/layers/{hex_of(diff_id)}"

    @property
    def chains(self) -> str:
        """The directory of the stacks' topmost layers."""
        return f"{self.root}/chains"

    def chain(self, chain_id: ChainID) -> str:
        """The topmost layer of one stack."""
        return f"{self.root}/chains/{hex_of(chain_id)}"

    @property
    def containers(self) -> str:
        """The directory of containers."""
        return f"{self.root}/containers"

    @property
    def volumes(self) -> str:
        """The directory of volumes."""
        return f"{self.root}/volumes"

    def volume(self, name: str) -> str:
        """The directory of one volume."""
        return f"{self.root}/volumes/{name}"

    @property
    def names(self) -> str:
        """The directory of names taken."""
        return f"{self.root}/names"

    @property
    def network(self) -> str:
        """The state of the networks."""
        return f"{self.root}/network"

    @property
    def journal(self) -> str:
        """What has happened of late."""
        return f"{self.root}/events.log"

    @property
    def old_journal(self) -> str:
        """What has happened before that."""
        return f"{self.root}/events.log.1"

    @property
    def cache(self) -> str:
        """What may be deleted at any time."""
        return f"{self.root}/cache"

    @property
    def temporary(self) -> str:
        """Half-made things."""
        return f"{self.root}/tmp"  # noqa: S108 - not the machine's /tmp

    @property
    def locks(self) -> str:
        """The directory of lock files."""
        return f"{self.root}/locks"

    @property
    def gc_lock(self) -> str:
        """Shared: a lease. Exclusive: gc."""
        return f"{self.root}/locks/gc.lock"

    @property
    def meta_lock(self) -> str:
        """Exclusive: a transaction on the index."""
        return f"{self.root}/locks/meta.lock"

    @property
    def directories(self) -> tuple[str, ...]:
        """All directories that always exist, parents first."""
        return (
            self.root,
            self.images,
            f"{self.images}/blobs",
            self.blobs,
            self.layers,
            self.chains,
            self.containers,
            self.names,
            self.network,
            self.cache,
            self.locks,
            self.temporary,
        )
