"""Which file a command is."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from minidock.errors import CommandNotExecutable, CommandNotFound
from minidock.fs.rooted import RootedDir
from minidock.oci.runtime import User
from minidock.runtime import commands

ROOT = User()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    for name, mode in (("bin/tool", 0o755), ("sbin/tool", 0o700), ("etc/passwd", 0o644)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
        path.chmod(mode)
    (tmp_path / "bin/link").symlink_to("/bin/tool")
    return tmp_path


@pytest.fixture
def root(image: Path) -> Iterator[RootedDir]:
    with RootedDir.at(str(image)) as directory:
        yield directory


@pytest.mark.parametrize(
    ("name", "cwd", "found"),
    [
        ("tool", "/", "/sbin/tool"),
        ("link", "/", "/bin/link"),
        ("/bin/tool", "/", "/bin/tool"),
        ("./tool", "/bin", "/bin/./tool"),
        ("bin/tool", "/", "/bin/tool"),
    ],
)
def test_command_is_found_inside_the_root(
    root: RootedDir, name: str, cwd: str, found: str
) -> None:
    """Names go through PATH, names with a slash through the working directory."""
    assert commands.find(root, name, "/nope:/sbin:/bin", cwd, ROOT) == found


def test_path_skips_what_the_user_may_not_execute(root: RootedDir, image: Path) -> None:
    """Another user's private tool is passed over, as by Go's LookPath."""
    owner = (image / "sbin/tool").stat().st_uid
    other = User(owner + 1, 4711, ())
    assert commands.find(root, "tool", "/sbin:/bin", "/", other) == "/bin/tool"


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("nope", CommandNotFound, 'exec: "nope": executable file not found in $PATH'),
        ("passwd", CommandNotFound, 'exec: "passwd": executable file not found in $PATH'),
        ("", CommandNotFound, 'exec: "": executable file not found in $PATH'),
        ("/x", CommandNotFound, 'exec: "/x": stat /x: no such file or directory'),
        ("/etc/passwd", CommandNotExecutable, 'exec: "/etc/passwd": permission denied'),
        ("/etc", CommandNotExecutable, 'exec: "/etc": is a directory'),
    ],
)
def test_refusals_have_dockers_texts(
    root: RootedDir, name: str, kind: type[Exception], message: str
) -> None:
    """Scripts look for these words, and the kind decides between 126 and 127."""
    with pytest.raises(kind) as caught:
        commands.find(root, name, "/bin:/etc", "/", ROOT)
    assert str(caught.value) == message


def test_missing_interpreter_is_not_found() -> None:
    """The kernel's ENOENT for an existing file means its interpreter."""
    assert isinstance(commands.exec_refusal("/x", errno.ENOENT), CommandNotFound)
    refused = commands.exec_refusal("/x", errno.ENOEXEC)
    assert isinstance(refused, CommandNotExecutable)
    assert refused.message == "exec /x: exec format error"


def test_working_directory_is_made_in_the_root(root: RootedDir, image: Path) -> None:
    """Missing parts are made with mode 0755, what is there stays as it is."""
    (image / "private").mkdir(mode=0o700)
    (image / "way").symlink_to("/private")
    commands.prepare_working_directory(root, "/way/a/b")
    assert (image / "private/a/b").stat().st_mode & 0o7777 == 0o755
    assert (image / "private").stat().st_mode & 0o7777 == 0o700


def test_working_directory_through_a_dangling_link_is_refused(
    root: RootedDir, image: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A link that leads out is not followed to the host (CVE-2026-55686)."""
    host = tmp_path_factory.mktemp("host")
    (image / "out").symlink_to(host)
    with pytest.raises(OSError, match="Not a directory"):
        commands.prepare_working_directory(root, "/out/newdir")
    assert list(host.iterdir()) == []
