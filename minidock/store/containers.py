# SPDX-License-Identifier: Apache-2.0
"""Containers: a record written once, a small state rewritten whole, and a name.

A name is taken by creating a symbolic link, which only one process can do. The file ``name``
of the container says which link is meant; a link whose container says otherwise is a leftover
of a crash and free to take.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from minidock.errors import Conflict, DataCorrupted, InvalidArgument, NotFound
from minidock.fs.atomic import random_hex, read_file, write_file
from minidock.fs.locks import Lock
from minidock.oci.digest import DiffID, Digest, parse_diff_id, parse_digest
from minidock.oci.manifest import dump_json, load_json
from minidock.store.layout import Layout
from minidock.store.scratch import scratch

CREATED, RUNNING, PAUSED, EXITED = "created", "running", "paused", "exited"

_NAME_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_NAME_REST = _NAME_FIRST | frozenset("_.-")
_HEX = frozenset("0123456789abcdef")


class ContainerNotFound(NotFound):
    """No container has that name or id; the text is docker's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"No such container: {name}", hint="minidock ps -a lists them all")
        self.name = name


class AmbiguousId(InvalidArgument):
    """Several containers' ids begin so; the text is docker's."""

    def __init__(self, prefix: str) -> None:
        super().__init__(f"Multiple IDs found with provided prefix: {prefix}")


class InvalidName(InvalidArgument):
    """A name with characters that are not allowed; the text is docker's."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )


class NameTaken(Conflict):
    """Another container has the name; the text is docker's."""

    def __init__(self, name: str, holder: str) -> None:
        super().__init__(
            f'Conflict. The container name "/{name}" is already in use by container '
            f'"{holder}". You have to remove (or rename) that container to be able to reuse '
            "that name."
        )


class ContainerRecord(NamedTuple):
    """What a container is, never changed.

    `image` is as the user typed it, `image_id` the config's digest, `layers` lowest first.
    `config` and `host` are in the shape of docker's Config and HostConfig.
    """

    id: str
    created: float
    image: str
    image_id: Digest
    manifest: Digest
    manifest_type: str
    layers: tuple[DiffID, ...]
    config: Mapping[str, Any]
    host: Mapping[str, Any]

    @classmethod
    def from_json(cls, raw: bytes) -> "ContainerRecord":
        """Parse a record; raise DataCorrupted."""
        fields = load_json(raw, "container.json")
        try:
            return cls(
                str(fields["id"]),
                float(fields["created"]),
                str(fields["image"]),
                parse_digest(fields["image_id"]),
                parse_digest(fields["manifest"]),
                str(fields["manifest_type"]),
                tuple(parse_diff_id(d) for d in fields["layers"]),
                dict(fields["config"]),
                dict(fields["host"]),
            )
        except (KeyError, TypeError, ValueError, InvalidArgument) as e:
            raise DataCorrupted(f"invalid container.json: {e}") from e


class ContainerState(NamedTuple):
    """How a container is.

    `pid` is init's, `start_time` its start in clock ticks after boot `boot_id`, which together
    name a process for ever (proc_pid_stat(5), field 22). Times are seconds since the epoch, 0
    for never. `endpoint` is what the network gave, `cgroups` the directories to remove.
    """

    status: str = CREATED
    pid: int = 0
    start_time: int = 0
    boot_id: str = ""
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started: float = 0.0
    finished: float = 0.0
    restarts: int = 0
    endpoint: Mapping[str, Any] | None = None
    cgroups: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, raw: bytes) -> "ContainerState":
        """Parse a state; raise DataCorrupted."""
        fields = load_json(raw, "state.json")
        known = {k: v for k, v in fields.items() if k in cls._fields}
        known["cgroups"] = tuple(known.get("cgroups") or ())
        return cls(**known)


class Container(NamedTuple):
    """One container: its record, and the directory its files are in."""

    record: ContainerRecord
    directory: str

    @property
    def id(self) -> str:
        """The 64 hexadecimal digits."""
        return self.record.id

    @property
    def name(self) -> str:
        """The name at this moment."""
        try:
            return read_file(f"{self.directory}/name").decode()
        except FileNotFoundError:
            return ""

    @property
    def upper(self) -> str:
        """The writable layer."""
        return f"{self.directory}/upper"

    @property
    def work(self) -> str:
        """Overlayfs' scratch directory."""
        return f"{self.directory}/work"

    @property
    def mountpoint(self) -> str:
        """The empty directory where init attaches the root."""
        return f"{self.directory}/mount"

    @property
    def log(self) -> str:
        """The json-file log."""
        return f"{self.directory}/container.log"

    def file(self, name: str) -> str:
        """The container's own ``hosts``, ``hostname``, ``resolv.conf`` or ``config.json``."""
        return f"{self.directory}/{name}"

    def lock(self) -> Lock:
        """Return the lock to hold while the state changes."""
        return Lock(f"{self.directory}/lock")

    @property
    def state(self) -> ContainerState:
        """The state at this moment; raise ContainerNotFound when it was removed meanwhile."""
        try:
            return ContainerState.from_json(read_file(f"{self.directory}/state.json"))
        except FileNotFoundError as e:
            raise ContainerNotFound(self.id) from e

    def set_state(self, state: ContainerState) -> None:
        """Replace the state; the caller holds the lock.

        Not synced: after a power loss no process of this boot exists, whatever the state says.
        """
        write_file(f"{self.directory}/state.json", dump_json(state._asdict()), durable=False)


class ContainerStore:
    """The containers of one root."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def create(self, record: ContainerRecord, name: str, *, durable: bool = True) -> Container:
        """Make the container's directory, then give it `name`.

        Raises:
            InvalidName, NameTaken: nothing is left behind.
        """
        check_name(name)
        with scratch(self._layout) as temporary:
            half = f"{temporary}/container"
            for directory in ("", "/upper", "/work", "/mount"):
                os.mkdir(half + directory, 0o700)
            write_file(f"{half}/container.json", dump_json(record._asdict()), durable=durable)
            write_file(f"{half}/name", name.encode(), durable=False)
            state = dump_json(ContainerState()._asdict())
            write_file(f"{half}/state.json", state, durable=False)
            target = f"{self._layout.containers}/{record.id}"
            # The container exists before its name does: a name always finds its container.
            os.rename(half, target)
            try:
                self._take_name(name, record.id)
            except BaseException:
                os.rename(target, half)
                raise
        return Container(record, target)

    def _take_name(self, name: str, container_id: str) -> None:
        link = f"{self._layout.names}/{name}"
        while True:
            try:
                os.symlink(container_id, link)
            except FileExistsError:
                holder = self._holder(name)
                if holder:
                    raise NameTaken(name, holder) from None
                self._free_stale_name(name)
            else:
                return

    def _holder(self, name: str) -> str:
        """Return the id of the container that has `name`, empty if none really has."""
        try:
            holder = os.readlink(f"{self._layout.names}/{name}")
            called = read_file(f"{self._layout.containers}/{holder}/name").decode()
        except (OSError, ValueError):
            return ""
        return holder if called == name else ""

    def _free_stale_name(self, name: str) -> None:
        with Lock(f"{self._layout.locks}/names.lock"):
            if not self._holder(name):
                try:
                    os.unlink(f"{self._layout.names}/{name}")
                except FileNotFoundError:
                    pass

    def rename(self, container: Container, name: str) -> None:
        """Give the container another name; raise InvalidName or NameTaken."""
        check_name(name)
        old = container.name
        # The link is no leftover once the file below agrees with it.
        with Lock(f"{self._layout.locks}/names.lock"):
            self._rename_locked(container, name)
        if old != name:
            self._free_stale_name(old)

    def _rename_locked(self, container: Container, name: str) -> None:
        link = f"{self._layout.names}/{name}"
        holder = self._holder(name)
        if holder:
            raise NameTaken(name, holder)
        try:
            os.unlink(link)
        except FileNotFoundError:
            pass
        try:
            os.symlink(container.id, link)
        except FileExistsError:
            raise NameTaken(name, self._holder(name)) from None
        write_file(f"{container.directory}/name", name.encode())

    def all(self) -> Iterator[Container]:
        """Give every readable container, in no order."""
        for container_id in os.listdir(self._layout.containers):
            container = self._load(container_id)
            if container:
                yield container

    def find(self, name: str) -> Container:
        """Return the container with that name, id or unambiguous beginning of an id.

        Raises:
            ContainerNotFound, AmbiguousId
        """
        wanted = name.removeprefix("/")
        holder = self._holder(wanted) if is_name(wanted) else ""
        container = self._load(holder) if holder else None
        if container:
            return container
        found: list[str] = []
        if wanted and set(wanted) <= _HEX:
            found = [i for i in os.listdir(self._layout.containers) if i.startswith(wanted)]
        if len(found) > 1:
            raise AmbiguousId(wanted)
        container = self._load(found[0]) if found else None
        if container is None:
            raise ContainerNotFound(name)
        return container

    def _load(self, container_id: str) -> Container | None:
        directory = f"{self._layout.containers}/{container_id}"
        try:
            record = ContainerRecord.from_json(read_file(f"{directory}/container.json"))
        except (OSError, DataCorrupted):
            return None
        return Container(record, directory)

    def remove(self, container: Container) -> None:
        """Delete the container and its name; the caller holds its lock and has stopped it."""
        name = container.name
        with scratch(self._layout) as temporary:
            try:
                os.rename(container.directory, f"{temporary}/container")
            except FileNotFoundError:
                raise ContainerNotFound(container.id) from None
            if name:
                self._free_stale_name(name)

    def new_id(self) -> str:
        """Return 64 random hexadecimal digits.

        Never only decimal digits at the beginning, so that the short id is no number.
        """
        while True:
            container_id = random_hex(32)
            if not container_id[:12].isdigit():
                return container_id


def is_name(text: str) -> bool:
    """Tell whether `text` may name a container."""
    return len(text) > 1 and text[0] in _NAME_FIRST and set(text) <= _NAME_REST


def check_name(name: str) -> None:
    """Raise InvalidName unless `name` may name a container."""
    if not is_name(name) or len(name) > 255:
        raise InvalidName(name)
