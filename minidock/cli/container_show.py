# SPDX-License-Identifier: Apache-2.0
"""``port`` and ``diff``."""

from minidock.cli.command import command
from minidock.cli.output import out, printable
from minidock.cli.session import Session
from minidock.engine.views import PortView
from minidock.errors import NotFound
from minidock.network.ports import parse_exposed


@command(
    "List port mappings or a specific mapping for the container",
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    (1, 2),
    "container port",
    "port",
)
def port(session: Session, /, arguments: tuple[str, ...]) -> None:
    """Print the published ports, or where one of them is published."""
    name, *rest = arguments
    ports = session.engine.containers.port(name)
    if not rest:
        for view in ports:
            out(f"{view.container_port}/{view.protocol} -> {_address(view)}")
        return
    wanted = parse_exposed(rest[0])
    found = [view for view in ports if (view.container_port, view.protocol) in wanted]
    if not found:
        raise NotFound(f"No public port '{rest[0]}' published for {name}")
    for view in found:
        out(_address(view))


def _address(view: PortView) -> str:
    host = f"[{view.host_ip}]" if ":" in view.host_ip else view.host_ip
    return f"{host}:{view.host_port}"


@command(
    "Inspect changes to files or directories on a container's filesystem",
    "CONTAINER",
    (1, 1),
    "container diff",
    "diff",
)
def diff(session: Session, /, arguments: tuple[str, ...]) -> None:
    """Print what the container added (A), changed (C) and deleted (D)."""
    (name,) = arguments
    for change in session.engine.containers.diff(name):
        out(f"{change.kind} {printable(change.path, keep='')}")
