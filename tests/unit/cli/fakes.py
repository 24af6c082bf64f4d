# SPDX-License-Identifier: Apache-2.0
"""An engine in memory, which behaves as far as the command line can see."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from minidock.config import Config
from minidock.engine.options import (
    CommitOptions,
    CreateOptions,
    CreateVolume,
    ExecOptions,
    Filters,
    ListContainers,
    ListImages,
    LogOptions,
    PullOptions,
    UpdateOptions,
)
from minidock.engine.views import (
    ChangeView,
    ContainerView,
    Finished,
    HistoryView,
    ImageView,
    LogLine,
    PortView,
    ProcessTable,
    PrunedVolumes,
    Pulled,
    Removed,
    StatsView,
    VolumeView,
)
from minidock.errors import Conflict, NotFound
from minidock.oci.digest import Digest, digest_of
from minidock.oci.reference import Reference, parse_reference
from minidock.progress import Progress, Resolving, Warned
from minidock.runtime.streams import Streams

CONTAINER_ID = "4f" * 32
IMAGE_ID = digest_of(b"config")
MANIFEST = digest_of(b"manifest")


class Call(NamedTuple):
    """A call of the engine that has no other effect."""

    verb: str
    arguments: tuple[Any, ...]


class FakeImages:
    def __init__(self) -> None:
        self.names = {"app:latest"}
        self.views: tuple[ImageView, ...] = ()
        self.steps: tuple[HistoryView, ...] = ()
        self.calls: list[Call] = []

    def _find(self, name: str) -> str:
        familiar = parse_reference(name).familiar
        if familiar not in self.names:
            raise NotFound(f"No such image: {familiar}")
        return familiar

    def pull(self, reference: Reference, options: PullOptions, progress: Progress) -> Pulled:
        self.calls.append(Call("pull", (reference, options)))
        progress(Resolving(reference.target, reference.familiar_name))
        known = reference.familiar in self.names
        self.names.add(reference.familiar)
        return Pulled(reference, MANIFEST, IMAGE_ID, known)

    def list(self, options: ListImages) -> tuple[ImageView, ...]:
        self.calls.append(Call("list", (options,)))
        return self.views

    def tag(self, source: str, target: str) -> None:
        self._find(source)
        self.names.add(parse_reference(target).familiar)

    def remove(self, name: str, force: bool = False, prune: bool = True) -> tuple[Removed, ...]:
        familiar = self._find(name)
        self.names.remove(familiar)
        self.calls.append(Call("remove", (name, force, prune)))
        return (Removed("Untagged", familiar), Removed("Deleted", IMAGE_ID))

    def history(self, name: str) -> tuple[HistoryView, ...]:
        self._find(name)
        return self.steps

    def inspect(self, name: str) -> dict[str, Any]:
        return {"Id": IMAGE_ID, "RepoTags": [self._find(name)], "Env": ["A=ü"]}


class FakeContainers:
    """Containers by name: `running` ones and `stopped` ones; each start raises `fails`."""

    def __init__(self, images: FakeImages) -> None:
        self._images = images
        self.running = {"web"}
        self.stopped = {"old"}
        self.fails: BaseException | None = None
        self.status: int | None = 0
        self.config = {"Tty": False, "OpenStdin": False}
        self.warning = ""
        self.options: CreateOptions | None = None
        self.streams: Streams | None = None
        self.calls: list[Call] = []
        self.views: tuple[ContainerView, ...] = ()
        self.lines: tuple[LogLine, ...] = ()
        self.ports: tuple[PortView, ...] = ()
        self.changes: tuple[ChangeView, ...] = ()
        self.samples: tuple[tuple[StatsView, ...], ...] = ()
        self.warnings: tuple[str, ...] = ()

    def _find(self, name: str) -> str:
        if name not in self.running | self.stopped:
            raise NotFound(f"No such container: {name}")
        return name

    def _fail(self) -> None:
        if self.fails is not None:
            raise self.fails

    def _prepare(self, options: CreateOptions, progress: Progress) -> None:
        self.options = options
        reference = parse_reference(options.image)
        if options.pull == "always" or reference.familiar not in self._images.names:
            if options.pull == "never":
                raise NotFound(f"No such image: {reference.familiar}")
            self._images.pull(reference, PullOptions(options.platform), progress)

    def create(self, options: CreateOptions, progress: Progress) -> str:
        self._prepare(options, progress)
        self._fail()
        return CONTAINER_ID

    def run(
        self,
        options: CreateOptions,
        streams: Streams | None,
        progress: Progress,
        on_created: Callable[[str], None],
    ) -> Finished:
        self._prepare(options, progress)
        self.streams = streams
        on_created(CONTAINER_ID)
        self._fail()
        return Finished(None if streams is None else self.status)

    def start(self, name: str) -> None:
        self._find(name)
        self._fail()
        self.running.add(name)

    def start_attached(self, name: str, streams: Streams) -> Finished:
        self.start(name)
        self.streams = streams
        return Finished(self.status)

    def attach(self, name: str, streams: Streams) -> Finished:
        if self._find(name) not in self.running:
            raise Conflict("You cannot attach to a stopped container, start it first")
        self.streams = streams
        return Finished(self.status)

    def exec(self, name: str, options: ExecOptions, streams: Streams) -> Finished:
        self._find(name)
        self._fail()
        self.calls.append(Call("exec", (name, options)))
        self.streams = streams
        return Finished(None if options.detach else self.status)

    def list(self, options: ListContainers) -> tuple[ContainerView, ...]:
        self.calls.append(Call("list", (options,)))
        return self.views

    def inspect(self, name: str) -> dict[str, Any]:
        return {"Id": CONTAINER_ID, "Name": f"/{self._find(name)}", "Config": self.config}

    def logs(self, name: str, options: LogOptions) -> Iterator[LogLine]:
        self._find(name)
        self.calls.append(Call("logs", (name, options)))
        return iter(self.lines)

    def _call(self, verb: str, name: str, *rest: Any) -> None:
        self.calls.append(Call(verb, (self._find(name), *rest)))

    def stop(self, name: str, timeout: int | None, signal: str, progress: Progress) -> None:
        self._call("stop", name, timeout, signal)
        if self.warning:
            progress(Warned(self.warning))

    def restart(self, name: str, timeout: int | None, signal: str, progress: Progress) -> None:
        self._call("restart", name, timeout, signal)

    def kill(self, name: str, signal: str) -> None:
        self._call("kill", name, signal)

    def pause(self, name: str) -> None:
        self._call("pause", name)

    def unpause(self, name: str) -> None:
        self._call("unpause", name)

    def update(self, name: str, options: UpdateOptions) -> tuple[str, ...]:
        self._call("update", name, options)
        return self.warnings

    def top(self, name: str, options: tuple[str, ...]) -> ProcessTable:
        self._call("top", name, options)
        return ProcessTable(("PID", "CMD"), (("7", "sh\t\x1b[31m"),))

    def stats(self, names: tuple[str, ...], everything: bool) -> "FakeSampler":
        self.calls.append(Call("stats", (names, everything)))
        for name in names:
            self._find(name)
        return FakeSampler(self.samples)

    def wait(self, name: str) -> int:
        self._find(name)
        return 3

    def rename(self, name: str, new: str) -> None:
        self._call("rename", name, new)

    def remove(self, name: str, force: bool, volumes: bool) -> None:
        if self._find(name) in self.running and not force:
            raise Conflict(f"You cannot remove a running container {CONTAINER_ID}")
        self.running.discard(name)
        self.stopped.discard(name)

    def port(self, name: str) -> tuple[PortView, ...]:
        self._find(name)
        return self.ports

    def diff(self, name: str) -> tuple[ChangeView, ...]:
        self._find(name)
        return self.changes

    def commit(self, name: str, options: CommitOptions) -> Digest:
        self._call("commit", name, options)
        return IMAGE_ID


class FakeSampler:
    """Gives the samples it was made with, the last one for ever."""

    def __init__(self, samples: tuple[tuple[StatsView, ...], ...]) -> None:
        self._samples = list(samples)

    def sample(self) -> tuple[StatsView, ...]:
        return self._samples.pop(0) if len(self._samples) > 1 else self._samples[0]


class FakeVolumes:
    """Volumes by name, without data; those in `used` are a container's."""

    def __init__(self) -> None:
        self.labels: dict[str, dict[str, str]] = {"vol": {}}
        self.used: set[str] = set()
        self.calls: list[Call] = []

    def create(self, options: CreateVolume) -> str:
        self.calls.append(Call("create", (options,)))
        name = options.name or "5e" * 32
        self.labels.setdefault(name, dict(options.labels))
        return name

    def list(self, filters: Filters) -> tuple[VolumeView, ...]:
        self.calls.append(Call("list", (filters,)))
        return tuple(
            VolumeView(name, "local", f"/volumes/{name}", 0.0, labels, False, ())
            for name, labels in self.labels.items()
        )

    def inspect(self, name: str) -> dict[str, Any]:
        if name not in self.labels:
            raise NotFound(f"get {name}: no such volume")
        return {"Name": name, "Labels": self.labels[name] or None}

    def remove(self, name: str) -> None:
        self.inspect(name)
        if name in self.used:
            raise Conflict(f"remove {name}: volume is in use - [{CONTAINER_ID}]")
        del self.labels[name]

    def prune(self, filters: Filters, *, everything: bool) -> PrunedVolumes:
        self.calls.append(Call("prune", (filters, everything)))
        gone = tuple(name for name in self.labels if name not in self.used)
        for name in gone:
            del self.labels[name]
        return PrunedVolumes(gone, 1500 * len(gone))


class FakeSystem:
    def info(self) -> dict[str, Any]:
        return {
            "Containers": 2,
            "ContainersRunning": 1,
            "Driver": "overlay2",
            "MemTotal": 3 << 29,
            "Plugins": {"Network": ["bridge", "none"]},
            "Swap": False,
        }

    def version(self) -> dict[str, Any]:
        part = {"Version": "0.1.0", "Os": "linux"}
        return {"Client": part, "Server": part}


class FakeEngine:
    """Takes the place of Engine; `configs` are the configurations it was made with."""

    def __init__(self) -> None:
        self.images = FakeImages()
        self.containers = FakeContainers(self.images)
        self.system = FakeSystem()
        self.volumes = FakeVolumes()
        self.configs: list[Config] = []

    def made_with(self, config: Config, seed: None) -> "FakeEngine":
        self.configs.append(config)
        return self
