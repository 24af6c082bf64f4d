# SPDX-License-Identifier: Apache-2.0
"""What a URL or a host name says before anything is sent to it. Pure functions.

One parser, urllib3's (RFC 3986), reads every URL, so that what is checked is what is sent.
"""

import ipaddress
import socket
from urllib.parse import urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

_PORTS = {"http": 80, "https": 443}
_IP = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_web_url(text: str) -> Url | None:
    """Return `text` parsed, or None unless it is http(s) with a host and without a user."""
    try:
        url = parse_url(text)
    except LocationParseError:
        return None
    if url.scheme not in _PORTS or not url.host or url.auth is not None:
        return None
    return url


def follow(url: Url, location: str) -> Url | None:
    """Return where a redirect from `url` leads, or None if to no URL that is to be followed."""
    try:
        return parse_web_url(urljoin(url.url, location))
    except ValueError:
        return None


def netloc_of(url: Url) -> str:
    """Return ``host`` or ``host:port``, as the URL has it."""
    return url.netloc or ""


def port_of(url: Url) -> int:
    """Return the port, that of the scheme if none is given."""
    return url.port or _PORTS[url.scheme or "https"]


def same_origin(one: Url, other: Url) -> bool:
    """Tell whether scheme, host and port agree (RFC 6454 §5)."""
    return (one.scheme, one.host, port_of(one)) == (other.scheme, other.host, port_of(other))


def host_of(netloc: str) -> str:
    """Return the host of ``host[:port]``, IPv6 addresses without brackets."""
    try:
        host = parse_url(f"//{netloc}").host or ""
    except LocationParseError:
        return ""
    return host.strip("[]")


def is_loopback(netloc: str) -> bool:
    """Tell whether ``host[:port]`` is this machine: localhost, 127.0.0.0/8 or ::1."""
    host = host_of(netloc)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_local(netloc: str) -> bool:
    """Tell whether ``host[:port]`` literally names this machine or its link.

    These are the addresses behind which a machine keeps its private services, e.g. a cloud's
    metadata at 169.254.169.254. All spellings that connect(2) would take count.
    """
    host = host_of(netloc)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _literal(host)
    if address is None:
        return False
    return address.is_loopback or address.is_link_local or address.is_unspecified


def bypasses_proxy(url: Url, no_proxy: str) -> bool:
    """Tell whether `url` is reached without a proxy.

    `no_proxy` holds, separated by commas, ``*``, addresses, CIDR blocks, and domains that stand
    for themselves and what is below them, each maybe with a port. This machine never needs a
    proxy.
    """
    netloc = netloc_of(url)
    if is_loopback(netloc):
        return True
    host = host_of(netloc)
    return any(
        _matches(entry.strip().lower(), host, port_of(url)) for entry in no_proxy.split(",")
    )


def _matches(entry: str, host: str, port: int) -> bool:
    if not entry:
        return False
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        pass  # one of them is a name, or has a port
    name, colon, entry_port = entry.rpartition(":")
    if colon and entry_port.isdigit():
        if int(entry_port) != port:
            return False
        entry = name.strip("[]")
    domain = entry.removeprefix("*").removeprefix(".")
    return host == domain or host.endswith(f".{domain}")


def _literal(host: str) -> _IP | None:
    try:
        address: _IP = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            # inet_aton(3) takes 127.1, 0x7f000001 and 2130706433 as getaddrinfo(3) does
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
