# SPDX-License-Identifier: Apache-2.0
"""The plan of whom to ask."""

import pytest

from minidock.config import Config, RegistrySettings
from minidock.oci.descriptor import Platform
from minidock.registry.endpoints import InvalidMirror, plan_endpoints


def plan(registry: str, **settings: RegistrySettings) -> list[tuple[str, str, bool]]:
    hosts = {host.replace("_", "."): value for host, value in settings.items()}
    config = Config("/nowhere", Platform("linux", "amd64"), registries=hosts)
    return [(e.url, e.host, e.insecure) for e in plan_endpoints(registry, config)]


def test_docker_hub() -> None:
    """docker.io lives at another host, and keeps its name for settings and credentials."""
    assert plan("docker.io") == [("https://registry-1.docker.io", "docker.io", False)]


def test_mirrors_come_first() -> None:
    """Mirrors keep their order, scheme and path, and have settings of their own."""
    mirrors = ("https://m.example/hub/", "http://127.0.0.1:5000")
    assert plan("docker.io", docker_io=RegistrySettings(mirrors=mirrors)) == [
        ("https://m.example/hub", "m.example", False),
        ("http://127.0.0.1:5000", "127.0.0.1:5000", True),
        ("https://registry-1.docker.io", "docker.io", False),
    ]


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:5000", "[::1]:5000"])
def test_this_machine(host: str) -> None:
    """A registry on this machine may speak https or http."""
    assert plan(host) == [(f"https://{host}", host, True), (f"http://{host}", host, True)]


def test_elsewhere() -> None:
    """A registry elsewhere speaks https, unless it is said to be insecure."""
    assert plan("r.example") == [("https://r.example", "r.example", False)]
    assert [
        url for url, _, _ in plan("r.example", r_example=RegistrySettings(insecure=True))
    ] == [
        "https://r.example",
        "http://r.example",
    ]


def test_a_ca_means_https() -> None:
    """Who names a CA for this machine does not want plain http."""
    settings = RegistrySettings(ca_file="/ca.pem")
    assert plan("localhost", localhost=settings) == [("https://localhost", "localhost", False)]


@pytest.mark.parametrize(
    "mirror",
    ["m.example", "ftp://m.example", "https://ann:HUNTER2@m.example", "https://m.example?x=1"],
)
def test_invalid_mirrors(mirror: str) -> None:
    """A mirror that is no base URL is refused, unquoted: it may hold a password."""
    with pytest.raises(InvalidMirror) as caught:
        plan("docker.io", docker_io=RegistrySettings(mirrors=(mirror,)))
    assert "HUNTER2" not in str(caught.value)
