# SPDX-License-Identifier: Apache-2.0
"""Volumes: directories that outlive the containers they are mounted in.

A volume is made in a scratch directory and renamed into place, so it is there whole or not at
all. Who is about to use one holds a shared lock on its directory, who removes it an exclusive
one, which is never waited for. Its mode keeps the host's users out; containers are given the
data directory by its descriptor, and need no right on the way to it.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence

from minidock.errors import Conflict, DataCorrupted, InvalidArgument, NotFound, Unsupported
from minidock.fs.atomic import make_directory, read_file, write_file
from minidock.fs.locks import Lock
from minidock.fs.trees import disk_usage, remove
from minidock.oci.descriptor import json_object
from minidock.oci.manifest import dump_json, load_json
from minidock.store.chains import copy_metadata
from minidock.store.images import LAST_TIME
from minidock.store.layout import Layout
from minidock.store.scratch import scratch
from minidock.values import NamedTuple

ANONYMOUS = "com.docker.volume.anonymous"
"""Docker's label of the volumes that nobody gave a name."""

LOCAL = "local"
"""The name of the only driver."""

_NAME_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_NAME_REST = _NAME_FIRST | frozenset("_.-")
_LONGEST_NAME = 255  # a file's

_OPTIONS = ("type", "o", "device")
_BIND_FLAGS = frozenset(("bind", "rbind", "ro", "rw"))

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class VolumeNotFound(NotFound):
    """No volume has that name; the text is docker's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"get {name}: no such volume", hint="minidock volume ls lists them")


class VolumeInUse(Conflict):
    """Containers have the volume; the text is docker's."""

    def __init__(self, name: str, users: Sequence[str]) -> None:
        super().__init__(f"remove {name}: volume is in use - [{', '.join(users)}]")


class InvalidVolume(InvalidArgument):
    """A name or an option that no volume can have; the texts are docker's."""


class DriverNotFound(NotFound):
    """There is no such driver, as there are no plugins; the text is docker's."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f'error looking up volume plugin {name}: plugin "{name}" not found',
            hint=f"there is the driver {LOCAL}",
        )


class Volume(NamedTuple):
    """One volume; `created` is in seconds since the epoch, 0 if its record can't be read.

    `options` are those of docker's local driver: none, or a directory of the host.
    """

    name: str
    directory: str
    created: float
    labels: Mapping[str, str]
    options: Mapping[str, str]

    @property
    def data(self) -> str:
        """The directory that containers see, or a link to it."""
        return f"{self.directory}/_data"

    @property
    def anonymous(self) -> bool:
        """Whether nobody gave it a name."""
        return ANONYMOUS in self.labels

    @property
    def device(self) -> str:
        """The host's directory that the volume stands for, empty for one of its own."""
        return self.options.get("device", "")

    @property
    def read_only(self) -> bool:
        """Whether its options keep every container from writing."""
        return "ro" in self.options.get("o", "").split(",")


class VolumeStore:
    """The volumes of one root."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def create(
        self,
        name: str,
        *,
        labels: Mapping[str, str],
        options: Mapping[str, str],
        durable: bool = True,
    ) -> Volume:
        """Return the volume `name`, made with `labels` and `options` if there is none.

        Without `durable` a new one need not survive the power.

        Raises:
            InvalidVolume, Unsupported: the name or an option.
        """
        check_name(name)
        check_options(name, options)
        try:
            return self.find(name)
        except VolumeNotFound:
            pass
        make_directory(self._layout.volumes)
        with scratch(self._layout) as temporary:
            half = f"{temporary}/volume"
            os.mkdir(half, 0o700)
            if device := options.get("device"):
                os.symlink(device, f"{half}/_data")
            else:
                make_directory(f"{half}/_data", 0o755)
            record = {"created": time.time(), "labels": labels, "options": options}
            write_file(f"{half}/volume.json", dump_json(record), durable=durable)
            try:
                os.rename(half, self._layout.volume(name))
            except OSError:
                if not os.path.isdir(self._layout.volume(name)):
                    raise
        return self.find(name)

    def hold(
        self,
        name: str,
        *,
        labels: Mapping[str, str],
        options: Mapping[str, str],
        durable: bool = True,
    ) -> tuple[Volume, Lock]:
        """Return the volume as create() does, and the lock that keeps it from being removed.

        The caller releases the lock once the record of a container names the volume.
        """
        while True:
            volume = self.create(name, labels=labels, options=options, durable=durable)
            lock = Lock(volume.directory, directory=True, shared=True)
            try:
                lock.__enter__()
            except FileNotFoundError:
                continue
            if lock.is_current():
                return volume, lock
            lock.release()

    def find(self, name: str) -> Volume:
        """Return the volume `name`; raise VolumeNotFound.

        One whose record can't be read is a volume still, as its data may be dear: it has no
        labels, so that it is not taken for an anonymous one.
        """
        directory = self._layout.volume(name)
        if not is_name(name) or not os.path.isdir(directory):
            raise VolumeNotFound(name)
        volume = Volume(name, directory, 0.0, {}, {})
        try:
            fields = load_json(read_file(f"{directory}/volume.json"), "volume.json")
            created = fields.get("created")
            labels = _texts(fields.get("labels"))
            options = _texts(fields.get("options"))
        except (OSError, DataCorrupted):
            return volume
        if not isinstance(created, int | float) or not 0 <= created < LAST_TIME:
            created = 0.0
        return volume._replace(created=created, labels=labels, options=options)

    def all(self) -> tuple[Volume, ...]:
        """Return every volume, by name."""
        found = []
        try:
            names = sorted(os.listdir(self._layout.volumes))
        except FileNotFoundError:
            return ()
        for name in names:
            try:
                found.append(self.find(name))
            except VolumeNotFound:
                continue  # removed meanwhile
        return tuple(found)

    def size(self, volume: Volume) -> int:
        """Return the bytes of a volume's files, 0 for a directory of the host."""
        return 0 if volume.device else disk_usage(volume.data)

    def remove(self, name: str, users: Callable[[], Sequence[str]]) -> None:
        """Delete a volume with its data; the directory of the host that it may be stays.

        `users` returns the containers that have it, at a moment when no new one can get it.

        Raises:
            VolumeNotFound, VolumeInUse
        """
        volume = self.find(name)
        lock = Lock(volume.directory, directory=True)
        with scratch(self._layout) as temporary:
            try:
                if not lock.try_acquire():
                    raise VolumeInUse(name, ())
                if not lock.is_current():
                    raise VolumeNotFound(name)
                if found := users():
                    raise VolumeInUse(name, found)
                os.rename(volume.directory, f"{temporary}/volume")
            except FileNotFoundError:
                raise VolumeNotFound(name) from None
            finally:
                lock.release()

    def fill(self, volume: Volume, copy: Callable[[int], bool]) -> None:
        """Let `copy` put files into the volume, given as a descriptor, if it is empty.

        `copy` tells whether it had anything to put there. Of several that want to fill it, one
        does. The files appear under their names when all are there, and if that is interrupted
        the next call completes it; a directory of the host, which may be on another file
        system, is written to as it is. Raises what `copy` raises.
        """
        with Lock(f"{volume.directory}/fill.lock"):
            self._finish(volume)
            data = os.open(volume.data, _DIRECTORY)
            try:
                if os.listdir(data):
                    return
                if volume.device:
                    copy(data)
                else:
                    self._fill(volume, copy)
            finally:
                os.close(data)

    def _fill(self, volume: Volume, copy: Callable[[int], bool]) -> None:
        with scratch(self._layout) as temporary:
            half = f"{temporary}/fill"
            make_directory(f"{half}/files")
            directory = os.open(f"{half}/files", _DIRECTORY)
            try:
                if not copy(directory):
                    return
            finally:
                os.close(directory)
            # What is moved out of a directory changes its times, and not its parent's.
            copy_metadata(f"{half}/files", half)
            os.rename(half, f"{volume.directory}/fill")
        self._finish(volume)

    def _finish(self, volume: Volume) -> None:
        """Move to the data what a fill has made ready; a container's own names win."""
        ready = f"{volume.directory}/fill"
        try:
            names = os.listdir(f"{ready}/files")
        except FileNotFoundError:
            return
        for name in names:
            if not os.path.lexists(f"{volume.data}/{name}"):
                os.rename(f"{ready}/files/{name}", f"{volume.data}/{name}")
        copy_metadata(ready, volume.data)
        remove(ready)


def _texts(value: object) -> dict[str, str]:
    return {str(key): str(text) for key, text in json_object(value, "volume.json").items()}


def is_name(text: str) -> bool:
    """Tell whether `text` may name a volume."""
    return 1 < len(text) <= _LONGEST_NAME and text[0] in _NAME_FIRST and set(text) <= _NAME_REST


def check_name(name: str) -> None:
    """Raise InvalidVolume unless `name` may name a volume."""
    if is_name(name):
        return
    if len(name) == 1:
        raise InvalidVolume(
            f"create {name}: volume name is too short, "
            "names should be at least two alphanumeric characters"
        )
    raise InvalidVolume(
        f'create {name}: "{name}" includes invalid characters for a local volume name, only '
        '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
        "use absolute path"
    )


def check_driver(name: str) -> None:
    """Raise DriverNotFound unless `name` is that of the only driver, or empty."""
    if name not in ("", LOCAL):
        raise DriverNotFound(name)


def check_options(name: str, options: Mapping[str, str]) -> None:
    """Refuse what docker's local driver would, and what nobody is there to mount.

    Raises:
        InvalidVolume: an unknown option, or one without the others that it needs.
        Unsupported: anything but a bind mount of a directory.
    """
    for key in options:
        if key not in _OPTIONS:
            raise InvalidVolume(f'create {name}: invalid option: "{key}"')
    if not options:
        return
    for key in ("device", "type"):
        if not options.get(key):
            raise InvalidVolume(f'create {name}: missing required option: "{key}"')
    flags = set(options.get("o", "").split(","))
    if options["type"] != "none" or not flags & {"bind", "rbind"} or flags - _BIND_FLAGS:
        raise Unsupported(
            f"create {name}: a volume can't be of type {options['type']} "
            f"with the options '{options.get('o', '')}'",
            hint="there are volumes of their own, and type=none,o=bind,device=/DIRECTORY",
        )
    if not options["device"].startswith("/"):
        raise InvalidVolume(
            f"create {name}: the device {options['device']} is no absolute path"
        )
