# SPDX-License-Identifier: Apache-2.0
"""Where the repositories of a registry are served: its mirrors, then the registry itself."""

from minidock.config import Config, RegistrySettings
from minidock.errors import InvalidArgument
from minidock.oci.reference import DEFAULT_REGISTRY
from minidock.registry.retry import ORIGIN, PROBE, SPARE, Patience
from minidock.registry.urls import is_loopback, netloc_of, parse_web_url
from minidock.values import NamedTuple

DOCKER_HUB = "registry-1.docker.io"
"""The host that serves docker.io."""


class InvalidMirror(InvalidArgument):
    """A mirror in config.yaml that is not a base URL."""


class Endpoint(NamedTuple):
    """One base URL that a repository can be read from.

    `host` is the key of its settings and credentials: docker.io for Docker Hub. `insecure` says
    that plain http is no worse there than expected: the host is this machine or the user said
    so. Two endpoints with one host are one server, by https and by http.
    """

    url: str
    host: str
    insecure: bool
    is_mirror: bool
    patience: Patience

    @property
    def netloc(self) -> str:
        """``host[:port]`` of the URL."""
        return self.url.partition("://")[2].partition("/")[0]


def settings_of(config: Config, netloc: str) -> RegistrySettings:
    """Return the settings of the server at ``host[:port]``.

    This machine counts as insecure, as it does for docker, unless a CA is named for it.
    """
    settings = config.registry(DEFAULT_REGISTRY if netloc == DOCKER_HUB else netloc)
    if is_loopback(netloc) and not settings.ca_file:
        return settings._replace(insecure=True)
    return settings


def plan_endpoints(registry: str, config: Config) -> tuple[Endpoint, ...]:
    """Return where to ask for the repositories of `registry`, in order.

    Raises:
        InvalidMirror: a mirror's URL can't be meant.
    """
    mirrors = tuple(_mirror(url, registry, config) for url in config.registry(registry).mirrors)
    host = DOCKER_HUB if registry == DEFAULT_REGISTRY else registry
    if not settings_of(config, host).insecure:
        return (*mirrors, Endpoint(f"https://{host}", registry, False, False, ORIGIN))
    return (
        *mirrors,
        Endpoint(f"https://{host}", registry, True, False, PROBE),
        Endpoint(f"http://{host}", registry, True, False, ORIGIN),
    )


def _mirror(text: str, registry: str, config: Config) -> Endpoint:
    url = parse_web_url(text)
    if url is None or url.query or url.fragment:
        raise InvalidMirror(  # not quoted: it may hold a password
            f"invalid mirror of registry {registry}",
            hint="a mirror is https://HOST[:PORT][/PATH], without user, query and fragment",
        )
    netloc = netloc_of(url)
    insecure = settings_of(config, netloc).insecure
    return Endpoint(url.url.rstrip("/"), netloc, insecure, True, SPARE)
