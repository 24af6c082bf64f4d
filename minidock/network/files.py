# SPDX-License-Identifier: Apache-2.0
"""The contents of /etc/hosts, /etc/hostname and /etc/resolv.conf in a container. Pure.

See hosts(5) and resolv.conf(5).
"""

from collections.abc import Iterable, Sequence

from minidock.errors import InvalidArgument
from minidock.network.ports import is_address
from minidock.values import NamedTuple

HOST_GATEWAY = "host-gateway"
"""Stands in ``--add-host`` for the address by which a container reaches its host."""

FALLBACK_NAMESERVERS = ("8.8.8.8", "8.8.4.4")
STUB_NAMESERVER = "127.0.0.53"
SYSTEMD_RESOLV_CONF = "/run/systemd/resolve/resolv.conf"
"""Has the true servers where /etc/resolv.conf names systemd-resolved's stub only."""

_LOCALHOST = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


class InvalidHost(InvalidArgument):
    """An ``--add-host`` or ``--dns`` that can't be meant; the messages are docker's."""


class ExtraHost(NamedTuple):
    """A line for /etc/hosts; `address` may be HOST_GATEWAY."""

    name: str
    address: str


def parse_extra_host(text: str) -> ExtraHost:
    """Return the host of ``name:address`` or ``name=address``.

    Raises:
        InvalidHost: no name, or no address.
    """
    name, separator, address = text.partition("=")
    if not separator:
        name, separator, address = text.partition(":")
    if not name or not separator:
        raise InvalidHost(f'bad format for add-host: "{text}"')
    address = address.removeprefix("[").removesuffix("]")
    if address != HOST_GATEWAY and not is_address(address):
        raise InvalidHost(f'invalid IP address in add-host: "{address}"')
    return ExtraHost(name, address)


def hosts(
    hostname: str,
    address: str,
    extra_hosts: Iterable[str] = (),
    *,
    gateway: str = "",
    domainname: str = "",
) -> str:
    """Return /etc/hosts; with an empty `address` the container has no line of its own.

    Raises:
        InvalidHost: a bad one of `extra_hosts`, or HOST_GATEWAY and no `gateway`.
    """
    lines = [_LOCALHOST]
    for host in map(parse_extra_host, extra_hosts):
        target = gateway if host.address == HOST_GATEWAY else host.address
        if not target:
            raise InvalidHost(f'"{HOST_GATEWAY}" of {host.name} needs a network with a gateway')
        lines.append(f"{target}\t{host.name}\n")
    if address:
        full = f"{hostname}.{domainname} {hostname}" if domainname else hostname
        lines.append(f"{address}\t{full}\n")
    return "".join(lines)


def hostname_file(hostname: str) -> str:
    """Return /etc/hostname."""
    return f"{hostname}\n"


def names_only_stub(host_text: str) -> bool:
    """Tell whether the host's resolv.conf should be read from SYSTEMD_RESOLV_CONF instead."""
    return _words(host_text, "nameserver") == [STUB_NAMESERVER]


def resolv_conf(
    host_text: str,
    dns: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    *,
    private: bool = True,
) -> str:
    """Return /etc/resolv.conf, made of the host's where nothing is asked for.

    With `private` the container has a network namespace of its own: servers on the host's
    loopback, and IPv6 ones, can't be reached from there and are left out. If none is left there
    are FALLBACK_NAMESERVERS. A search list of ``.`` alone means none.

    Raises:
        InvalidHost: a bad address in `dns`.
    """
    for server in dns:
        if not is_address(server):
            raise InvalidHost(f"invalid IP address: {server}")
    servers = list(dns) or _words(host_text, "nameserver")
    if private and not dns:
        servers = [s for s in servers if not s.startswith("127.") and ":" not in s]
        servers = servers or list(FALLBACK_NAMESERVERS)
    domains = list(search) or _last_line(host_text, ("search", "domain"))
    settings = list(options) or _words(host_text, "options")
    lines = [f"nameserver {server}\n" for server in servers]
    if domains and domains != ["."]:
        lines.append(f"search {' '.join(domains)}\n")
    if settings:
        lines.append(f"options {' '.join(settings)}\n")
    return "".join(lines)


def _words(text: str, keyword: str) -> list[str]:
    """Return the values of all lines of `keyword`."""
    return [
        word
        for line in map(str.split, text.splitlines())
        if line[:1] == [keyword]
        for word in (line[1:2] if keyword == "nameserver" else line[1:])
    ]


def _last_line(text: str, keywords: tuple[str, ...]) -> list[str]:
    """Return the values of the last line of any of `keywords`; it overrules the others."""
    found = [
        line[1:]
        for line in map(str.split, text.splitlines())
        if line[:1] and line[0] in keywords
    ]
    return found[-1] if found else []
