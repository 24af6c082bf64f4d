# SPDX-License-Identifier: Apache-2.0
"""Flags as docker parses them (the pflag library), in front of click's parser.

What differs from click: switches take a value (``--rm=false``, ``-d=true``), a short flag's
value may follow an equals sign (``-m=text``), switches combine with a last flag that takes a
value (``-itp 80:80``), long flags are never abbreviated, and a command may stop looking for
flags at its first argument. So `normalise` rewrites every flag as ``--long=value``, which both
parsers understand alike.
"""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import click

from minidock.cli.failures import FlagError
from minidock.errors import MinidockError
from minidock.values import NamedTuple

F = TypeVar("F", bound=Callable[..., Any])

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
_HELP = ("--help", "-h")


class HelpRequested(Exception):
    """``--help`` stood where a flag may stand; `flag` is how it was spelt."""

    def __init__(self, flag: str) -> None:
        super().__init__(flag)
        self.flag = flag


class Parsed(click.ParamType):  # type: ignore[type-arg]
    """A click type made of a function that parses a text.

    The function raises ValueError or MinidockError; the message becomes docker's
    ``invalid argument "x" for "-n, --last" flag: ...``.
    """

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self.parse = parse

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Parse `value` unless it is a default, which is parsed already."""
        if not isinstance(value, str):
            return value
        try:
            return self.parse(value)
        except (ValueError, MinidockError) as e:
            assert isinstance(param, click.Option)
            flag = ", ".join((*short_name(param), long_name(param)))
            raise FlagError(f'invalid argument "{value}" for "{flag}" flag: {e}', ctx) from e


def parse_bool(text: str) -> bool:
    """Return what Go's strconv.ParseBool makes of `text`; raise ValueError."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def parse_int(text: str) -> int:
    """Return a decimal integer; raise ValueError with docker's text."""
    digits = text.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


BOOL = Parsed("bool", parse_bool)
INT = Parsed("int", parse_int)
STRING = Parsed("string", str)
OPTIONAL = Parsed("string", str)
"""A text that is None when the flag is not there, where an empty text means something."""


class Switch(click.Option):
    """A flag that means true when it stands alone."""


def switch(
    *names: str, help: str, default: bool = False, hidden: bool = False
) -> Callable[[F], F]:
    """Return a decorator that declares a switch, e.g. ``-d, --detach``."""
    return click.option(
        *names, cls=Switch, type=BOOL, default=default, help=help, hidden=hidden, metavar=""
    )


def value(
    *names: str,
    help: str,
    type: Parsed = STRING,
    default: Any = None,
    kind: str = "",
    hidden: bool = False,
) -> Callable[[F], F]:
    """Return a decorator that declares a flag with a value; the last one given wins.

    `kind` is what the help calls the value, by default the name of its type.
    """
    return click.option(
        *names,
        type=type,
        default="" if default is None and type is STRING else default,
        metavar=kind or type.name,
        help=help,
        hidden=hidden,
    )


def values(
    *names: str, help: str, type: Parsed = STRING, kind: str = "list", hidden: bool = False
) -> Callable[[F], F]:
    """Return a decorator that declares a flag that may be repeated."""
    return click.option(
        *names, multiple=True, type=type, metavar=kind, help=help, hidden=hidden
    )


class Normalised(NamedTuple):
    """A command line in which every flag reads ``--long=value``."""

    flags: tuple[str, ...]
    arguments: tuple[str, ...]


def normalise(
    words: list[str], options: Mapping[str, click.Option], *, interspersed: bool
) -> Normalised:
    """Return `words` in normal form; `options` has every spelling, ``-d`` and ``--detach``.

    Without `interspersed` the first argument ends the flags, as for ``run``.

    Raises:
        FlagError: a flag is unknown or lacks its value.
        HelpRequested: at ``--help``, or ``-h`` where that is no other flag.
    """
    return _Parser(words, options, interspersed).parse()


class _Parser:
    def __init__(
        self, words: list[str], options: Mapping[str, click.Option], interspersed: bool
    ) -> None:
        self._words = words[::-1]
        self._options = options
        self._interspersed = interspersed
        self._flags: list[str] = []

    def parse(self) -> Normalised:
        arguments: list[str] = []
        while self._words:
            word = self._words.pop()
            if word == "--":
                break
            if word.startswith("--"):
                self._long(word)
            elif word.startswith("-") and word != "-":
                self._short(word)
            else:
                arguments.append(word)
                if not self._interspersed:
                    break
        return Normalised(tuple(self._flags), (*arguments, *self._words[::-1]))

    def _long(self, word: str) -> None:
        name, equals, text = word.partition("=")
        if name == "--" or name.startswith("---"):
            raise FlagError(f"bad flag syntax: {word}")
        option = self._options.get(name)
        if option is None:
            self._unknown(name, f"unknown flag: {name}")
        elif equals:
            self._add(option, text)
        elif isinstance(option, Switch):
            self._add(option, "true")
        else:
            self._add(option, self._next(f"flag needs an argument: {name}"))

    def _short(self, word: str) -> None:
        rest = word[1:]
        while rest:
            letter, rest = rest[0], rest[1:]
            option = self._options.get(f"-{letter}")
            cluster = f"-{letter}{rest}"
            if option is None:
                self._unknown(f"-{letter}", f"unknown shorthand flag: '{letter}' in {cluster}")
            elif rest.startswith("=") and len(rest) > 1:
                self._add(option, rest[1:])
                return
            elif isinstance(option, Switch):
                self._add(option, "true")
            else:
                missing = f"flag needs an argument: '{letter}' in {cluster}"
                self._add(option, rest.removeprefix("=") if rest else self._next(missing))
                return

    def _next(self, missing: str) -> str:
        if not self._words:
            raise FlagError(missing)
        return self._words.pop()

    def _unknown(self, flag: str, message: str) -> NoReturn:
        if flag in _HELP:
            raise HelpRequested(flag)
        raise FlagError(message)

    def _add(self, option: click.Option, text: str) -> None:
        self._flags.append(f"{long_name(option)}={text}")


def long_name(option: click.Option) -> str:
    """Return the option's long spelling, e.g. ``--detach``."""
    return next(name for name in option.opts if name.startswith("--"))


def short_name(option: click.Option) -> tuple[str, ...]:
    """Return the option's short spelling, e.g. ``-d``, if it has one."""
    return tuple(name for name in option.opts if not name.startswith("--"))[:1]
