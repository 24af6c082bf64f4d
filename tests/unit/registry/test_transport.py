# SPDX-License-Identifier: Apache-2.0
"""Redirects, TLS, proxies: what reaches which host."""

import base64
from pathlib import Path

import pytest

from minidock.config import Proxies, RegistrySettings
from minidock.errors import InvalidArgument, SystemFailure, Unavailable
from minidock.oci.descriptor import Descriptor
from minidock.oci.digest import Digest
from minidock.registry.transport import (
    BadRedirect,
    ConnectionFailed,
    HttpTransport,
    InvalidProxy,
    Request,
    Timing,
)
from tests.fakes.registry import Answer, FakeRegistry, digest_of
from tests.unit.registry.conftest import PEM, Client

NAME = "library/app"


def redirect(to: str, status: int = 307) -> Answer:
    return Answer(status, b"", {"Location": to})


def port(registry: FakeRegistry) -> str:
    return registry.host.partition(":")[2]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_to_another_host(
    registry: FakeRegistry, other: FakeRegistry, client: Client, status: int
) -> None:
    """A blob is followed to a store, which does not see the registry's token."""
    registry.require_token()
    digest = other.add_blob("store", b"data")
    registry.fail("/blobs/", 401, redirect(f"{other.url}/v2/store/blobs/{digest}", status))
    registry.tokens.add("x")
    transport = HttpTransport(lambda _: RegistrySettings(), Proxies(), Timing())
    headers = {"Authorization": "Bearer x", "Range": "bytes=1-"}
    url = f"{registry.url}/v2/{NAME}/blobs/{digest}"
    transport.send(Request("GET", url, headers)).discard()
    response = transport.send(Request("GET", url, headers))
    assert response.body.read(99) == b"ata"
    response.discard()
    assert response.url == f"{other.url}/v2/store/blobs/{digest}"
    assert "Authorization" in registry.requests[-1][2]
    assert "Authorization" not in other.requests[-1][2]
    assert headers == {"Authorization": "Bearer x", "Range": "bytes=1-"}


def test_redirect_on_the_same_host(registry: FakeRegistry) -> None:
    """A relative redirect keeps the token: it stays with the registry."""
    registry.fail("/old", redirect("../v2/"))
    transport = HttpTransport(lambda _: RegistrySettings(), Proxies(), Timing())
    url = f"{registry.url}/old/"
    transport.send(Request("GET", url, {"Authorization": "Bearer x"})).discard()
    assert [path for _, path, _ in registry.requests] == ["/old/", "/v2/"]
    assert registry.requests[-1][2]["Authorization"] == "Bearer x"


def test_token_does_not_come_back(registry: FakeRegistry, other: FakeRegistry) -> None:
    """A redirect away and back has lost the token for good."""
    registry.fail("/start", redirect(f"{other.url}/there"))
    other.fail("/there", redirect(f"{registry.url}/back"))
    transport = HttpTransport(lambda _: RegistrySettings(), Proxies(), Timing())
    url = f"{registry.url}/start"
    transport.send(Request("GET", url, {"Authorization": "Bearer x"})).discard()
    assert registry.requests[-1][1] == "/back"
    assert "Authorization" not in registry.requests[-1][2]


def test_redirect_loop(registry: FakeRegistry, client: Client) -> None:
    """Ten requests are enough."""
    registry.fail("/v2/", redirect(f"/v2/{NAME}/manifests/1"), always=True)
    with pytest.raises(BadRedirect, match="redirects without end"):
        client.connect(f"{registry.host}/{NAME}").manifest("1")
    assert len(registry.requests) == 10


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://x/", "http://user:pw@x/", "http://[x/"]
)
def test_redirect_to_no_web_url(registry: FakeRegistry, client: Client, location: str) -> None:
    """Only http and https are followed, and not with a password in them."""
    registry.fail("manifests", redirect(location))
    with pytest.raises(BadRedirect, match="not http or https") as caught:
        client.connect(f"{registry.host}/{NAME}").manifest("1")
    assert "pw" not in caught.value.message
    assert client.waits == []


def test_post_is_not_redirected(registry: FakeRegistry, other: FakeRegistry) -> None:
    """What a POST carries goes nowhere else."""
    registry.fail("/token", redirect(f"{other.url}/token"))
    transport = HttpTransport(lambda _: RegistrySettings(), Proxies(), Timing())
    response = transport.send(Request("POST", f"{registry.url}/token", {}, b"secret"))
    response.discard()
    assert response.status == 307
    assert other.requests == []


def test_impossible_host_name(client: Client) -> None:
    """A label of more than 63 letters can't be looked up, and is not tried again."""
    with pytest.raises(ConnectionFailed, match="not a valid host name"):
        client.connect(f"{'a' * 64}.example/{NAME}").manifest("1")
    assert client.waits == []


# TLS. The names under .example lead to this machine and count as hosts elsewhere.


def test_https_with_a_ca(tls_registry: FakeRegistry, client: Client) -> None:
    """A registry whose CA is named is trusted."""
    digest = tls_registry.add_image(NAME, "1", [])
    host = f"registry.example:{port(tls_registry)}"
    client.registries[host] = RegistrySettings(ca_file=PEM)
    document = client.connect(f"{host}/{NAME}:1").manifest("1")
    assert document.descriptor.digest == digest


@pytest.mark.parametrize("host", ["registry.example", "unknown.example"])
def test_untrusted_certificate(tls_registry: FakeRegistry, client: Client, host: str) -> None:
    """A certificate of an unknown CA, or for another name, ends it: no retry, no http."""
    host = f"{host}:{port(tls_registry)}"
    ca_file = PEM if host.startswith("unknown") else ""
    client.registries[host] = RegistrySettings(ca_file=ca_file)
    with pytest.raises(ConnectionFailed, match="certificate verify failed") as caught:
        client.connect(f"{host}/{NAME}").manifest("1")
    assert "ca_file" in (caught.value.hint or "")
    assert client.waits == []
    assert tls_registry.requests == []


def test_insecure_does_not_verify(tls_registry: FakeRegistry, client: Client) -> None:
    """An insecure registry that speaks https is spoken to by https, whoever it is."""
    tls_registry.add_image(NAME, "1", [])
    host = f"unknown.example:{port(tls_registry)}"
    client.registries[host] = RegistrySettings(insecure=True)
    client.connect(f"{host}/{NAME}").manifest("1")
    client.connect(f"{tls_registry.host}/{NAME}").manifest("1")
    assert tls_registry.count("GET", "manifests") == 2


def test_answers_do_not_lead_to_plain_http(tls_registry: FakeRegistry, client: Client) -> None:
    """An insecure host that answers by https is not asked again by http."""
    host = f"unknown.example:{port(tls_registry)}"
    client.registries[host] = RegistrySettings(insecure=True)
    tls_registry.fail("manifests", 400)
    with pytest.raises(Unavailable, match="answered 400"):
        client.connect(f"{host}/{NAME}").manifest("1")
    assert len(tls_registry.requests) == 1


def test_plain_http_elsewhere_is_refused(
    tls_registry: FakeRegistry, registry: FakeRegistry, client: Client
) -> None:
    """A host elsewhere that speaks plain http gets a hint, and nothing by http."""
    host = f"registry.example:{port(registry)}"
    with pytest.raises(ConnectionFailed, match="does not speak TLS") as caught:
        client.connect(f"{host}/{NAME}").manifest("1")
    assert "insecure" in (caught.value.hint or "")
    assert registry.requests == []
    client.registries[host] = RegistrySettings(insecure=True)
    registry.add_image(NAME, "1", [])
    client.connect(f"{host}/{NAME}").manifest("1")


def test_redirects_to_less_safety(
    tls_registry: FakeRegistry, registry: FakeRegistry, client: Client
) -> None:
    """A redirect from https leads neither to plain http nor to this machine."""
    host = f"registry.example:{port(tls_registry)}"
    client.registries[host] = RegistrySettings(ca_file=PEM)
    here = client.connect(f"{host}/{NAME}")
    tls_registry.fail("manifests", redirect(f"http://cdn.example:{port(registry)}/x"))
    with pytest.raises(BadRedirect, match="from https to http"):
        here.manifest("1")
    tls_registry.fail("manifests", redirect(f"{registry.url}/x"))
    with pytest.raises(BadRedirect, match=r"local address 127\.0\.0\.1"):
        here.manifest("1")
    assert registry.requests == []


def test_bad_ca_files(client: Client, tmp_path: Path) -> None:
    """A CA file that is missing or holds none is named."""
    settings = RegistrySettings(ca_file=str(tmp_path / "ca.pem"))
    client.registries["registry.example"] = settings
    with pytest.raises(SystemFailure, match=r"read ca_file .* no such file"):
        client.connect(f"registry.example/{NAME}").manifest("1")
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(InvalidArgument, match="no certificates in ca_file"):
        client.connect(f"registry.example/{NAME}").manifest("1")


# Proxies


def test_proxy(registry: FakeRegistry, client: Client) -> None:
    """Requests by http go whole to the proxy, whose password goes with them."""
    data = b"layer"
    registry.add_blob(NAME, data)
    client.registries["registry.example"] = RegistrySettings(mirrors=("http://m.example",))
    client.proxies = Proxies(http=f"http://ann:p%40ss@{registry.host}")
    here = client.connect(f"registry.example/{NAME}")
    with here.blob(Descriptor("x", Digest(digest_of(data)), 5)) as stream:
        assert stream.read(9) == data
    method, path, headers = registry.requests[0]
    assert (method, path) == ("GET", f"http://m.example/v2/{NAME}/blobs/{digest_of(data)}")
    password = base64.b64encode(b"ann:p@ss").decode()
    assert headers["Proxy-Authorization"] == f"Basic {password}"


def test_proxy_that_refuses(registry: FakeRegistry, client: Client) -> None:
    """A proxy that does not connect is told from a registry that does not."""
    client.proxies = Proxies(https=f"http://ann:HUNTER2@{registry.host}")
    with pytest.raises(ConnectionFailed, match="the proxy does not let through") as caught:
        client.connect(f"registry.example/{NAME}").manifest("1")
    assert "HUNTER2" not in f"{caught.value} {caught.value.hint}"


def test_invalid_proxy(client: Client) -> None:
    """A proxy of another kind is refused without showing its password."""
    client.proxies = Proxies(https="socks5://ann:HUNTER2@127.0.0.1:1")
    with pytest.raises(InvalidProxy) as caught:
        client.connect(f"registry.example/{NAME}").manifest("1")
    assert "HUNTER2" not in f"{caught.value} {caught.value.hint}"
