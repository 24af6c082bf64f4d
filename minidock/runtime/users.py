# SPDX-License-Identifier: Apache-2.0
"""Who a container's process is: ``--user`` and the image's /etc/passwd and /etc/group.

The rules are docker's: a number is always an id; a known user brings the groups that list it,
unless a group is given; an unknown number is an id with group 0 and home ``/``.
"""

from collections.abc import Iterator

from minidock.errors import InvalidArgument, MinidockError, NotFound
from minidock.fs.rooted import RootedDir
from minidock.oci import runtime
from minidock.oci.runtime import Process
from minidock.values import NamedTuple

MAX_ID = (1 << 31) - 1
"""The largest id: more would wrap around to root in places (CVE-2024-40635)."""


class InvalidUser(InvalidArgument):
    """A user text with more than two parts, or an id out of range."""


class UnknownUser(NotFound):
    """A user name that the image's /etc/passwd does not have."""


class UnknownGroup(NotFound):
    """A group name that the image's /etc/group does not have."""


class User(NamedTuple):
    """A resolved user; `additional_gids` begin with `gid`. `name` is empty for a bare id."""

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()
    home: str = "/"
    name: str = ""

    @property
    def ids(self) -> runtime.User:
        """The part that the runtime spec holds."""
        return runtime.User(self.uid, self.gid, self.additional_gids)


def with_home(root: RootedDir, process: Process) -> Process:
    """Return `process` with HOME as image `root` has it, unless its environment says it."""
    if any(entry.startswith("HOME=") for entry in process.env):
        return process
    try:
        home = resolve(root, str(process.user.uid)).home
    except (MinidockError, OSError):
        home = "/"
    return process._replace(env=(*process.env, f"HOME={home}"))


class _Group(NamedTuple):
    name: str
    gid: int
    members: tuple[str, ...]


def resolve(root: RootedDir, user: str, groups: tuple[str, ...] = ()) -> User:
    """Return who `user` (``[name|uid][:group|gid]``, empty for root) is in image `root`.

    `groups` are more groups, by name or number: ``--group-add``.

    Raises:
        UnknownUser, UnknownGroup: a name that the image does not know.
        InvalidUser: three parts, or a number above MAX_ID.
        NotRegular: /etc/passwd or /etc/group is a fifo, a device, or huge.
    """
    name, separator, group = user.partition(":")
    if ":" in group or (separator and not group):
        raise InvalidUser(f'invalid user "{user}": expected user[:group]')
    found = _user(root, name)
    entries = list(_groups(root)) if group or groups or found.name else []
    if group:
        found = found._replace(gid=_gid(entries, group))
        gids = []
    else:
        gids = [entry.gid for entry in entries if found.name and found.name in entry.members]
    gids += [_gid(entries, extra) for extra in groups]
    return found._replace(additional_gids=tuple(dict.fromkeys([found.gid, *gids])))


def _user(root: RootedDir, name: str) -> User:
    uid = _number(name or "0")
    for entry in _users(root):
        if entry.uid == uid if uid is not None else entry.name == name:
            return entry
    if uid is None:
        raise UnknownUser(f"unable to find user {name}: no matching entries in passwd file")
    return User(uid)


def _gid(entries: list[_Group], group: str) -> int:
    gid = _number(group)
    if gid is not None:
        return gid
    for entry in entries:
        if entry.name == group:
            return entry.gid
    raise UnknownGroup(f"unable to find group {group}: no matching entries in group file")


def _number(text: str) -> int | None:
    """Return the id that `text` is, None if it is a name."""
    if not text.isascii() or not text.isdigit():
        return None
    if len(text) > len(str(MAX_ID)) or int(text) > MAX_ID:
        raise InvalidUser(f"invalid id {text[:40]}: uids and gids must be in range 0-{MAX_ID}")
    return int(text)


def _users(root: RootedDir) -> Iterator[User]:
    """Yield the entries of passwd(5); lines that are none are left out."""
    for fields in _lines(root, "/etc/passwd"):
        if len(fields) >= 4 and (ids := _ids(fields[2:4])):
            home = fields[5] if len(fields) > 5 else ""
            yield User(ids[0], ids[1], (), home or "/", fields[0])


def _groups(root: RootedDir) -> Iterator[_Group]:
    """Yield the entries of group(5); lines that are none are left out."""
    for fields in _lines(root, "/etc/group"):
        if len(fields) >= 3 and (ids := _ids(fields[2:3])):
            members = fields[3].split(",") if len(fields) > 3 else []
            yield _Group(fields[0], ids[0], tuple(members))


def _ids(fields: list[str]) -> tuple[int, ...]:
    """Return the numbers in `fields`, () if one is none."""
    try:
        numbers = [_number(field) for field in fields]
    except InvalidUser:
        return ()
    return (
        tuple(number for number in numbers if number is not None) if None not in numbers else ()
    )


def _lines(root: RootedDir, path: str) -> Iterator[list[str]]:
    raw = root.read_small(path) or b""
    for line in raw.decode("utf-8", "surrogateescape").split("\n"):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield stripped.split(":")
