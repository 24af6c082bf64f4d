# SPDX-License-Identifier: Apache-2.0
"""``version``, ``info`` and ``events``."""

import os
import sys
from collections.abc import Iterator

from minidock import __version__
from minidock.annotations import TYPE_CHECKING, Any
from minidock.config import Config
from minidock.engine.liveness import init_alive
from minidock.engine.options import EventOptions
from minidock.errors import MinidockError
from minidock.store.containers import PAUSED, RUNNING
from minidock.store.store import Store

if TYPE_CHECKING:
    from minidock.engine.events import Event

API_VERSION = "1.41"
"""Of docker's API, whose documents ours follow."""


class System:
    """The verbs on the installation."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store

    def version(self) -> dict[str, Any]:
        """Return docker's version document; client and server are one program here."""
        kernel = os.uname()
        part = {
            "Version": __version__,
            "ApiVersion": API_VERSION,
            "PythonVersion": sys.version.split()[0],
            "Os": self._config.platform.os,
            "Arch": self._config.platform.architecture,
        }
        return {"Client": part, "Server": {**part, "KernelVersion": kernel.release}}

    def events(self, options: EventOptions) -> "Iterator[Event]":
        """Give the events that `options` ask for, as they happen; raise InvalidFilter."""
        from minidock.engine.events import events  # only events needs it

        return events(self._store.layout, options)

    def info(self) -> dict[str, Any]:
        """Return docker's info document, as far as it has a meaning without a daemon."""
        states = []
        for container in self._store.containers.all():
            try:
                state = container.state
            except MinidockError:
                continue
            live = state.status in (RUNNING, PAUSED) and init_alive(state)
            states.append(state.status if live else "stopped")
        kernel = os.uname()
        return {
            "ID": kernel.nodename,
            "Containers": len(states),
            "ContainersRunning": states.count(RUNNING),
            "ContainersPaused": states.count(PAUSED),
            "ContainersStopped": states.count("stopped"),
            "Images": len({entry.id for entry in self._store.images.entries()}),
            "Driver": "overlay2",
            "MinidockRootDir": self._config.root,
            "DockerRootDir": self._config.root,
            "ServerVersion": __version__,
            "KernelVersion": kernel.release,
            "OperatingSystem": _pretty_name(),
            "OSType": self._config.platform.os,
            "Architecture": kernel.machine,
            "NCPU": len(os.sched_getaffinity(0)),
            "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            "Name": kernel.nodename,
            "Isolation": "namespaces",
            "RegistryConfig": {
                "Mirrors": {
                    host: list(settings.mirrors)
                    for host, settings in self._config.registries.items()
                    if settings.mirrors
                }
            },
        }


def _pretty_name() -> str:
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            for line in file:
                key, _, value = line.partition("=")
                if key == "PRETTY_NAME":
                    return value.strip().strip('"')
    except OSError:
        pass
    return "Linux"
