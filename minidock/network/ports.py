# SPDX-License-Identifier: Apache-2.0
"""Published ports: docker's ``[ip:][host]:container[/proto]`` as values."""

from typing import NamedTuple


class PortMapping(NamedTuple):
    """One port of the host that leads to one of the container.

    `host_ip` is empty for all addresses; `host_port` 0 asks for a free one.
    """

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0
