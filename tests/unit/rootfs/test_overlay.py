"""Union mounts that are in nobody's mount tree."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minidock.errors import SystemFailure
from minidock.linux import mounts, namespaces
from minidock.rootfs import overlay

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True, scope="module")
def _quiet_mounts() -> Iterator[None]:
    """A copy of the host's mounts that other programs don't change meanwhile."""
    if os.geteuid():
        pytest.skip("needs root")
    cwd, host = os.getcwd(), os.open("/proc/self/ns/mnt", os.O_RDONLY)
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mounts.make_private()
    yield
    namespaces.setns(host, namespaces.CLONE_NEWNS)
    os.chdir(cwd)
    os.close(host)


@contextmanager
def unchanged_mounts() -> Iterator[None]:
    before = Path("/proc/self/mountinfo").read_text()
    yield
    assert Path("/proc/self/mountinfo").read_text() == before


def read(fd: int, path: str) -> str:
    return os.read(os.open(path, os.O_RDONLY, dir_fd=fd), 100).decode()


def layer(path: Path, **files: str) -> str:
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text)
    return str(path)


def test_upper_hides_lower_and_takes_changes(tmp_path: Path) -> None:
    """The first layer is on top; names with colons and commas need no care."""
    top = layer(tmp_path / "a:b,c=\\d", both="top", one="1")
    low = layer(tmp_path / "low", both="low", two="2")
    upper, work = layer(tmp_path / "up,per:x"), layer(tmp_path / "wo:rk")
    with unchanged_mounts():
        fd = overlay.mount(overlay.plan((top, low), upper, work))
        assert (read(fd, "both"), read(fd, "one"), read(fd, "two")) == ("top", "1", "2")
        os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        os.unlink("two", dir_fd=fd)
        os.close(fd)
    assert (Path(upper) / "new").exists()
    assert stat.S_ISCHR((Path(upper) / "two").stat().st_mode)


def long_names(tmp_path: Path, count: int) -> tuple[str, ...]:
    return tuple(layer(tmp_path / f"{n:064x}", **{f"f{n}": str(n)}) for n in range(count))


def test_127_layers(tmp_path: Path) -> None:
    """As many layers as docker allows, with names of digests."""
    lowers = long_names(tmp_path, 127)
    fd = overlay.mount(overlay.plan(lowers, layer(tmp_path / "u"), layer(tmp_path / "w")))
    assert read(fd, "f0") == "0"
    assert read(fd, "f126") == "126"
    os.close(fd)


@pytest.mark.parametrize(
    ("release", "singly"),
    [("6.5.0-rc1", True), ("6.18.44-fc", True), ("6.1.0-56-amd64", False), ("5.14.0", False)],
)
def test_which_kernels_take_layers_singly(release: str, singly: bool) -> None:
    """Older ones would refuse, and fill the log of the kernel."""
    assert overlay._takes_layers_singly(release) is singly


def test_127_layers_in_one_page(tmp_path: Path) -> None:
    """The way of older kernels takes as many, and leaves no mount behind."""
    lowers = long_names(tmp_path, 127)
    plan = overlay.plan(lowers, layer(tmp_path / "u"), layer(tmp_path / "w"))
    fds = [os.open(path, os.O_PATH) for path in (*lowers, plan.upper, plan.work)]
    options: list[tuple[str, str | None]] = [
        ("upperdir", f"/proc/self/fd/{fds[-2]}"),
        ("workdir", f"/proc/self/fd/{fds[-1]}"),
    ]
    with unchanged_mounts():
        fd = overlay.mount_by_page(plan, fds[:-2], options)
        assert read(fd, "f126") == "126"
        os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        os.close(fd)
    for opened in fds:
        os.close(opened)
    assert (Path(plan.upper) / "new").exists()


@pytest.mark.parametrize("count", [1, 2])
def test_view_is_read_only(tmp_path: Path, count: int) -> None:
    """Layers can be read without an upper directory, one or several."""
    fd = overlay.view(long_names(tmp_path, count))
    assert read(fd, "f0") == "0"
    with pytest.raises(OSError, match="Read-only") as caught:
        os.mkdir("x", dir_fd=fd)
    assert caught.value.errno == errno.EROFS
    os.close(fd)


def test_read_only_union_refuses_writes(tmp_path: Path) -> None:
    """`read_only` holds with an upper directory too."""
    (low,) = long_names(tmp_path, 1)
    plan = overlay.plan((low,), layer(tmp_path / "u"), layer(tmp_path / "w"), read_only=True)
    fd = overlay.mount(plan)
    with pytest.raises(OSError, match="Read-only"):
        os.mkdir("x", dir_fd=fd)
    os.close(fd)


def test_missing_layer_names_the_path(tmp_path: Path) -> None:
    """The error says which directory is not there."""
    with pytest.raises(SystemFailure, match=f"{tmp_path}/gone"):
        overlay.mount(overlay.plan((f"{tmp_path}/gone",), "", "", read_only=True))
