# SPDX-License-Identifier: Apache-2.0
"""Challenges, tokens, passwords, and where they must not go."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from minidock.config import RegistrySettings
from minidock.errors import MinidockError, Unauthorized, Unavailable
from minidock.oci.descriptor import Descriptor, InvalidDocument
from minidock.progress import Warned
from minidock.registry.auth import (
    Challenge,
    InvalidToken,
    LoginRefused,
    RealmRefused,
    check_realm,
    parse_challenges,
    parse_token,
)
from minidock.registry.credentials import Credentials, InvalidCredentials, parse_credentials
from minidock.registry.endpoints import Endpoint
from minidock.registry.retry import ORIGIN
from minidock.registry.server import AccessDenied
from tests.fakes.registry import Answer, Endless, FakeRegistry
from tests.unit.registry.conftest import PEM, Client

NAME = "library/app"
SECRET = "HUNTER2"


def log_in(client: Client, path: Path, key: str, **entry: str) -> None:
    path = path / "config.json"
    path.write_text(json.dumps({"auths": {key: entry}}))
    client.docker_config = str(path)


def basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def authorizations(registry: FakeRegistry) -> list[str]:
    return [headers.get("Authorization", "") for _, _, headers in registry.requests]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        ("Basic", [("basic", {})]),
        (
            'Bearer realm="https://a/t?x=1,2",service="a, b" , SCOPE=plain',
            [("bearer", {"realm": "https://a/t?x=1,2", "service": "a, b", "scope": "plain"})],
        ),
        (
            'Basic realm="with \\"quotes\\"", Bearer realm="r"',
            [("basic", {"realm": 'with "quotes"'}), ("bearer", {"realm": "r"})],
        ),
        (
            'Negotiate, bearer  realm = "a" , realm="b"',
            [("negotiate", {}), ("bearer", {"realm": "a"})],
        ),
        ('Bearer realm="never closed', [("bearer", {"realm": ""})]),
        ('realm="of nothing"', []),
    ],
)
def test_challenges(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    """Schemes, quoted commas, escapes and spaces are read as RFC 9110 writes them."""
    assert list(parse_challenges(header)) == [Challenge(*pair) for pair in expected]


def endpoint(url: str, *, insecure: bool = False) -> Endpoint:
    return Endpoint(url, url.partition("://")[2], insecure, False, ORIGIN)


@pytest.mark.parametrize(
    ("registry", "insecure", "realm"),
    [
        ("https://registry-1.docker.io", False, "https://auth.docker.io/token"),
        ("https://r.example", True, "http://auth.example/token"),
        ("http://127.0.0.1:5000", True, "http://127.0.0.1:5001/token"),
        ("http://localhost:5000", True, "http://127.0.0.1/token"),
        ("https://169.254.1.1", False, "https://169.254.1.1/token"),
    ],
)
def test_good_realms(registry: str, insecure: bool, realm: str) -> None:
    """Another host may give the tokens, and an insecure registry may do it in the clear."""
    assert check_realm(realm, endpoint(registry, insecure=insecure)) == realm


@pytest.mark.parametrize(
    "realm",
    [
        "",
        "file:///etc/passwd",
        "ftp://r.example/t",
        "http://r.example/t",
        "https://user:password@r.example/t",
        "https://127.0.0.1/t",
        "https://127.1/t",
        "https://2130706433/t",
        "https://0x7f.0.0.1/t",
        "https://0.0.0.0/t",
        "https://localhost/t",
        "https://[::1]/t",
        "https://[::ffff:127.0.0.1]/t",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/t",
    ],
)
def test_bad_realms(realm: str) -> None:
    """A secure registry elsewhere can't send us to files, to plain http or to this machine."""
    with pytest.raises(RealmRefused):
        check_realm(realm, endpoint("https://r.example"))


def test_anonymous_token(registry: FakeRegistry, client: Client) -> None:
    """A public repository's token is fetched once and used for all that follows."""
    registry.add_image(NAME, "1", [])
    registry.require_token()
    here = client.connect(f"{registry.host}/{NAME}:1")
    manifest = here.manifest("1").value
    here.config(manifest.config)
    paths = [path.partition("?")[0] for _, path, _ in registry.requests]
    tag = f"/v2/{NAME}/manifests/1"
    assert paths == [tag, "/token", tag, f"/v2/{NAME}/blobs/{manifest.config.digest}"]
    assert authorizations(registry) == ["", "", "Bearer token-1", "Bearer token-1"]
    query = registry.requests[1][1].partition("?")[2]
    assert query == "service=fake%2C+registry&scope=repository%3Asome%2Fthing%3Apull%2Cpush"


def test_token_expires(registry: FakeRegistry, client: Client) -> None:
    """A token is not used beyond its life, and a refused one is replaced."""
    registry.add_image(NAME, "1", [])
    registry.require_token()
    here = client.connect(f"{registry.host}/{NAME}:1")
    here.manifest("1")
    client.now = 301.0
    here.manifest("1")
    registry.tokens.clear()
    here.manifest("1")
    assert registry.count("GET", "token") == 3


def test_threads_share_a_token(registry: FakeRegistry, client: Client) -> None:
    """Parallel downloads that meet a challenge fetch one token between them."""
    registry.add_image(NAME, "1", [])
    registry.require_token()
    here = client.connect(f"{registry.host}/{NAME}:1")
    config = registry.manifest(NAME, "1")["config"]
    with ThreadPoolExecutor(6) as pool:
        for future in [
            pool.submit(here.config, Descriptor.from_json(config)) for _ in range(6)
        ]:
            future.result()
    assert registry.count("GET", "token") == 1


def test_token_with_password(registry: FakeRegistry, client: Client, tmp_path: Path) -> None:
    """The password goes to the token server, the token to the registry."""
    registry.add_image(NAME, "1", [])
    registry.require_token("ann", SECRET)
    log_in(client, tmp_path, registry.host, auth=basic("ann", SECRET))
    client.connect(f"{registry.host}/{NAME}:1").manifest("1")
    assert authorizations(registry) == ["", f"Basic {basic('ann', SECRET)}", "Bearer token-1"]


def test_identity_token(registry: FakeRegistry, client: Client, tmp_path: Path) -> None:
    """An identity token is exchanged by POST and never stands in a URL."""
    registry.add_image(NAME, "1", [])
    registry.require_token("ann", SECRET)
    log_in(client, tmp_path, registry.host, identitytoken=SECRET, auth=basic("<token>", ""))
    client.connect(f"{registry.host}/{NAME}:1").manifest("1")
    assert [method for method, _, _ in registry.requests] == ["GET", "POST", "GET"]
    assert all(SECRET not in path for _, path, _ in registry.requests)


def test_basic(registry: FakeRegistry, client: Client, tmp_path: Path) -> None:
    """A registry that asks for the password gets it, with the first request from then on."""
    registry.add_image(NAME, "1", [])
    registry.require_basic("ann", SECRET)
    log_in(client, tmp_path, registry.host, auth=basic("ann", SECRET))
    here = client.connect(f"{registry.host}/{NAME}:1")
    here.manifest("1")
    here.manifest("1")
    sent = f"Basic {basic('ann', SECRET)}"
    assert authorizations(registry) == ["", sent, sent]


@pytest.mark.parametrize("kind", ["basic", "token"])
def test_wrong_password(
    registry: FakeRegistry, client: Client, tmp_path: Path, kind: str
) -> None:
    """A wrong password is tried once, and no message has it."""
    if kind == "basic":
        registry.require_basic("ann", "right")
    else:
        registry.require_token("ann", "right")
    log_in(client, tmp_path, registry.host, auth=basic("ann", SECRET))
    with pytest.raises(Unauthorized) as caught:
        client.connect(f"{registry.host}/{NAME}:1").manifest("1")
    assert isinstance(caught.value, AccessDenied if kind == "basic" else LoginRefused)
    shown = f"{caught.value} {caught.value.hint} {caught.value.__dict__}"
    assert SECRET not in shown
    assert basic("ann", SECRET) not in shown
    assert len(registry.requests) == 2
    assert client.waits == []


@pytest.mark.parametrize("kind", ["basic", "token"])
def test_no_password(registry: FakeRegistry, client: Client, kind: str) -> None:
    """Without credentials, a private repository is docker's "pull access denied"."""
    if kind == "basic":
        registry.require_basic("ann", "right")
    else:
        registry.require_token("ann", "right")
    with pytest.raises(AccessDenied, match=r"pull access denied for .*'docker login'"):
        client.connect(f"{registry.host}/{NAME}:1").manifest("1")


@pytest.mark.parametrize("key", ["127.0.0.1", "127.0.0.1:1", "http://{}/", "{}/v1/", "x{}"])
def test_credentials_of_other_hosts(
    registry: FakeRegistry, client: Client, tmp_path: Path, key: str
) -> None:
    """Only the entry of exactly this host and port is used."""
    registry.require_basic("ann", SECRET)
    log_in(client, tmp_path, key.format(registry.host), auth=basic("ann", SECRET))
    with pytest.raises(AccessDenied):
        client.connect(f"{registry.host}/{NAME}:1").manifest("1")
    assert set(authorizations(registry)) == {""}


def test_mirror_gets_no_credentials_of_the_registry(
    registry: FakeRegistry, other: FakeRegistry, client: Client, tmp_path: Path
) -> None:
    """A mirror that asks for a password does not get the registry's."""
    registry.add_image(NAME, "1", [])
    registry.require_token("ann", SECRET)
    other.require_basic("ann", SECRET)
    client.registries[registry.host] = RegistrySettings(mirrors=(other.url,))
    log_in(client, tmp_path, registry.host, auth=basic("ann", SECRET))
    client.connect(f"{registry.host}/{NAME}:1").manifest("1")
    assert authorizations(other) == [""]
    assert authorizations(registry)[-1] == "Bearer token-1"


def test_no_password_by_plain_http(
    tls_registry: FakeRegistry, registry: FakeRegistry, client: Client, tmp_path: Path
) -> None:
    """A mirror elsewhere that speaks plain http does not get even its own password."""
    tls_registry.add_image(NAME, "1", [])
    registry.require_basic("ann", SECRET)
    mirror = registry.host.replace("127.0.0.1", "cdn.example")
    host = tls_registry.host.replace("127.0.0.1", "registry.example")
    mirrors = (f"http://{mirror}",)
    client.registries[host] = RegistrySettings(mirrors=mirrors, ca_file=PEM)
    log_in(client, tmp_path, mirror, auth=basic("ann", SECRET))
    client.connect(f"{host}/{NAME}:1").manifest("1")
    assert authorizations(registry) == [""]


def test_challenge_of_a_redirects_target(
    registry: FakeRegistry, other: FakeRegistry, client: Client, tmp_path: Path
) -> None:
    """A host that the registry redirects to can't ask for the password."""
    other.require_basic("ann", SECRET)
    registry.fail("/v2/", Answer(307, b"", {"Location": f"{other.url}/x"}), always=True)
    log_in(client, tmp_path, registry.host, auth=basic("ann", SECRET))
    with pytest.raises(AccessDenied):
        client.connect(f"{registry.host}/{NAME}:1").manifest("1")
    assert authorizations(other) == [""]


def test_endless_token(registry: FakeRegistry, client: Client) -> None:
    """Reading a token stops at 1 MiB; what the kernels buffer comes on top."""
    registry.require_token()
    registry.fail("/token", Endless())
    with pytest.raises(InvalidToken, match="more than 1048576 bytes"):
        client.connect(f"{registry.host}/{NAME}:1").manifest("1")
    assert registry.endless_bytes < 12 << 20


def test_realm_of_the_wrong_kind(registry: FakeRegistry, client: Client) -> None:
    """A realm that is a file is refused without a look at it."""
    registry.require_token(realm="file:///etc/passwd")
    with pytest.raises(RealmRefused, match="no http"):
        client.connect(f"{registry.host}/{NAME}:1").manifest("1")


def test_busy_token_server(registry: FakeRegistry, client: Client) -> None:
    """A token server's 503 is tried again, and another status is named."""
    registry.add_image(NAME, "1", [])
    registry.require_token()
    registry.fail("/token", 503)
    here = client.connect(f"{registry.host}/{NAME}:1")
    here.manifest("1")
    assert client.waits == [0.5]
    registry.tokens.clear()
    registry.fail("/token", 400)
    with pytest.raises(Unavailable, match="answered 400 Bad Request"):
        here.manifest("1")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"token":"a.b-c"}', ("a.b-c", 60.0)),
        (b'{"access_token":"x","expires_in":3600}', ("x", 3600.0)),
        (b'{"token":"x","expires_in":1}', ("x", 60.0)),
        (b'{"token":"x","expires_in":"soon"}', ("x", 60.0)),
    ],
)
def test_tokens(raw: bytes, expected: tuple[str, float]) -> None:
    """Both names of the token are read; its life is a minute at least."""
    assert parse_token(raw) == expected


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{}", b'{"token":7}', b'{"token":"a\\r\\nHost: x"}', b"[" * 100_000]
)
def test_bad_tokens(raw: bytes) -> None:
    """What can't go into a header is no token."""
    with pytest.raises(InvalidDocument):
        parse_token(raw)


# docker's config.json


def test_credentials_of_docker_hub() -> None:
    """Docker Hub's entry has a name of its own; a padded password is cut."""
    auth = base64.b64encode(b"ann:pass:word\0\0").decode()
    raw = json.dumps({"auths": {"https://index.docker.io/v1/": {"auth": auth}}}).encode()
    assert parse_credentials(raw, "docker.io") == Credentials("ann", "pass:word")
    assert parse_credentials(raw, "registry-1.docker.io") is None


def test_entries_without_credentials() -> None:
    """An entry whose secret is with a helper, and a file without entries, hold none."""
    raw = b'{"auths": {"r.example": {}}, "credsStore": "desktop"}'
    assert parse_credentials(raw, "r.example") is None
    assert parse_credentials(b"{}", "r.example") is None


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"HUNTER2", InvalidDocument),
        (b'{"auths": ["HUNTER2"]}', InvalidDocument),
        (b'{"auths": {"r.example": "HUNTER2"}}', InvalidDocument),
        (b'{"auths": {"r.example": {"auth": "not base64: HUNTER2"}}}', InvalidCredentials),
        (b'{"auths": {"r.example": {"auth": "//////8="}}}', InvalidCredentials),
    ],
)
def test_bad_config_files(raw: bytes, kind: type[MinidockError]) -> None:
    """A malformed file is an error that does not quote it."""
    with pytest.raises(kind) as caught:
        parse_credentials(raw, "r.example")
    assert SECRET not in str(caught.value)


def test_unreadable_config_is_a_warning(
    registry: FakeRegistry, client: Client, tmp_path: Path
) -> None:
    """Pulling goes on without credentials; a missing file is not even a warning."""
    registry.add_image(NAME, "1", [])
    client.docker_config = str(tmp_path / "none")
    client.connect(f"{registry.host}/{NAME}:1").manifest("1")
    assert client.events == []
    client.docker_config = str(tmp_path)
    client.connect(f"{registry.host}/{NAME}:1").manifest("1")
    (tmp_path / "config.json").write_text("{")
    client.docker_config = str(tmp_path / "config.json")
    client.connect(f"{registry.host}/{NAME}:1").manifest("1")
    assert {type(event) for event in client.events} == {Warned}


def test_credentials_do_not_show() -> None:
    """The text of credentials has no secret."""
    assert SECRET not in repr(Credentials("ann", SECRET, SECRET))
