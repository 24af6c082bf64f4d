# SPDX-License-Identifier: Apache-2.0
"""Go templates: texts and errors as docker 28.2 gives them for the same templates."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidock.cli.templates import TemplateError, compile_template

DOCUMENT: dict[str, Any] = {
    "Name": "t1",
    "Env": ["A=1", "B=2"],
    "Labels": {"b": "2", "a": "1"},
    "Ports": {"80/tcp": [{"HostPort": "8080"}]},
    "Running": True,
    "Pid": 7,
    "Ratio": 0.5,
    "Health": None,
    "Empty": {},
}


def render(text: str, value: Any = DOCUMENT) -> str:
    return compile_template(text).render(value)


def error(text: str, value: Any = DOCUMENT) -> str:
    with pytest.raises(TemplateError) as caught:
        render(text, value)
    prefix = "template parsing error: template: "
    assert caught.value.message.startswith(prefix)
    return caught.value.message.removeprefix(prefix)


def cases(*pairs: tuple[str, str]) -> Any:
    return pytest.mark.parametrize(("text", "expected"), pairs)


@cases(
    ("", ""),
    ("plain }} text", "plain }} text"),
    ("{{.Name}} {{ .Name }}", "t1 t1"),
    ("a {{- .Name -}} \n b", "at1b"),
    ("x {{- /* }} */ -}} y", "xy"),
    ("x{{/* a\nb */}}y", "xy"),
    ("{{- 3 -}} x", "3x"),
    ('{{"}}"}}', "}}"),
    ("{{`a\\n\nb`}}", "a\\n\nb"),
    (r'{{"\x41\u00e9\101\t\""}}', 'AéA\t"'),
    (r"{{'a'}} {{'\''}} {{'\n'}}", "97 39 10"),
    ("{{0x1F}} {{017}} {{0b11}} {{-5}} {{+5}} {{.5}} {{5.}} {{1_0}}", "31 15 3 -5 5 0.5 5 10"),
    ("{{true}}{{false}}", "truefalse"),
)
def test_text_and_literals(text: str, expected: str) -> None:
    """Text stands as it is, markers trim it, literals have Go's syntax."""
    assert render(text) == expected


@cases(
    ("{{.Env}}", "[A=1 B=2]"),
    ("{{.Labels}}", "map[a:1 b:2]"),
    ("{{.Running}} {{.Pid}} {{.Ratio}}", "true 7 0.5"),
    ("{{.Health}}", "<no value>"),
    ("{{print .Health}}", "<nil>"),
    ("{{.Ports}}", "map[80/tcp:[map[HostPort:8080]]]"),
    ("{{1e5}} {{1e6}} {{123456.5}} {{1.0}}", "100000 1e+06 123456.5 1"),
    ("{{0.00001}} {{123456789.5}}", "1e-05 1.234567895e+08"),
)
def test_default_printing(text: str, expected: str) -> None:
    """Values are printed as Go does it, maps in the order of their keys."""
    assert render(text) == expected


@cases(
    ("{{.Labels.a}}{{$.Labels.b}}", "12"),
    ("{{(index .Ports `80/tcp`)}}", "[map[HostPort:8080]]"),
    ('{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"),
    ('{{"a" | printf "%s-%s" "b"}}', "b-a"),
    ("{{.Name | upper | printf `%q`}}", '"T1"'),
    ("{{$x := .Labels}}{{$x.a}}", "1"),
    ("{{$x := 1}}{{$x = 2}}{{$x}}", "2"),
    ("{{$x := 1}}{{if 1}}{{$x := 2}}{{end}}{{$x}}", "1"),
    ("{{$x := 1}}{{if 1}}{{$x = 2}}{{end}}{{$x}}", "2"),
    ("{{1 |}}", "1"),
)
def test_pipelines_and_variables(text: str, expected: str) -> None:
    """A value goes on as the last argument; variables live in their block."""
    assert render(text) == expected


@cases(
    ("{{if .Running}}a{{else}}b{{end}}", "a"),
    ("{{if .Health}}a{{else if .Empty}}b{{else}}c{{end}}", "c"),
    ("{{with .Labels}}{{.a}}{{$.Name}}{{end}}", "1t1"),
    ("{{with 0}}a{{else with 5}}b{{.}}{{end}}", "b5"),
    ("{{with $x := 5}}{{$x}}{{end}}", "5"),
    ("{{range .Env}}<{{.}}>{{end}}", "<A=1><B=2>"),
    ("{{range $i, $e := .Env}}{{if $i}},{{end}}{{$e}}{{end}}", "A=1,B=2"),
    ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a=1;b=2;"),
    ("{{range $p, $_ := .Ports}}{{$p}}{{end}}", "80/tcp"),
    ("{{range .Empty}}a{{else}}none{{end}}", "none"),
    ("{{range .Health}}a{{else}}none{{end}}", "none"),
    ("{{range 3}}{{.}}{{end}}", "012"),
    (
        "{{range $i := 5}}{{if eq $i 1}}{{continue}}{{else if eq $i 3}}{{break}}{{end}}{{.}}"
        "{{end}}",
        "02",
    ),
    ("{{range $i := 2}}{{range $j := 2}}{{if $j}}{{break}}{{end}}{{$i}}{{end}}{{end}}", "01"),
    ("{{$n := 0}}{{range $n = .Env}}{{end}}{{$n}}", "B=2"),
)
def test_blocks(text: str, expected: str) -> None:
    """Blocks choose, set the dot, and loop."""
    assert render(text) == expected


@cases(
    ("{{not 1}} {{and 1 0}} {{or 0 `x`}} {{and 1 2}}", "false 0 x 2"),
    ("{{or true .Nothing}}{{and false .Nothing}}", "truefalse"),
    ("{{len .Env}}{{len .Labels}}{{len `é`}}{{len .Health}}", "2220"),
    ('{{index .Labels "a"}}{{index .Env 1}}{{index "abc" 1}}', "1B=298"),
    ('{{index .Labels "no"}}|{{index .Empty "no"}}|{{index .Ports "no"}}', "||[]"),
    ('{{slice "abcdef" 1 3}}{{slice "abc" 1}}{{slice .Env 1}}{{slice "ab"}}', "bcbc[B=2]ab"),
    ('{{print 1 2 "a" 3 4}}{{print "a" "b"}}{{print true nil}}', "1 2a3 4abtrue <nil>"),
    ('{{println 1 "a"}}', "1 a\n"),
    ("{{eq 1 1}}{{eq 1 2 1}}{{ne `a` `b`}}{{eq nil nil}}{{eq 1 nil}}", "truetruetruetruefalse"),
    ("{{lt 1 2}}{{le 2 2}}{{gt `b` `a`}}{{ge 1.5 2.5}}", "truetruetruefalse"),
    ("{{json .Labels}}{{json .Health}}", '{"a":"1","b":"2"}null'),
    (r'{{json "<é\u2028"}}', r'"<é\u2028"'),
    ('{{join (split "a,b" ",") "-"}}{{split "abc" ""}}', "a-b[a b c]"),
    ('{{title "hello wOrld a_b c-d"}}', "Hello WOrld A_b C-D"),
    ('{{lower "AÉ"}}{{upper "aé"}}', "aéAÉ"),
    ('{{pad "x" 2 3}}|{{pad "" 2 3}}|', "  x   ||"),
    ('{{truncate "abc" 2}}{{truncate "abc" 9}}', "ababc"),
)
def test_functions(text: str, expected: str) -> None:
    """Go's functions and docker's; lists and maps that are missing are empty."""
    assert render(text) == expected


@cases(
    ('"%d|%5d|%-5d|%05d|%+d|% d|%03d" 5 3 3 42 5 5 -5', "5|    3|3    |00042|+5| 5|-05"),
    ('"%x %X %#x %o %b %c %U %q" 255 255 255 8 5 65 66 65', "ff FF 0xff 10 101 A U+0042 'A'"),
    ('"%s|%5s|%-5s|%.1s|%05s" "a" "ab" "ab" "ab" "ab"', "a|   ab|ab   |a|000ab"),
    ('"%x % x %X" "hello" "hi" "hi"', "68656c6c6f 68 69 6869"),
    (r'"%q" "é\"\x01\u200b\xff\t"', r'"é\"\x01\u200b\xff\t"'),
    (
        '"%.2f|%6.2f|%-6.2f|%06.2f|%e|%g" 3.14159 3.1 3.1 3.1 1.5 1e7',
        "3.14|  3.10|3.10  |003.10|1.500000e+00|1e+07",
    ),
    ('"%t %v %5t|" true false true', "true false  true|"),
    ('"%v %s %q" .Env .Env .Env', '[A=1 B=2] [A=1 B=2] ["A=1" "B=2"]'),
    ('"%v" .Labels', "map[a:1 b:2]"),
    ('"%T %T %T %T %T" 1 "a" true nil 1.5', "int string bool <nil> float64"),
    ('"%*d|%-*d|%.*f" 5 3 4 3 1 2.55', "    3|3   |2.5"),
    ('"%% %d %z" 1 2 3', "% 1 %!z(int=2)%!(EXTRA int=3)"),
    ('"%d %"', "%!d(MISSING) %!(NOVERB)"),
    ('"%d %s %t" "x" 1 1', "%!d(string=x) %!s(int=1) %!t(int=1)"),
    ('"%s %v" nil nil', "%!s(<nil>) <nil>"),
    ('"%99999999999d" 1', "%!(BADWIDTH)%!(EXTRA int=1)"),
)
def test_printf(text: str, expected: str) -> None:
    """Verbs and flags are Go's; what does not fit is told in the text."""
    assert render(f"{{{{printf {text}}}}}") == expected


@cases(
    ("{{.Foo", "unclosed action"),
    ("{{.Foo}", "bad character U+007D '}'"),
    ("{{if}", "bad character U+007D '}'"),
    ("{{end}}", "unexpected {{end}}"),
    ("{{else}}", "unexpected {{else}}"),
    ("{{if .Name}}", "unexpected EOF"),
    ("{{if 1}}a{{else}}b", "unexpected EOF"),
    ("{{if 1}}{{else}}{{else}}{{end}}", "expected end; found {{else}}"),
    ("{{foo}}", 'function "foo" not defined'),
    ('{{"a', "unterminated quoted string"),
    ('{{"a\n"}}', "unterminated quoted string"),
    ("{{'a", "unterminated character constant"),
    ("{{`a", "unterminated raw quoted string"),
    ("{{'ab'}}", "malformed character constant: 'ab'"),
    (r'{{"\q"}}', "invalid syntax"),
    (r'{{"\ud800"}}', "invalid syntax"),
    ("{{1x}}", 'bad number syntax: "1x"'),
    ("{{99999999999999999999}}", 'integer overflow: "99999999999999999999"'),
    ("{{1e400}}", 'illegal number syntax: "1e400"'),
    ("{{(1}}", "unclosed left paren"),
    ("{{1)}}", "unexpected right paren"),
    ("{{@}}", 'unexpected "@" in command'),
    ("{{,}}", 'unexpected "," in command'),
    ("{{\x01}}", "unrecognized character in action: U+0001"),
    ("{{.Name-}}", "bad character U+002D '-'"),
    ("{{$x}}", 'undefined variable "$x"'),
    ("{{if 1}}{{$y := 2}}{{end}}{{$y}}", 'undefined variable "$y"'),
    ("{{}}", "missing value for command"),
    ("{{if}}{{end}}", "missing value for if"),
    ("{{.Name | 1}}", "non executable command in pipeline stage 2"),
    ("{{break}}", "{{break}} outside {{range}}"),
    ("{{if 1}}x{{else 2}}{{end}}", 'unexpected "2" in else'),
    ("{{/* a}}", "unclosed comment"),
    ("{{/* a */ }}", "comment ends before closing delimiter"),
    ('{{"a".b}}', r'unexpected . after term "\"a\""'),
    ("{{nil.x}}", 'unexpected . after term "nil"'),
    ("{{.Name.}}", "unexpected <.> in operand"),
    ('{{"a""b"}}', 'unexpected "\\"b\\"" in operand'),
    ("{{range $a,$b,$c := .}}{{end}}", "too many declarations in range"),
    ("{{$x, $y := 5}}", "too many declarations in command"),
    ("{{range $x, 1 := 5}}{{end}}", "range can only initialize variables"),
)
def test_malformed(text: str, expected: str) -> None:
    """A malformed template is refused with Go's words and the line."""
    assert error(text) == f":1: {expected}"


@cases(
    ("{{.Foo}}", '2: executing "" at <.Foo>: map has no entry for key "Foo"'),
    ("{{.Labels.x}}", '9: executing "" at <.Labels.x>: map has no entry for key "x"'),
    ("{{.Name.x}}", '7: executing "" at <.Name.x>: can\'t evaluate field x in type string'),
    ("{{.Health.x}}", '9: executing "" at <.Health.x>: nil pointer evaluating interface {}.x'),
    (
        "{{.Name 1}}",
        '2: executing "" at <.Name>: Name has arguments but cannot be invoked as function',
    ),
    ("{{1 2}}", '2: executing "" at <1>: can\'t give argument to non-function 1'),
    ("{{nil}}", '2: executing "" at <nil>: nil is not a command'),
    (
        "{{index .Env 9}}",
        '2: executing "" at <index .Env 9>: error calling index: index out of range: 9',
    ),
    (
        "{{index .Env `x`}}",
        '2: executing "" at <index .Env `x`>: error calling index: '
        "cannot index slice/array with type string",
    ),
    (
        "{{index nil 1}}",
        '2: executing "" at <index nil 1>: error calling index: index of untyped nil',
    ),
    (
        "{{index .Labels 1}}",
        '2: executing "" at <index .Labels 1>: error calling index: '
        "value has type int; should be string",
    ),
    ("{{len 3}}", '2: executing "" at <len 3>: error calling len: len of type int'),
    (
        "{{slice `abc` 2 1}}",
        '2: executing "" at <slice `abc` 2 1>: error calling slice: invalid slice index: 2 > 1',
    ),
    ("{{range .Name}}{{end}}", '8: executing "" at <.Name>: range can\'t iterate over t1'),
    (
        "{{eq 1 1.0}}",
        '2: executing "" at <eq 1 1.0>: error calling eq: incompatible types for comparison',
    ),
    (
        "{{lt true false}}",
        '2: executing "" at <lt true false>: error calling lt: invalid type for comparison',
    ),
    ("{{split 1 2}}", '8: executing "" at <1>: expected string; found 1'),
    (
        "{{lower .Pid}}",
        '8: executing "" at <.Pid>: wrong type for value; expected string; got int',
    ),
    (
        "{{join .Name `,`}}",
        '7: executing "" at <.Name>: wrong type for value; expected []string; got string',
    ),
    ("{{pad nil 1 1}}", '6: executing "" at <nil>: cannot assign nil to string'),
    ("{{pad 1}}", '2: executing "" at <pad>: wrong number of args for pad: want 3 got 1'),
    (
        "{{printf}}",
        '2: executing "" at <printf>: wrong number of args for printf: want at least 1 got 0',
    ),
)
def test_impossible(text: str, expected: str) -> None:
    """What can't be done is told with Go's words, the place and the expression."""
    assert error(text) == f":1:{expected}"


def test_lines() -> None:
    """Errors count lines, and columns within them."""
    assert error("a\n\n{{x}}") == ':3: function "x" not defined'
    assert error("a\n{{ .Foo }}").startswith(':2:3: executing "" at <.Foo>')


def test_rows() -> None:
    """A row may have methods, which JSON and the dot don't show, and a type."""
    row = {"ID": "1", "Label": {"a": "x"}.get}
    assert render('{{.ID}} {{.Label "a"}} {{"a" | .Label}}', row) == "1 x x"
    assert render("{{json .}} {{.}}", row) == '{"ID":"1"} map[ID:1]'
    with pytest.raises(TemplateError, match=r"field No in type \*formatter\.ContainerContext$"):
        compile_template("{{.No}}").render(row, row_type="formatter.ContainerContext")
    assert error("{{.Label}}", row).endswith("wrong arguments for Label")


@pytest.mark.parametrize(
    "text",
    [
        "{{range 2000000}}{{end}}",
        "{{range 2000}}{{range 2000}}{{end}}{{end}}",
        '{{$x := "aaaaaaaa"}}{{range 100}}{{$x = print $x $x}}{{end}}',
        '{{pad "x" 1000000000 0}}',
        "{{" + "(" * 5000 + "1" + ")" * 5000 + "}}",
        "{{if 1}}" * 5000 + "{{end}}" * 5000,
        "{{if 0}}" + "{{else if 0}}" * 5000 + "{{end}}",
    ],
)
def test_bounds(text: str) -> None:
    """Loops, texts and nesting are bounded."""
    error(text)


def test_deepest_template() -> None:
    """What the parser lets through the evaluator can do."""
    assert render("{{" + "(" * 60 + "1" + ")" * 60 + "}}") == "1"
    assert render("{{if 1}}" * 60 + "x" + "{{end}}" * 60) == "x"


def test_deep_value() -> None:
    """A value that is nested too deeply is an error like others."""
    value: Any = []
    for _ in range(100_000):
        value = [value]
    assert error("{{.}}", value).endswith("value nested too deeply")


WORDS = [
    *("{{", "}}", "{{- ", " -}}", "(", ")", "|", ".", ",", ":=", "=", "$", "$x", " ", "\n"),
    *("if", "else", "end", "range", "with", "break", "continue", "template", "nil", "true"),
    *(".Name", ".Env", ".Labels", ".Pid", ".Ratio", ".Health", "5", "-1", "1.5", "'a'"),
    *("/*", "*/", '"', "`", "'", "\\", '"%d %q %*s"', '"a"', "x"),
    *("index", "slice", "printf", "print", "json", "split", "join", "pad", "truncate"),
    *("len", "eq", "lt", "and", "or", "not", "title", "println"),
]
hostile = st.one_of(
    st.text(),
    st.lists(st.sampled_from(WORDS)).map(" ".join),
    st.lists(st.sampled_from(WORDS)).map("".join),
    st.lists(st.sampled_from(WORDS), min_size=1).map(
        lambda words: f"{{{{{' '.join(words)}}}}}"
    ),
)


@given(text=hostile)
def test_hostile_templates(text: str) -> None:
    """Any text gives a text or a TemplateError."""
    try:
        assert isinstance(render(text), str)
    except TemplateError:
        pass


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
CALLS = st.sampled_from(
    [
        *("index", "slice", "len", "eq", "lt", "json", "print", "not", "and", "split", "join"),
        *("pad", "truncate", "title", *(f'printf "%{v}"' for v in "vdsqxXobcUtfFegT")),
        *(f'printf "%+#0-8.3{v}"' for v in "vdsqxXobcUtfFegT"),
    ]
)


@given(call=CALLS, value=values, other=values)
def test_hostile_values(call: str, value: Any, other: Any) -> None:
    """Any value in any function gives a text or a TemplateError."""
    text = f"{{{{{call} .A .B}}}}{{{{{call} .A}}}}{{{{range .A}}}}{{{{.}}}}{{{{end}}}}"
    try:
        assert isinstance(render(text, {"A": value, "B": other}), str)
    except TemplateError:
        pass
