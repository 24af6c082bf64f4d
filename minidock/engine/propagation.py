# SPDX-License-Identifier: Apache-2.0
"""Whether mounts can reach a bind mount's source, or leave it: mount_namespaces(7)."""

import os

from minidock.errors import InvalidArgument, SystemFailure
from minidock.fs.atomic import read_file

_ENOUGH = {
    "shared": ("a shared mount", ("shared:",)),
    "slave": ("a shared or slave mount", ("shared:", "master:")),
}
"""What a source must be for each propagation, and what says so in proc_pid_mountinfo(5)."""


class NotPropagated(InvalidArgument):
    """A mount is to be shared with the host whose place there is private; docker's text."""

    def __init__(self, source: str, mount_point: str, wanted: str) -> None:
        super().__init__(
            f"path {source} is mounted on {mount_point} but it is not {wanted}",
            hint=f"mount --make-shared {mount_point}",
        )


def check(source: str, propagation: str) -> None:
    """Raise NotPropagated if `source` can't have `propagation`, e.g. ``rshared``."""
    kind = propagation.removeprefix("r")
    if kind not in _ENOUGH:
        return
    wanted, marks = _ENOUGH[kind]
    try:
        mount_point, optional = _mount_of(source)
    except OSError as e:
        raise SystemFailure.of("find the mount", e) from e
    if not any(field.startswith(marks) for field in optional):
        raise NotPropagated(source, mount_point, wanted)


def _mount_of(path: str) -> tuple[str, list[str]]:
    """Return the place and the optional fields of the mount that `path` is on."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        described = os.fsdecode(read_file(f"/proc/self/fdinfo/{fd}"))
    finally:
        os.close(fd)
    fields = dict(line.split(":", 1) for line in described.splitlines())
    mount_id = fields["mnt_id"].strip()
    for line in os.fsdecode(read_file("/proc/self/mountinfo")).splitlines():
        words = line.partition(" - ")[0].split(" ")
        if words[0] == mount_id:
            return words[4], words[6:]
    return "/", []
