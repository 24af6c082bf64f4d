# SPDX-License-Identifier: Apache-2.0
"""The tree of a Go template, without ``define``, ``block`` and ``template``."""

import re
from collections.abc import Collection

from minidock.annotations import Literal
from minidock.cli.template_lexer import Token, tokenize
from minidock.errors import InvalidArgument
from minidock.values import NamedTuple

_MAX_DEPTH = 60
"""Of parentheses and blocks in each other: each level is several calls of the interpreter."""

_MAX_INT = 2**63


class TemplateError(InvalidArgument):
    """A template can't be understood, or asks for what there is not; the text is docker's."""

    def __init__(self, text: str) -> None:
        super().__init__(f"template parsing error: template: {text}")


class Text(NamedTuple):
    """What is printed as it stands."""

    text: str


class Constant(NamedTuple):
    """A literal."""

    pos: int
    source: str
    value: str | int | float | bool | None


class Field(NamedTuple):
    """``.A.B`` of the current value; without names the current value itself."""

    pos: int
    source: str
    names: tuple[str, ...]


class Variable(NamedTuple):
    """``$x.A.B``."""

    pos: int
    source: str
    name: str
    names: tuple[str, ...]


class Chain(NamedTuple):
    """``(pipeline).A.B``."""

    pos: int
    source: str
    pipe: "Pipe"
    names: tuple[str, ...]


class Function(NamedTuple):
    """The name of a function."""

    pos: int
    source: str


class Command(NamedTuple):
    """An operand, or a function or method with its arguments."""

    pos: int
    source: str
    operands: "tuple[Operand, ...]"


class Pipe(NamedTuple):
    """Commands, each taking the value before it as last argument, and where the value goes."""

    pos: int
    source: str
    variables: tuple[str, ...]
    declares: bool
    commands: tuple[Command, ...]


class Block(NamedTuple):
    """``if``, ``with`` or ``range`` up to its ``end``."""

    keyword: str
    pipe: Pipe
    body: "tuple[Node, ...]"
    otherwise: "tuple[Node, ...]"


class Jump(NamedTuple):
    """``break`` or ``continue``."""

    keyword: str


Operand = Constant | Field | Variable | Chain | Function | Pipe
Node = Text | Pipe | Block | Jump

_MALFORMED = {"string": "invalid syntax", "char": "malformed character constant: {}"}
_OPERANDS = frozenset(
    ("bool", "char", ".", "field", "word", "number", "nil", "raw", "string", "variable", "(")
)


def parse(source: str, functions: Collection[str]) -> tuple[Node, ...]:
    """Return the tree of `source`, which may use `functions`; raise TemplateError."""
    return _Parser(source, functions).parse()


class _Parser:
    def __init__(self, source: str, functions: Collection[str]) -> None:
        self._source = source
        self._functions = functions
        self._tokens = tokenize(source)
        self._at = 0
        self._variables = ["$"]
        self._loops = 0
        self._depth = 0

    def parse(self) -> tuple[Node, ...]:
        nodes = self._nodes()
        token = self._next()
        if token.kind != "eof":
            raise self._error(f"unexpected {{{{{token.text}}}}}")
        return nodes

    def _nodes(self) -> tuple[Node, ...]:
        """Parse up to and without the ``end``, ``else`` or end of text, which is next."""
        nodes: list[Node] = []
        while True:
            token = self._peek()
            match token.kind:
                case "text":
                    nodes.append(Text(self._next().text))
                case "open":
                    self._next()
                    if self._peek(skip=True).text in ("end", "else"):
                        return tuple(nodes)
                    nodes.append(self._action())
                case "eof":
                    return tuple(nodes)
                case _:
                    raise self._unexpected(token, "input")

    def _action(self) -> Node:
        token = self._peek(skip=True)
        if token.kind != "keyword":
            return self._pipe("command", "close")
        self._next()
        match token.text:
            case "if" | "with" | "range":
                return self._block(token.text)
            case "break" | "continue":
                self._expect("close", f"{{{{{token.text}}}}}")
                if not self._loops:
                    raise self._error(f"{{{{{token.text}}}}} outside {{{{range}}}}")
                return Jump(token.text)
        raise self._unexpected(token, "command")

    def _block(self, keyword: str) -> Block:
        self._enter()
        known = len(self._variables)
        pipe = self._pipe(keyword, "close")
        self._loops += keyword == "range"
        body = self._nodes()
        self._loops -= keyword == "range"
        otherwise = self._otherwise(keyword)
        del self._variables[known:]
        self._depth -= 1
        return Block(keyword, pipe, body, otherwise)

    def _otherwise(self, keyword: str) -> tuple[Node, ...]:
        if self._is_end():
            return ()
        chained = self._peek(skip=True)
        if chained.text == keyword and keyword in ("if", "with"):
            self._next()
            return (self._block(keyword),)
        self._expect("close", "else")
        nodes = self._nodes()
        if not self._is_end():
            raise self._error("expected end; found {{else}}")
        return nodes

    def _is_end(self) -> bool:
        """Consume ``end`` with its braces, or ``else`` without."""
        token = self._next(skip=True)
        if token.kind == "eof":
            raise self._error("unexpected EOF")
        if token.text == "end":
            self._expect("close", "end")
        return token.text == "end"

    def _pipe(self, context: str, end: Literal["close", ")"]) -> Pipe:
        begin = self._peek(skip=True).pos
        variables, declares = self._declarations(context)
        commands: list[Command] = []
        while (token := self._peek(skip=True)).kind != end:
            if token.kind not in _OPERANDS:
                raise self._unexpected(token, context)
            commands.append(self._command())
        source = self._since(begin)
        self._next(skip=True)
        if not commands:
            raise self._error(f"missing value for {context}")
        for stage, command in enumerate(commands[1:], 2):
            if isinstance(command.operands[0], Constant) or command.operands[0].source == ".":
                raise self._error(f"non executable command in pipeline stage {stage}")
        return Pipe(begin, source, variables, declares, tuple(commands))

    def _declarations(self, context: str) -> tuple[tuple[str, ...], bool]:
        names: list[str] = []
        while (token := self._peek(skip=True)).kind == "variable":
            start = self._at
            self._next(skip=True)
            after = self._peek(skip=True)
            if after.kind == "assign":
                self._next(skip=True)
                self._name(names, token.text, declares=after.text == ":=")
                return tuple(names), after.text == ":="
            if after.kind != ",":
                self._at = start
                break
            self._next(skip=True)
            names.append(token.text)
            if context != "range" or len(names) > 1:
                raise self._error(f"too many declarations in {context}")
        if names:
            raise self._error("range can only initialize variables")
        return (), False

    def _name(self, names: list[str], last: str, *, declares: bool) -> None:
        names.append(last)
        for name in names:
            if not declares:
                self._check_variable(name)
        self._variables.extend(names)

    def _check_variable(self, name: str) -> None:
        if name not in self._variables:
            raise self._error(f'undefined variable "{name}"')

    def _command(self) -> Command:
        begin = self._peek(skip=True).pos
        operands: list[Operand] = []
        while (token := self._peek(skip=True)).kind in _OPERANDS:
            operands.append(self._operand())
            token = self._peek()
            if token.kind != "space":
                break
        source = self._since(begin)
        token = self._peek(skip=True)
        if token.kind == "|":
            self._next(skip=True)
        elif token.kind not in ("close", ")"):
            raise self._unexpected(token, "operand")
        return Command(begin, source, tuple(operands))

    def _operand(self) -> Operand:
        term = self._term()
        names: list[str] = []
        pos = self._peek().pos
        while self._peek().kind == "field":
            names.append(self._next().text[1:])
        if not names:
            return term
        source = self._since(term.pos)
        match term:
            case Field(_, _, own) if own:
                return Field(pos, source, (*own, *names))
            case Variable(start, _, name):
                return Variable(start, source, name, tuple(names))
            case Pipe():
                return Chain(pos, source, term, tuple(names))
        raise self._error(f"unexpected . after term {_quoted(term.source)}")

    def _term(self) -> Operand:
        token = self._next(skip=True)
        match token.kind:
            case "word":
                if token.text not in self._functions:
                    raise self._error(f'function "{token.text}" not defined')
                return Function(token.pos, token.text)
            case ".":
                return Field(token.pos, token.text, ())
            case "field":
                return Field(token.pos, token.text, (token.text[1:],))
            case "variable":
                self._check_variable(token.text)
                return Variable(token.pos, token.text, token.text, ())
            case "(":
                self._enter()
                pipe = self._pipe("parenthesized pipeline", ")")
                self._depth -= 1
                return pipe._replace(pos=token.pos, source=self._since(token.pos))
        return Constant(token.pos, token.text, self._constant(token))

    def _constant(self, token: Token) -> str | int | float | bool | None:
        match token.kind:
            case "bool":
                return token.text == "true"
            case "nil":
                return None
            case "raw":
                return token.text[1:-1]
            case "number":
                return self._number(token.text)
        text = _unquote(token.text)
        if text is None or (token.kind == "char" and len(text) != 1):
            raise self._error(_MALFORMED[token.kind].format(token.text))
        return ord(text) if token.kind == "char" else text

    def _number(self, text: str) -> int | float:
        number = _parse_number(text)
        if number is None:
            raise self._error(f"bad number syntax: {_quoted(text)}")
        if number in (float("inf"), float("-inf")):
            raise self._error(f"illegal number syntax: {_quoted(text)}")
        if isinstance(number, int) and not -_MAX_INT <= number < _MAX_INT:
            raise self._error(f"integer overflow: {_quoted(text)}")
        return number

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error(f"more than {_MAX_DEPTH} nested parentheses and blocks")

    def _next(self, *, skip: bool = False) -> Token:
        token = self._peek(skip=skip)
        if self._at < len(self._tokens) - 1:
            self._at += 1
        return token

    def _peek(self, *, skip: bool = False) -> Token:
        while skip and self._tokens[self._at].kind == "space":
            self._at += 1
        return self._tokens[self._at]

    def _expect(self, kind: str, context: str) -> None:
        token = self._next(skip=True)
        if token.kind != kind:
            raise self._unexpected(token, context)

    def _since(self, begin: int) -> str:
        last = self._tokens[self._at - 1]
        return self._source[begin : last.pos + len(last.text)].rstrip()

    def _unexpected(self, token: Token, context: str) -> TemplateError:
        if token.kind == "error":
            raise self._error(token.text)
        text = (
            f"<{token.text}>" if token.kind in ("keyword", ".", "nil") else _quoted(token.text)
        )
        return self._error(f"unexpected {text if token.kind != 'eof' else 'EOF'} in {context}")

    def _error(self, problem: str) -> TemplateError:
        line = self._source.count("\n", 0, self._tokens[self._at].pos) + 1
        return TemplateError(f":{line}: {problem}")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_NUMBER = re.compile(
    r"[+-]?(?:(?P<octal>0_?[0-7][0-7_]*)"
    r"|(?P<int>0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|0|[1-9][0-9_]*)"
    r"|(?P<float>(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?))"
)


def _parse_number(text: str) -> int | float | None:
    match = _NUMBER.fullmatch(text)
    if match is None or len(text) > 100:
        return None
    try:
        if match["octal"]:
            return int(text, 8)
        return int(text, 0) if match["int"] else float(text)
    except ValueError:  # underscores in the wrong places
        return None


_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)|[^\\]+")
_SIMPLE_ESCAPES = dict(zip("abfnrtv\\", b"\a\b\f\n\r\t\v\\", strict=True))


def _unquote(text: str) -> str | None:
    """Return a literal's text without escapes, as Go's strconv.Unquote; None if malformed."""
    parts = [_unescape(match[0], text[0]) for match in _ESCAPE.finditer(text[1:-1])]
    if None in parts:
        return None
    return b"".join(part for part in parts if part is not None).decode(errors="surrogateescape")


def _unescape(text: str, quote: str) -> bytes | None:
    kind, digits = text[1:2], text[2:]
    if not text.startswith("\\"):
        return text.encode(errors="surrogateescape")
    if kind in _SIMPLE_ESCAPES or kind == quote:
        return bytes((_SIMPLE_ESCAPES.get(kind, ord(kind)),))
    if kind == "x" and digits:
        return bytes((int(digits, 16),))
    if kind in "01234567" and digits:
        return bytes((int(text[1:], 8) & 0xFF,))
    if kind in "uU" and digits:
        code = int(digits, 16)
        valid = code < 0xD800 or 0xDFFF < code < 0x110000
        return chr(code).encode() if valid else None
    return None
