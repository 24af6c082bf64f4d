# SPDX-License-Identifier: Apache-2.0
"""One repository at one endpoint: authenticated GETs (distribution-spec, "Pull")."""

from collections.abc import Mapping

from minidock.errors import NotFound, Unauthorized
from minidock.oci.descriptor import InvalidDocument, json_list, json_object, json_text
from minidock.oci.manifest import load_json
from minidock.oci.reference import Reference
from minidock.registry.auth import Authenticator
from minidock.registry.endpoints import Endpoint
from minidock.registry.retry import failure_of
from minidock.registry.transport import CHUNK, Interrupted, Request, Response, Transport
from minidock.registry.urls import parse_web_url, same_origin


class AccessDenied(Unauthorized):
    """The registry does not show the repository; the message is docker's."""

    def __init__(self, name: str, host: str) -> None:
        super().__init__(_denied(name), hint=f"asked {host}")


class RepositoryNotFound(NotFound):
    """The registry has no such repository; the message is docker's."""

    def __init__(self, name: str, host: str) -> None:
        super().__init__(_denied(name), hint=f"asked {host}")


class Missing(NotFound):
    """The repository does not have what was asked for."""


class Server:
    """Reads one repository from one endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        reference: Reference,
        transport: Transport,
        authenticator: Authenticator,
    ) -> None:
        self.endpoint = endpoint
        self._reference = reference
        self._transport = transport
        self._authenticator = authenticator

    def get(self, path: str, headers: Mapping[str, str]) -> Response:
        """Return the 200, 206 or 416 to a GET of `path` below the repository.

        Raises:
            AccessDenied, RepositoryNotFound, Missing: see there.
            ServerBusy, UnexpectedAnswer: the status says so.
            ConnectionFailed, BadRedirect, LoginRefused, RealmRefused, InvalidToken: see there.
        """
        url = f"{self.endpoint.url}/v2/{self._reference.repository}/{path}"
        response = self._authenticated(Request("GET", url, headers))
        if response.status in (200, 206, 416):
            return response
        host = self.endpoint.host
        if response.status == 404:
            if _error_code(response) == "NAME_UNKNOWN":
                raise RepositoryNotFound(self._reference.familiar_name, host)
            raise Missing(f"{path} not found in registry {host}")
        response.discard()
        if response.status in (401, 403):
            raise AccessDenied(self._reference.familiar_name, host)
        raise failure_of(response, host)

    def _authenticated(self, request: Request) -> Response:
        used = self._authenticator.current()
        response = self._transport.send(_with_authorization(request, used))
        if response.status != 401 or not _is_from(response.url, request.url):
            return response
        challenge = response.headers.get("WWW-Authenticate", "")
        response.discard()
        scope = f"repository:{self._reference.repository}:pull"
        answer = self._authenticator.answer(challenge, used, scope)
        if not answer:
            return response
        return self._transport.send(_with_authorization(request, answer))


def _with_authorization(request: Request, value: str) -> Request:
    if not value:
        return request
    return request._replace(headers={**request.headers, "Authorization": value})


def _is_from(answered: str, asked: str) -> bool:
    one, other = parse_web_url(answered), parse_web_url(asked)
    return one is not None and other is not None and same_origin(one, other)


def _denied(name: str) -> str:
    return (
        f"pull access denied for {name}, repository does not exist or may require"
        " 'docker login'"
    )


def _error_code(response: Response) -> str:
    """Return the first code of the specification's error document, empty without one."""
    try:
        errors = json_list(load_json(_read_error(response), "error").get("errors"), "errors")
        return json_text(json_object(errors[0], "error"), "code") if errors else ""
    except InvalidDocument:
        return ""


def _read_error(response: Response) -> bytes:
    raw = b""
    try:
        while len(raw) < CHUNK and (data := response.body.read(CHUNK)):
            raw += data
    except Interrupted:
        pass
    response.discard()
    return raw
