# SPDX-License-Identifier: Apache-2.0
"""A state directory whose containers attack, and what on the host they must not reach."""

import os
import sys
from collections.abc import Iterator

import pytest

from tests.fakes.registry import FakeRegistry
from tests.hostile.victims import Canary, Guarded
from tests.system.conftest import network  # noqa: F401


@pytest.fixture(scope="module")
def registry(network: None) -> Iterator[FakeRegistry]:  # noqa: F811
    with FakeRegistry() as fake:
        yield fake


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, registry: FakeRegistry
) -> Iterator[Guarded]:
    words = [sys.executable, "-m", "minidock"]
    place = Guarded(str(tmp_path_factory.mktemp("hostile") / "state"), registry, words)
    place.add("base")
    yield place
    place.clear()
    place.assert_clean()


@pytest.fixture
def canary(tmp_path: os.PathLike[str]) -> Canary:
    return Canary(f"{os.fspath(tmp_path)}/canary")
