# SPDX-License-Identifier: Apache-2.0
"""Published ports: docker's ``[ip:][host]:container[/proto]`` as values. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from minidock.annotations import Any
from minidock.errors import InvalidArgument
from minidock.values import NamedTuple

PROTOCOLS = ("tcp", "udp", "sctp")
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - what docker shows for all addresses
MAX_PORT = 65535


class InvalidPort(InvalidArgument):
    """A text that names no port; the messages are docker's."""


class PortMapping(NamedTuple):
    """One port of the host that leads to one of the container.

    `host_ip` is empty for all addresses; `host_port` 0 asks for a free one. `last_host_port`
    makes a range of the host's ports from which one that is free will be taken.

    >>> parse_publish("127.0.0.1:8080:80")
    (PortMapping(container_port=80, protocol='tcp', host_ip='127.0.0.1', host_port=8080, \
last_host_port=0),)
    """

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0
    last_host_port: int = 0

    @property
    def port(self) -> str:
        """The container's side, ``80/tcp``."""
        return f"{self.container_port}/{self.protocol}"

    @property
    def binding(self) -> str:
        """The host's side as docker shows it, ``0.0.0.0:8080`` or ``[::1]:8080``."""
        return f"{_bracketed(self.host_ip or ANY_ADDRESS)}:{self.host_port}"

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "PortMapping":
        """Return the mapping that to_json() wrote."""
        return cls(
            container_port=value["containerPort"],
            protocol=value["protocol"],
            host_ip=value["hostIp"],
            host_port=value["hostPort"],
            last_host_port=value["lastHostPort"],
        )

    def to_json(self) -> dict[str, object]:
        """Return a JSON object."""
        return {
            "containerPort": self.container_port,
            "protocol": self.protocol,
            "hostIp": self.host_ip,
            "hostPort": self.host_port,
            "lastHostPort": self.last_host_port,
        }


def parse_publish(text: str) -> tuple[PortMapping, ...]:
    """Return what ``-p text`` asks for, one mapping for each container port.

    Raises:
        InvalidPort: in docker's words.
    """
    address, host, container = _split_publish(text)
    ports, protocol = _split_protocol(container)
    if not ports:
        raise InvalidPort(f"no port specified: {text}<empty>")
    if address and not is_address(address):
        raise InvalidPort(f"invalid IP address: {address}")
    first, last = _parse_range(ports, "containerPort")
    if first == 0:
        raise InvalidPort(f"invalid containerPort: {ports}")
    host_first, host_last = _parse_range(host, "hostPort") if host else (0, 0)
    if protocol not in PROTOCOLS:
        raise InvalidPort(f"invalid proto: {protocol}")
    if first == last and host_first != host_last:
        return (PortMapping(first, protocol, address, host_first, host_last),)
    if host and last - first != host_last - host_first:
        raise InvalidPort(
            f"invalid ranges specified for container and host Ports: {ports} and {host}"
        )
    return tuple(
        PortMapping(port, protocol, address, host_first + port - first if host_first else 0)
        for port in range(first, last + 1)
    )


def format_publish(mapping: PortMapping) -> str:
    """Return the text of which parse_publish() makes `mapping`."""
    host = str(mapping.host_port or "")
    if mapping.last_host_port:
        host = f"{host}-{mapping.last_host_port}"
    address = f"{_bracketed(mapping.host_ip)}:" if mapping.host_ip else ""
    return f"{address}{host}:{mapping.port}" if address or host else mapping.port


def parse_exposed(text: str) -> tuple[tuple[int, str], ...]:
    """Return the (port, protocol) pairs of ``80``, ``53/udp`` or ``80-82/tcp``.

    Raises:
        InvalidPort: in docker's words.
    """
    ports, protocol = _split_protocol(text)
    try:
        first, last = _parse_range(ports, "port")
    except InvalidPort as e:
        raise InvalidPort(f"invalid range format for --expose: {text}") from e
    if protocol not in PROTOCOLS:
        raise InvalidPort(f"invalid proto: {protocol}")
    return tuple((port, protocol) for port in range(first, last + 1))


def plan_bindings(
    publish: Iterable[PortMapping], publish_all: bool, exposed: Iterable[str]
) -> tuple[PortMapping, ...]:
    """Return all that is to be published, each once; host ports may still be 0.

    With `publish_all` an exposed port (``80/tcp``) that `publish` does not name gets a free
    port of all addresses.
    """
    planned = dict.fromkeys(publish)
    if publish_all:
        named = {(mapping.container_port, mapping.protocol) for mapping in planned}
        for port in dict.fromkeys(pair for text in exposed for pair in parse_exposed(text)):
            if port not in named:
                planned[PortMapping(*port)] = None
    return tuple(planned)


def describe(mappings: Sequence[PortMapping], exposed: Sequence[str]) -> str:
    """Return the PORTS column of docker ps for a running container.

    Runs of ports that are the same outside and inside are joined, then come the mappings whose
    sides differ: ``53/udp, 0.0.0.0:90-91->90-91/tcp, 0.0.0.0:18081->81/tcp``.
    """
    published = {(mapping.container_port, mapping.protocol) for mapping in mappings}
    inside = {pair for text in exposed for pair in parse_exposed(text)} - published
    same = [m for m in mappings if m.host_port == m.container_port]
    different = [m for m in mappings if m.host_port != m.container_port]
    ports = [(port, "", protocol) for port, protocol in inside]
    ports += [(m.container_port, m.host_ip or ANY_ADDRESS, m.protocol) for m in same]
    shown = [_format_run(*run) for run in _runs(sorted(ports))]
    shown += [
        f"{m.binding}->{m.port}"
        for m in sorted(different, key=lambda m: (m.container_port, m.host_ip, m.host_port))
    ]
    return ", ".join(shown)


def is_address(text: str) -> bool:
    """Tell whether `text` is an IPv4 or IPv6 address."""
    from minidock.linux.sockets import (  # most commands parse no address
        AF_INET,
        AF_INET6,
        inet_pton,
    )

    try:
        inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def _runs(ports: Sequence[tuple[int, str, str]]) -> Iterator[tuple[str, str, int, int]]:
    """Yield (address, protocol, first, last) of consecutive ports.

    As in docker a run that is broken comes before all that last to the end.
    """
    open_runs: dict[tuple[str, str], tuple[int, int]] = {}
    for port, address, protocol in ports:
        first, last = open_runs.get((address, protocol), (port, port - 1))
        if port > last + 1:
            yield (address, protocol, first, last)
            first = port
        open_runs[address, protocol] = (first, port)
    for (address, protocol), (first, last) in open_runs.items():
        yield (address, protocol, first, last)


def _format_run(address: str, protocol: str, first: int, last: int) -> str:
    ports = str(first) if first == last else f"{first}-{last}"
    outside = f"{_bracketed(address)}:{ports}->" if address else ""
    return f"{outside}{ports}/{protocol}"


def _split_publish(text: str) -> tuple[str, str, str]:
    rest, _, container = text.rpartition(":")
    address, _, host = rest.rpartition(":")
    if address.startswith("["):
        if not address.endswith("]"):
            raise InvalidPort(f"invalid IP address: {address}")
        address = address[1:-1]
    return address, host, container


def _split_protocol(text: str) -> tuple[str, str]:
    ports, _, protocol = text.partition("/")
    return ports, protocol.lower() or "tcp"


def _parse_range(text: str, what: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    low = _parse_port(first)
    high = _parse_port(last) if dash else low
    if low is None or high is None or high < low or (dash and low == 0):
        raise InvalidPort(f"invalid {what}: {text}")
    return low, high


def _parse_port(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > 5:
        return None
    port = int(text)
    return port if port <= MAX_PORT else None


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
