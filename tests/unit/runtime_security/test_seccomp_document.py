# SPDX-License-Identifier: Apache-2.0
"""The filter as another runtime reads it decides as our own."""

import functools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidock.linux.capabilities import DOCKER_DEFAULT, mask
from minidock.linux.syscalls import MACHINES, numbers
from minidock.runtime import seccomp
from minidock.runtime.seccomp_document import Inexpressible, document
from minidock.runtime.seccomp_policy import (
    ALLOW,
    DEFAULT,
    ERRNO,
    INT_BITS,
    Condition,
    Policy,
    Rule,
)
from tests.unit.runtime_security.bpf import Call, run

KERNEL = (6, 1)
SETS = (0, DOCKER_DEFAULT, mask(["CAP_SYS_ADMIN"]))
ABIS = [(machine, abi) for machine, abis in MACHINES.items() for abi in abis]

own = functools.cache(seccomp.compile_default)


@functools.cache
def others(machine: str, capabilities: int) -> bytes:
    """Return what is compiled of the default policy's document."""
    made = json.loads(json.dumps(document(DEFAULT, machine, capabilities, KERNEL)))
    return seccomp.compile_object(made, machine, KERNEL)


words = st.integers(0, 64) | st.integers(0, 0xFFFFFFFF)
values = st.builds(lambda high, low: high << 32 | low, st.just(0) | words, words)
calls = st.sampled_from(("socket", "clone", "personality", "clone3", "mount", "read", "ptrace"))


@given(st.sampled_from(ABIS), st.sampled_from(SETS), calls, st.lists(values, max_size=6))
def test_same_decisions(place, capabilities: int, name: str, arguments: list[int]) -> None:
    """No call is allowed by the document that our filter refuses, and hardly one less."""
    machine, abi = place
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    number = numbers(abi.name).get(name)
    if number is None:
        return
    call = Call(abi.audit, number, padded)
    expected = run(own(machine, capabilities, KERNEL), call).action
    if name == "socket" and padded[0] >> 32:
        # The kernel cuts the argument off, libseccomp compares it whole: stricter here.
        assert run(others(machine, capabilities), call).action in (expected, DEFAULT.default)
    else:
        assert run(others(machine, capabilities), call).action == expected


@pytest.mark.parametrize("value", [0, 1, 40, 41, 0xFFFFFFFE, 0xFFFFFFFF])
def test_greater_than_on_a_half(value: int) -> None:
    """The equalities that stand for a comparison hold where it does."""
    rule = Rule(("read",), ALLOW, (Condition(0, "gt", value, INT_BITS),))
    policy = Policy(ERRNO | 1, ("x86_64",), (rule,))
    made = document(policy, "x86_64", 0, KERNEL)
    program = seccomp.compile_object(made, "x86_64", KERNEL)
    abi = MACHINES["x86_64"][0]
    number = numbers("x86_64")["read"]
    for low in (0, 1, 39, 40, 41, 42, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF):
        for high in (0, 1 << 32):
            action = run(program, Call(abi.audit, number, (high | low, 0, 0, 0, 0, 0))).action
            assert (action == ALLOW) == (low > value), low


def test_what_has_no_form_is_refused() -> None:
    """A comparison that no list of equalities is raises instead of becoming another."""
    condition = Condition(0, "ge", 5, INT_BITS)
    policy = Policy(ERRNO | 1, ("x86_64",), (Rule(("read",), ALLOW, (condition,)),))
    with pytest.raises(Inexpressible):
        document(policy, "x86_64", 0, KERNEL)


def test_document_is_cached(tmp_path) -> None:
    """The second call reads what the first has written; a damaged file is made again."""
    first = seccomp.default_document(str(tmp_path), "x86_64", 0, KERNEL)
    (file,) = tmp_path.iterdir()
    assert seccomp.default_document(str(tmp_path), "x86_64", 0, KERNEL) == first
    file.write_text("{")
    assert seccomp.default_document(str(tmp_path), "x86_64", 0, KERNEL) == first
