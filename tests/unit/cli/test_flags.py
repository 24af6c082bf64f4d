# SPDX-License-Identifier: Apache-2.0
"""Flags are parsed as docker parses them."""

import click
import pytest

from minidock.cli.failures import FlagError
from minidock.cli.flags import HelpRequested, Switch, normalise, parse_bool, parse_int

_OPTIONS = [
    Switch(["-d", "--detach"]),
    Switch(["-i", "--interactive"]),
    Switch(["-t", "--tty"]),
    click.Option(["-m", "--message"]),
    click.Option(["-p", "--publish"], multiple=True),
    click.Option(["--network", "--net"]),
]
OPTIONS = {spelling: option for option in _OPTIONS for spelling in option.opts}


def parse(*words: str, interspersed: bool = True) -> tuple[str, ...]:
    found = normalise(list(words), OPTIONS, interspersed=interspersed)
    return (*found.flags, "--", *found.arguments)


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (["-m", "text"], ["--message=text"]),
        (["-m=text"], ["--message=text"]),
        (["-mtext"], ["--message=text"]),
        (["-m=a=b"], ["--message=a=b"]),
        (["-m", ""], ["--message="]),
        (["-m="], ["--message="]),
        (["--message", "text"], ["--message=text"]),
        (["--message=text"], ["--message=text"]),
        (["--message="], ["--message="]),
        (["--message", "--detach"], ["--message=--detach"]),
        (["-m", "-5"], ["--message=-5"]),
        (["-d"], ["--detach=true"]),
        (["-d=false"], ["--detach=false"]),
        (["--detach=false"], ["--detach=false"]),
        (["-it"], ["--interactive=true", "--tty=true"]),
        (["-itp", "80:80"], ["--interactive=true", "--tty=true", "--publish=80:80"]),
        (["-itp80:80"], ["--interactive=true", "--tty=true", "--publish=80:80"]),
        (["-itd=false"], ["--interactive=true", "--tty=true", "--detach=false"]),
        (["-p", "1", "-p", "2"], ["--publish=1", "--publish=2"]),
        (["--net", "host"], ["--network=host"]),
    ],
)
def test_spellings(words: list[str], flags: list[str]) -> None:
    """Every spelling of a flag comes to the same."""
    assert parse(*words) == (*flags, "--")


def test_flags_among_arguments() -> None:
    """Flags may follow arguments, and end at two dashes."""
    assert parse("a", "-d", "b", "--", "-i") == ("--detach=true", "--", "a", "b", "-i")


def test_first_argument_ends_the_flags() -> None:
    """What follows the image belongs to the container, two dashes included."""
    found = parse("-d", "image", "sh", "-d", "--", "x", interspersed=False)
    assert found == ("--detach=true", "--", "image", "sh", "-d", "--", "x")


def test_a_dash_is_an_argument() -> None:
    """One dash alone is no flag."""
    assert parse("-") == ("--", "-")


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
    ],
)
def test_errors(word: str, message: str) -> None:
    """Wrong flags are refused with docker's words."""
    with pytest.raises(FlagError) as caught:
        parse(word)
    assert caught.value.message == message


@pytest.mark.parametrize("word", ["--help", "-h", "-dh"])
def test_help(word: str) -> None:
    """A request for help ends the parsing."""
    with pytest.raises(HelpRequested):
        parse(word, "--bogus")


def test_help_inside_the_containers_command() -> None:
    """A container's own --help is not ours."""
    assert parse("image", "--help", interspersed=False)[-1] == "--help"


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
