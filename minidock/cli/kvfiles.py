# SPDX-License-Identifier: Apache-2.0
"""Environment variables and labels, from flags and from line files.

The rules of the files are docker's: blanks at the start of a line are dropped, ``#`` starts a
comment only as the first character, and everything after the equals sign is the value, quotes
and all.
"""

from collections.abc import Iterable, Iterator, Mapping

from minidock.errors import InvalidArgument, NotFound, SystemFailure

_BLANKS = " \t\v\f\r\u0085\u00a0"
_BYTE_ORDER_MARK = "\ufeff"


def read_environment(
    files: Iterable[str], flags: Iterable[str], host: Mapping[str, str]
) -> tuple[str, ...]:
    """Return ``NAME=value`` texts: of the files, then of the flags, which win.

    A name without a value takes that of `host`, and is dropped if it has none.

    Raises:
        NotFound: a file does not exist.
        InvalidArgument: a file breaks the rules.
    """
    variables: dict[str, str] = {}
    for name, value in _pairs(files, flags, "env"):
        if value is not None:
            variables[name] = value
        elif name in host:
            variables[name] = host[name]
    return tuple(f"{name}={value}" for name, value in variables.items())


def read_labels(files: Iterable[str], flags: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the labels of the files and of the flags, which win; errors as above."""
    labels = {name: value or "" for name, value in _pairs(files, (), "label")}
    return labels | dict(flags)


def _pairs(
    files: Iterable[str], flags: Iterable[str], what: str
) -> Iterator[tuple[str, str | None]]:
    for path in files:
        yield from _read(path, what)
    for text in flags:
        yield _split(text)


def _split(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    return name, value if equals else None


def _read(path: str, what: str) -> Iterator[tuple[str, str | None]]:
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except FileNotFoundError:
        raise NotFound(f"open {path}: no such file or directory") from None
    except OSError as e:
        raise SystemFailure.of("open", e) from e
    try:
        text = raw.decode()
    except UnicodeDecodeError as e:
        number = raw.count(b"\n", 0, e.start) + 1
        raise InvalidArgument(f"invalid {what} file ({path}): line {number} is no UTF-8") from e
    for line in text.removeprefix(_BYTE_ORDER_MARK).split("\n"):
        stripped = line.removesuffix("\r").lstrip(_BLANKS)
        if stripped and not stripped.startswith("#"):
            name, value = _split(stripped)
            _check_name(name, stripped, f"invalid {what} file ({path})")
            yield name, value


def _check_name(name: str, line: str, where: str) -> None:
    if not name:
        raise InvalidArgument(f"{where}: no variable name on line '{line}'")
    if any(blank in name for blank in _BLANKS):
        raise InvalidArgument(f"{where}: variable '{name}' contains whitespaces")
