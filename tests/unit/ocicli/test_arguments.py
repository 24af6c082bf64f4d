# SPDX-License-Identifier: Apache-2.0
"""Command lines of engines."""

import pytest

from minidock.ocicli.arguments import Option, UsageError, flag, parse, value

OPTIONS = (
    value("bundle", "b"),
    value("pid-file"),
    flag("force", "f"),
    Option(("env", "e"), many=True),
)


@pytest.mark.parametrize(
    "words",
    [
        ("--bundle", "/b", "--force", "id"),
        ("--bundle=/b", "--force=true", "id"),
        ("-b", "/b", "-f", "--", "id"),
        ("-bundle", "/b", "-force", "id"),
    ],
)
def test_forms_of_one_line(words: tuple[str, ...]) -> None:
    """One dash or two, a value behind a sign or a blank, short and long names."""
    parsed = parse(words, OPTIONS)
    assert parsed.text("bundle") == "/b"
    assert parsed.given("force")
    assert parsed.operands == ("id",)


def test_what_follows_the_first_operand_is_left_alone() -> None:
    """The options of a container's command are its own."""
    parsed = parse(("-e", "A=1", "--env=B=2=3", "id", "ls", "--force"), OPTIONS)
    assert parsed.operands == ("id", "ls", "--force")
    assert parsed.texts("env") == ("A=1", "B=2=3")
    assert not parsed.given("force")


def test_what_is_missing() -> None:
    """An option that was not given has the value that the caller names."""
    parsed = parse((), OPTIONS)
    assert (parsed.text("bundle", "."), parsed.texts("env")) == (".", ())
    assert not parse(("--force=false",), OPTIONS).given("force")


@pytest.mark.parametrize("words", [("--bogus",), ("--bundle",), ("--force=maybe",), ("-x",)])
def test_what_can_not_be_meant(words: tuple[str, ...]) -> None:
    """An unknown option, a missing value and a doubtful truth are refused."""
    with pytest.raises(UsageError):
        parse(words, OPTIONS)
