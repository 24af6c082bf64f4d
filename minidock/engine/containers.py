# SPDX-License-Identifier: Apache-2.0
"""The verbs on containers."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from minidock.config import Config
from minidock.engine import liveness
from minidock.engine.images import Images
from minidock.engine.names import random_name
from minidock.engine.options import (
    CommitOptions,
    CreateOptions,
    ExecOptions,
    ListContainers,
    LogOptions,
    PullOptions,
    Streams,
)
from minidock.engine.records import container_config, host_config
from minidock.engine.resolve import ImageNotFound, Resolved, resolve
from minidock.engine.start import Starter, reconcile
from minidock.engine.views import ChangeView, ContainerView, Finished, LogLine, PortView
from minidock.errors import Conflict, InvalidArgument, Unsupported
from minidock.network.leases import Endpoint
from minidock.network.ports import PortMapping
from minidock.oci.digest import Digest
from minidock.oci.reference import parse_reference
from minidock.progress import Progress, Warned, ignore
from minidock.runtime import attach, cgroups
from minidock.runtime.channel import Connection
from minidock.store.containers import (
    PAUSED,
    RUNNING,
    Container,
    ContainerNotFound,
    ContainerRecord,
    ContainerState,
    NameTaken,
)
from minidock.store.images import StoredImage
from minidock.store.store import Store

STOP_TIMEOUT = 10
"""Seconds between the stop signal and SIGKILL when nobody says otherwise, as docker has it."""

NETWORKS = ("bridge", "default", "host", "none")


class StillRunning(Conflict):
    """A running container can't be removed; the text is docker's."""

    def __init__(self, container: Container) -> None:
        super().__init__(
            f"You cannot remove a running container {container.id}. Stop the container before "
            "attempting removal or force remove"
        )


class Containers:
    """The verbs on the containers of one store."""

    def __init__(self, config: Config, store: Store, images: Images) -> None:
        self._config = config
        self._store = store
        self._images = images

    def create(self, options: CreateOptions, progress: Progress) -> str:
        """Make a container that does not run yet; return its id.

        The image is pulled as `options.pull` says.

        Raises:
            ImageNotFound, NameTaken, InvalidName, InvalidArgument, and what a pull raises.
        """
        return self._create(options, progress).id

    def _create(self, options: CreateOptions, progress: Progress) -> Container:
        if options.network not in NETWORKS:
            raise Unsupported(
                f"network {options.network} not found", hint="there are bridge, host and none"
            )
        with self._store.lease():
            resolved = self._image(options, progress)
            stored = self._store.images.read(resolved.entry.manifest)
            container_id = self._store.containers.new_id()
            record = self._record(container_id, options, stored)
            return self._name_and_create(record, options)

    def _image(self, options: CreateOptions, progress: Progress) -> Resolved:
        if options.pull != "always":
            try:
                resolved = resolve(self._store.images, options.image)
                if self._suits(resolved, options):
                    return resolved
            except ImageNotFound:
                if options.pull == "never":
                    raise
        reference = parse_reference(options.image)
        self._images.pull(reference, PullOptions(options.platform), progress)
        return resolve(self._store.images, options.image)

    def _suits(self, resolved: Resolved, options: CreateOptions) -> bool:
        if options.platform is None:
            return True
        image = self._store.images.read(resolved.entry.manifest).image
        return options.platform.accepts(image.platform) or options.pull == "never"

    def _record(
        self, container_id: str, options: CreateOptions, stored: StoredImage
    ) -> ContainerRecord:
        return ContainerRecord(
            container_id,
            time.time(),
            options.image,
            stored.id,
            stored.manifest.digest,
            stored.manifest.media_type,
            stored.image.diff_ids,
            container_config(container_id, options, stored.image.config),
            host_config(options),
        )

    def _name_and_create(self, record: ContainerRecord, options: CreateOptions) -> Container:
        containers = self._store.containers
        durable = not options.remove  # what ends with its run need not survive the power
        if options.name:
            name = options.name.removeprefix("/")
            return containers.create(record, name, durable=durable)
        for attempt in range(10):
            suffix = str(attempt) if attempt else ""
            try:
                return containers.create(record, random_name() + suffix, durable=durable)
            except NameTaken:
                continue
        return containers.create(record, record.id[:12], durable=durable)

    def run(
        self,
        options: CreateOptions,
        streams: Streams | None,
        progress: Progress,
        on_created: Callable[[str], None],
    ) -> Finished:
        """Create a container and start it; without `streams` leave it running.

        `on_created` gets the id before the start. With `options.remove` the container is gone
        after its end, also when it could not be started.

        Raises:
            CommandNotFound, CommandNotExecutable, SystemFailure: the container, unless it is
                to be removed, stays as created.
        """
        container = self._create(options, progress)
        on_created(container.id)
        return self._start(container, streams, progress)

    def start(self, name: str, progress: Progress = ignore) -> None:
        """Start a container; one that runs already is left alone."""
        container = self._find(name)
        if container.state.status not in (RUNNING, PAUSED):
            self._start(container, None, progress)

    def start_attached(
        self, name: str, streams: Streams, progress: Progress = ignore
    ) -> Finished:
        """Start a container and relay its streams; one that runs already is attached to."""
        container = self._find(name)
        if container.state.status in (RUNNING, PAUSED):
            return self.attach(name, streams)
        return self._start(container, streams, progress)

    def _start(
        self, container: Container, streams: Streams | None, progress: Progress
    ) -> Finished:
        starter = Starter(self._config, self._store, container)
        with container.lock():
            spawned = starter.start(attached=streams is not None)
        for warning in spawned.warnings:
            progress(Warned(warning))
        if streams is None or spawned.connection is None:
            return Finished(None)
        return self._relay(container, spawned.connection, streams)

    def _relay(
        self, container: Container, connection: Connection, streams: Streams
    ) -> Finished:
        def forward(number: int) -> None:
            try:
                liveness.signal_init(container.state, number)
            except ContainerNotFound:
                pass  # it has ended and was removed

        return Finished(attach.relay(connection, attach.ClientStreams(*streams), forward))

    def attach(self, name: str, streams: Streams) -> Finished:
        """Relay the streams of a running container until it ends or the detach keys come.

        Raises:
            Conflict: it does not run, or is paused; the texts are docker's.
        """
        container = self._find(name)
        state = container.state
        if state.status == PAUSED:
            raise Conflict("You cannot attach to a paused container, unpause it first")
        if state.status != RUNNING:
            raise Conflict("You cannot attach to a stopped container, start it first")
        return self._relay(container, attach.connect(container.directory), streams)

    def exec(self, name: str, options: ExecOptions, streams: Streams) -> Finished:
        """Run a further command in a running container; return its status.

        Raises:
            NotRunning, Conflict for a paused one, CommandNotFound, CommandNotExecutable.
        """
        from minidock.engine.execute import execute  # only exec needs it

        return execute(self._store, self._find(name), options, streams)

    def _find(self, name: str) -> Container:
        container = self._store.containers.find(name)
        reconcile(self._config, self._store, container)
        return container

    def list(self, options: ListContainers) -> tuple[ContainerView, ...]:
        """Return the containers, newest first; only the running ones unless asked for all.

        Raises:
            InvalidFilter
        """
        from minidock.engine.filters import container_filter  # only ps needs it

        accepts = container_filter(options.filters, self._store)
        everything = options.all or options.last > 0
        everything = everything or any(k in ("status", "exited") for k, _ in options.filters)
        views = []
        for container in self._store.containers.all():
            try:
                reconcile(self._config, self._store, container)
                view = self._view(container, options.size)
            except ContainerNotFound:
                continue  # removed meanwhile
            if (everything or view.state in (RUNNING, PAUSED)) and accepts(view):
                views.append(view)
        views.sort(key=lambda view: -view.created)
        return tuple(views[: options.last or None])

    def _view(self, container: Container, size: bool) -> ContainerView:
        record, state = container.record, container.state
        config = record.config
        ports = published(state)
        taken = {f"{p.container_port}/{p.protocol}" for p in ports}
        exposed = [p for p in config.get("ExposedPorts") or () if p not in taken]
        live = state.status in (RUNNING, PAUSED)
        size_rw, size_root = self._sizes(container) if size else (-1, -1)
        return ContainerView(
            container.id,
            container.name,
            record.image,
            record.image_id,
            (*config.get("Entrypoint", ()), *config.get("Cmd", ())),
            record.created,
            state.status,
            state.exit_code,
            state.started,
            state.finished,
            ports,
            tuple(exposed) if live else (),
            config.get("Labels") or {},
            tuple(str(b).split(":")[0] for b in record.host.get("Binds") or ()),
            (str(record.host.get("NetworkMode")),),
            size_rw,
            size_root,
        )

    def _sizes(self, container: Container) -> tuple[int, int]:
        from minidock.fs.trees import disk_usage  # only ps -s needs it

        own = disk_usage(container.upper)
        records = map(self._store.unpacked.record, container.record.layers)
        return own, own + sum(record.size for record in records if record)

    def inspect(self, name: str) -> dict[str, Any]:
        """Return docker's description of a container; raise ContainerNotFound."""
        from minidock.engine.inspect import container_document  # only inspect needs it

        container = self._find(name)
        state = container.state
        return container_document(container, state, self._config.platform, published(state))

    def logs(self, name: str, options: LogOptions) -> Iterator[LogLine]:
        """Give the log, line by line; with `follow` until the container ends.

        Raises:
            Unsupported: the container was made with a log driver that can't be read.
        """
        from minidock.runtime import logs  # only logs needs it

        container = self._find(name)
        if container.record.host["LogConfig"]["Type"] == "none":
            raise Unsupported("configured logging driver does not support reading")

        def alive() -> bool:
            try:
                return container.state.status in (RUNNING, PAUSED)
            except ContainerNotFound:
                return False

        entries = logs.read(
            container.log,
            follow=options.follow,
            since=options.since,
            until=options.until,
            tail=options.tail,
            alive=alive,
        )
        return (LogLine(*entry) for entry in entries)

    def stop(self, name: str, timeout: int | None = None, signal: str = "") -> None:
        """Send the stop signal, and SIGKILL after `timeout` seconds (negative: never).

        A container that does not run is left alone.
        """
        container = self._find(name)
        config = container.record.config
        if timeout is None:
            timeout = int(config.get("StopTimeout") or STOP_TIMEOUT)
        number = liveness.parse_signal(signal or config.get("StopSignal") or "TERM")
        state = container.state
        liveness.signal_init(state, number)
        if not liveness.await_init(state, None if timeout < 0 else timeout):
            liveness.signal_init(state, 9)
            liveness.await_init(state, None)
        self._await_end(container)

    def _await_end(self, container: Container) -> ContainerState | None:
        """Return the state after the end, None if the container was removed with it."""
        try:
            liveness.await_record(container)
            reconcile(self._config, self._store, container)
            state = container.state
        except ContainerNotFound:
            return None
        return state

    def restart(self, name: str, timeout: int | None = None, signal: str = "") -> None:
        """Stop a container if it runs, then start it."""
        self.stop(name, timeout, signal)
        self.start(name)

    def kill(self, name: str, signal: str = "KILL") -> None:
        """Send a signal; after SIGKILL, wait for the end.

        Raises:
            NotRunning, InvalidSignal
        """
        container = self._find(name)
        number = liveness.parse_signal(signal)
        state = container.state
        if not liveness.signal_init(state, number):
            raise liveness.NotRunning(container, f"Cannot kill container: {name}: ")
        if number == 9:
            liveness.await_init(state, None)
            self._await_end(container)

    def wait(self, name: str) -> int:
        """Return the exit status of a container once it has one."""
        container = self._find(name)
        state = container.state
        if state.status in (RUNNING, PAUSED):
            liveness.await_init(state, None)
            state = self._await_end(container) or state
        return state.exit_code

    def rename(self, name: str, new: str) -> None:
        """Give a container another name; raise NameTaken or InvalidName."""
        self._store.containers.rename(self._find(name), new.removeprefix("/"))

    def remove(self, name: str, force: bool = False, volumes: bool = False) -> None:
        """Delete a container; with `force` a running one is killed first.

        Raises:
            ContainerNotFound, StillRunning
        """
        del volumes  # bind mounts are the user's own
        container = self._find(name)
        state = container.state
        if state.status in (RUNNING, PAUSED):
            if not force:
                raise StillRunning(container)
            liveness.signal_init(state, 9)
            liveness.await_init(state, None)
            if self._await_end(container) is None:
                return
        with container.lock():
            if container.state.status in (RUNNING, PAUSED):
                raise StillRunning(container)  # started again meanwhile
            self._store.containers.remove(container)

    def port(self, name: str) -> tuple[PortView, ...]:
        """Return the published ports of a running container."""
        return tuple(
            PortView(p.container_port, p.protocol, p.host_ip or "0.0.0.0", p.host_port)  # noqa: S104
            for p in published(self._find(name).state)
        )

    def diff(self, name: str) -> tuple[ChangeView, ...]:
        """Return what the container changed in its image's files."""
        from minidock.layers.diff import changes  # only diff needs it

        container = self._find(name)
        lowers = self._store.unpacked.lowers(container.record.layers)
        return tuple(ChangeView(*change) for change in changes(container.upper, lowers))

    def commit(self, name: str, options: CommitOptions) -> Digest:
        """Make an image of a container, paused meanwhile if asked; return the image's id.

        Raises:
            ContainerNotFound, InvalidReference, InvalidChange, SystemFailure
        """
        from minidock.engine.commit import commit  # compression libraries cost 10 ms

        reference = parse_reference(options.reference) if options.reference else None
        if reference and reference.digest:
            raise InvalidArgument("refusing to create a tag with a digest reference")
        container = self._find(name)
        with frozen(container.state, options.pause):
            return commit(self._config, self._store, container, options, reference)


@contextlib.contextmanager
def frozen(state: ContainerState, wanted: bool) -> Iterator[None]:
    """Keep the processes of a running container from changing anything, if `wanted`."""
    if not wanted or state.status != RUNNING or not state.cgroups:
        yield
        return
    cgroups.freeze(state.cgroups)
    try:
        yield
    finally:
        cgroups.thaw(state.cgroups)


def published(state: ContainerState) -> tuple[PortMapping, ...]:
    """Return the ports that lead into a running container."""
    return Endpoint.from_json(state.endpoint).bindings if state.endpoint else ()
