# SPDX-License-Identifier: Apache-2.0
"""A fake registry, and a client whose clock does not wait."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from minidock.config import Config, Proxies, RegistrySettings
from minidock.oci.descriptor import Platform
from minidock.oci.reference import parse_reference
from minidock.progress import Event
from minidock.registry.client import Registry, connect
from minidock.registry.transport import Timing
from tests.fakes.registry import FakeRegistry

PEM = str(Path(__file__).with_name("localhost.pem"))
"""Key and certificate, its own CA, of localhost, 127.0.0.1 and the names under .example."""


class Client:
    """Connects with given settings; notes the events and what would have been waited."""

    def __init__(self) -> None:
        self.registries: dict[str, RegistrySettings] = {}
        self.proxies = Proxies()
        self.docker_config = ""
        self.read_timeout = 5.0
        self.now = 0.0
        self.waits: list[float] = []
        self.events: list[Event] = []

    def connect(self, text: str) -> Registry:
        config = Config(
            "/nowhere",
            Platform("linux", "amd64"),
            registries=self.registries,
            proxies=self.proxies,
            docker_config=self.docker_config,
        )
        timing = Timing(
            5.0, self.read_timeout, self.waits.append, lambda: self.now, lambda: 0.0
        )
        return connect(parse_reference(text), config, self.events.append, timing)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as fake:
        yield fake


@pytest.fixture
def other() -> Iterator[FakeRegistry]:
    with FakeRegistry() as fake:
        yield fake


@pytest.fixture
def tls_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRegistry]:
    """A registry that speaks https; every name under .example leads to this machine."""
    resolve = socket.getaddrinfo

    def to_loopback(host: str, *rest: object) -> object:
        return resolve("127.0.0.1" if host.endswith(".example") else host, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", to_loopback)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    with FakeRegistry(tls=context) as fake:
        yield fake


@pytest.fixture
def client() -> Client:
    return Client()
