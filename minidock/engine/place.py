# SPDX-License-Identifier: Apache-2.0
"""Where a container is, as a text: for interpreters that have nothing yet."""

import json

from minidock.config import Config
from minidock.oci.descriptor import Platform
from minidock.store.containers import Container
from minidock.store.store import Store
from minidock.values import NamedTuple


class Place(NamedTuple):
    """A container, and of the configuration what its start, its end and an exec need."""

    container: str
    root: str
    platform: Platform
    bridge_subnet: str

    @classmethod
    def of(cls, config: Config, container: Container) -> "Place":
        """Return the place of `container`."""
        return cls(container.id, config.root, config.platform, config.bridge_subnet)

    def to_json(self) -> str:
        """Return the text that `from_json` reads."""
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> "Place":
        """Return the place that `to_json` has made a text of."""
        place = cls(**json.loads(text))
        return place._replace(platform=Platform(*place.platform))

    def open(self) -> tuple[Config, Store, Container]:
        """Return the container with its store and the configuration.

        Raises:
            ContainerNotFound: it was removed.
        """
        config = Config(self.root, self.platform, bridge_subnet=self.bridge_subnet)
        store = Store.open(self.root)
        return config, store, store.containers.find(self.container)
