# SPDX-License-Identifier: Apache-2.0
"""Flags are parsed as docker parses them."""

from typing import Any

import pytest

from minidock.cli.failures import FlagError
from minidock.cli.flags import (
    INT,
    OPTIONAL,
    Flag,
    HelpRequested,
    declared,
    parse_bool,
    parse_int,
    switch,
    value,
    values,
)
from minidock.cli.flags import parse as parse_words

FLAGS = (
    switch("-d", "--detach", help=""),
    switch("-i", "--interactive", help=""),
    switch("-t", "--tty", help=""),
    switch("--sig-proxy", help="", default=True),
    value("-m", "--message", help=""),
    value("--entrypoint", type=OPTIONAL, help=""),
    value("-n", "--last", type=INT, default=-1, help=""),
    values("-p", "--publish", help=""),
    values("--delay", "delays", type=INT, help=""),
    value("--network", "--net", help=""),
)
DEFAULTS = {
    "detach": False,
    "interactive": False,
    "tty": False,
    "sig_proxy": True,
    "message": "",
    "entrypoint": None,
    "last": -1,
    "publish": (),
    "delays": (),
    "network": "",
}


def parse(
    *words: str, interspersed: bool = True, flags: tuple[Flag, ...] = FLAGS
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the flags that differ from their defaults, and the arguments."""
    given = parse_words(list(words), flags, interspersed=interspersed)
    assert given.flags.keys() == DEFAULTS.keys()
    changed = {name: v for name, v in given.flags.items() if v != DEFAULTS[name]}
    return changed, given.arguments


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (["-m", "text"], {"message": "text"}),
        (["-m=text"], {"message": "text"}),
        (["-mtext"], {"message": "text"}),
        (["-m=a=b"], {"message": "a=b"}),
        (["-m", "x", "-m", ""], {}),
        (["-m", "x", "-m="], {}),
        (["--message", "text"], {"message": "text"}),
        (["--message=text"], {"message": "text"}),
        (["--message=x", "--message="], {}),
        (["--message", "--detach"], {"message": "--detach"}),
        (["-m", "-5"], {"message": "-5"}),
        (["-m", "--"], {"message": "--"}),
        (["--entrypoint="], {"entrypoint": ""}),
        (["-d"], {"detach": True}),
        (["-d", "-d=false"], {}),
        (["--detach", "--detach=false"], {}),
        (["--sig-proxy=f"], {"sig_proxy": False}),
        (["-it"], {"interactive": True, "tty": True}),
        (["-itp", "80:80"], {"interactive": True, "tty": True, "publish": ("80:80",)}),
        (["-itp80:80"], {"interactive": True, "tty": True, "publish": ("80:80",)}),
        (["-ditd=false"], {"interactive": True, "tty": True}),
        (["-n5"], {"last": 5}),
        (["-n", "-5", "-n=7"], {"last": 7}),
        (["-p", "1", "-p", "2"], {"publish": ("1", "2")}),
        (["--delay", "1", "--delay=2"], {"delays": (1, 2)}),
        (["--net", "host"], {"network": "host"}),
    ],
)
def test_spellings(words: list[str], flags: dict[str, Any]) -> None:
    """Every spelling of a flag comes to the same."""
    assert parse(*words) == (flags, ())


def test_flags_among_arguments() -> None:
    """Flags may follow arguments, and end at two dashes."""
    assert parse("a", "-d", "b", "--", "-i") == ({"detach": True}, ("a", "b", "-i"))


def test_first_argument_ends_the_flags() -> None:
    """What follows the image belongs to the container, two dashes included."""
    flags, arguments = parse("-d", "image", "sh", "-d", "--", "x", interspersed=False)
    assert flags == {"detach": True}
    assert arguments == ("image", "sh", "-d", "--", "x")


def test_a_dash_is_an_argument() -> None:
    """One dash alone is no flag."""
    assert parse("-") == ({}, ("-",))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--bogus", "unknown flag: --bogus"),
        ("--bogus=x", "unknown flag: --bogus"),
        ("--mess", "unknown flag: --mess"),
        ("-x", "unknown shorthand flag: 'x' in -x"),
        ("-dxi", "unknown shorthand flag: 'x' in -xi"),
        ("--message", "flag needs an argument: --message"),
        ("-m", "flag needs an argument: 'm' in -m"),
        ("-dm", "flag needs an argument: 'm' in -m"),
        ("--=x", "bad flag syntax: --=x"),
        ("---detach", "bad flag syntax: ---detach"),
        ("--delays", "unknown flag: --delays"),
        (
            "-nx",
            'invalid argument "x" for "-n, --last" flag: '
            'strconv.ParseInt: parsing "x": invalid syntax',
        ),
        (
            "--sig-proxy=maybe",
            'invalid argument "maybe" for "--sig-proxy" flag: '
            'strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
    ],
)
def test_errors(word: str, message: str) -> None:
    """Wrong flags are refused with docker's words."""
    with pytest.raises(FlagError) as caught:
        parse(word)
    assert caught.value.message == message


def test_the_first_error_counts() -> None:
    """Words are read from left to right."""
    with pytest.raises(FlagError, match="invalid argument"):
        parse("-n", "x", "--bogus")


def test_declaration() -> None:
    """Flags stand above their function, and the same one may stand above several."""
    shared = switch("--all", help="")

    @shared
    @value("--name", help="")
    def one() -> None: ...

    @shared
    def other() -> None: ...

    assert {flag.long for flag in declared(one)} == {"--all", "--name"}
    assert declared(other) == (shared,)
    assert declared(parse) == ()


@pytest.mark.parametrize("word", ["--help", "-h", "-dh"])
def test_help(word: str) -> None:
    """A request for help ends the parsing."""
    with pytest.raises(HelpRequested):
        parse(word, "--bogus")


def test_help_inside_the_containers_command() -> None:
    """A container's own --help is not ours."""
    assert parse("image", "--help", interspersed=False) == ({}, ("image", "--help"))


def test_booleans_are_gos() -> None:
    """What counts as true or false is what Go's ParseBool takes."""
    assert [parse_bool(t) for t in ("1", "t", "TRUE", "0", "f", "False")] == [True] * 3 + [
        False
    ] * 3
    with pytest.raises(ValueError, match="invalid syntax"):
        parse_bool("yes")


@pytest.mark.parametrize("text", ["", "x", "1.5", "1_0", "٣", "--1"])
def test_integers(text: str) -> None:
    """A number is ASCII digits and a sign."""
    assert parse_int("-10") == -10
    with pytest.raises(ValueError, match="strconv"):
        parse_int(text)
