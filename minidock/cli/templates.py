# SPDX-License-Identifier: Apache-2.0
"""Go templates as ``--format`` uses them: https://pkg.go.dev/text/template.

What is formatted are trees of JSON values, and the rows of listings, which may have methods
(``{{.Label "key"}}``): values that can be called.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from minidock.annotations import Any
from minidock.cli.template_functions import (
    FUNCTIONS,
    HEADER_FUNCTIONS,
    LAZY,
    Function,
    FunctionError,
    has_type,
    truth,
    visible,
)
from minidock.cli.template_parser import (
    Block,
    Chain,
    Command,
    Constant,
    Field,
    Jump,
    Node,
    Operand,
    Pipe,
    TemplateError,
    Text,
    Variable,
    parse,
)
from minidock.cli.template_parser import Function as Name
from minidock.cli.template_text import plain, quote, type_name

__all__ = ["Template", "TemplateError", "compile_template"]

_MAX_STEPS = 1_000_000
"""Iterations of all loops of a template: ``{{range 1000000000}}`` ends with an error."""

_MAX_TEXT = 1 << 24
"""Characters of one value: doubling a text in a loop ends with an error."""

_ANY_ROW = "formatter.Context"


class Template:
    """A template that has been understood."""

    def __init__(self, source: str, nodes: tuple[Node, ...]) -> None:
        self._source = source
        self._nodes = nodes

    def render(self, value: Any, *, row_type: str = "") -> str:
        """Return the template filled with `value`.

        `row_type` is the Go type of which an error speaks when `value` lacks a field; without
        it `value` is a map.

        Raises:
            TemplateError: `value` does not have what the template asks for.
        """
        return self._run(_Execution(self._source, value, FUNCTIONS, row_type))

    def render_header(self, titles: Mapping[str, Any]) -> str:
        """Return the header of a table of which this template makes the rows.

        Raises:
            TemplateError: the template asks for more than `titles`.
        """
        return self._run(_Execution(self._source, titles, HEADER_FUNCTIONS, _ANY_ROW))

    def _run(self, execution: "_Execution") -> str:
        try:
            return execution.run(self._nodes)
        except RecursionError:  # the value is too deep, templates can't be
            raise TemplateError(':1:0: executing "": value nested too deeply') from None


def compile_template(text: str) -> Template:
    """Return the template `text`; raise TemplateError if it is malformed."""
    return Template(text, parse(text, FUNCTIONS))


class _Jumped(Exception):
    """``break`` or ``continue`` on the way to its loop."""

    def __init__(self, keyword: str) -> None:
        super().__init__(keyword)
        self.keyword = keyword


class _Execution:
    """One filling of a template: the variables and the text so far."""

    def __init__(
        self, source: str, value: Any, functions: Mapping[str, Function], row_type: str
    ) -> None:
        self._source = source
        self._root = value
        self._functions = functions
        self._row_type = row_type
        self._variables: list[tuple[str, Any]] = [("$", value)]
        self._steps = 0
        self._out: list[str] = []

    def run(self, nodes: tuple[Node, ...]) -> str:
        """Return the text that `nodes` make."""
        self._walk(nodes, self._root)
        return "".join(self._out)

    def _walk(self, nodes: tuple[Node, ...], dot: Any) -> None:
        for node in nodes:
            match node:
                case Text(text):
                    self._out.append(text)
                case Pipe():
                    value = self._pipe(node, dot)
                    if not node.variables:
                        self._out.append(_printed(value))
                case Block():
                    known = len(self._variables)
                    self._block(node, dot)
                    del self._variables[known:]
                case Jump(keyword):
                    raise _Jumped(keyword)

    def _block(self, block: Block, dot: Any) -> None:
        if block.keyword == "range":
            self._range(block, dot)
            return
        value = self._pipe(block.pipe, dot)
        inner = value if block.keyword == "with" else dot
        if truth(value):
            self._walk(block.body, inner)
        else:
            self._walk(block.otherwise, dot)

    def _range(self, block: Block, dot: Any) -> None:
        value = self._pipe(block.pipe._replace(variables=()), dot)
        known = len(self._variables)
        empty = True
        for pair in self._pairs(block.pipe, value):
            empty = False
            self._count(block.pipe)
            names = block.pipe.variables
            self._assign(block.pipe, zip(names, pair[2 - len(names) :], strict=True))
            try:
                self._walk(block.body, pair[1])
            except _Jumped as jump:
                if jump.keyword == "break":
                    break
            finally:
                del self._variables[known:]
        if empty:
            self._walk(block.otherwise, dot)

    def _pairs(self, pipe: Pipe, value: Any) -> Iterable[tuple[Any, Any]]:
        match value:
            case None:
                return ()
            case list() | tuple():
                return enumerate(value)
            case Mapping():
                return ((key, value[key]) for key in sorted(visible(value)))
            case int() if not isinstance(value, bool):
                if len(pipe.variables) > 1:
                    raise self._error(
                        pipe, f"can't use {value} to iterate over more than one variable"
                    )
                return ((i, i) for i in range(value))
        raise self._error(pipe, f"range can't iterate over {plain(value)}")

    def _count(self, pipe: Pipe) -> None:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise self._error(pipe, f"more than {_MAX_STEPS} iterations")

    def _assign(self, pipe: Pipe, values: Iterable[tuple[str, Any]]) -> None:
        for name, value in values:
            if pipe.declares:
                self._variables.append((name, value))
            else:
                self._variables[self._place(name)] = (name, value)

    def _place(self, name: str) -> int:
        """Return where the innermost variable of that name is; the parser has seen to it."""
        last = len(self._variables) - 1
        return next(i for i in range(last, -1, -1) if self._variables[i][0] == name)

    def _pipe(self, pipe: Pipe, dot: Any) -> Any:
        final: tuple[Any, ...] = ()
        for command in pipe.commands:
            final = (self._command(command, dot, final),)
        self._assign(pipe, ((name, final[0]) for name in pipe.variables))
        return final[0]

    def _command(self, command: Command, dot: Any, final: tuple[Any, ...]) -> Any:
        first, *rest = command.operands
        match first:
            case Name():
                return self._call(command, dot, final)
            case Field() | Chain() | Variable():
                arguments = (*(self._operand(operand, dot) for operand in rest), *final)
                return self._chain(first, dot, arguments)
            case Constant(_, _, None):
                raise self._error(first, "nil is not a command")
        if rest or final:
            raise self._error(first, f"can't give argument to non-function {first.source}")
        return self._operand(first, dot)

    def _operand(self, operand: Operand, dot: Any) -> Any:
        match operand:
            case Constant():
                return operand.value
            case Pipe():
                return self._pipe(operand, dot)
            case Name(pos, source):
                return self._call(Command(pos, source, (operand,)), dot, ())
        return self._chain(operand, dot, ())

    def _chain(
        self, node: Field | Chain | Variable, dot: Any, arguments: tuple[Any, ...]
    ) -> Any:
        match node:
            case Field():
                value = dot
            case Chain():
                value = self._pipe(node.pipe, dot)
            case Variable():
                value = self._variables[self._place(node.name)][1]
        if arguments and not node.names:
            raise self._error(node, f"can't give argument to non-function {node.source}")
        for i, name in enumerate(node.names):
            is_last = i == len(node.names) - 1
            value = self._member(node, value, name, arguments if is_last else ())
        return value

    def _member(self, node: Operand, value: Any, name: str, arguments: tuple[Any, ...]) -> Any:
        if value is None:
            raise self._error(node, f"nil pointer evaluating interface {{}}.{name}")
        if not isinstance(value, Mapping):
            raise self._error(node, f"can't evaluate field {name} in type {type_name(value)}")
        if name not in value:
            raise self._error(node, self._missing(value, name))
        member = value[name]
        if callable(member):
            return self._method(node, name, member, arguments)
        if arguments:
            raise self._error(node, f"{name} has arguments but cannot be invoked as function")
        return member

    def _missing(self, value: Any, name: str) -> str:
        if self._row_type and value is self._root:
            return f"can't evaluate field {name} in type *{self._row_type}"
        return f"map has no entry for key {quote(name)}"

    def _method(
        self, node: Operand, name: str, method: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> Any:
        try:
            return method(*arguments)
        except TypeError:
            raise self._error(node, f"wrong arguments for {name}") from None

    def _call(self, command: Command, dot: Any, final: tuple[Any, ...]) -> Any:
        name = command.operands[0]
        function = self._functions[name.source]
        self._check_number(name, function, len(command.operands) - 1 + len(final))
        arguments = self._arguments(command, function, dot, final)
        try:
            result = function.call(*arguments)
        except FunctionError as e:
            raise self._error(command, f"error calling {name.source}: {e}") from e
        if isinstance(result, str) and len(result) > _MAX_TEXT:
            raise self._error(command, f"error calling {name.source}: text too long")
        return result

    def _arguments(
        self, command: Command, function: Function, dot: Any, final: tuple[Any, ...]
    ) -> list[Any]:
        name, *operands = command.operands
        arguments: list[Any] = []
        for node, value in self._evaluated(name, operands, dot, final):
            place = min(len(arguments), len(function.types) - 1)
            self._check_type(node, value, function.types[place])
            arguments.append(value)
            if name.source in LAZY and truth(value) == (name.source == "or"):
                break
        return arguments

    def _evaluated(
        self, name: Operand, operands: list[Operand], dot: Any, final: tuple[Any, ...]
    ) -> Iterator[tuple[Operand, Any]]:
        for operand in operands:
            yield operand, self._operand(operand, dot)
        for value in final:
            yield name, value

    def _check_number(self, name: Operand, function: Function, number: int) -> None:
        wanted = len(function.types) - function.variadic
        if number == wanted or (function.variadic and number > wanted):
            return
        least = "at least " if function.variadic else ""
        raise self._error(
            name, f"wrong number of args for {name.source}: want {least}{wanted} got {number}"
        )

    def _check_type(self, node: Operand, value: Any, type: str) -> None:
        if has_type(value, type):
            return
        if not isinstance(node, Constant):
            raise self._error(
                node, f"wrong type for value; expected {type}; got {type_name(value)}"
            )
        if value is None:
            raise self._error(node, f"cannot assign nil to {type}")
        expected = type.replace("int", "integer")
        raise self._error(node, f"expected {expected}; found {node.source}")

    def _error(self, node: Operand | Command, problem: str) -> TemplateError:
        line = self._source.count("\n", 0, node.pos) + 1
        column = node.pos - (self._source.rfind("\n", 0, node.pos) + 1)
        where = f':{line}:{column}: executing "" at <{node.source}>'
        return TemplateError(f"{where}: {problem}")


def _printed(value: Any) -> str:
    return "<no value>" if value is None else plain(visible(value))
