# SPDX-License-Identifier: Apache-2.0
"""What lies below a container's changes."""

import os

from minidock.store.containers import Container
from minidock.store.store import Store


def lowers_of(store: Store, container: Container) -> tuple[str, ...]:
    """Return the read-only directories of a container's root, top first.

    Those are its image's, and on top the places of its mounts, if it needs some of its own.

    Raises:
        LayerMissing
    """
    lowers = store.unpacked.lowers(container.record.layers)
    return (container.places, *lowers) if os.path.isdir(container.places) else lowers
