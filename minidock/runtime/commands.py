# SPDX-License-Identifier: Apache-2.0
"""Which file of the image a command is, and the directory it starts in.

Everything is resolved inside the root. The texts are docker's, which scripts look for.
"""

import errno
import os
import stat

from minidock.errors import CommandNotExecutable, CommandNotFound, MinidockError
from minidock.fs.rooted import RootedDir
from minidock.oci.runtime import User

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def search_path(env: tuple[str, ...]) -> str:
    """Return the value of PATH in ``NAME=value`` texts, docker's default if it has none."""
    for entry in env:
        if entry.startswith("PATH="):
            return entry.removeprefix("PATH=")
    return DEFAULT_PATH


def find(root: RootedDir, name: str, path_value: str, cwd: str, user: User) -> str:
    """Return the absolute path in `root` of the program that `user` calls `name`.

    A name with a slash is relative to `cwd`; another is looked up in the directories of
    `path_value`, where files that `user` can't execute don't count (as in Go's LookPath).

    Raises:
        CommandNotFound: there is none.
        CommandNotExecutable: it is a directory, or `user` may not execute it.
    """
    try:
        return locate(root, name, path_value, cwd, user)
    except OSError as e:
        raise refusal(name, e.errno or 0) from e


def locate(root: RootedDir, name: str, path_value: str, cwd: str, user: User) -> str:
    """Return what `find` returns; raise OSError with ENOENT, ENOTDIR, EISDIR, EACCES."""
    if "/" in name:
        path = os.path.join(cwd, name)
        _check(root, path, user)
        return path
    for directory in path_value.split(":") if name else ():
        path = os.path.join(cwd, directory, name)
        try:
            _check(root, path, user)
        except OSError:
            continue
        return path
    raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def _check(root: RootedDir, path: str, user: User) -> None:
    fd = root.open(path, os.O_PATH)
    try:
        status = os.fstat(fd)
    finally:
        os.close(fd)
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(status.st_mode) or not _may_execute(status, user):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)


def _may_execute(status: os.stat_result, user: User) -> bool:
    """Tell whether the mode bits let `user` execute the file: path_resolution(7)."""
    if user.uid == 0:
        return bool(status.st_mode & 0o111)
    if user.uid == status.st_uid:
        return bool(status.st_mode & 0o100)
    if status.st_gid in (user.gid, *user.additional_gids):
        return bool(status.st_mode & 0o010)
    return bool(status.st_mode & 0o001)


def refusal(name: str, error: int) -> MinidockError:
    """Return docker's error for a command that looking up failed with errno `error`."""
    quoted = f'"{name}"'
    text = os.strerror(error).lower()
    if error not in _MISSING:
        return CommandNotExecutable(f"exec: {quoted}: {text}")
    if "/" in name:
        return CommandNotFound(f"exec: {quoted}: stat {name}: {text}")
    return CommandNotFound(f"exec: {quoted}: executable file not found in $PATH")


def exec_refusal(path: str, error: int) -> MinidockError:
    """Return the error for program `path` that execve(2) refused with errno `error`.

    ENOENT means that its ``#!`` or ELF interpreter is missing.
    """
    kind = CommandNotFound if error in _MISSING else CommandNotExecutable
    return kind(f"exec {path}: {os.strerror(error).lower()}")


def directory_refusal(cwd: str, error: int) -> MinidockError:
    """Return the error for a working directory that can't be entered, with docker's text."""
    text = os.strerror(error).lower()
    return CommandNotExecutable(f'chdir to cwd ("{cwd}") set in config.json failed: {text}')


def prepare_working_directory(root: RootedDir, cwd: str) -> None:
    """Make directory `cwd` inside `root` where missing: root:root, mode 0755.

    Raises:
        OSError: something else is in the way, or a parent is a link into /proc.
    """
    try:
        os.close(root.open(cwd, os.O_PATH | os.O_DIRECTORY))
    except FileNotFoundError:
        root.make_directories(cwd)
