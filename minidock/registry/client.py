# SPDX-License-Identifier: Apache-2.0
"""Pulling from a registry and its mirrors (OCI distribution-spec v1.1, "Pull").

All that arrives is checked against its digest and size before or while it is handed on. The
``urls`` of foreign layers are never fetched (CVE-2020-15157).
"""

import re
from collections.abc import Callable
from functools import partial
from types import TracebackType

from minidock.annotations import TypeVar
from minidock.config import Config
from minidock.errors import (
    DataCorrupted,
    Forbidden,
    MinidockError,
    NotFound,
    Unauthorized,
    Unavailable,
)
from minidock.oci import media_types
from minidock.oci.content import Reader, SizeMismatch, VerifiedReader
from minidock.oci.descriptor import MAX_DOCUMENT, Descriptor, Document
from minidock.oci.digest import Digest, DigestMismatch, digest_of
from minidock.oci.image import Image
from minidock.oci.manifest import Index, Manifest, parse_manifest
from minidock.oci.reference import Reference
from minidock.progress import Progress, Warned
from minidock.registry.auth import Authenticator
from minidock.registry.credentials import load_credentials
from minidock.registry.endpoints import plan_endpoints, settings_of
from minidock.registry.retry import Retrier, UnexpectedAnswer
from minidock.registry.server import Missing, Server
from minidock.registry.transport import (
    CHUNK,
    ConnectionFailed,
    HttpTransport,
    Interrupted,
    Response,
    Timing,
)

_ACCEPT = ", ".join(
    (
        media_types.OCI_MANIFEST,
        media_types.DOCKER_MANIFEST,
        media_types.OCI_INDEX,
        media_types.DOCKER_INDEX,
    )
)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")

T = TypeVar("T")


class ManifestNotFound(NotFound):
    """The repository has no such tag or digest; the message is docker's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"manifest for {name} not found: manifest unknown: manifest unknown")


class BlobNotFound(NotFound):
    """The repository does not have a blob that its manifest names."""


class DocumentTooLarge(DataCorrupted):
    """A manifest or config of more than 4 MiB."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: more than {MAX_DOCUMENT} bytes")


def connect(
    reference: Reference, config: Config, progress: Progress, timing: Timing | None = None
) -> "Registry":
    """Return the registry that serves `reference`; nothing is sent yet.

    Raises:
        InvalidMirror: config.yaml names a mirror that is not a base URL.
    """
    timing = timing or Timing()
    transport = HttpTransport(lambda host: settings_of(config, host), config.proxies, timing)
    servers = []
    for endpoint in plan_endpoints(reference.registry, config):
        credentials = load_credentials(config.docker_config, endpoint.host, progress)
        auth = Authenticator(endpoint, credentials, transport, timing.clock)
        servers.append(Server(endpoint, reference, transport, auth))
    return Registry(reference, tuple(servers), Retrier(progress, timing), progress)


class Registry:
    """One repository of a registry, by way of the first server that has what is asked for.

    Threads may share it. `host` is the registry's name, for messages.
    """

    def __init__(
        self,
        reference: Reference,
        servers: tuple[Server, ...],
        retrier: Retrier,
        progress: Progress,
    ) -> None:
        self.host = reference.registry
        self._reference = reference
        self._servers = servers
        self._retrier = retrier
        self._progress = progress

    def telling(self, progress: Progress) -> "Registry":
        """Return the same registry with another progress, as a forked process needs."""
        retrier = self._retrier.telling(progress)
        return Registry(self._reference, self._servers, retrier, progress)

    def manifest(self, target: str) -> Document[Manifest | Index]:
        """Return the manifest or index that the tag or digest `target` names.

        The server that had it is asked first from then on.

        Raises:
            ManifestNotFound, RepositoryNotFound, AccessDenied: by all servers.
            DigestMismatch, DocumentTooLarge, InvalidDocument, UnsupportedManifest: what came
                is not what was asked for, or not to be read.
            Unavailable: no server answers.
        """
        is_digest = ":" in target
        name = f"{self._reference.familiar_name}{'@' if is_digest else ':'}{target}"

        def read(server: Server) -> Document[Manifest | Index]:
            response = server.get(f"manifests/{target}", {"Accept": _ACCEPT})
            document = _read_manifest(response, f"manifest for {name}")
            if is_digest and document.descriptor.digest != target:
                raise DigestMismatch(f"manifest for {name}", target, document.descriptor.digest)
            self._prefer(server)
            return document

        return self._ask(f"manifest for {name}", read, ManifestNotFound(name))

    def config(self, descriptor: Descriptor) -> Document[Image]:
        """Return the image configuration that `descriptor` names, verified.

        Raises:
            DocumentTooLarge, SizeMismatch, DigestMismatch, InvalidDocument: it is not right.
            BlobNotFound, AccessDenied, Unavailable: as for blobs.
        """
        what = f"config {descriptor.digest}"
        if descriptor.size > MAX_DOCUMENT:
            raise DocumentTooLarge(what)

        def read(server: Server) -> bytes:
            with _open_blob(server, descriptor, 0) as stream:
                source = VerifiedReader(stream, descriptor.digest, descriptor.size, what)
                return _read_all(source, what)

        raw = self._ask(what, read, self._no_blob(descriptor.digest))
        return Document(descriptor, raw, Image.from_json(raw))

    def blob(self, descriptor: Descriptor, offset: int = 0) -> "BlobStream":
        """Open the blob that `descriptor` names, from byte `offset` on if a server can.

        Where it really starts is the stream's `offset`: 0, or the one asked for. The digest is
        the caller's to check: only it has the bytes before `offset`.

        Raises:
            SizeMismatch: the server announces another size than the descriptor.
            BlobNotFound, RepositoryNotFound, AccessDenied: by all servers.
            Unavailable: no server answers.
        """
        if not 0 < offset < descriptor.size:
            offset = 0
        return self._ask(
            f"blob {descriptor.digest}",
            lambda server: _open_blob(server, descriptor, offset),
            self._no_blob(descriptor.digest),
        )

    def _no_blob(self, digest: Digest) -> BlobNotFound:
        name = self._reference.familiar_name
        return BlobNotFound(f"blob {digest} of {name} not found in registry {self.host}")

    def _ask(self, what: str, action: Callable[[Server], T], missing: NotFound) -> T:
        """Return `action` of the first server that succeeds, or raise the registry's failure.

        The http endpoint of a host is asked only if nothing speaks https there: credentials
        must not fall back to plain http because of an answer (CVE-2014-5277).
        """
        failure: MinidockError = missing
        answered = ""
        for server in self._servers:
            endpoint = server.endpoint
            if endpoint.host == answered:
                continue
            try:
                return self._retrier.run(what, partial(action, server), endpoint.patience)
            except (NotFound, Unauthorized, Forbidden, Unavailable) as e:
                error = missing if isinstance(e, Missing) else e
            if not isinstance(error, ConnectionFailed):
                answered = endpoint.host
            if endpoint.is_mirror:
                self._progress(Warned(f"mirror {endpoint.host}: {error.message}"))
            if failure is missing or not endpoint.is_mirror:
                failure = error
        raise failure

    def _prefer(self, server: Server) -> None:
        """Ask `server` first from now on, and its host in no other way."""
        host = server.endpoint.host
        others = (other for other in self._servers if other.endpoint.host != host)
        self._servers = (server, *others)


class BlobStream:
    """The bytes of a blob as they arrive, from `offset` on; a context manager.

    It ends exactly at the size of the descriptor, or fails.
    """

    def __init__(
        self, response: Response, descriptor: Descriptor, offset: int, host: str
    ) -> None:
        self.offset = offset
        self._response = response
        self._descriptor = descriptor
        self._position = offset
        self._host = host

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, b"" at the end.

        Raises:
            Interrupted: the connection broke or fell silent; open the blob again at the
                offset reached.
            SizeMismatch: the server sends more than the descriptor says.
        """
        data = self._response.body.read(size)
        self._position += len(data)
        expected = self._descriptor.size
        if self._position > expected:
            raise SizeMismatch(f"blob {self._descriptor.digest}", expected, "more")
        if not data and size and self._position < expected:
            raise Interrupted(self._host, f"{self._position} of {expected} bytes arrived")
        return data

    def close(self) -> None:
        """Give up the stream; after the end its connection is used again."""
        self._response.body.close()

    def __enter__(self) -> "BlobStream":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _open_blob(server: Server, descriptor: Descriptor, offset: int) -> BlobStream:
    path = f"blobs/{descriptor.digest}"
    if offset:
        response = server.get(path, {"Range": f"bytes={offset}-"})
        if response.status == 206 and _starts_at(response, offset, descriptor.size):
            return BlobStream(response, descriptor, offset, server.endpoint.host)
        if response.status == 200:
            return _whole_blob(response, server, descriptor)
        response.discard()  # a refused or false range: start over
    return _whole_blob(server.get(path, {}), server, descriptor)


def _whole_blob(response: Response, server: Server, descriptor: Descriptor) -> BlobStream:
    host = server.endpoint.host
    if response.status != 200:
        response.discard()
        raise UnexpectedAnswer(host, response.status)
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and int(length) != descriptor.size:
        response.body.close()
        raise SizeMismatch(f"blob {descriptor.digest}", descriptor.size, length)
    return BlobStream(response, descriptor, 0, host)


def _starts_at(response: Response, offset: int, size: int) -> bool:
    """Tell whether a 206 holds the bytes from `offset` to the end (RFC 9110 §14.4)."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return (
        match is not None
        and (int(match[1]), int(match[2])) == (offset, size - 1)
        and match[3] in ("*", str(size))
    )


def _read_manifest(response: Response, what: str) -> Document[Manifest | Index]:
    try:
        if response.status != 200:
            raise DataCorrupted(f"{what}: the server sent a part of it")
        raw = _read_all(response.body, what)
    finally:
        response.body.close()
    digest = digest_of(raw)
    claimed = response.headers.get("Docker-Content-Digest", digest)
    if claimed != digest:
        raise DigestMismatch(what, claimed[:100], digest)
    value = parse_manifest(raw, response.headers.get("Content-Type", ""))
    return Document(Descriptor(value.media_type, digest, len(raw)), raw, value)


def _read_all(source: Reader, what: str) -> bytes:
    pieces = []
    total = 0
    while data := source.read(CHUNK):
        total += len(data)
        if total > MAX_DOCUMENT:
            raise DocumentTooLarge(what)
        pieces.append(data)
    return b"".join(pieces)
