# SPDX-License-Identifier: Apache-2.0
"""Names of images, by docker's rules (the grammar of distribution/reference)."""

import re

from minidock.errors import InvalidArgument
from minidock.oci.digest import Digest
from minidock.values import NamedTuple

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_HOST = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_HOST}(?:\.{_HOST})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}")
_BARE_ID = re.compile(r"[a-f0-9]{64}")
_MAX_NAME = 255


class InvalidReference(InvalidArgument):
    """A text that names no image; the messages are docker's."""


class Reference(NamedTuple):
    """A full image name.

    >>> r = parse_reference("tomcat")
    >>> r.registry, r.repository, r.tag
    ('docker.io', 'library/tomcat', 'latest')
    >>> str(r), r.familiar
    ('docker.io/library/tomcat:latest', 'tomcat:latest')
    >>> parse_reference("localhost:5000/a/b").name
    'localhost:5000/a/b'

    With a digest the tag is empty, unless the text gave both.
    """

    registry: str
    repository: str
    tag: str
    digest: Digest | None = None

    @property
    def name(self) -> str:
        """Registry and repository, in full: ``docker.io/library/tomcat``."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar_name(self) -> str:
        """The name as docker shows it: ``tomcat``, ``guos/tomcat02``, ``localhost:5000/x``."""
        if self.registry != DEFAULT_REGISTRY:
            return self.name
        return self.repository.removeprefix("library/")

    @property
    def familiar(self) -> str:
        """The familiar name with its tag and digest."""
        return self.familiar_name + self.suffix

    @property
    def suffix(self) -> str:
        """``:tag``, ``@digest`` or both."""
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag

    @property
    def target(self) -> str:
        """What the registry is asked for: the digest, or else the tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        return self.name + self.suffix


def parse_reference(text: str, *, default_tag: str = DEFAULT_TAG) -> Reference:
    """Return the full reference that `text` stands for.

    Raises:
        InvalidReference: with docker's message.
    """
    if _BARE_ID.fullmatch(text):
        raise InvalidReference(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        )
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise InvalidReference("invalid reference format", hint=f"bad digest in {text!r}")
    registry, path = _split_registry(rest)
    path, colon, tag = path.partition(":")
    if not path or (colon and not _TAG.fullmatch(tag)) or not _DOMAIN.fullmatch(registry):
        raise InvalidReference("invalid reference format", hint=_hint(text))
    if not _PATH.fullmatch(path):
        if _PATH.fullmatch(path.lower()):
            raise InvalidReference(
                f"invalid reference format: repository name ({path}) must be lowercase"
            )
        raise InvalidReference("invalid reference format", hint=_hint(text))
    if registry == DEFAULT_REGISTRY and "/" not in path:
        path = f"library/{path}"
    if len(registry) + 1 + len(path) > _MAX_NAME:
        raise InvalidReference("repository name must not be more than 255 characters")
    if not tag and not digest:
        tag = default_tag
    return Reference(registry, path, tag, Digest(digest) if digest else None)


def _split_registry(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    is_host = "." in first or ":" in first or first == "localhost" or first != first.lower()
    if not slash or not is_host:
        return DEFAULT_REGISTRY, text
    if first == "index.docker.io":
        first = DEFAULT_REGISTRY
    return first, rest


def _hint(text: str) -> str:
    return f"{text!r} is not of the form [HOST[:PORT]/]NAME[:TAG][@DIGEST]"
