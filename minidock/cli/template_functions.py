# SPDX-License-Identifier: Apache-2.0
"""The functions of templates: Go's own and those that docker adds."""

import itertools
import json
import re
from collections.abc import Callable, Mapping

from minidock.annotations import Any
from minidock.cli.template_text import plain, sprint, sprintf, type_name
from minidock.values import NamedTuple

_MAX_PAD = 1_000_000


class FunctionError(Exception):
    """A function can't do what it is asked; the evaluator tells which and where."""


class Function(NamedTuple):
    """A function, the Go types of its arguments, and whether the last may be repeated."""

    call: Callable[..., Any]
    types: tuple[str, ...]
    variadic: bool = False


def has_type(value: Any, type: str) -> bool:
    """Tell whether `value` may be an argument of the Go type `type`."""
    match type:
        case "string":
            return isinstance(value, str)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "[]string":
            return isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
    return True


def truth(value: Any) -> bool:
    """Return what ``if`` makes of `value`: nothing, zero and empty are false."""
    return bool(value)


def visible(value: Any) -> Any:
    """Return `value` without what can only be called: the methods of a row."""
    if not isinstance(value, Mapping):
        return value
    return {key: item for key, item in value.items() if not callable(item)}


def to_json(value: Any) -> str:
    """Return `value` as Go's encoder writes it: compact, with sorted keys."""
    text = json.dumps(visible(value), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _length(value: Any) -> int:
    match value:
        case None:  # of an inspected object it stands for an empty list or map
            return 0
        case str():
            return len(_utf8(value))
        case list() | tuple() | Mapping():
            return len(value)
    raise FunctionError(f"len of type {type_name(value)}")


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        match value:
            case None:
                raise FunctionError("index of untyped nil")
            case Mapping():
                value = _entry(value, key)
            case list() | tuple():
                value = value[_position(key, len(value) - 1)]
            case str():
                text = _utf8(value)
                value = text[_position(key, len(text) - 1)]
            case _:
                raise FunctionError(f"can't index item of type {type_name(value)}")
    return value


def _entry(value: Mapping[str, Any], key: Any) -> Any:
    if key is None:
        raise FunctionError("value is nil; should be of type string")
    if not isinstance(key, str):
        raise FunctionError(f"value has type {type_name(key)}; should be string")
    return value[key] if key in value else _zero(value)


def _zero(value: Mapping[str, Any]) -> Any:
    """Return the zero value of a map's elements.

    Docker knows their type; here the first value tells, and without one a label is assumed.
    """
    match next((item for item in value.values() if item is not None), ""):
        case str():
            return ""
        case bool():
            return False
        case int() | float():
            return 0
        case list() | tuple():
            return []
    return None


def _position(key: Any, last: int) -> int:
    if not has_type(key, "int"):
        raise FunctionError(f"cannot index slice/array with {_kind(key)}")
    if not 0 <= key <= last:
        raise FunctionError(f"index out of range: {key}")
    return int(key)


def _kind(key: Any) -> str:
    return "nil" if key is None else f"type {type_name(key)}"


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, str | list | tuple):
        raise FunctionError(f"can't slice item of type {type_name(value)}")
    if len(bounds) > 3:
        raise FunctionError(f"too many slice indexes: {len(bounds)}")
    if len(bounds) == 3 and isinstance(value, str):
        raise FunctionError("cannot 3-index slice a string")
    whole = _utf8(value) if isinstance(value, str) else value
    positions = [0, len(whole)]
    for i, bound in enumerate(bounds):
        position = _position(bound, len(whole))
        positions[i : i + 1] = [position]
    for lower, upper in itertools.pairwise(positions):
        if lower > upper:
            raise FunctionError(f"invalid slice index: {lower} > {upper}")
    part = whole[positions[0] : positions[1]]
    return part.decode(errors="replace") if isinstance(part, bytes) else part


def _utf8(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _basic_kind(value: Any) -> str:
    name = type_name(value)
    return name if name in ("bool", "int", "float64", "string") else ""


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise FunctionError("missing argument for comparison")
    return any(_same(first, other) for other in others)


def _same(first: Any, other: Any) -> bool:
    if first is None or other is None:
        return first is other
    if _basic_kind(first) != _basic_kind(other):
        raise FunctionError("incompatible types for comparison")
    if not _basic_kind(first):
        raise FunctionError(f"non-comparable type {plain(visible(first))}: {type_name(first)}")
    return bool(first == other)


def _unequal(first: Any, other: Any) -> bool:
    return not _same(first, other)


def _less(first: Any, other: Any) -> bool:
    kind = _basic_kind(first)
    if kind in ("", "bool") or _basic_kind(other) in ("", "bool"):
        raise FunctionError("invalid type for comparison")
    if kind != _basic_kind(other):
        raise FunctionError("incompatible types for comparison")
    return bool(first < other)


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


def _pad(text: str, before: int, after: int) -> str:
    if not text:
        return text
    if not (0 <= before <= _MAX_PAD and 0 <= after <= _MAX_PAD):
        raise FunctionError(f"width out of range: {before}, {after}")
    return " " * before + text + " " * after


def _truncate(text: str, length: int) -> str:
    if length < 0:
        raise FunctionError(f"length out of range: {length}")
    return text[:length]


_WORD = re.compile(r"\b\w")


def _title(text: str) -> str:
    return _WORD.sub(lambda match: match[0].upper(), text)


def _print_line(*values: Any) -> str:
    return " ".join(map(plain, values)) + "\n"


LAZY = frozenset(("and", "or"))
"""Functions whose arguments are evaluated one after the other as long as it matters."""

FUNCTIONS: dict[str, Function] = {
    "and": Function(lambda *values: values[-1], ("any", "any"), variadic=True),
    "or": Function(lambda *values: values[-1], ("any", "any"), variadic=True),
    "not": Function(lambda value: not truth(value), ("any",)),
    "len": Function(_length, ("any",)),
    "index": Function(_index, ("any", "any"), variadic=True),
    "slice": Function(_slice, ("any", "any"), variadic=True),
    "print": Function(lambda *values: sprint(values), ("any",), variadic=True),
    "printf": Function(
        lambda format, *values: sprintf(format, values), ("string", "any"), variadic=True
    ),
    "println": Function(_print_line, ("any",), variadic=True),
    "eq": Function(_equal, ("any", "any"), variadic=True),
    "ne": Function(_unequal, ("any", "any")),
    "lt": Function(_less, ("any", "any")),
    "le": Function(lambda a, b: not _less(b, a), ("any", "any")),
    "gt": Function(lambda a, b: _less(b, a), ("any", "any")),
    "ge": Function(lambda a, b: not _less(a, b), ("any", "any")),
    "json": Function(to_json, ("any",)),
    "split": Function(_split, ("string", "string")),
    "join": Function(lambda texts, separator: separator.join(texts), ("[]string", "string")),
    "title": Function(_title, ("string",)),
    "lower": Function(str.lower, ("string",)),
    "upper": Function(str.upper, ("string",)),
    "pad": Function(_pad, ("string", "int", "int")),
    "truncate": Function(_truncate, ("string", "int")),
}

HEADER_FUNCTIONS: Mapping[str, Function] = FUNCTIONS | {
    "json": Function(lambda text: text, ("string",)),
    "title": Function(lambda text: text, ("string",)),
    "lower": Function(lambda text: text, ("string",)),
    "upper": Function(lambda text: text, ("string",)),
    "truncate": Function(lambda text, _length: text, ("string", "int")),
}
"""For the header of a table, whose words docker leaves as they are."""
