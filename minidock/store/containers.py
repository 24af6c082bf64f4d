# SPDX-License-Identifier: Apache-2.0
"""Containers: a record written once, a small state rewritten whole, and a name.

A name is a symbolic link to its container, made and removed under one lock. The file ``name``
of the container says which link is meant; a link whose container says otherwise is a leftover
of a crash and free to take.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping

from minidock.annotations import Any
from minidock.errors import Conflict, DataCorrupted, InvalidArgument, NotFound
from minidock.fs.atomic import random_hex, read_file, write_file
from minidock.fs.locks import Lock
from minidock.oci.descriptor import InvalidDocument
from minidock.oci.digest import DiffID, Digest, digest_of, parse_diff_id, parse_digest
from minidock.oci.manifest import dump_json, load_json
from minidock.store.images import LAST_TIME
from minidock.store.layout import Layout
from minidock.store.scratch import scratch
from minidock.values import NamedTuple

CREATED, RUNNING, PAUSED, EXITED = "created", "running", "paused", "exited"
RESTARTING = "restarting"
"""It has ended, and its monitor waits to start it again."""

LIVE = (RUNNING, PAUSED)
"""With processes."""
_KEPT = "restart.lock"

DEAD = "dead"
"""Shown for a container whose state can't be read."""

_NAME_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_NAME_REST = _NAME_FIRST | frozenset("_.-")
_HEX = frozenset("0123456789abcdef")


class ContainerNotFound(NotFound):
    """No container has that name or id; the text is docker's."""

    def __init__(self, name: str, prefix: str = "") -> None:
        hint = "minidock ps -a lists them all"
        super().__init__(f"{prefix}No such container: {name}", hint=hint)
        self.name = name


class ContainerDamaged(DataCorrupted):
    """A container whose record can't be read; it can only be removed."""

    def __init__(self, container_id: str, reason: str) -> None:
        super().__init__(
            f"container {container_id} is damaged: {reason}",
            hint="minidock rm --force removes it",
        )
        self.id = container_id


class SameName(InvalidArgument):
    """A container is to be renamed to what it is called; the text is docker's."""

    def __init__(self) -> None:
        super().__init__("Renaming a container with the same name as its current name")


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
    """What a container is; only `host` changes, by Container.set_host.

    `image` is as the user typed it, `image_id` the config's digest, `layers` lowest first.
    `config` and `host` are in the shape of docker's Config and HostConfig, `mounts` are what
    became of the mounts that they ask for.
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
    mounts: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> bytes:
        """Return the record's bytes, which hold their own digest."""
        fields = self._asdict()
        return dump_json({**fields, "digest": digest_of(dump_json(fields))})

    @classmethod
    def from_json(cls, raw: bytes) -> "ContainerRecord":
        """Parse a record; raise DataCorrupted for anything that to_json() did not write."""
        fields = load_json(raw, "container.json")
        try:
            if fields.pop("digest") != digest_of(dump_json(fields)):
                raise DataCorrupted("invalid container.json: it was changed")
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
                tuple(dict(mount) for mount in fields.get("mounts", ())),
            )
        except (KeyError, TypeError, ValueError, InvalidArgument) as e:
            raise DataCorrupted(f"invalid container.json: {e}") from e


class ContainerState(NamedTuple):
    """How a container is.

    `pid` is init's, `start_time` its start in clock ticks after boot `boot_id`, which together
    name a process for ever (proc_pid_stat(5), field 22). Times are seconds since the epoch, 0
    for never. `endpoint` is what the network gave, `cgroups` the directories to remove.
    `devices_enforced` says whether the container's cgroup has rules for devices. `oom_kills` is
    what that had counted before this run. `restarts` counts those that its policy made since a
    user started it, `backoff` is the pause before the last one in seconds. `stopped` says that
    a user ended it.
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
    devices_enforced: bool = False
    oom_kills: int = 0
    backoff: float = 0.0
    stopped: bool = False

    @classmethod
    def from_json(cls, raw: bytes) -> "ContainerState":
        """Parse a state; raise DataCorrupted."""
        fields = load_json(raw, "state.json")
        known: dict[str, Any] = {k: fields.get(k, v) for k, v in cls()._asdict().items()}
        for key, value in known.items():
            if not _KINDS[key](value):
                raise InvalidDocument(f"invalid state.json: {key} is {str(value)[:40]!r}")
        known["cgroups"] = tuple(known["cgroups"])
        return cls(**known)


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < LAST_TIME


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "status": lambda value: value in (CREATED, RUNNING, PAUSED, RESTARTING, EXITED),
    "pid": _is_number,
    "start_time": _is_number,
    "boot_id": _is_text,
    "exit_code": _is_number,
    "error": _is_text,
    "oom_killed": lambda value: isinstance(value, bool),
    "started": _is_time,
    "finished": _is_time,
    "restarts": _is_number,
    "endpoint": lambda value: value is None or isinstance(value, dict),
    "cgroups": lambda value: isinstance(value, list | tuple) and all(map(_is_text, value)),
    "devices_enforced": lambda value: isinstance(value, bool),
    "oom_kills": _is_number,
    "backoff": _is_time,
    "stopped": lambda value: isinstance(value, bool),
}


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
            return read_file(f"{self.directory}/name").decode(errors="replace")
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
    def places(self) -> str:
        """The topmost read-only layer, where mounts need places that the image lacks."""
        return f"{self.directory}/places"

    @property
    def log(self) -> str:
        """The json-file log."""
        return f"{self.directory}/container.log"

    @property
    def runtime_directory(self) -> str:
        """What another runtime than our own keeps while the container runs."""
        return f"{self.directory}/runtime"

    def file(self, name: str) -> str:
        """The container's own ``hosts``, ``hostname``, ``resolv.conf`` or ``config.json``."""
        return f"{self.directory}/{name}"

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Hold the lock under which the state changes.

        The container may have been removed by the time it is had: read the state first. Raises
        ContainerNotFound when that is so already.
        """
        return self._holding("lock")

    def freeze_lock(self) -> contextlib.AbstractContextManager[None]:
        """Hold the lock of who stops it, or lets it go; raise ContainerNotFound."""
        return self._holding("freeze.lock")

    @contextlib.contextmanager
    def _holding(self, name: str, *, shared: bool = False) -> Iterator[None]:
        lock = Lock(f"{self.directory}/{name}", shared=shared)
        try:
            lock.__enter__()
        except FileNotFoundError as e:
            raise ContainerNotFound(self.id) from e
        try:
            yield
        finally:
            lock.release()

    def reread(self) -> "Container":
        """Return the container as it is recorded now.

        Raises:
            ContainerNotFound: it was removed meanwhile.
            DataCorrupted: the record can't be read.
        """
        try:
            raw = read_file(f"{self.directory}/container.json")
        except FileNotFoundError as e:
            raise ContainerNotFound(self.id) from e
        return self._replace(record=ContainerRecord.from_json(raw))

    def set_host(self, host: Mapping[str, Any]) -> None:
        """Replace the HostConfig in the record; the caller holds the lock.

        It is on disk when this returns, but for a container that ends with its run.
        """
        record = self.record._replace(host=host)
        durable = not host.get("AutoRemove")
        write_file(f"{self.directory}/container.json", record.to_json(), durable=durable)

    def kept(self) -> contextlib.AbstractContextManager[None]:
        """Keep the container although it ends: it will be started again at once.

        Raises:
            ContainerNotFound: it was removed meanwhile.
        """
        return self._holding(_KEPT, shared=True)

    @property
    def is_kept(self) -> bool:
        """Whether another process has it `kept`."""
        path = f"{self.directory}/{_KEPT}"
        if not os.path.exists(path):
            return False
        lock = Lock(path)
        if lock.try_acquire():
            lock.release()
            return False
        return True

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
        link = f"{self._layout.names}/{name}"
        with scratch(self._layout) as temporary:
            half = f"{temporary}/container"
            for directory in ("", "/upper", "/work", "/mount"):
                os.mkdir(half + directory, 0o700)
            state = dump_json(ContainerState()._asdict())
            write_file(f"{half}/state.json", state, durable=False)
            write_file(f"{half}/name", name.encode(), durable=durable)
            write_file(f"{half}/container.json", record.to_json(), durable=durable)
            target = f"{self._layout.containers}/{record.id}"
            with self._names_lock():
                self._take_link(name, record.id)
                # The name comes first: a crash here leaves a stale link, not a container that
                # can't be found by its name.
                try:
                    os.rename(half, target)
                except BaseException:
                    os.unlink(link)
                    raise
        return Container(record, target)

    def _names_lock(self) -> Lock:
        return Lock(f"{self._layout.locks}/names.lock")

    def _take_link(self, name: str, container_id: str) -> None:
        """Let `name` mean `container_id`; the caller holds the lock of names."""
        holder = self._holder(name)
        if holder:
            raise NameTaken(name, holder)
        link = f"{self._layout.names}/{name}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(link)
        os.symlink(container_id, link)

    def _holder(self, name: str) -> str:
        """Return the id of the container that has `name`, empty if none really has."""
        try:
            holder = os.readlink(f"{self._layout.names}/{name}")
            called = read_file(f"{self._layout.containers}/{holder}/name").decode()
        except (OSError, ValueError):
            return ""
        return holder if called == name else ""

    def _free_stale_name(self, name: str) -> None:
        with self._names_lock():
            if not self._holder(name):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{self._layout.names}/{name}")

    def rename(self, container: Container, name: str) -> None:
        """Give the container another name.

        Raises:
            InvalidName, NameTaken, SameName, ContainerNotFound
        """
        check_name(name)
        old = container.name
        if old == name:
            raise SameName
        with self._names_lock():
            self._take_link(name, container.id)
            # The link is no leftover once the file agrees with it.
            try:
                write_file(f"{container.directory}/name", name.encode())
            except BaseException as e:
                os.unlink(f"{self._layout.names}/{name}")
                if isinstance(e, FileNotFoundError):
                    raise ContainerNotFound(container.id) from e
                raise
        if is_name(old):
            self._free_stale_name(old)

    def all(self) -> Iterator[Container]:
        """Give every readable container, in no order."""
        for container_id in os.listdir(self._layout.containers):
            with contextlib.suppress(ContainerNotFound, ContainerDamaged):
                yield self._load(container_id)

    def damaged(self) -> tuple[str, ...]:
        """Return the ids of the containers whose records can't be read."""
        found = []
        for container_id in os.listdir(self._layout.containers):
            try:
                self._load(container_id)
            except ContainerNotFound:
                continue
            except ContainerDamaged:
                found.append(container_id)
        return tuple(found)

    def find(self, name: str) -> Container:
        """Return the container with that name, id or unambiguous beginning of an id.

        Raises:
            ContainerNotFound, AmbiguousId, ContainerDamaged
        """
        wanted = name.removeprefix("/")
        holder = self._holder(wanted) if is_name(wanted) else ""
        if holder:
            return self._load(holder)
        found: list[str] = []
        if wanted and set(wanted) <= _HEX:
            found = [i for i in os.listdir(self._layout.containers) if i.startswith(wanted)]
        if len(found) > 1:
            raise AmbiguousId(wanted)
        if not found:
            raise ContainerNotFound(name)
        return self._load(found[0])

    def _load(self, container_id: str) -> Container:
        directory = f"{self._layout.containers}/{container_id}"
        try:
            record = ContainerRecord.from_json(read_file(f"{directory}/container.json"))
        except DataCorrupted as e:
            raise ContainerDamaged(container_id, e.message) from e
        except OSError as e:
            if not os.path.isdir(directory):
                raise ContainerNotFound(container_id) from e
            reason = f"container.json: {(e.strerror or '').lower()}"
            raise ContainerDamaged(container_id, reason) from e
        if record.id != container_id:
            raise ContainerDamaged(container_id, "container.json is another's")
        return Container(record, directory)

    def directory(self, container_id: str) -> str:
        """Return the directory of a container, damaged or not."""
        return f"{self._layout.containers}/{container_id}"

    def remove(self, container: Container) -> None:
        """Delete the container and its name; the caller holds its lock and has stopped it."""
        name = container.name
        self.discard(container.id)
        if is_name(name):
            self._free_stale_name(name)

    def discard(self, container_id: str) -> None:
        """Delete a container's directory, whatever is in it; nothing in it may run."""
        with scratch(self._layout) as temporary:
            try:
                os.rename(self.directory(container_id), f"{temporary}/container")
            except FileNotFoundError:
                raise ContainerNotFound(container_id) from None

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
