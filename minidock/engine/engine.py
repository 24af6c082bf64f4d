# SPDX-License-Identifier: Apache-2.0
"""The engine: what the front ends, and other Python programs, call."""

from functools import cached_property

from minidock.annotations import TYPE_CHECKING
from minidock.config import Config
from minidock.store.store import Store

if TYPE_CHECKING:
    from minidock.engine.containers import Containers
    from minidock.engine.images import Images
    from minidock.engine.system import System
    from minidock.engine.volumes import Volumes
    from minidock.runtime.seed import Seed


class Engine:
    """All verbs on the state below one root.

    >>> from minidock.oci.reference import parse_reference
    >>> engine = Engine(config)                                       # doctest: +SKIP
    >>> engine.images.pull(parse_reference("tomcat"), PullOptions())  # doctest: +SKIP
    """

    def __init__(self, config: Config, seed: "Seed | None" = None) -> None:
        """`seed`, of `engine.starting.plant`, is for the first container that is started."""
        self._config = config
        self._seed = seed

    @cached_property
    def _store(self) -> Store:
        return Store.open(self._config.root)

    @cached_property
    def images(self) -> "Images":
        """The verbs on images."""
        from minidock.engine.images import Images  # not every command needs it

        return Images(self._config, self._store)

    @cached_property
    def containers(self) -> "Containers":
        """The verbs on containers."""
        from minidock.engine.containers import Containers  # images needs no runtime

        return Containers(self._config, self._store, self.images, self._seed)

    @cached_property
    def system(self) -> "System":
        """The verbs on the installation."""
        from minidock.engine.system import System  # not every command needs it

        return System(self._config, self._store)

    @cached_property
    def volumes(self) -> "Volumes":
        """The verbs on volumes."""
        from minidock.engine.volumes import Volumes  # not every command needs it

        return Volumes(self._store)
