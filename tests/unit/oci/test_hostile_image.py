# SPDX-License-Identifier: Apache-2.0
"""Image configs that nobody's builder writes."""

import json

import pytest

from minidock.errors import DataCorrupted
from minidock.oci.image import Image


@pytest.mark.parametrize(
    "config",
    [
        {"Env": [1]},
        {"Env": "A=1"},
        {"Env": ["A=\0"]},
        {"Cmd": ["\ud800"]},
        {"Cmd": {"a": "b"}},
        {"Entrypoint": [None]},
        {"User": 0},
        {"User": "a\0b"},
        {"WorkingDir": ["/"]},
        {"WorkingDir": "/\0"},
        {"ExposedPorts": ["80/tcp"]},
        {"Volumes": "x"},
        {"Volumes": {"/a\0b": {}}},
        {"Volumes": {"/\ud800": {}}},
        {"Labels": ["a"]},
        {"StopSignal": 9},
    ],
)
def test_config_that_can_not_be_meant(config: dict[str, object]) -> None:
    """A wrong type, or a text that execve(2) can't take, is one clear error."""
    with pytest.raises(DataCorrupted, match="invalid"):
        Image.from_json(json.dumps({"config": config}).encode())
