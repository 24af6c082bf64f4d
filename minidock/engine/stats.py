# SPDX-License-Identifier: Apache-2.0
"""``stats``: what containers use, from one sample to the next."""

import contextlib
import time
from collections.abc import Iterator

from minidock.config import Config
from minidock.engine.reconcile import reconcile
from minidock.engine.views import StatsView
from minidock.errors import DataCorrupted
from minidock.runtime.proc import total_memory
from minidock.runtime.usage import Usage, measure
from minidock.store.containers import (
    PAUSED,
    RUNNING,
    Container,
    ContainerNotFound,
    ContainerState,
)
from minidock.store.store import Store
from minidock.values import NamedTuple


class _Sample(NamedTuple):
    """What a run of a container had used at a moment of the monotonic clock."""

    started: float
    seconds: float
    cpu: int


class Sampler:
    """Measures containers again and again; processor use is that since the last time."""

    def __init__(
        self, config: Config, store: Store, names: tuple[str, ...], *, everything: bool
    ) -> None:
        self._config = config
        self._store = store
        self._names = {name: store.containers.find(name).id for name in names}
        self._everything = everything or bool(names)
        self._total = total_memory()
        self._last: dict[str, _Sample] = {}

    def sample(self) -> tuple[StatsView, ...]:
        """Return a row for each container there is by now, the newest first or as named."""
        views = []
        for asked, container in self._containers():
            try:
                state = reconcile(self._config, self._store, container)
            except (ContainerNotFound, DataCorrupted):
                continue
            if state.status in (RUNNING, PAUSED):
                views.append(self._measure(asked, container, state))
            elif self._everything:
                views.append(StatsView(container.id, container.name, asked))
        return tuple(views)

    def _containers(self) -> Iterator[tuple[str, Container]]:
        for asked, container_id in self._names.items():
            with contextlib.suppress(ContainerNotFound):
                yield asked, self._store.containers.find(container_id)
        if self._names:
            return
        newest_first = sorted(self._store.containers.all(), key=lambda c: -c.record.created)
        yield from ((container.id, container) for container in newest_first)

    def _measure(self, asked: str, container: Container, state: ContainerState) -> StatsView:
        host = container.record.host
        limit = int(host.get("Memory") or 0)
        counted = bool(limit or host.get("MemoryReservation"))
        usage = measure(state.cgroups, state.pid, memory_counted=counted)
        return StatsView(
            container.id,
            container.name,
            asked,
            self._percent(container.id, state, usage),
            usage.memory,
            min(limit, self._total) if limit else self._total,
            usage.received,
            usage.sent,
            usage.read,
            usage.written,
            usage.tasks,
        )

    def _percent(self, container_id: str, state: ContainerState, usage: Usage) -> float | None:
        now = _Sample(state.started, time.monotonic(), usage.cpu)
        last = self._last.get(container_id)
        self._last[container_id] = now
        if last is None or last.started != now.started:
            return None
        # Docker divides by what all processors had to give and multiplies by their number.
        # Children whose parent is outside take their time with them: never less than nothing.
        share = (now.cpu - last.cpu) / 1e9 / (now.seconds - last.seconds)
        return max(share, 0.0) * 100
