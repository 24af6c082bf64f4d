# SPDX-License-Identifier: Apache-2.0
"""What happens, as docker's events: a file that every command appends a line to.

There is no daemon that would see it all, so each verb says what it has done, and a container's
monitor how it began and ended. A line is written by one write(2) in append mode, so that lines
of several processes don't mix; there is no lock. Two files of MAX_SIZE at most are kept.
Nothing depends on them: what can't be written is not.
"""

import os
import time
from collections.abc import Mapping

from minidock.oci.manifest import dump_json
from minidock.store.containers import Container
from minidock.store.layout import Layout

MAX_SIZE = 2 << 20
"""Bytes from which on a file gives way to a new one."""

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_SECOND = 1_000_000_000


def container(
    layout: Layout, subject: Container, action: str, *, name: str = "", **attributes: object
) -> None:
    """Tell what has happened to a container; `name` is its name if it may be gone by now."""
    record = subject.record
    told = {
        **record.config.get("Labels", {}),
        "image": record.image,
        "name": name or subject.name,
        **attributes,
    }
    shown = {"status": action, "id": record.id, "from": record.image}
    _tell(layout, "container", action, record.id, told, shown)


def image(layout: Layout, action: str, target: str, name: str) -> None:
    """Tell what has happened to an image; `target` is its id, or what was pulled."""
    _tell(layout, "image", action, target, {"name": name}, {"status": action, "id": target})


def volume(layout: Layout, action: str, name: str, **attributes: object) -> None:
    """Tell what has happened to a volume."""
    _tell(layout, "volume", action, name, {"driver": "local", **attributes}, {})


def parts(
    layout: Layout, subject: Container, actions: tuple[str, str], *, networked: bool
) -> None:
    """Tell what happens to a container's volumes and, if it is there, to its network."""
    for mount in subject.record.mounts:
        if mount["type"] == "volume":
            told = {"container": subject.id, "destination": mount["destination"]}
            volume(layout, actions[0], mount["name"], **told)
    if networked:
        network(layout, actions[1], "bridge", subject)


def network(layout: Layout, action: str, name: str, subject: Container) -> None:
    """Tell that a container was connected to a network, or is not any more."""
    attributes = {"container": subject.id, "name": name, "type": name}
    _tell(layout, "network", action, name, attributes, {})


def _tell(
    layout: Layout,
    kind: str,
    action: str,
    target: str,
    attributes: Mapping[str, object],
    shown: Mapping[str, str],
) -> None:
    now = time.time_ns()
    event = {
        **shown,
        "Type": kind,
        "Action": action,
        "Actor": {
            "ID": target,
            "Attributes": {key: str(attributes[key]) for key in sorted(attributes)},
        },
        "scope": "local",
        "time": now // _SECOND,
        "timeNano": now,
    }
    append(layout, dump_json(event))


def append(layout: Layout, line: bytes) -> None:
    """Write `line`, which has no newline in it."""
    try:
        fd = os.open(layout.journal, _APPEND, 0o600)
        try:
            os.write(fd, line + b"\n")
            if os.fstat(fd).st_size >= MAX_SIZE:
                _give_way(fd, layout)
        finally:
            os.close(fd)
    except OSError:  # such as a full disk
        return


def _give_way(fd: int, layout: Layout) -> None:
    """Make the file of `fd` the old one, unless another process has done so."""
    import fcntl  # once in thousands of lines

    from minidock.store.journal_reader import is_at  # likewise

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    if is_at(fd, layout.journal):
        os.rename(layout.journal, layout.old_journal)
