# SPDX-License-Identifier: Apache-2.0
"""Which bridge a state directory has."""

from minidock.engine.ending import bridge_name


def test_usual_root_has_the_usual_bridge() -> None:
    """The bridge of most machines has a name that people can know."""
    assert bridge_name("/var/lib/minidock") == "minidock0"


def test_other_roots_have_bridges_of_their_own() -> None:
    """Two roots never fight over one bridge; the names fit into IFNAMSIZ."""
    names = {bridge_name(f"/tmp/root-{number}") for number in range(100)}
    assert len(names) == 100
    assert max(map(len, names)) <= 15
