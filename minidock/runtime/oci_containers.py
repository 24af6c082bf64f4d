# SPDX-License-Identifier: Apache-2.0
"""Containers by the operations of the OCI runtime specification (runtime.md).

Nobody watches such a container but who called for it: `create` leaves its first process waiting
at a fifo, `start` lets it go, and its parent is whoever adopts orphans of the caller's
(PR_SET_CHILD_SUBREAPER). What is known of a container is in a directory below the root:

==============  ==============================================
state.json      `Record`: written once, when there is a process
config.json     the configuration as it was at `create`
gate            fifo: there until the container is started
report          fifo: how the start went
==============  ==============================================
"""

import errno
import os
import re
import signal
import time
from contextlib import ExitStack

from minidock.annotations import Any
from minidock.errors import Conflict, InvalidArgument, MinidockError, NotFound, SystemFailure
from minidock.fs import trees
from minidock.fs.atomic import make_directory, read_file, write_file
from minidock.linux import process_stat
from minidock.oci.descriptor import InvalidDocument, json_list
from minidock.oci.manifest import dump_json, load_json
from minidock.oci.runtime import Process, Spec
from minidock.runtime import cgroups, enter, launch, oci_bundle, oci_hooks
from minidock.runtime.launch import Launched
from minidock.runtime.oci_create import (
    CREATED,
    PAUSED,
    RUNNING,
    STOPPED,
    Created,
    Making,
    Request,
    filter_of,
    size_console,
    state_document,
)
from minidock.values import NamedTuple

_NAME = re.compile(r"[A-Za-z0-9_+.-]+")
_STATE = "state.json"
_PATIENCE = 10.0
_PAUSE = 0.001


class InvalidId(InvalidArgument):
    """A container id that could not be the name of a directory."""


class UnknownContainer(NotFound):
    """There is no container of that id; the text is what engines look for."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f'container "{container_id}" does not exist')


class ContainerExists(Conflict):
    """The id is taken."""


class WrongStatus(Conflict):
    """A container is not in the state that the operation needs."""


class Record(NamedTuple):
    """What is known of a container from its creation on.

    `pid` and `start_time` name its first process, `cgroups` are directories, `created` is in
    seconds since the epoch.
    """

    id: str
    bundle: str
    pid: int
    start_time: int
    created: float
    cgroups: tuple[str, ...] = ()


class Container(NamedTuple):
    """One container: what is stored of it, and how it is now."""

    record: Record
    spec: Spec
    status: str

    def state(self) -> dict[str, Any]:
        """Return the state as runtime.md has it."""
        record = self.record
        pid = 0 if self.status == STOPPED else record.pid
        return state_document(record.id, self.status, pid, record.bundle, self.spec)


class Containers:
    """The containers whose state is below directory `root`."""

    def __init__(self, root: str) -> None:
        self._root = root

    def create(self, request: Request) -> Created:
        """Make a container that waits to be started.

        Raises:
            InvalidId, ContainerExists: of the id.
            InvalidDocument, InvalidConfig, UnsupportedConfig: of config.json.
            MinidockError: it can't be made; nothing of it is left.
        """
        if not _is_name(request.id):
            raise InvalidId(f'invalid container id: "{request.id}"')
        loaded = oci_bundle.load(request.bundle)
        directory = self._directory(request.id)
        with ExitStack() as undo:
            try:
                self._make_directory(request.id)
                undo.callback(trees.remove, directory)
                made = Making(request, loaded.spec, directory, undo).make(self._store)
                if request.pid_file:
                    pid = str(made.launched.pid).encode()
                    write_file(request.pid_file, pid, durable=False)
            except OSError as e:
                raise SystemFailure.of("create the container", e) from e
            undo.pop_all()
        return made._replace(warnings=loaded.warnings + made.warnings)

    def _make_directory(self, container_id: str) -> None:
        make_directory(self._root)
        try:
            os.mkdir(self._directory(container_id), 0o700)
        except FileExistsError as e:
            raise ContainerExists(f'container "{container_id}" already exists') from e

    def _store(self, request: Request, made: Created) -> None:
        """Write the record as soon as there is a process: who kills us can delete it."""
        launched = made.launched
        record = Record(
            request.id,
            request.bundle,
            launched.pid,
            launched.start_time,
            time.time(),
            made.cgroups,
        )
        directory = self._directory(request.id)
        files = {oci_bundle.CONFIG: made.spec.to_json(), _STATE: record._asdict()}
        for name, document in files.items():
            write_file(f"{directory}/{name}", dump_json(document), durable=False)

    def find(self, container_id: str) -> Container:
        """Return a container; raise UnknownContainer, DataCorrupted."""
        directory = self._directory(container_id)
        if not _is_name(container_id):
            raise UnknownContainer(container_id)
        try:
            fields = load_json(read_file(f"{directory}/{_STATE}"), _STATE)
            spec = Spec.from_json(
                load_json(read_file(f"{directory}/{oci_bundle.CONFIG}"), oci_bundle.CONFIG)
            )
            groups = tuple(map(str, json_list(fields.get("cgroups"), "cgroups")))
            values = {**fields, "cgroups": groups}
            record = Record._make(values[key] for key in Record._fields)
        except FileNotFoundError as e:
            raise UnknownContainer(container_id) from e
        except KeyError as e:
            raise InvalidDocument(f"invalid {_STATE}: no {e}") from e
        return Container(record, spec, self._status(record))

    def _status(self, record: Record) -> str:
        if process_stat.living_since(record.pid) != record.start_time:
            return STOPPED
        if os.path.exists(f"{self._directory(record.id)}/{launch.GATE}"):
            return CREATED
        return PAUSED if cgroups.is_frozen(record.cgroups) else RUNNING

    def all(self) -> tuple[Container, ...]:
        """Return every container, by id."""
        found = []
        for name in sorted(os.listdir(self._root) if os.path.isdir(self._root) else ()):
            try:
                found.append(self.find(name))
            except MinidockError:
                pass  # being made, or removed meanwhile
        return tuple(found)

    def start(self, container_id: str) -> tuple[str, ...]:
        """Let a created container's process go on; return warnings.

        Raises:
            WrongStatus, CommandNotFound, CommandNotExecutable, SystemFailure.
        """
        container = self.find(container_id)
        if container.status != CREATED:
            raise WrongStatus(f"cannot start a container in the {container.status} state")
        directory = self._directory(container_id)
        warnings = launch.start_waiting(directory, container.spec.process)
        state = container._replace(status=RUNNING).state()
        return warnings + oci_hooks.run_all(container.spec, "poststart", state)

    def kill(self, container_id: str, number: int, *, everybody: bool = False) -> None:
        """Send a signal to a container's first process, or to all its processes.

        Raises:
            WrongStatus: it has ended.
        """
        container = self.find(container_id)
        record = container.record
        if everybody:
            for pid in cgroups.members(record.cgroups):
                _signal(pid, number)
        elif not self._signal_first(record, number):
            raise WrongStatus("container not running")

    def _signal_first(self, record: Record, number: int) -> bool:
        try:
            pidfd = os.pidfd_open(record.pid)
        except ProcessLookupError:
            return False
        try:
            # The descriptor is held: a pid with the right start time is the right process.
            if process_stat.living_since(record.pid) != record.start_time:
                return False
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(pidfd)
        return True

    def delete(self, container_id: str, *, force: bool = False) -> tuple[str, ...]:
        """Take away what is left of a container; return warnings.

        One that runs is killed if `force`, one that was never started always.

        Raises:
            WrongStatus: it runs.
        """
        try:
            container = self.find(container_id)
        except UnknownContainer:
            if force and _is_name(container_id):  # its creation was killed at the beginning
                trees.remove(self._directory(container_id))
            raise
        record = container.record
        if container.status in (RUNNING, PAUSED) and not force:
            raise WrongStatus(
                f'cannot delete container "{container_id}" that is not stopped: '
                f"{container.status}"
            )
        if container.status != STOPPED:
            self._signal_first(record, signal.SIGKILL)
            if container.status == PAUSED:
                cgroups.thaw(record.cgroups)
            _await_end(record)
        cgroups.remove(record.cgroups)
        trees.remove(self._directory(container_id))
        state = container._replace(status=STOPPED).state()
        return oci_hooks.run_all(container.spec, "poststop", state)

    def pause(self, container_id: str) -> None:
        """Stop all processes of a running container; raise WrongStatus, FreezerMissing."""
        container = self._expect(container_id, RUNNING)
        cgroups.freeze(container.record.cgroups)

    def resume(self, container_id: str) -> None:
        """Let the processes of a paused container go on; raise WrongStatus."""
        container = self._expect(container_id, PAUSED)
        cgroups.thaw(container.record.cgroups)

    def _expect(self, container_id: str, status: str) -> Container:
        container = self.find(container_id)
        if container.status != status:
            raise WrongStatus(f"container is {container.status}, not {status}")
        return container

    def processes(self, container_id: str) -> tuple[int, ...]:
        """Return the processes of a container as the host numbers them."""
        return cgroups.members(self.find(container_id).record.cgroups)

    def execute(
        self, container_id: str, process: Process, stdio: tuple[int, int, int]
    ) -> Launched:
        """Return one more process of a container, waiting for `Launched.start`.

        Raises:
            WrongStatus: it does not run, or is paused.
            CommandNotFound, CommandNotExecutable, SystemFailure.
        """
        container = self.find(container_id)
        if container.status not in (CREATED, RUNNING):
            raise WrongStatus(f"cannot exec in a {container.status} container")
        record = container.record
        launched = enter.enter_resolved(
            enter.Target(record.pid, record.start_time),
            process,
            filter_of(container.spec),
            cgroups.entrances(record.cgroups),
            stdio,
        )
        size_console(launched, process)
        return launched

    def _directory(self, container_id: str) -> str:
        return f"{self._root}/{container_id}"


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None and text not in (".", "..")


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _await_end(record: Record) -> None:
    deadline = time.monotonic() + _PATIENCE
    while process_stat.living_since(record.pid) == record.start_time:
        if time.monotonic() > deadline:
            raise SystemFailure("end the container", errno.ETIMEDOUT)
        time.sleep(_PAUSE)
