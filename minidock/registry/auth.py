# SPDX-License-Identifier: Apache-2.0
"""Answers to a registry's 401.

Challenges: RFC 9110 §11.6.1. Bearer tokens: distribution's token specification (GET) and its
OAuth2 variant (POST) for identity tokens. Basic: RFC 7617.
"""

import re
import threading
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from minidock.errors import Forbidden, Unauthorized
from minidock.oci.descriptor import InvalidDocument, json_text
from minidock.oci.manifest import load_json
from minidock.registry.credentials import Credentials
from minidock.registry.endpoints import Endpoint
from minidock.registry.retry import failure_of
from minidock.registry.transport import CHUNK, Request, Response, Transport
from minidock.registry.urls import host_of, is_local, is_loopback, netloc_of, parse_web_url
from minidock.values import NamedTuple

MAX_TOKEN_BODY = 1 << 20
"""Bytes a token server's answer may have."""

_DEFAULT_LIFETIME = 60.0
"""Seconds, by the token specification."""

_TCHAR = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PIECE = re.compile(
    rf'[\s,]*(?:({_TCHAR})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]*))|({_TCHAR}))'
)
_TOKEN = re.compile(r"[!-~]+")


class LoginRefused(Unauthorized):
    """The token server does not accept the user's credentials."""


class RealmRefused(Forbidden):
    """A challenge that would send requests or credentials where they must not go."""


class InvalidToken(InvalidDocument):
    """A token server's answer without a usable token."""


class Challenge(NamedTuple):
    """One challenge; `scheme` and the names of `parameters` are in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Return the challenges of WWW-Authenticate headers, joined by commas; junk is left out.

    >>> parse_challenges('Bearer realm="https://a/t",scope="repository:x:pull,push", Basic')
    (Challenge(scheme='bearer', parameters={'realm': 'https://a/t', 'scope': \
'repository:x:pull,push'}), Challenge(scheme='basic', parameters={}))
    """
    found: list[tuple[str, dict[str, str]]] = []
    position = 0
    while piece := _PIECE.match(header, position):
        position = piece.end()
        name, quoted, plain, scheme = piece.groups()
        if scheme:
            found.append((scheme.lower(), {}))
        elif found:
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1][1].setdefault(name.lower(), value)
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)


def check_realm(realm: str, endpoint: Endpoint) -> str:
    """Return the URL `realm` if tokens may be asked for there.

    Raises:
        RealmRefused: it is not http(s), is plain http for a registry that must not be, or
            names this machine or its link for a registry that is elsewhere.
    """
    url = parse_web_url(realm)
    if url is None:
        raise RealmRefused(f"registry {endpoint.host}: the token realm is no http(s) URL")
    there, here = netloc_of(url), endpoint.netloc
    if url.scheme == "http" and not endpoint.insecure:
        raise RealmRefused(f"registry {endpoint.host}: the token realm {there} is not https")
    is_own = host_of(there) == host_of(here) or (is_loopback(there) and is_loopback(here))
    if is_local(there) and not is_own:
        raise RealmRefused(
            f"registry {endpoint.host}: the token realm is the local address {there}"
        )
    return url._replace(fragment=None).url


class Authenticator:
    """Knows how to authenticate at one endpoint; threads share it.

    What it learns and the credentials it holds go to that endpoint and its token server only.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials | None,
        transport: Transport,
        clock: Callable[[], float],
    ) -> None:
        over_tls = endpoint.url.startswith("https:")
        self._credentials = credentials if over_tls or endpoint.insecure else None
        self._endpoint = endpoint
        self._transport = transport
        self._clock = clock
        self._lock = threading.Lock()
        self._header = ""
        self._expires = float("inf")

    def current(self) -> str:
        """Return the Authorization header that holds now, empty if there is none."""
        with self._lock:
            return self._header if self._clock() < self._expires else ""

    def answer(self, header: str, rejected: str, scope: str) -> str:
        """Return the Authorization that answers the challenge `header`, empty if none can.

        `rejected` is what the request had; another thread may have renewed it meanwhile.
        `scope` is asked for if the challenge names none.

        Raises:
            LoginRefused, RealmRefused, InvalidToken: see there.
            ConnectionFailed, Interrupted, ServerBusy: the token server does not answer.
        """
        challenges = {c.scheme: c.parameters for c in parse_challenges(header)}
        with self._lock:
            if self._header not in ("", rejected) and self._clock() < self._expires:
                return self._header
            self._header, self._expires = "", float("inf")
            if "bearer" in challenges:
                self._fetch_token({"scope": scope, **challenges["bearer"]})
            elif "basic" in challenges and self._password():
                self._header = self._password()
            return "" if self._header == rejected else self._header

    def _password(self) -> str:
        return self._credentials.basic() if self._credentials and self._credentials.user else ""

    def _fetch_token(self, challenge: Mapping[str, str]) -> None:
        realm = check_realm(challenge.get("realm", ""), self._endpoint)
        asked = self._clock()
        response = self._transport.send(self._token_request(realm, challenge))
        try:
            if response.status != 200:
                self._check_refusal(response)
                return
            token, lifetime = parse_token(_read_token_body(response, self._endpoint.host))
        finally:
            response.discard()
        self._header = f"Bearer {token}"
        self._expires = asked + lifetime

    def _token_request(self, realm: str, challenge: Mapping[str, str]) -> Request:
        query = [("service", challenge["service"])] if challenge.get("service") else []
        if self._credentials and self._credentials.identity_token:
            query += [
                ("scope", challenge["scope"]),
                ("client_id", "minidock"),
                ("grant_type", "refresh_token"),
                ("refresh_token", self._credentials.identity_token),
            ]
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            return Request("POST", realm, kind, urlencode(query).encode("ascii"))
        query += [("scope", scope) for scope in challenge["scope"].split()]
        joint = "&" if "?" in realm else "?"
        password = self._password()
        headers = {"Authorization": password} if password else {}
        return Request("GET", f"{realm}{joint}{urlencode(query)}", headers)

    def _check_refusal(self, response: Response) -> None:
        if response.status not in (401, 403):
            raise failure_of(response, self._endpoint.host)
        if self._credentials:
            raise LoginRefused(
                f"registry {self._endpoint.host}: unauthorized: incorrect username or password",
                hint="the credentials come from docker's config.json",
            )


def parse_token(raw: bytes) -> tuple[str, float]:
    """Return the token in a token server's answer, and its lifetime in seconds.

    Raises:
        InvalidDocument: there is none, or it is no text that fits into a header.
    """
    fields = load_json(raw, "token")
    token = json_text(fields, "token") or json_text(fields, "access_token")
    if not _TOKEN.fullmatch(token):
        raise InvalidToken("invalid token: missing or not printable")
    lifetime = fields.get("expires_in")
    if not isinstance(lifetime, int) or lifetime < _DEFAULT_LIFETIME:
        return token, _DEFAULT_LIFETIME
    return token, float(min(lifetime, 1 << 30))


def _read_token_body(response: Response, host: str) -> bytes:
    raw = b""
    while data := response.body.read(CHUNK):
        raw += data
        if len(raw) > MAX_TOKEN_BODY:
            raise InvalidToken(
                f"invalid token: registry {host} sends more than {MAX_TOKEN_BODY} bytes"
            )
    return raw
