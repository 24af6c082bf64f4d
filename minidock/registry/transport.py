# SPDX-License-Identifier: Apache-2.0
"""HTTP: one request in, one answer out. TLS, proxies, redirects and timeouts are inside.

`Transport` is the seam; all above it is free of sockets.
"""

import errno
import os
import random
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import unquote

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InsecureRequestWarning,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import Url, make_headers

from minidock import __version__
from minidock.annotations import Literal, Protocol
from minidock.config import Proxies, RegistrySettings
from minidock.errors import InvalidArgument, SystemFailure, Unavailable
from minidock.registry.urls import (
    bypasses_proxy,
    follow,
    is_local,
    is_loopback,
    netloc_of,
    parse_web_url,
    same_origin,
)
from minidock.values import NamedTuple

MAX_HOPS = 10
"""Requests that one may turn into by redirects."""

CHUNK = 64 << 10
"""Bytes of a body read at once: what a broken connection can lose."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_UNREACHABLE_HINT = (
    "check the name, the proxy (HTTPS_PROXY, NO_PROXY), and mirrors under registries: in"
    " config.yaml"
)

Kind = Literal["absent", "broken", "hopeless"]


class ConnectionFailed(Unavailable):
    """No answer came.

    `kind` is ``absent`` if nobody is there (yet), ``broken`` if a connection was lost, and
    ``hopeless`` if another attempt must end the same way.
    """

    def __init__(self, host: str, reason: str, kind: Kind, *, hint: str | None = None) -> None:
        super().__init__(
            f"cannot reach registry {host}: {reason}", hint=hint or _UNREACHABLE_HINT
        )
        self.kind = kind


class Interrupted(Unavailable):
    """The answer broke off in its body; reading can go on behind what has arrived."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(f"download from registry {host} broke off: {reason}")


class BadRedirect(Unavailable):
    """A redirect that is not followed."""


class InvalidProxy(InvalidArgument):
    """A proxy that is not an http(s) URL."""


class Timing(NamedTuple):
    """The clocks of the registry client: timeouts in seconds, and what tests replace.

    `read` bounds the silence between two pieces of an answer. `jitter` returns 0 to 1.
    """

    connect: float = 10.0
    read: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.SystemRandom().random


class Request(NamedTuple):
    """A request; redirects of GET and HEAD are followed."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes | None = None


class Body(Protocol):
    """What a response's bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, b"" at the end."""
        ...

    def close(self) -> None:
        """Give the connection back, or up if it is in the middle of an answer."""
        ...


class Response(NamedTuple):
    """An answer, its body unread. `url` is where it came from after redirects.

    `headers` looks names up without regard to case. Reading raises Interrupted.
    """

    status: int
    headers: Mapping[str, str]
    url: str
    body: Body

    def discard(self) -> None:
        """Have done with it; a short body is read so that its connection can be used again."""
        length = self.headers.get("Content-Length", "")
        if length.isdigit() and int(length) <= CHUNK:
            with suppress(Interrupted):
                while self.body.read(CHUNK):
                    pass
        self.body.close()


class Transport(Protocol):
    """The way to the world."""

    def send(self, request: Request) -> Response:
        """Return the answer to `request`; the caller closes or discards it.

        Raises:
            ConnectionFailed: no answer came.
            BadRedirect: too many redirects, or one to where it must not lead.
        """
        ...


class HttpTransport:
    """A transport over urllib3; threads may share it.

    `settings` returns what the user said of ``host[:port]``.
    """

    def __init__(
        self,
        settings: Callable[[str], RegistrySettings],
        proxies: Proxies,
        timing: Timing,
    ) -> None:
        self._settings = settings
        self._proxies = proxies
        self._timeout = urllib3.Timeout(connect=timing.connect, read=timing.read)
        self._managers: dict[_Route, urllib3.PoolManager] = {}
        self._lock = threading.Lock()
        self._process = os.getpid()

    def send(self, request: Request) -> Response:
        """See `Transport`. Authorization is sent to the first scheme, host and port only."""
        url = parse_web_url(request.url)
        assert url is not None, "callers check URLs of others"
        self._leave_connections_of_parent()
        headers = {
            "User-Agent": f"minidock/{__version__}",
            "Accept-Encoding": "identity",  # digests are of the bytes as stored
            **request.headers,
        }
        for _ in range(MAX_HOPS):
            response = self._exchange(request._replace(headers=headers), url)
            location = response.headers.get("Location")
            followed = response.status in _REDIRECTS and request.method in ("GET", "HEAD")
            if not followed or not location:
                return response
            response.discard()
            target = self._redirect(url, location)
            if not same_origin(url, target):
                headers.pop("Authorization", None)
            url = target
        raise BadRedirect(
            f"registry {netloc_of(url)} redirects without end ({MAX_HOPS} requests)"
        )

    def _leave_connections_of_parent(self) -> None:
        """After a fork, open connections anew: two processes can't share one."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._managers = {}
            self._lock = threading.Lock()

    def _redirect(self, source: Url, location: str) -> Url:
        here = netloc_of(source)
        target = follow(source, location)
        if target is None:
            raise BadRedirect(f"registry {here} redirects to a URL that is not http or https")
        there = netloc_of(target)
        if is_local(there) and not is_local(here):
            raise BadRedirect(f"registry {here} redirects to the local address {there}")
        downgrade = source.scheme == "https" and target.scheme == "http"
        if downgrade and not self._settings(there).insecure:
            raise BadRedirect(f"registry {here} redirects from https to http://{there}")
        return target

    def _exchange(self, request: Request, url: Url) -> Response:
        try:
            answer = self._manager(url).request(
                request.method,
                url.url,
                body=request.body,
                headers=request.headers,
                timeout=self._timeout,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except HTTPError as e:
            raise _connection_failed(url, e) from e
        return Response(
            answer.status, answer.headers, url.url, _HttpBody(answer, netloc_of(url))
        )

    def _manager(self, url: Url) -> urllib3.PoolManager:
        route = _plan_route(url, self._settings(netloc_of(url)), self._proxies)
        with self._lock:
            if route not in self._managers:
                self._managers[route] = _open_route(route)
            return self._managers[route]


class _HttpBody:
    def __init__(self, answer: urllib3.BaseHTTPResponse, host: str) -> None:
        self._answer = answer
        self._host = host

    def read(self, size: int, /) -> bytes:
        try:
            return self._answer.read(min(size, CHUNK))
        except ReadTimeoutError as e:
            raise Interrupted(self._host, "the server fell silent") from e
        except HTTPError as e:
            raise Interrupted(self._host, "the connection was lost") from e

    def close(self) -> None:
        self._answer.close()
        self._answer.release_conn()


class _Route(NamedTuple):
    """What requests must have in common to share a pool of connections."""

    is_tls: bool
    verify: bool
    ca_file: str
    proxy: str


def _plan_route(url: Url, settings: RegistrySettings, proxies: Proxies) -> _Route:
    is_tls = url.scheme == "https"
    proxy = proxies.https if is_tls else proxies.http
    if bypasses_proxy(url, proxies.no_proxy):
        proxy = ""
    return _Route(is_tls, not settings.insecure, settings.ca_file, proxy)


def _open_route(route: _Route) -> urllib3.PoolManager:
    context = _tls_context(route) if route.is_tls else None
    if not route.proxy:
        return urllib3.PoolManager(maxsize=4, ssl_context=context)
    text = route.proxy if "://" in route.proxy else f"http://{route.proxy}"
    scheme, _, rest = text.partition("://")
    user, _, address = rest.rpartition("@")
    url = parse_web_url(f"{scheme}://{address}")
    if url is None:
        raise InvalidProxy(
            "invalid proxy", hint="a proxy is http://[USER:PASSWORD@]HOST[:PORT]"
        )
    headers = make_headers(proxy_basic_auth=unquote(user)) if user else None
    return urllib3.ProxyManager(url.url, proxy_headers=headers, maxsize=4, ssl_context=context)


def _tls_context(route: _Route) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not route.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        urllib3.disable_warnings(InsecureRequestWarning)  # the user asked for it
    elif route.ca_file:
        try:
            context.load_verify_locations(cafile=route.ca_file)
        except ssl.SSLError as e:
            raise InvalidArgument(f"no certificates in ca_file {route.ca_file}") from e
        except OSError as e:
            raise SystemFailure("read ca_file", e.errno or 0, path=route.ca_file) from e
    return context


def _connection_failed(url: Url, error: HTTPError) -> ConnectionFailed:
    host = netloc_of(url)
    if isinstance(error, ProxyError):
        reason, kind = _reason(error.original_error, local=False)
        return ConnectionFailed(host, f"the proxy does not let through: {reason}", kind)
    if isinstance(error, SSLError):
        return _tls_failed(host, error)
    reason, kind = _reason(error, local=is_loopback(host))
    return ConnectionFailed(host, reason, kind)


def _tls_failed(host: str, error: SSLError) -> ConnectionFailed:
    cause = error.args[0] if error.args else None
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = f"certificate verify failed: {cause.verify_message}"
        hint = f"name its CA as ca_file under registries: {host}: in config.yaml"
    else:
        reason = "the server does not speak TLS as expected"
        hint = f"if it speaks plain http, set insecure: true under registries: {host}:"
    return ConnectionFailed(host, reason, "hopeless", hint=hint)


def _reason(error: Exception, *, local: bool) -> tuple[str, Kind]:
    cause = error.__cause__ if isinstance(error, NewConnectionError) else error
    if isinstance(error, NameResolutionError):
        return "no such host", "absent"
    if isinstance(error, LocationParseError):
        return "not a valid host name", "hopeless"
    if isinstance(cause, OSError) and cause.errno:
        refused = cause.errno == errno.ECONNREFUSED
        text = os.strerror(cause.errno).lower()
        return text, "hopeless" if refused and local else "absent"
    if isinstance(error, NewConnectionError):
        return "no connection", "absent"
    if isinstance(error, ConnectTimeoutError | ReadTimeoutError):
        return "no answer in time", "absent"
    return "the connection was lost", "broken"
