# SPDX-License-Identifier: Apache-2.0
"""Values as Go's fmt package writes them: https://pkg.go.dev/fmt."""

import re
from collections.abc import Iterable, Iterator, Mapping

from minidock.annotations import Any
from minidock.values import NamedTuple

_MAX_WIDTH = 1_000_000
"""Of a printed value; fmt has the same limit."""


def type_name(value: Any) -> str:
    """Return the Go type that a JSON value would have."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float64"
        case str():
            return "string"
        case Mapping():
            return "map[string]interface {}"
        case list() | tuple():
            return "[]interface {}"
    return "func"


def plain(value: Any) -> str:
    """Return `value` as ``%v`` writes it: ``[a b]``, ``map[a:1 b:2]``, ``<nil>``."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case float():
            return _shortest(value)
        case Mapping():
            pairs = (f"{key}:{plain(value[key])}" for key in sorted(value))
            return f"map[{' '.join(pairs)}]"
        case list() | tuple():
            return f"[{' '.join(map(plain, value))}]"
    return str(value)


def sprint(values: Iterable[Any]) -> str:
    """Return `values` in a row, a space between two of which none is a string (Go's Sprint)."""
    parts: list[str] = []
    after_string = True
    for value in values:
        is_string = isinstance(value, str)
        if parts and not after_string and not is_string:
            parts.append(" ")
        parts.append(plain(value))
        after_string = is_string
    return "".join(parts)


def quote(text: str) -> str:
    """Return `text` as a Go string literal."""
    return f'"{"".join(map(_escaped, text))}"'


_ESCAPES = {c: f"\\{e}" for c, e in zip('\a\b\f\n\r\t\v\\"', 'abfnrtv\\"', strict=True)}


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code & 0xFF:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_NOT_NUMBERS = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}


def _shortest(value: float) -> str:
    """Return the fewest digits that tell `value` from its neighbours, as Go's ``%v``."""
    if str(value) in _NOT_NUMBERS:
        return _NOT_NUMBERS[str(value)]
    digits = next(n for n in range(17) if n == 16 or float(f"{value:.{n}e}") == value)
    text = f"{value:.{digits}e}"
    exponent = int(text.partition("e")[2])
    if -4 <= exponent < 6:
        return f"{value:.{max(digits - exponent, 0)}f}"
    return text


class _Verb(NamedTuple):
    flags: str
    width: int
    precision: int | None
    letter: str


_VERB = re.compile(
    r"%(?P<flags>[-+# 0]*)(?P<width>\*|[0-9]*)(?:\.(?P<precision>\*|[0-9]*))?(?P<letter>.|\Z)",
    re.DOTALL,
)


def sprintf(format: str, values: Iterable[Any]) -> str:
    """Return `format` with its verbs filled in; what does not fit is told in the text."""
    rest = iter(values)
    text = _VERB.sub(lambda match: _fill(match, rest), format)
    extra = ", ".join(f"{type_name(value)}={plain(value)}" for value in rest)
    return f"{text}%!(EXTRA {extra})" if extra else text


def _fill(match: re.Match[str], rest: Iterator[Any]) -> str:
    letter = match["letter"]
    if not letter:
        return "%!(NOVERB)"
    flags, width, precision = match["flags"], _number(match["width"], rest), None
    if match["precision"] is not None:
        precision = _number(match["precision"] or "0", rest)
        if precision is None:
            return "%!(BADPREC)"
    if width is None:
        return "%!(BADWIDTH)"
    if width < 0:
        flags, width = f"{flags}-", -width
    if letter == "%":
        return "%"
    for value in rest:
        return _formatted(value, _Verb(flags, width, precision, letter))
    return f"%!{letter}(MISSING)"


def _number(text: str, rest: Iterator[Any]) -> int | None:
    """Return a width or precision; None if it is too large or, for ``*``, not a number."""
    number = next(rest, None) if text == "*" else int((text or "0")[:10])
    valid = isinstance(number, int) and abs(number) <= _MAX_WIDTH
    return number if valid else None


def _formatted(value: Any, verb: _Verb) -> str:
    match value:
        case _ if verb.letter == "T":
            return _padded(type_name(value), verb)
        case Mapping() if verb.letter != "T":
            pairs = ((_formatted(k, verb), _formatted(value[k], verb)) for k in sorted(value))
            return f"map[{' '.join(f'{key}:{item}' for key, item in pairs)}]"
        case list() | tuple():
            return f"[{' '.join(_formatted(item, verb) for item in value)}]"
        case None:
            return _padded("<nil>" if verb.letter == "v" else f"%!{verb.letter}(<nil>)", verb)
        case bool():
            text = plain(value) if verb.letter in "tv" else None
        case int():
            text = _integer(value, verb)
        case float():
            text = _real(value, verb)
        case str():
            text = _string(value, verb)
        case _:
            text = None
    if text is None:
        return f"%!{verb.letter}({type_name(value)}={plain(value)})"
    return _padded(text, verb)


def _padded(text: str, verb: _Verb) -> str:
    if "-" in verb.flags:
        return text.ljust(verb.width)
    if "0" not in verb.flags or verb.letter in "TU":
        return text.rjust(verb.width)
    sign = text[:1] if text[:1] in ("-", "+") and verb.letter not in "sqv" else ""
    return sign + text[len(sign) :].rjust(verb.width - len(sign), "0")


def _integer(value: int, verb: _Verb) -> str | None:
    prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"} if "#" in verb.flags else {}
    sign = "-" if value < 0 else _sign(verb)
    match verb.letter:
        case "v" | "d" | "x" | "X" | "o" | "b":
            digits = format(abs(value), verb.letter.replace("v", "d"))
            return (
                f"{sign}{prefix.get(verb.letter, '')}{digits.rjust(verb.precision or 0, '0')}"
            )
        case "c" | "q":
            valid = 0 <= value < 0x110000 and not 0xD800 <= value < 0xE000
            character = chr(value) if valid else "\ufffd"
            if verb.letter == "c":
                return character
            return f"'{_escaped(character) if character not in chr(34) else character}'"
        case "U":
            return f"U+{value:04X}"
    return None


def _real(value: float, verb: _Verb) -> str | None:
    letter = verb.letter
    if letter in "vgG" and verb.precision is None:
        text = _shortest(value)
    elif letter in "vgGeEfF":
        precision = 6 if verb.precision is None else verb.precision
        text = format(value, f".{precision}{'g' if letter == 'v' else letter}")
    else:
        return None
    return text if text.startswith(("-", "+")) else _sign(verb) + text


def _sign(verb: _Verb) -> str:
    if "+" in verb.flags:
        return "+"
    return " " if " " in verb.flags else ""


def _string(value: str, verb: _Verb) -> str | None:
    text = value if verb.precision is None else value[: verb.precision]
    match verb.letter:
        case "s" | "v":
            return quote(text) if verb.letter == "v" and "#" in verb.flags else text
        case "q":
            return quote(text)
        case "x" | "X":
            utf8 = text.encode(errors="surrogatepass")
            digits = utf8.hex(" ") if " " in verb.flags else utf8.hex()
            return digits.upper() if verb.letter == "X" else digits
    return None
