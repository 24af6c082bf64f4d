# SPDX-License-Identifier: Apache-2.0
"""Our NamedTuple does what the standard one does."""

import copy
import pickle
import typing
from typing import Any, Generic, TypeVar

import pytest

from minidock.values import NamedTuple

T = TypeVar("T")


class Ours(NamedTuple):
    """A value."""

    a: int
    b: str = "x"

    @property
    def both(self) -> str:
        return f"{self.a}{self.b}"


class Theirs(typing.NamedTuple):
    """A value."""

    a: int
    b: str = "x"


class Boxed(NamedTuple, Generic[T]):
    """A generic value."""

    value: T


@pytest.mark.parametrize(
    "look",
    [
        lambda cls: tuple(cls(1)),
        lambda cls: cls(a=1, b="y") == (1, "y"),
        lambda cls: cls(1)._replace(b="z").b,
        lambda cls: cls(1)._asdict(),
        lambda cls: cls._make([1, "q"]).b,
        lambda cls: cls._fields,
        lambda cls: cls._field_defaults,
        lambda cls: cls.__match_args__,
        lambda cls: hash(cls(1)) == hash((1, "x")),
        lambda cls: repr(cls(1)).partition("(")[2],
        lambda cls: copy.deepcopy(cls(1)) == cls(1),
        lambda cls: pickle.loads(pickle.dumps(cls(1))) == cls(1),
        lambda cls: hasattr(cls(1), "__dict__"),
    ],
)
def test_behaves_as_the_standard_one(look: Any) -> None:
    """Values, defaults, changes, comparisons and copies."""
    assert look(Ours) == look(Theirs)


@pytest.mark.parametrize("make", ["(1, 2, 3)", "()", "(c=1)", "(1, a=2)", "(1)._replace(c=1)"])
def test_refuses_what_the_standard_one_refuses(make: str) -> None:
    """With the same kinds of error."""
    with pytest.raises((TypeError, ValueError)) as theirs:
        eval(f"Theirs{make}")
    with pytest.raises(theirs.type):
        eval(f"Ours{make}")


def test_is_immutable_and_may_have_methods() -> None:
    """A field can't be set; what the class body defines stays."""
    value = Ours(1)
    with pytest.raises(AttributeError):
        value.a = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        value.c = 2  # type: ignore[attr-defined]
    assert value.both == "1x"


def test_may_be_generic() -> None:
    """The value of a document has a type of its own."""
    assert Boxed[int](3).value == 3
    assert isinstance(Boxed(3), tuple)
