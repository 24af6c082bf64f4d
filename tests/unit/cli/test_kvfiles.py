# SPDX-License-Identifier: Apache-2.0
"""Environment and label files follow docker's rules."""

from pathlib import Path

import pytest

from minidock.cli.kvfiles import read_environment, read_labels
from minidock.errors import InvalidArgument, NotFound


def write(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "ef"
    path.write_bytes(content)
    return str(path)


def test_env_file_rules(tmp_path: Path) -> None:
    """Values are verbatim, comments start lines, blanks before a name are dropped."""
    content = b"""\xef\xbb\xbf# comment
   A=1
B="quoted" # kept
C=a=b
D=

  # indented comment
HOST
UNSET
E=${A} \r
"""
    found = read_environment([write(tmp_path, content)], [], {"HOST": "h"})
    assert found == ("A=1", 'B="quoted" # kept', "C=a=b", "D=", "HOST=h", "E=${A} ")


def test_flags_win_over_files(tmp_path: Path) -> None:
    """A variable has one value: the flag's, and of two flags the last."""
    path = write(tmp_path, b"A=file\nB=file\n")
    assert read_environment([path], ["A=1", "A=2"], {}) == ("A=2", "B=file")


def test_flag_without_value_takes_the_hosts() -> None:
    """A bare name imports from the host, an empty value stays."""
    assert read_environment([], ["A", "B", "C="], {"A": "1"}) == ("A=1", "C=")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"export F=1\n", "variable 'export F' contains whitespaces"),
        (b"=x\n", "no variable name on line '=x'"),
        (b"A=1\nB=\xff\n", "line 2 is no UTF-8"),
    ],
)
def test_bad_env_file(tmp_path: Path, content: bytes, message: str) -> None:
    """A file that breaks the rules is named with what is wrong."""
    path = write(tmp_path, content)
    with pytest.raises(InvalidArgument) as caught:
        read_environment([path], [], {})
    assert caught.value.message.startswith(f"invalid env file ({path}): ")
    assert message in caught.value.message


def test_missing_file() -> None:
    """A missing file is reported as by open(2)."""
    with pytest.raises(NotFound, match="open nosuch: no such file or directory"):
        read_environment(["nosuch"], [], {})


def test_labels(tmp_path: Path) -> None:
    """Labels without a value are empty, the host's variables are no labels, flags win."""
    path = write(tmp_path, b"a=1\nHOME\n")
    assert read_labels([path], [("a", "2"), ("b", "")]) == {"a": "2", "HOME": "", "b": ""}
