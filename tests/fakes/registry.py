# SPDX-License-Identifier: Apache-2.0
"""A registry on 127.0.0.1 that speaks the pull side of the distribution-spec, and misbehaves.

::

    with FakeRegistry() as registry:
        digest = registry.add_image("library/app", "1.0", [tar_bytes])
        registry.fail(r"/blobs/", 503, Reset(after=1000))  # once each, in this order
        ...  # pull f"{registry.host}/library/app:1.0"
        assert registry.count("GET", r"/blobs/") == 3
"""

import base64
import gzip
import hashlib
import json
import re
import socket
import ssl
import struct
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import zstandard

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
LAYER_TYPES = {
    (False, "gzip"): f"{OCI}layer.v1.tar+gzip",
    (False, "zstd"): f"{OCI}layer.v1.tar+zstd",
    (False, "plain"): f"{OCI}layer.v1.tar",
    (True, "gzip"): f"{DOCKER}image.rootfs.diff.tar.gzip",
    (True, "zstd"): f"{DOCKER}image.rootfs.diff.tar.zstd",
    (True, "plain"): f"{DOCKER}image.rootfs.diff.tar",
}


class Answer(NamedTuple):
    """Answer with this, whatever was asked."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Reset(NamedTuple):
    """Answer rightly, but reset the connection after so many bytes of the body."""

    after: int = 0


class Truncate(NamedTuple):
    """Answer rightly, but close the connection after so many bytes of the body."""

    after: int = 0


class Stall(NamedTuple):
    """Answer rightly, but fall silent after so many bytes of the body; None: before it all."""

    after: int | None = None


class Endless(NamedTuple):
    """Send spaces without end; the count of them is in `FakeRegistry.endless_bytes`."""

    content_type: str = "application/json"


class Lie(NamedTuple):
    """Answer a Range request with a part that starts `shift` bytes further on."""

    shift: int
    admit: bool = True  # Content-Range tells the truth about it


Fault = Answer | Reset | Truncate | Stall | Endless | Lie


def digest_of(data: bytes) -> str:
    """Return the sha256 digest of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def compress(tar: bytes, compression: str) -> bytes:
    """Return `tar` as a layer blob, the same for the same bytes."""
    if compression == "gzip":
        return gzip.compress(tar, mtime=0)
    if compression == "zstd":
        return zstandard.ZstdCompressor().compress(tar)
    assert compression == "plain"
    return tar


class FakeRegistry:
    """The registry; a context manager that serves between enter and exit.

    `requests` are (method, path with query, headers by Title-Case) in order of arrival.
    `ranges` False makes it ignore Range headers. `tls` is a server context to speak https with.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.ranges = True
        self.digest_header = True
        self.endless_bytes = 0
        self.tokens: set[str] = set()
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self._blobs: dict[str, dict[str, bytes]] = {}
        self._manifests: dict[str, dict[str, tuple[bytes, str]]] = {}
        self._faults: list[tuple[re.Pattern[str], list[Fault], bool]] = []
        self._auth: tuple[str, str, str, str] | None = None  # kind, user, password, realm
        self._server = _Server(self, tls)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> "FakeRegistry":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    # What it holds.

    def add_blob(self, repository: str, data: bytes, digest: str = "") -> str:
        """Hold `data` (under a false `digest` if given) and return its digest."""
        digest = digest or digest_of(data)
        self._blobs.setdefault(repository, {})[digest] = data
        return digest

    def add_manifest(
        self, repository: str, reference: str, raw: bytes | dict[str, Any], media_type: str
    ) -> str:
        """Hold a manifest by its digest and by `reference` (a tag, a false digest, or "")."""
        raw = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
        manifests = self._manifests.setdefault(repository, {})
        digest = digest_of(raw)
        manifests[digest] = (raw, media_type)
        if reference:
            manifests[reference] = (raw, media_type)
        return digest

    def add_image(
        self,
        repository: str,
        tag: str,
        layers: Sequence[bytes],
        config: dict[str, Any] | None = None,
        compression: str = "gzip",
        docker: bool = False,
    ) -> str:
        """Hold an image of the tars `layers` and return its manifest's digest.

        `config` replaces fields of the whole config blob, e.g. ``{"config": {"Cmd": ["sh"]}}``.
        """
        document = {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in layers]},
            "history": [{"created_by": f"layer {i}"} for i in range(len(layers))],
            **(config or {}),
        }
        blobs = [compress(tar, compression) for tar in layers]
        config_type = f"{DOCKER}container.image.v1+json" if docker else f"{OCI}config.v1+json"
        layer_type = LAYER_TYPES[docker, compression]
        media_type = (
            f"{DOCKER}distribution.manifest.v2+json" if docker else f"{OCI}manifest.v1+json"
        )
        manifest = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": self._describe(repository, json.dumps(document).encode(), config_type),
            "layers": [self._describe(repository, blob, layer_type) for blob in blobs],
        }
        return self.add_manifest(repository, tag, manifest, media_type)

    def add_index(
        self,
        repository: str,
        tag: str,
        manifests: Mapping[str, str],
        docker: bool = False,
    ) -> str:
        """Hold an index of platform ("linux/amd64") to manifest digest; return its digest."""
        media_type = (
            f"{DOCKER}distribution.manifest.list.v2+json" if docker else f"{OCI}index.v1+json"
        )
        entries = []
        for platform, digest in manifests.items():
            raw, its_type = self._manifests[repository][digest]
            names = dict(
                zip(("os", "architecture", "variant"), platform.split("/"), strict=False)
            )
            entry = {"mediaType": its_type, "digest": digest, "size": len(raw)}
            entries.append({**entry, "platform": names})
        index = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
        return self.add_manifest(repository, tag, index, media_type)

    def manifest(self, repository: str, reference: str) -> dict[str, Any]:
        """Return a manifest it holds, parsed."""
        return json.loads(self._manifests[repository][reference][0])

    def _describe(self, repository: str, data: bytes, media_type: str) -> dict[str, Any]:
        digest = self.add_blob(repository, data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    # How it behaves.

    def fail(self, path_regex: str, *responses: int | Fault, always: bool = False) -> None:
        """Answer requests for matching paths by `responses`, one each, then rightly again.

        An int is a bare status. With `always` the last response is for ever.
        """
        faults = [Answer(r) if isinstance(r, int) else r for r in responses]
        self._faults.append((re.compile(path_regex), faults, always))

    def require_token(self, user: str = "", password: str = "", realm: str = "") -> None:
        """Ask for bearer tokens, given to anyone or to `user` alone, from `realm`'s /token."""
        self._auth = ("bearer", user, password, realm or f"{self.url}/token")

    def require_basic(self, user: str, password: str) -> None:
        """Ask for the password at each request."""
        self._auth = ("basic", user, password, "")

    def count(self, method: str, path_regex: str) -> int:
        """Return how many such requests have come."""
        return sum(
            m == method and re.search(path_regex, path) is not None
            for m, path, _ in self.requests
        )

    # For the handler.

    def next_fault(self, path: str) -> Fault | None:
        with self.lock:
            for pattern, faults, always in self._faults:
                if pattern.search(path) and faults:
                    return faults[0] if always and len(faults) == 1 else faults.pop(0)
        return None

    def refuses(self, authorization: str) -> str:
        """Return the challenge to send, empty to let the request pass."""
        if self._auth is None:
            return ""
        kind, user, password, realm = self._auth
        if kind == "basic":
            good = authorization == _basic(user, password)
            return "" if good else 'Basic realm="the fake, registry"'
        if authorization.removeprefix("Bearer ") in self.tokens:
            return ""
        scope = "repository:some/thing:pull,push"
        return f'Bearer realm="{realm}",service="fake, registry",scope="{scope}"'

    def give_token(self, authorization: str, form: Mapping[str, list[str]]) -> str | None:
        """Return a new token, or None."""
        assert self._auth is not None
        _, user, password, _ = self._auth
        refreshed = form.get("refresh_token") == [password]
        if user and not refreshed and authorization != _basic(user, password):
            return None
        with self.lock:
            token = f"token-{len(self.tokens) + 1}"
            self.tokens.add(token)
        return token

    def find(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        """Return status, body and headers for a registry path."""
        if path.rstrip("/") == "/v2":
            return 200, b"{}", {"Content-Type": "application/json"}
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", path)
        if not match:
            return _error(404, "UNSUPPORTED")
        repository, kind, reference = match.groups()
        if repository not in self._manifests and repository not in self._blobs:
            return _error(404, "NAME_UNKNOWN")
        if kind == "blobs":
            blob = self._blobs.get(repository, {}).get(reference)
            if blob is None:
                return _error(404, "BLOB_UNKNOWN")
            return 200, blob, {"Content-Type": "application/octet-stream"}
        raw, media_type = self._manifests.get(repository, {}).get(reference, (b"", ""))
        if not media_type:
            return _error(404, "MANIFEST_UNKNOWN")
        headers = {"Content-Type": media_type}
        if self.digest_header:
            headers["Docker-Content-Digest"] = digest_of(raw)
        return 200, raw, headers


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _error(status: int, code: str) -> tuple[int, bytes, dict[str, str]]:
    body = {"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}
    return status, json.dumps(body).encode(), {"Content-Type": "application/json"}


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, registry: FakeRegistry, tls: ssl.SSLContext | None) -> None:
        self.registry = registry
        self.tls = tls
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def finish_request(self, request, client_address) -> None:
        try:
            if self.tls:
                request = self.tls.wrap_socket(request, server_side=True)
            self.open.add(request)
            super().finish_request(request, client_address)
        except OSError:
            pass  # the client went away
        finally:
            self.open.discard(request)
            request.close()

    def shutdown_request(self, request) -> None:
        request.close()  # without shutdown(2), so that SO_LINGER 0 makes it a reset

    def hang_up(self) -> None:
        for request in list(self.open):
            try:
                request.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        registry = self.server.registry
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.title(): value for name, value in self.headers.items()}
        with registry.lock:
            registry.requests.append((self.command, self.path, headers))
        fault = registry.next_fault(self.path)
        if isinstance(fault, Answer):
            self._send(fault.status, fault.body, fault.headers, None)
        elif isinstance(fault, Endless):
            self._send_endless(fault)
        elif urlsplit(self.path).path == "/token":
            self._send_token(body)
        else:
            self._send_content(fault)

    def _send_token(self, body: bytes) -> None:
        form = parse_qs(body.decode())
        authorization = self.headers.get("Authorization", "")
        token = self.server.registry.give_token(authorization, form)
        if token is None:
            self._send(*_error(401, "UNAUTHORIZED"), None)
        else:
            answer = {"token": token, "expires_in": 300}
            self._send(200, json.dumps(answer).encode(), {}, None)

    def _send_content(self, fault: Fault | None) -> None:
        registry = self.server.registry
        challenge = registry.refuses(self.headers.get("Authorization", ""))
        if challenge:
            status, body, headers = _error(401, "UNAUTHORIZED")
            self._send(status, body, {**headers, "WWW-Authenticate": challenge}, fault)
            return
        status, body, headers = registry.find(urlsplit(self.path).path)
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if status == 200 and wanted and registry.ranges:
            start, admitted, total = int(wanted[1]), int(wanted[1]), len(body)
            if isinstance(fault, Lie):
                start += fault.shift
                admitted += fault.shift if fault.admit else 0
            headers["Content-Range"] = f"bytes {admitted}-{total - 1}/{total}"
            status, body = (206, body[start:]) if start < total else (416, b"")
        self._send(status, body, headers, fault)

    def _send(
        self, status: int, body: bytes, headers: Mapping[str, str], fault: Fault | None
    ) -> None:
        if isinstance(fault, Stall) and fault.after is None:
            self.server.registry.closing.wait()
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if not isinstance(fault, Reset | Truncate | Stall):
            self.wfile.write(body)
            return
        self.wfile.write(body[: fault.after])
        self.wfile.flush()
        self.close_connection = True
        if isinstance(fault, Stall):
            self.server.registry.closing.wait()
        elif isinstance(fault, Reset):
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def _send_endless(self, fault: Endless) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", fault.content_type)
        self.end_headers()
        registry = self.server.registry
        while not registry.closing.is_set():
            registry.endless_bytes += self.connection.send(b" " * 65536)
