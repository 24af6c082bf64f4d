# SPDX-License-Identifier: Apache-2.0
"""The state of a bridge on disk."""

from pathlib import Path

import pytest

from minidock.network.leases import Endpoint, Leases, read_leases, write_leases
from minidock.network.ports import PortMapping

ENDPOINT = Endpoint(
    container_id="a" * 64,
    address="172.29.0.2",
    prefix=16,
    gateway="172.29.0.1",
    mac="02:42:ac:1d:00:02",
    bindings=(PortMapping(80, "tcp", "127.0.0.1", 8080),),
    veth="veth01234567",
)
LEASES = Leases("172.29.0.0/16", "172.30.0.0/16").with_endpoint(ENDPOINT)


def test_endpoint_survives_json() -> None:
    """from_json(to_json(x)) == x."""
    assert Endpoint.from_json(ENDPOINT.to_json()) == ENDPOINT


def test_leases_are_read_as_written(tmp_path: Path) -> None:
    """Both with an endpoint and with one that is leaving."""
    path = str(tmp_path / "b.json")
    for leases in (LEASES, LEASES.without(ENDPOINT.container_id)):
        write_leases(path, leases)
        assert read_leases(path) == leases


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"leases": {"a": {}}}'])
def test_unreadable_state_counts_as_none(tmp_path: Path, content: str) -> None:
    """What a power loss may leave does not stop the next start."""
    path = tmp_path / "b.json"
    path.write_text(content)
    assert read_leases(str(path)) == Leases()


def test_address_is_taken_until_the_interface_is_gone() -> None:
    """A released endpoint keeps its address while the kernel still answers for it."""
    leaving = LEASES.without(ENDPOINT.container_id)
    assert leaving.endpoints == {}
    assert leaving.taken == (ENDPOINT.address,)
    assert leaving.with_leaving(lambda veth: veth == ENDPOINT.veth) == leaving
    assert leaving.with_leaving(lambda _veth: False).taken == ()
