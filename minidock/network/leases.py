# SPDX-License-Identifier: Apache-2.0
"""Which container has which address and ports: one JSON file for each bridge.

::

    {"wanted": "172.29.0.0/16", "subnet": "172.29.0.0/16",
     "leases": {container: endpoint, ...}, "leaving": {interface: address, ...}}

`wanted` is the configured subnet, `subnet` the one that was free. An endpoint that is released
is `leaving` while its interface on the host exists: the kernel takes some 15 ms to clean up a
network namespace, in which the address still answers. The file is read and written
under the bridge's lock and need not survive a power loss: neither do bridges and containers.
"""

import json
from collections.abc import Callable, Mapping

from minidock.annotations import Any
from minidock.fs.atomic import read_file, write_file
from minidock.network.ports import PortMapping
from minidock.values import NamedTuple


class Endpoint(NamedTuple):
    """A container's place in a bridge.

    `prefix` is the subnet's length in bits, `mac` has colons, `bindings` have their host ports,
    `veth` is the interface on the host.
    """

    container_id: str
    address: str
    prefix: int
    gateway: str
    mac: str
    bindings: tuple[PortMapping, ...]
    veth: str

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Endpoint":
        """Return the endpoint that to_json() wrote."""
        return cls(
            container_id=value["containerId"],
            address=value["address"],
            prefix=value["prefix"],
            gateway=value["gateway"],
            mac=value["mac"],
            bindings=tuple(PortMapping.from_json(item) for item in value["bindings"]),
            veth=value["veth"],
        )

    def to_json(self) -> dict[str, object]:
        """Return a JSON object."""
        return {
            "containerId": self.container_id,
            "address": self.address,
            "prefix": self.prefix,
            "gateway": self.gateway,
            "mac": self.mac,
            "bindings": [mapping.to_json() for mapping in self.bindings],
            "veth": self.veth,
        }


class Leases(NamedTuple):
    """The state of a bridge; `subnet` is empty before the first lease."""

    wanted: str = ""
    subnet: str = ""
    endpoints: Mapping[str, Endpoint] = {}
    leaving: Mapping[str, str] = {}

    @property
    def taken(self) -> tuple[str, ...]:
        """The addresses that can't be leased."""
        return (*(each.address for each in self.endpoints.values()), *self.leaving.values())

    def with_endpoint(self, endpoint: Endpoint) -> "Leases":
        """Return the state with `endpoint` added or replaced."""
        return self._replace(endpoints={**self.endpoints, endpoint.container_id: endpoint})

    def without(self, container_id: str) -> "Leases":
        """Return the state with the endpoint of `container_id` leaving."""
        kept = dict(self.endpoints)
        gone = kept.pop(container_id)
        return self._replace(endpoints=kept, leaving={**self.leaving, gone.veth: gone.address})

    def with_leaving(self, exists: Callable[[str], bool]) -> "Leases":
        """Return the state with those leaving only whose interface `exists`."""
        left = {veth: address for veth, address in self.leaving.items() if exists(veth)}
        return self._replace(leaving=left)


def read_leases(path: str) -> Leases:
    """Return the state at `path`, an empty one if there is none.

    A file that a power loss left unreadable counts as none: its bridge and its containers did
    not outlive the power loss either.
    """
    try:
        value = json.loads(read_file(path))
        endpoints = {key: Endpoint.from_json(item) for key, item in value["leases"].items()}
        return Leases(value["wanted"], value["subnet"], endpoints, value["leaving"])
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return Leases()


def write_leases(path: str, leases: Leases) -> None:
    """Replace the state at `path`; raise OSError."""
    value = {
        "wanted": leases.wanted,
        "subnet": leases.subnet,
        "leases": {key: endpoint.to_json() for key, endpoint in leases.endpoints.items()},
        "leaving": dict(leases.leaving),
    }
    write_file(path, json.dumps(value).encode(), durable=False)
