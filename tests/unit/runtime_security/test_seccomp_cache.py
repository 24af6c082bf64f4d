"""The cache of compiled filters."""

import os

import pytest

from minidock.linux.capabilities import DOCKER_DEFAULT
from minidock.runtime import seccomp

KEY = ("x86_64", DOCKER_DEFAULT, (6, 1))


def test_second_time_comes_from_the_file(tmp_path):
    """The program is the compiled one, kept in one private file that is used again."""
    program = seccomp.cached(str(tmp_path), *KEY)
    assert program == seccomp.compile_default(*KEY)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.stat()
    assert seccomp.cached(str(tmp_path), *KEY) == program
    assert file.stat().st_ino == before.st_ino


def test_different_containers_have_different_files(tmp_path):
    """Machine, capabilities and kernel are all part of the key."""
    for key in (
        KEY,
        ("aarch64", DOCKER_DEFAULT, (6, 1)),
        ("x86_64", 0, (6, 1)),
        ("x86_64", DOCKER_DEFAULT, (4, 7)),
    ):
        assert seccomp.cached(str(tmp_path), *key) == seccomp.compile_default(*key)
    assert len(os.listdir(tmp_path)) == 4


@pytest.mark.parametrize("position", [0, 14, 40, -1])
def test_flipped_bit_is_noticed(tmp_path, position):
    """A damaged file is neither used nor kept."""
    program = seccomp.cached(str(tmp_path), *KEY)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    damaged = bytearray(whole)
    damaged[position] ^= 1
    file.write_bytes(damaged)
    assert seccomp.cached(str(tmp_path), *KEY) == program
    assert file.read_bytes() == whole


@pytest.mark.parametrize("length", [0, 5, 13, 17, 100])
def test_truncated_file_is_noticed(tmp_path, length):
    """A file that a full disk cut short is made anew."""
    program = seccomp.cached(str(tmp_path), *KEY)
    (file,) = tmp_path.iterdir()
    os.truncate(file, length)
    assert seccomp.cached(str(tmp_path), *KEY) == program


def test_no_directory_no_failure(tmp_path):
    """Without a place to keep it the program is compiled each time."""
    missing = tmp_path / "missing"
    assert seccomp.cached(str(missing), *KEY) == seccomp.compile_default(*KEY)
    assert not missing.exists()
