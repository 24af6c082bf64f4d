# SPDX-License-Identifier: Apache-2.0
"""Command lines in the manner of runc and crun, parsed without a library for the start's sake.

Options go before the operands; a value follows its option or a ``=``; one dash is as good as
two. What comes after the first operand is not looked at.
"""

from collections.abc import Iterable, Sequence

from minidock.errors import InvalidArgument
from minidock.values import NamedTuple

_TRUE = ("true", "1", "")
_FALSE = ("false", "0")


class UsageError(InvalidArgument):
    """The command line can't be meant."""


class Option(NamedTuple):
    """An option by its names, without dashes; the first one is its key.

    `flag` says that it has no value. `many` values are collected.
    """

    names: tuple[str, ...]
    flag: bool = False
    many: bool = False


class Arguments(NamedTuple):
    """What was given: options by key, each with its values, and the operands."""

    options: dict[str, list[str]]
    operands: tuple[str, ...]

    def text(self, key: str, missing: str = "") -> str:
        """Return the last value of an option."""
        return self.options.get(key, [missing])[-1]

    def texts(self, key: str) -> tuple[str, ...]:
        """Return all values of an option."""
        return tuple(self.options.get(key, ()))

    def given(self, key: str) -> bool:
        """Tell whether a flag is set."""
        return self.text(key, "false") in _TRUE


def parse(words: Sequence[str], options: Iterable[Option]) -> Arguments:
    """Return what `words` say; raise UsageError."""
    known = {name: option for option in options for name in option.names}
    found: dict[str, list[str]] = {}
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        name, has_value, value = word.lstrip("-").partition("=")
        option = known.get(name)
        if option is None:
            raise UsageError(f"flag provided but not defined: -{name}")
        if option.flag:
            if value not in (*_TRUE, *_FALSE):
                raise UsageError(f'invalid boolean value "{value}" for -{name}')
        elif not has_value:
            if not rest:
                raise UsageError(f"flag needs an argument: -{name}")
            value = rest.pop(0)
        found.setdefault(option.names[0], []).append(value)
    return Arguments(found, tuple(rest))


def flag(*names: str) -> Option:
    """Return an option without a value."""
    return Option(names, flag=True)


def value(*names: str) -> Option:
    """Return an option with a value."""
    return Option(names)
