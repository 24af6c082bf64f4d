# SPDX-License-Identifier: Apache-2.0
"""Where a copy ends up: docker's rules for what source and destination are."""

import os.path

from minidock.errors import Conflict, NotFound
from minidock.values import NamedTuple


class CannotCopyDirectory(Conflict):
    """A directory was to be copied over a file; the text is docker's."""

    def __init__(self) -> None:
        super().__init__("cannot copy directory")


class NoSuchDirectory(NotFound):
    """A file was to be copied into a directory that does not exist; the text is docker's."""

    def __init__(self) -> None:
        super().__init__("no such directory")


class Source(NamedTuple):
    """What is copied. `contents`: what is in the directory, not the directory itself."""

    name: str
    is_directory: bool
    contents: bool = False


class Destination(NamedTuple):
    """What it is copied to: an absolute path, which may end in ``/`` or ``/.``."""

    path: str
    exists: bool = False
    is_directory: bool = False


class Landing(NamedTuple):
    """The directory that the entries go into, and the name of the first; ``.`` for itself."""

    directory: str
    name: str


def land(source: Source, destination: Destination) -> Landing:
    """Return where `source` goes.

    ::

                    new          new/         a file       a directory
        file        new          refused      replaces it  goes into it
        directory   new          new          refused      goes into it
        directory/. new          new          refused      its contents go into it

    Raises:
        CannotCopyDirectory, NoSuchDirectory
    """
    if destination.is_directory:
        name = "." if source.contents else source.name
        return Landing(clean(destination.path), name)
    if source.is_directory and destination.exists:
        raise CannotCopyDirectory
    if not source.is_directory and asserts_directory(destination.path):
        raise NoSuchDirectory
    return Landing(*split(destination.path))


def clean(path: str) -> str:
    """Return an absolute `path` without ``.``, ``..`` and spare slashes, by its text alone."""
    return os.path.normpath(path).replace("//", "/")


def asserts_directory(path: str) -> bool:
    """Tell whether `path` can only mean a directory."""
    return path.endswith("/") or means_contents(path)


def means_contents(path: str) -> bool:
    """Tell whether `path` ends in ``/.``, or is the root, which has no name."""
    return path.rstrip("/").rpartition("/")[2] in ("", ".")


def split(path: str) -> tuple[str, str]:
    """Return the directory and the last name of `path`; a final ``.`` is a name."""
    whole = clean(path)
    if means_contents(path):
        return whole, "."
    parent, _, name = whole.rpartition("/")
    return parent or "/", name
