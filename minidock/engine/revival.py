# SPDX-License-Identifier: Apache-2.0
"""The hooks of a monitor that has become small."""

from contextlib import AbstractContextManager
from functools import cached_property

from minidock.annotations import TYPE_CHECKING
from minidock.config import Config
from minidock.engine.ending import record_exit
from minidock.engine.place import Place
from minidock.errors import MinidockError
from minidock.store.containers import Container, ContainerState
from minidock.store.store import Store

if TYPE_CHECKING:
    from minidock.engine.start import Starter
    from minidock.runtime.child import Stdio
    from minidock.runtime.console import Started
    from minidock.runtime.hooks import Outcome


class Revived:
    """Records an end at once; a further start is that of a `Starter`."""

    def __init__(self, config: Config, store: Store, container: Container) -> None:
        self._config = config
        self._store = store
        self._container = container

    @cached_property
    def _starter(self) -> "Starter":
        from minidock.engine.start import Starter  # an end needs none of the runtime

        return Starter(self._config, self._store, self._container)

    def exited(self, status: int) -> float | None:
        """Record the end and give everything back; return the seconds to the next start."""
        state = ContainerState()
        return record_exit(self._config, self._store, self._container, status, state)

    def again(self) -> AbstractContextManager[bool]:
        """Hold the container's lock, unless a user has taken the restart back."""
        return self._starter.again()

    def create(self, stdio: "Stdio | None") -> "Started":
        """Assemble the root, the network's side and the process; leave it waiting."""
        return self._starter.create(stdio)

    def attach(self, started: "Started") -> None:
        """Connect the waiting process to its network."""
        self._starter.attach(started)

    def started(self, started: "Started") -> "Outcome":
        """Record that the container runs."""
        return self._starter.started(started)

    def failed(self, error: MinidockError) -> None:
        """Take back what a start that failed has made."""
        self._starter.failed(error)


def revive(text: str) -> Revived:
    """Return the hooks of the container that `text`, a place, names."""
    return Revived(*Place.from_json(text).open())
