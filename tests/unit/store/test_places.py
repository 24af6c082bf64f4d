# SPDX-License-Identifier: Apache-2.0
"""A container's mounts have places that are no changes of the container."""

import os
import stat
from pathlib import Path

import pytest

from minidock.store.places import build
from minidock.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "root"))


@pytest.fixture
def lowers(tmp_path: Path) -> tuple[str, str]:
    """An image of two layers, top first."""
    top, bottom = tmp_path / "top", tmp_path / "bottom"
    (top / "var").mkdir(parents=True)
    (top / "var").chmod(0o711)
    os.utime(top / "var", ns=(10**18, 10**18))
    (bottom / "var/lib").mkdir(parents=True)
    (bottom / "run").mkdir()
    (bottom / "var/run").symlink_to("../run")
    (bottom / "file").write_text("text")
    return str(top), str(bottom)


DIRECTORY, FILE = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o755


def places(store: Store, lowers: tuple[str, ...], **wanted: bool) -> set[str]:
    """Return the paths in the layer for `wanted`, True for a directory, False for a file."""
    target = f"{store.layout.root}/places"
    kinds = {
        f"/{name.replace('_', '/')}": DIRECTORY if is_directory else FILE
        for name, is_directory in wanted.items()
    }
    build(store.layout, target, lowers, kinds)
    return {os.path.relpath(path, target) for path in Path(target).rglob("*")}


def test_what_is_missing_is_made(store: Store, lowers: tuple[str, str]) -> None:
    """Directories and files, with what is above them."""
    found = places(store, lowers, data=True, var_new_file=False, var_lib=True, file=False)
    assert found == {"data", "var", "var/new", "var/new/file"}
    root = Path(store.layout.root, "places")
    assert (root / "data").is_dir()
    assert (root / "var/new/file").is_file()


def test_what_is_above_looks_as_before(store: Store, lowers: tuple[str, str]) -> None:
    """A directory of the image keeps mode and times: the topmost layer's is the one seen."""
    places(store, lowers, var_new=True)
    status = os.stat(f"{store.layout.root}/places/var")
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o711, 10**18)


def test_mode_of_a_place(store: Store, lowers: tuple[str, str]) -> None:
    """A directory has the mode that is asked for, what is made above it the usual one."""
    target = f"{store.layout.root}/places"
    build(store.layout, target, lowers, {"/new/open": stat.S_IFDIR | 0o1777})
    modes = [stat.S_IMODE(os.stat(f"{target}/{path}").st_mode) for path in ("new", "new/open")]
    assert modes == [0o755, 0o1777]


def test_path_that_no_call_takes(store: Store, lowers: tuple[str, str]) -> None:
    """An image can name one of a megabyte: it is refused before it is taken apart."""
    with pytest.raises(OSError, match="too long"):
        build(store.layout, f"{store.layout.root}/places", lowers, {"/d" * 500_000: DIRECTORY})


def test_nothing_is_made_without_need(store: Store, lowers: tuple[str, str]) -> None:
    """Neither for what the image has, nor below a link, a file, or another mount."""
    assert places(store, lowers, var_lib=True, var_run_x=True, file_x=True) == set()
    assert not os.path.exists(f"{store.layout.root}/places")
    assert places(store, lowers, data=True, data_below=True) == {"data"}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes whiteouts")
def test_what_an_upper_layer_deleted_is_missing(store: Store, lowers: tuple[str, str]) -> None:
    """The place is made over the whiteout."""
    os.mknod(f"{lowers[0]}/run", stat.S_IFCHR, os.makedev(0, 0))
    assert places(store, lowers, run=True) == {"run"}
