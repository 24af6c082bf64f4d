"""Who a container's process is."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from minidock.fs.rooted import NotRegular, RootedDir
from minidock.runtime.users import InvalidUser, UnknownGroup, UnknownUser, User, resolve

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
# a comment

bob:x:1000:1000:Bob:/home/bob:/bin/sh
broken:x:abc:0::/:/bin/sh
huge:x:4294967296:0::/:/bin/sh
1234:x:77:77::/seventyseven:/bin/sh
short:x:5:6
"""
GROUP = """\
root:x:0:
wheel:x:10:root,bob
bob:x:1000:
audio:x:29:bob,root
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[RootedDir]:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text(GROUP)
    with RootedDir.at(str(tmp_path)) as directory:
        yield directory


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", User(0, 0, (0, 10, 29), "/root", "root")),
        ("bob", User(1000, 1000, (1000, 10, 29), "/home/bob", "bob")),
        ("1000", User(1000, 1000, (1000, 10, 29), "/home/bob", "bob")),
        ("4242", User(4242, 0, (0,), "/", "")),
        ("1234", User(1234, 0, (0,), "/", "")),
        ("bob:audio", User(1000, 29, (29,), "/home/bob", "bob")),
        ("bob:7", User(1000, 7, (7,), "/home/bob", "bob")),
        ("1000:1000", User(1000, 1000, (1000,), "/home/bob", "bob")),
        (":wheel", User(0, 10, (10,), "/root", "root")),
        ("short", User(5, 6, (6,), "/", "short")),
        ("2147483647", User(2147483647, 0, (0,), "/", "")),
    ],
)
def test_user_follows_dockers_rules(root: RootedDir, text: str, expected: User) -> None:
    """A number is an id, a known user brings home and groups, a given group is the only one."""
    assert resolve(root, text) == expected


def test_group_add_takes_names_and_numbers(root: RootedDir) -> None:
    """Added groups come after the user's own, each once."""
    assert resolve(root, "4242", ("audio", "7", "29")).additional_gids == (0, 29, 7)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (
            "nobody",
            UnknownUser,
            "unable to find user nobody: no matching entries in passwd file",
        ),
        (
            "broken",
            UnknownUser,
            "unable to find user broken: no matching entries in passwd file",
        ),
        ("huge", UnknownUser, "unable to find user huge: no matching entries in passwd file"),
        ("-1", UnknownUser, "unable to find user -1: no matching entries in passwd file"),
        ("0x0", UnknownUser, "unable to find user 0x0: no matching entries in passwd file"),
        ("bob:no", UnknownGroup, "unable to find group no: no matching entries in group file"),
        ("2147483648", InvalidUser, "uids and gids must be in range 0-2147483647"),
        ("4294967296", InvalidUser, "uids and gids must be in range 0-2147483647"),
        ("9" * 5000, InvalidUser, "uids and gids must be in range 0-2147483647"),
        ("0:2147483648", InvalidUser, "uids and gids must be in range 0-2147483647"),
        ("1000:1000:0", InvalidUser, 'invalid user "1000:1000:0"'),
        ("bob:", InvalidUser, 'invalid user "bob:"'),
    ],
)
def test_doubtful_users_are_refused(
    root: RootedDir, text: str, kind: type[Exception], message: str
) -> None:
    """Nothing that could wrap around to root or be misread is accepted (CVE-2024-40635)."""
    with pytest.raises(kind, match=message.replace("(", r"\(")):
        resolve(root, text)


def test_image_without_passwd_knows_numbers(tmp_path: Path) -> None:
    """An image from scratch has root and bare ids."""
    with RootedDir.at(str(tmp_path)) as root:
        assert resolve(root, "") == User(0, 0, (0,), "/", "")
        assert resolve(root, "5:6") == User(5, 6, (6,), "/", "")
        with pytest.raises(UnknownUser):
            resolve(root, "root")


def test_fifo_as_passwd_is_refused(tmp_path: Path) -> None:
    """A fifo neither blocks nor counts as empty (CVE-2024-9676)."""
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc/passwd")
    with RootedDir.at(str(tmp_path)) as root, pytest.raises(NotRegular):
        resolve(root, "bob")


def test_passwd_link_stays_in_the_root(tmp_path: Path) -> None:
    """An absolute link is resolved inside the image, not on the host."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").symlink_to("/real")
    (tmp_path / "real").write_text("eve:x:66:66::/e:/bin/sh\n")
    with RootedDir.at(str(tmp_path)) as root:
        assert resolve(root, "eve").uid == 66
