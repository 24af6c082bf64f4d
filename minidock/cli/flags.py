# SPDX-License-Identifier: Apache-2.0
"""Flags as docker declares and parses them (Go's pflag library).

Switches take a value only behind an equals sign (``--rm=false``, ``-d=true``), a short flag's
value may follow one (``-m=text``), switches combine with a last flag that takes a value
(``-itp 80:80``), long flags are never abbreviated, and a command may stop looking for flags at
its first argument.
"""

from collections.abc import Callable, Iterable, Sequence

from minidock.annotations import Any, NoReturn, TypeVar
from minidock.cli.failures import FlagError
from minidock.errors import MinidockError
from minidock.values import NamedTuple

F = TypeVar("F", bound=Callable[..., Any])

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
_HELP = ("--help", "-h")
_DECLARED = "declared_flags"


class HelpRequested(Exception):
    """``--help`` stood where a flag may stand; `flag` is how it was spelt."""

    def __init__(self, flag: str) -> None:
        super().__init__(flag)
        self.flag = flag


class Parsed(NamedTuple):
    """The type of a flag's value: what the help calls it, and how its text is read.

    `parse` raises ValueError or MinidockError; the message becomes docker's
    ``invalid argument "x" for "-n, --last" flag: ...``.
    """

    name: str
    parse: Callable[[str], Any]


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


class Flag:
    """A flag of a command. As a decorator it declares itself for the function below it.

    Attributes:
        spellings: ``-d`` and ``--detach``.
        parameter: the function's keyword argument that gets the value.
        type: of the value, or of each value.
        default: the value when the flag is not there; several are a tuple.
        help: what the command's help says of it.
        kind: what the help calls the value, empty for a switch.
        alone: the text that the flag means without a value; None if it needs one.
        repeated: each time adds a value; otherwise the last one wins.
        hidden: the help does not list it.
    """

    __slots__ = (
        "alone",
        "default",
        "help",
        "hidden",
        "kind",
        "parameter",
        "repeated",
        "spellings",
        "type",
    )

    def __init__(
        self,
        names: tuple[str, ...],
        type: Parsed,
        default: Any,
        help: str,
        *,
        kind: str = "",
        alone: str | None = None,
        repeated: bool = False,
        hidden: bool = False,
    ) -> None:
        self.spellings, self.parameter = _named(names)
        self.type = type
        self.default = default
        self.help = help
        self.kind = kind
        self.alone = alone
        self.repeated = repeated
        self.hidden = hidden

    def __call__(self, function: F) -> F:
        """Declare the flag for `function`; return the function."""
        vars(function).setdefault(_DECLARED, []).append(self)
        return function

    @property
    def long(self) -> str:
        """The long spelling, ``--detach``."""
        return next(name for name in self.spellings if name.startswith("--"))

    @property
    def short(self) -> str:
        """The short spelling, ``-d``; empty if there is none."""
        return next((name for name in self.spellings if not name.startswith("--")), "")

    def read(self, text: str) -> Any:
        """Return the value that `text` stands for; raise FlagError with docker's text."""
        try:
            return self.type.parse(text)
        except (ValueError, MinidockError) as e:
            flag = f"{self.short}, {self.long}" if self.short else self.long
            raise FlagError(f'invalid argument "{text}" for "{flag}" flag: {e}') from e


def declared(function: Callable[..., Any]) -> tuple[Flag, ...]:
    """Return the flags that stand above `function`."""
    return tuple(vars(function).get(_DECLARED, ()))


def switch(*names: str, help: str, default: bool = False, hidden: bool = False) -> Flag:
    """Return a flag that means true when it stands alone, e.g. ``-d, --detach``.

    `names` are its spellings and, if the keyword argument is not to be called as the first
    long one, its name.
    """
    return Flag(names, BOOL, default, help, alone="true", hidden=hidden)


def value(
    *names: str,
    help: str,
    type: Parsed = STRING,
    default: Any = None,
    kind: str = "",
    hidden: bool = False,
) -> Flag:
    """Return a flag with a value; the last one given wins.

    `kind` is what the help calls the value, by default the name of its type.
    """
    if default is None and type is STRING:
        default = ""
    return Flag(names, type, default, help, kind=kind or type.name, hidden=hidden)


def values(
    *names: str, help: str, type: Parsed = STRING, kind: str = "list", hidden: bool = False
) -> Flag:
    """Return a flag that may be repeated; its values come as a tuple."""
    return Flag(names, type, (), help, kind=kind, repeated=True, hidden=hidden)


def _named(names: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Return the spellings among `names`, and the name of the keyword argument."""
    *spellings, last = names
    if not last.startswith("-"):
        return tuple(spellings), last
    long = next(name for name in names if name.startswith("--"))
    return names, long[2:].replace("-", "_")


class Given(NamedTuple):
    """What a command line says: the value of each flag by parameter, and the arguments."""

    flags: dict[str, Any]
    arguments: tuple[str, ...]


def parse(words: Sequence[str], flags: Iterable[Flag], *, interspersed: bool) -> Given:
    """Return what `words` say; flags that are not there have their default.

    Without `interspersed` the first argument ends the flags, as for ``run``.

    Raises:
        FlagError: a flag is unknown, lacks its value, or has a wrong one.
        HelpRequested: at ``--help``, or ``-h`` where that is no other flag.
    """
    return _Parser(words, flags, interspersed).parse()


class _Parser:
    def __init__(self, words: Sequence[str], flags: Iterable[Flag], interspersed: bool) -> None:
        self._words = list(reversed(words))
        self._interspersed = interspersed
        self._flags: dict[str, Flag] = {}
        self._values: dict[str, Any] = {}
        for flag in flags:
            self._values[flag.parameter] = flag.default
            for spelling in flag.spellings:
                self._flags[spelling] = flag

    def parse(self) -> Given:
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
        return Given(self._values, (*arguments, *reversed(self._words)))

    def _long(self, word: str) -> None:
        name, equals, text = word.partition("=")
        if name == "--" or name.startswith("---"):
            raise FlagError(f"bad flag syntax: {word}")
        flag = self._flags.get(name)
        if flag is None:
            self._unknown(name, f"unknown flag: {name}")
        elif equals:
            self._add(flag, text)
        elif flag.alone is not None:
            self._add(flag, flag.alone)
        else:
            self._add(flag, self._next(f"flag needs an argument: {name}"))

    def _short(self, word: str) -> None:
        rest = word[1:]
        while rest:
            letter, rest = rest[0], rest[1:]
            flag = self._flags.get(f"-{letter}")
            cluster = f"-{letter}{rest}"
            if flag is None:
                self._unknown(f"-{letter}", f"unknown shorthand flag: '{letter}' in {cluster}")
            elif rest.startswith("=") and len(rest) > 1:
                self._add(flag, rest[1:])
                return
            elif flag.alone is not None:
                self._add(flag, flag.alone)
            else:
                missing = f"flag needs an argument: '{letter}' in {cluster}"
                self._add(flag, rest.removeprefix("=") if rest else self._next(missing))
                return

    def _next(self, missing: str) -> str:
        if not self._words:
            raise FlagError(missing)
        return self._words.pop()

    def _unknown(self, flag: str, message: str) -> NoReturn:
        if flag in _HELP:
            raise HelpRequested(flag)
        raise FlagError(message)

    def _add(self, flag: Flag, text: str) -> None:
        its_value = flag.read(text)
        if flag.repeated:
            its_value = (*self._values[flag.parameter], its_value)
        self._values[flag.parameter] = its_value
