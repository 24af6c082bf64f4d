# SPDX-License-Identifier: Apache-2.0
"""The tokens of a Go template.

Grammar: https://pkg.go.dev/text/template. Error texts are Go's, for scripts look for them.
"""

import re
from collections.abc import Iterator

from minidock.values import NamedTuple

_SPACES = " \t\r\n"

_OPEN = re.compile(r"\{\{-[ \t\r\n]")
_CLOSE = r"[ \t\r\n]+-\}\}|\}\}"
_COMMENT_END = re.compile(_CLOSE)
_TOKEN = re.compile(
    rf"""
      (?P<close>{_CLOSE})
    | (?P<space>[ \t\r\n]+)
    | (?P<string>"(?:\\.|[^"\\\n])*(?P<string_end>")?)
    | (?P<raw>`[^`]*(?P<raw_end>`)?)
    | (?P<char>'(?:\\.|[^'\\\n])*(?P<char_end>')?)
    | (?P<number>[+-]?\.?[0-9](?:(?<=[eEpP])[+-]|[\w.])*|[+-])
    | (?P<field>\.[^\W\d]\w*)
    | (?P<variable>\$\w*)
    | (?P<keyword>(?:if|else|end|range|with|break|continue|define|block|template)(?!\w))
    | (?P<bool>(?:true|false)(?!\w))
    | (?P<nil>nil(?!\w))
    | (?P<word>[^\W\d]\w*)
    | (?P<assign>:?=)
    | (?P<sign>[\x20-\x7e])
    """,
    re.VERBOSE,
)
_NAMES = frozenset(("field", "variable", "keyword", "bool", "nil", "word"))
_AFTER_NAME = re.compile(r"[\s.,|:)(]|\}\}|\Z")
_UNFINISHED = {
    "string": "unterminated quoted string",
    "raw": "unterminated raw quoted string",
    "char": "unterminated character constant",
}


class Token(NamedTuple):
    """A piece of the source at `pos`; of kind ``error``, `text` is what is wrong there."""

    kind: str
    text: str
    pos: int


def tokenize(source: str) -> list[Token]:
    """Return the tokens of `source`; the last one is of kind ``eof`` or ``error``."""
    return list(_scan(source))


def _scan(source: str) -> Iterator[Token]:
    pos, trim = 0, False
    while (begin := source.find("{{", pos)) >= 0:
        opening = _OPEN.match(source, begin)
        after = opening.end() if opening else begin + 2
        yield from _text(source, pos, begin, left=trim, right=after > begin + 2)
        tokens = _comment(source, after) or list(_action(source, begin, after))
        yield from (token for token in tokens if token.kind != "comment")
        last = tokens[-1]
        if last.kind == "error":
            return
        pos, trim = last.pos + len(last.text), last.text != "}}"
    yield from _text(source, pos, len(source), left=trim, right=False)
    yield Token("eof", "", len(source))


def _text(source: str, begin: int, end: int, *, left: bool, right: bool) -> Iterator[Token]:
    while left and begin < end and source[begin] in _SPACES:
        begin += 1
    while right and begin < end and source[end - 1] in _SPACES:
        end -= 1
    if begin < end:
        yield Token("text", source[begin:end], begin)


def _comment(source: str, pos: int) -> list[Token]:
    if not source.startswith("/*", pos):
        return []
    end = source.find("*/", pos + 2)
    if end < 0:
        return [Token("error", "unclosed comment", pos)]
    close = _COMMENT_END.match(source, end + 2)
    if close is None:
        return [Token("error", "comment ends before closing delimiter", pos)]
    return [Token("comment", close[0], end + 2)]


def _action(source: str, begin: int, pos: int) -> Iterator[Token]:
    yield Token("open", "{{", begin)
    parentheses = 0
    while pos < len(source):
        match = _TOKEN.match(source, pos)
        if match is None:
            yield Token(
                "error", f"unrecognized character in action: {_named(source[pos])}", pos
            )
            return
        parentheses += {"(": 1, ")": -1}.get(match[0], 0)
        problem = _problem(match, parentheses)
        if problem:
            yield Token("error", problem, pos)
            return
        kind = match.lastgroup or ""
        yield Token(match[0] if kind == "sign" else kind, match[0], pos)
        if kind == "close":
            return
        pos = match.end()
    yield Token("error", "unclosed action", len(source))


def _problem(match: re.Match[str], parentheses: int) -> str:
    kind, text = match.lastgroup or "", match[0]
    if parentheses < 0:
        return "unexpected right paren"
    if kind == "close" and parentheses:
        return "unclosed left paren"
    if kind in _NAMES and not _AFTER_NAME.match(match.string, match.end()):
        return f"bad character {_named(match.string[match.end()])}"
    if kind in _UNFINISHED and not match[f"{kind}_end"]:
        return _UNFINISHED[kind]
    if text in ("+", "-"):
        return f'bad number syntax: "{text}"'
    return ""


def _named(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return f"{code} '{character}'" if character.isprintable() else code
