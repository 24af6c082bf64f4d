# SPDX-License-Identifier: Apache-2.0
"""The verbs on containers."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from signal import SIGKILL

from minidock.annotations import TYPE_CHECKING, Any
from minidock.config import Config
from minidock.engine import liveness, restarts
from minidock.engine.images import Images
from minidock.engine.lowers import lowers_of
from minidock.engine.mount_points import mount_points
from minidock.engine.names import random_name
from minidock.engine.options import (
    BindMount,
    CommitOptions,
    CopyOptions,
    CreateOptions,
    ExecOptions,
    Filters,
    ListContainers,
    LogOptions,
    PullOptions,
    Resources,
    UpdateOptions,
)
from minidock.engine.reconcile import reconcile
from minidock.engine.records import (
    DEFAULT_RUNTIME,
    container_config,
    host_config,
    published,
    resources_config,
)
from minidock.engine.resolve import ImageNotFound, Resolved, resolve
from minidock.engine.views import (
    ChangeView,
    ContainerView,
    Finished,
    LogLine,
    PortView,
    ProcessTable,
    PrunedContainers,
)
from minidock.errors import (
    Conflict,
    InvalidArgument,
    MinidockError,
    SystemFailure,
    Unsupported,
)
from minidock.fs.atomic import make_directory
from minidock.oci.digest import Digest
from minidock.oci.reference import parse_reference
from minidock.progress import Progress, Warned, ignore
from minidock.store import journal
from minidock.store.containers import (
    EXITED,
    LIVE,
    PAUSED,
    RESTARTING,
    RUNNING,
    Container,
    ContainerDamaged,
    ContainerNotFound,
    ContainerRecord,
    ContainerState,
    NameTaken,
)
from minidock.store.images import StoredImage
from minidock.store.store import Store

if TYPE_CHECKING:
    from minidock.engine.copy import Files
    from minidock.engine.stats import Sampler
    from minidock.oci.content import Reader, Writer
    from minidock.runtime.channel import Connection
    from minidock.runtime.seed import Seed
    from minidock.runtime.streams import Streams

STOP_TIMEOUT = 10
"""Seconds between the stop signal and SIGKILL when nobody says otherwise, as docker has it."""

NETWORKS = ("bridge", "default", "host", "none")


_ACTIVE = (RUNNING, PAUSED, RESTARTING)
"""States of a container that can't be removed as it is."""


class StillRunning(Conflict):
    """A running or paused container can't be removed; the text is docker's."""

    def __init__(self, container: Container, status: str = RUNNING) -> None:
        how = "Unpause and then stop" if status == PAUSED else "Stop"
        super().__init__(
            f"You cannot remove a {status} container {container.id}. {how} the container "
            "before attempting removal or force remove"
        )


class Containers:
    """The verbs on the containers of one store."""

    def __init__(
        self, config: Config, store: Store, images: Images, seed: "Seed | None" = None
    ) -> None:
        self._config = config
        self._seed = seed
        self._store = store
        self._images = images

    def create(self, options: CreateOptions, progress: Progress) -> str:
        """Make a container that does not run yet; return its id.

        The image is pulled as `options.pull` says.

        Raises:
            ImageNotFound, NameTaken, InvalidName, InvalidArgument, and what a pull raises.
        """
        return self._create(options, progress, lambda: None).id

    def _create(
        self, options: CreateOptions, progress: Progress, on_image: Callable[[], object]
    ) -> Container:
        """Make a container; call `on_image` when its image is there."""
        from minidock.engine.isolation import CONTAINER  # ps makes none

        if options.network not in NETWORKS and not options.network.startswith(CONTAINER):
            raise Unsupported(
                f"network {options.network} not found",
                hint="there are bridge, host, none and container:NAME",
            )
        _check(options, progress)
        if options.runtime not in ("", DEFAULT_RUNTIME):
            from minidock.engine import runtimes  # few containers have another runtime

            runtimes.check(options.runtime)
        if CONTAINER in options.network + options.pid_mode + options.ipc_mode:
            from minidock.engine.joining import with_ids  # few containers join others

            options = with_ids(self._store, options)
        with self._store.lease():
            resolved = self._image(options, progress)
            on_image()
            stored = self._store.images.read(resolved.entry.manifest)
            container_id = self._store.containers.new_id()
            record = self._record(container_id, options, stored)
            if not _has_mounts(options, stored):
                return self._name_and_create(record, options)
            from minidock.engine.provision import provide  # only containers with mounts need it

            with provide(self._store, options, stored) as points:
                mounts = tuple(point._asdict() for point in points)
                return self._name_and_create(record._replace(mounts=mounts), options)

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
        container = self._named(record, options)
        journal.container(self._store.layout, container, "create")
        return container

    def _named(self, record: ContainerRecord, options: CreateOptions) -> Container:
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
        streams: "Streams | None",
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
        from minidock.runtime import attach  # the start needs it too

        with contextlib.ExitStack() as stack:

            def hold() -> None:
                if streams:  # from now on a signal is the container's
                    stack.enter_context(attach.signals_held(streams))

            container = self._create(options, progress, hold)
            on_created(container.id)
            return self._start(container, streams, progress)

    def start(self, name: str, progress: Progress = ignore) -> None:
        """Start a container; one that runs is left alone, a paused one is a Conflict."""
        container, state = self._find(name)
        if state.status == PAUSED:
            raise Conflict("cannot start a paused container, try unpause instead")
        if state.status not in (RUNNING, RESTARTING):
            self._start(container, None, progress)

    def due_at_boot(self) -> tuple[str, ...]:
        """Return the names of the containers to start after the machine has been started.

        They are those that have run, do not now, and whose restart policy asks for it; in the
        order in which they were made.
        """
        due = []
        for container in self._store.containers.all():
            with contextlib.suppress(MinidockError):  # removed meanwhile, or damaged
                state = reconcile(self._config, self._store, container)
                if restarts.is_due_at_boot(container.record.host, state):
                    due.append((container.record.created, container.name))
        return tuple(name for _, name in sorted(due))

    def start_attached(
        self, name: str, streams: "Streams", progress: Progress = ignore
    ) -> Finished:
        """Start a container and relay its streams; one that runs already is attached to."""
        container, state = self._find(name)
        if state.status in _ACTIVE:
            return self.attach(name, streams)
        return self._start(container, streams, progress)

    def _start(
        self, container: Container, streams: "Streams | None", progress: Progress
    ) -> Finished:
        if streams is None:
            self._spawn(container, None, progress)
            return Finished(None)
        from minidock.runtime import attach  # the start needs it too

        journal.container(self._store.layout, container, "attach")
        with attach.signals_held(streams):
            connection = self._spawn(container, streams, progress)
            if connection is None:
                return self.attach(container.id, streams)
            return self._relay(container, connection, streams)

    def _spawn(
        self, container: Container, streams: "Streams | None", progress: Progress
    ) -> "Connection | None":
        """Start a container; give the connection to its streams if `streams` wants them.

        There is none when another command has started it meanwhile.
        """
        from minidock.engine.starting import start  # ps starts nothing

        with container.lock():
            if container.state.status in _ACTIVE:
                return None
            # Another command may have started it while this one waited for the lock.
            liveness.await_monitor(container)
            seed, self._seed = self._seed, None
            screen = streams.screen if streams else None
            attached = streams is not None
            spawned = start(self._config, container, seed, attached=attached, screen=screen)
        for warning in spawned.warnings:
            progress(Warned(warning))
        return spawned.connection

    def _relay(
        self,
        container: Container,
        connection: "Connection",
        streams: "Streams",
        *,
        repaint: bool = False,
    ) -> Finished:
        from minidock.runtime import attach  # only for what is attached to

        def forward(number: int) -> None:
            try:
                liveness.signal_init(container.state, number)
            except ContainerNotFound:
                pass  # it has ended and was removed

        return Finished(attach.relay(connection, streams, forward, repaint=repaint))

    def attach(self, name: str, streams: "Streams") -> Finished:
        """Relay the streams of a running container until it ends or the detach keys come.

        Raises:
            Conflict: it does not run, or is paused; the texts are docker's.
        """
        from minidock.runtime import attach  # only for what is attached to

        container, state = self._find(name)
        if state.status == PAUSED:
            raise Conflict("You cannot attach to a paused container, unpause it first")
        if state.status == RESTARTING:
            raise Conflict(
                "You cannot attach to a restarting container, wait until it is running"
            )
        if state.status != RUNNING:
            raise Conflict("You cannot attach to a stopped container, start it first")
        connection = attach.connect(container.directory)
        journal.container(self._store.layout, container, "attach")
        return self._relay(container, connection, streams, repaint=True)

    def exec(self, name: str, options: ExecOptions, streams: "Streams") -> Finished:
        """Run a further command in a running container; return its status.

        Raises:
            NotRunning, Conflict for a paused one, CommandNotFound, CommandNotExecutable.
        """
        from minidock.engine.execute import execute  # only exec needs it

        return execute(self._store, *self._find(name), options, streams)

    def _find(self, name: str) -> tuple[Container, ContainerState]:
        container = self._store.containers.find(name)
        return container, reconcile(self._config, self._store, container)

    def list(self, options: ListContainers) -> tuple[ContainerView, ...]:
        """Return the containers, newest first; only the running ones unless asked for all.

        Raises:
            InvalidFilter
        """
        from minidock.engine.listing import list_containers  # only ps needs it

        return list_containers(self._config, self._store, options)

    def inspect(self, name: str) -> dict[str, Any]:
        """Return docker's description of a container; raise ContainerNotFound."""
        from minidock.engine import isolation  # ps does not tell of it
        from minidock.engine.inspect import container_document  # only inspect needs it

        container, state = self._find(name)
        owner = None
        if isolation.sharing(container.record.host).joined:
            from minidock.engine.joining import network_owner  # few containers join others

            with contextlib.suppress(ContainerNotFound):  # it may have been removed since
                owner = network_owner(self._store, container)
        platform = self._config.platform
        return container_document(container, state, platform, published(state), owner)

    def logs(self, name: str, options: LogOptions) -> Iterator[LogLine]:
        """Give the log, line by line; with `follow` until the container ends.

        Raises:
            Unsupported: the container was made with a log driver that can't be read.
        """
        from minidock.runtime import logs  # only logs needs it

        container, _ = self._find(name)
        if container.record.host["LogConfig"]["Type"] == "none":
            raise Unsupported("configured logging driver does not support reading")

        entries = logs.read(
            container.log,
            follow=options.follow,
            since=options.since,
            until=options.until,
            tail=options.tail,
            alive=lambda: liveness.is_live(container),
        )
        return (LogLine(*entry) for entry in entries)

    def stop(
        self,
        name: str,
        timeout: int | None = None,
        signal: str = "",
        progress: Progress = ignore,
    ) -> None:
        """Send the stop signal, and SIGKILL after `timeout` seconds (negative: never).

        A container that does not run is left alone. One that can't take notice of the signal is
        not waited for, unless the user or the container says how long.
        """
        container, state = self._find(name)
        config = container.record.config
        number = liveness.parse_signal(signal) if signal else liveness.stop_signal(config)
        state = restarts.forbid(container)
        if timeout is None:
            timeout = config.get("StopTimeout")
        if timeout is None:
            from minidock.engine import stopping  # only stop without a time needs it

            timeout = STOP_TIMEOUT
            if not stopping.heeds(state, number):
                progress(Warned(stopping.unheeded(name, number)))
                timeout = 0
        called = container.name
        self._signal(container, state, number)
        self._resume(container, state)
        if not liveness.await_init(state, None if timeout < 0 else timeout):
            self._signal(container, state, SIGKILL)
            _end_now(state)
        self._await_end(container)
        if state.status in LIVE:
            journal.container(self._store.layout, container, "stop", name=called)

    def _signal(self, container: Container, state: ContainerState, number: int) -> bool:
        """Send init a signal, and tell so; return whether it was there."""
        there = liveness.signal_init(state, number)
        if there:
            journal.container(self._store.layout, container, "kill", signal=int(number))
        return there

    def _await_end(self, container: Container) -> ContainerState | None:
        """Return the state after the end, None if the container was removed with it."""
        try:
            liveness.await_record(container)
            return reconcile(self._config, self._store, container)
        except ContainerNotFound:
            return None

    def restart(
        self,
        name: str,
        timeout: int | None = None,
        signal: str = "",
        progress: Progress = ignore,
    ) -> None:
        """Stop a container if it runs, then start it; with ``--rm`` it stays for that."""
        container = self._store.containers.find(name)
        with container.kept():
            self.stop(name, timeout, signal, progress)
            self.start(name, progress)
        journal.container(self._store.layout, container, "restart")

    def kill(self, name: str, signal: str = "KILL") -> None:
        """Send a signal; after SIGKILL, wait for the end.

        Raises:
            NotRunning, InvalidSignal
        """
        number = liveness.parse_signal(signal)
        try:
            container, state = self._find(name)
        except ContainerNotFound as e:
            raise ContainerNotFound(name, f"Cannot kill container: {name}: ") from e
        ends = number in (SIGKILL, liveness.stop_signal(container.record.config))
        if state.status == RESTARTING or (ends and state.status in (RUNNING, PAUSED)):
            state = restarts.forbid(container)
            if state.status == EXITED:
                return
        if not self._signal(container, state, number):
            raise liveness.NotRunning(container, f"Cannot kill container: {name}: ")
        config = container.record.config
        if not config.get("StopSignal") or number in (SIGKILL, liveness.stop_signal(config)):
            self._resume(container, state)
        if number == SIGKILL:
            _end_now(state)
            self._await_end(container)

    def _resume(self, container: Container, state: ContainerState) -> None:
        """Let a paused container take the signal it was sent; as in docker it goes on then."""
        if state.status == PAUSED:
            from minidock.engine.pause import resume  # few containers are paused

            with contextlib.suppress(ContainerNotFound):  # removed with its end
                resume(container)

    def pause(self, name: str) -> None:
        """Stop all processes of a container where they are.

        Raises:
            NotRunning, AlreadyPaused, FreezerMissing, CgroupFailure
        """
        from minidock.engine.pause import pause  # only pause needs it

        container = self._find(name)[0]
        pause(container)
        journal.container(self._store.layout, container, "pause")

    def unpause(self, name: str) -> None:
        """Let the processes of a paused container go on; raise NotPaused or CgroupFailure."""
        from minidock.engine.pause import unpause  # only unpause needs it

        container = self._find(name)[0]
        unpause(container)
        journal.container(self._store.layout, container, "unpause")

    def update(self, name: str, options: UpdateOptions) -> tuple[str, ...]:
        """Change the limits and the restart policy of a container; return warnings.

        Raises:
            InvalidArgument: a value that can't be meant.
            UpdateRefused: it contradicts what the container has, or the kernel refuses.
        """
        from minidock.engine.update import update  # only update needs it

        container = self._find(name)[0]
        warnings = update(container, options)
        journal.container(self._store.layout, container, "update")
        return warnings

    def wait(self, name: str) -> int:
        """Return the exit status of a container once it has one."""
        container, state = self._find(name)
        if state.status not in (RUNNING, PAUSED):
            return state.exit_code
        # Its end may be gone before one looks: the container removed, or started again.
        brief = (
            container.record.host["AutoRemove"]
            or restarts.policy_of(container.record.host) != "no"
        )
        told = liveness.await_exit(container) if brief else None
        liveness.await_init(state, None)
        end = self._await_end(container)
        if told is not None:
            return told
        if end:
            return end.exit_code
        # It is gone with its status: with --rm its monitor was killed, else it was by `rm -f`.
        removed = container.record.host["AutoRemove"]
        return liveness.UNKNOWN_EXIT if removed else 128 + SIGKILL

    def rename(self, name: str, new: str) -> None:
        """Give a container another name; raise NameTaken, SameName or InvalidName."""
        container = self._store.containers.find(name)
        old = container.name
        self._store.containers.rename(container, new.removeprefix("/"))
        journal.container(self._store.layout, container, "rename", oldName=f"/{old}")

    def remove(self, name: str, force: bool = False, volumes: bool = False) -> None:
        """Delete a container; with `force` a running one is killed first.

        With `volumes` its anonymous volumes go too, unless another container has them.

        Raises:
            ContainerNotFound, StillRunning
        """
        from minidock.runtime import monitor_lock  # ps does not need it

        try:
            container, state = self._find(name)
        except ContainerDamaged as e:
            if not force or monitor_lock.is_held(self._store.containers.directory(e.id)):
                raise
            self._store.containers.discard(e.id)
            return
        while state.status in _ACTIVE or not self._discard(container):
            if not force:
                raise StillRunning(container, container.state.status)
            state = restarts.forbid(container)
            self._signal(container, state, SIGKILL)
            _end_now(state)
            if self._await_end(container) is None:
                return
            state = container.state  # another command may have started it again
        if volumes:
            from minidock.engine import volume_use  # only rm -v needs it

            volume_use.release(self._store, mount_points(container.record))

    def _discard(self, container: Container) -> bool:
        """Delete a container unless it runs; tell whether it was deleted."""
        from minidock.runtime import cgroups  # ps does not need it

        with container.lock():
            state = container.state
            if state.status in _ACTIVE:
                return False
            cgroups.remove(state.cgroups)  # of a start that was killed
            called = container.name
            self._store.containers.remove(container)
        journal.container(self._store.layout, container, "destroy", name=called)
        return True

    def prune(self, filters: Filters) -> PrunedContainers:
        """Delete the containers that do not run; raise InvalidFilter."""
        from minidock.engine import prune  # only prune needs it

        return prune.containers(self._store, self, filters)

    def export(self, name: str, out: "Writer") -> None:
        """Write a container's files, without what is mounted, to `out` as a tar."""
        from minidock.engine.copy import export  # only export needs it

        container = self._store.containers.find(name)
        export(self._store, container, out)
        journal.container(self._store.layout, container, "export")

    def stats(self, names: tuple[str, ...] = (), everything: bool = False) -> "Sampler":
        """Return what measures containers: those named, or all that run, or all there are.

        Raises:
            ContainerNotFound, AmbiguousId
        """
        from minidock.engine.stats import Sampler  # only stats needs it

        return Sampler(self._config, self._store, names, everything=everything)

    def top(self, name: str, options: tuple[str, ...] = ()) -> ProcessTable:
        """Return the processes of a running container, as ps(1) with `options` shows them.

        Raises:
            NotRunning
            UnsupportedOption: not among the shapes of ps(1) that there are.
        """
        from minidock.engine.top import list_processes  # only top needs it

        return list_processes(*self._find(name), options)

    def port(self, name: str) -> tuple[PortView, ...]:
        """Return the published ports of a running container."""
        return tuple(
            PortView(p.container_port, p.protocol, p.host_ip or "0.0.0.0", p.host_port)  # noqa: S104
            for p in published(self._find(name)[1])
        )

    def diff(self, name: str) -> tuple[ChangeView, ...]:
        """Return what the container changed in its image's files."""
        from minidock.layers.diff import changes  # only diff needs it

        container = self._store.containers.find(name)
        lowers = lowers_of(self._store, container)
        return tuple(ChangeView(*change) for change in changes(container.upper, lowers))

    def copy_out(
        self,
        name: str,
        path: str,
        target: "str | Writer",
        options: CopyOptions,
        progress: Progress = ignore,
    ) -> int:
        """Copy `path` of a container to a path of the host (absolute), or as a tar to a writer.

        Return the bytes that the tar has. Raises: see engine/copy.py.
        """
        from minidock.engine import copy  # only cp needs it

        with self._files(name, "archive-path") as files:
            if isinstance(target, str):
                return copy.copy_out(files, path, target, options, progress)
            return copy.write_archive(files, path, target, options, progress)

    def copy_in(
        self,
        name: str,
        source: "str | Reader",
        path: str,
        options: CopyOptions,
        progress: Progress = ignore,
    ) -> int:
        """Copy a path of the host (absolute), or what a tar holds, to `path` of a container.

        Return the bytes that the tar has. Raises: see engine/copy.py.
        """
        from minidock.engine import copy  # only cp needs it

        with self._files(name, "extract-to-dir") as files:
            if isinstance(source, str):
                return copy.copy_in(files, source, path, options, progress)
            return copy.read_archive(files, source, path, options, progress)

    @contextlib.contextmanager
    def _files(self, name: str, action: str) -> "Iterator[Files]":
        from minidock.engine.copy import Files  # only cp needs it
        from minidock.engine.files import opened  # only cp needs it

        container, state = self._find(name)
        with opened(self._store, container, state) as root:
            yield Files(root, name, container.record.config.get("User", ""))
        journal.container(self._store.layout, container, action)

    def commit(self, name: str, options: CommitOptions) -> Digest:
        """Make an image of a container, paused meanwhile if asked; return the image's id.

        Raises:
            ContainerNotFound, InvalidReference, InvalidChange, SystemFailure
        """
        from minidock.engine.commit import commit  # compression libraries cost 10 ms
        from minidock.engine.pause import frozen  # only commit needs it

        reference = parse_reference(options.reference) if options.reference else None
        if reference and reference.digest:
            raise InvalidArgument("refusing to create a tag with a digest reference")
        container, state = self._find(name)
        with frozen(container, state, options.pause):
            image = commit(self._config, self._store, container, options, reference)
        told = {"comment": options.message, "imageID": image, "imageRef": str(reference or "")}
        journal.container(self._store.layout, container, "commit", **told)
        return image


def _has_mounts(options: CreateOptions, stored: StoredImage) -> bool:
    """Tell whether a new container has more to mount than ``--tmpfs``."""
    asked = options.binds or options.mounts or options.volumes or options.volumes_from
    return bool(asked or stored.image.config.volumes)


def _end_now(state: ContainerState) -> None:
    """Kill the container's init and wait for its end."""
    liveness.thaw(state)  # in cgroup v1 a frozen process does not even die
    liveness.signal_init(state, SIGKILL)
    liveness.await_init(state, None)


def _check(options: CreateOptions, progress: Progress) -> None:
    """Refuse what could only fail at the start; make the missing sources of ``-v``.

    `progress` is told of what could be done in part only.

    Raises:
        InvalidSignal, UnknownCapability, InvalidArgument
    """
    if options.stop_signal:
        liveness.parse_signal(options.stop_signal)
    from minidock.engine import isolation, log_config  # only create needs them

    if warning := log_config.check(options.log_driver, options.log_options):
        progress(Warned(warning))
    from minidock.engine import security_options  # only create has any

    security_options.check(options.cap_add, options.cap_drop, options.security_opt)
    isolation.check(options)
    if options.resources != Resources():
        from minidock.engine.resources import check_limits  # most containers have no limits

        check_limits(resources_config(options.resources))
    for bind in (*options.binds, *options.mounts):
        if not isinstance(bind, BindMount) or os.path.exists(bind.source):
            continue
        if not bind.create:
            raise InvalidArgument(
                'invalid mount config for type "bind": bind source path does not exist: '
                + bind.source
            )
        try:
            make_directory(bind.source, 0o755)
        except OSError as e:
            raise SystemFailure.of("make the directory to mount", e) from e
