# SPDX-License-Identifier: Apache-2.0
"""Making, joining, freezing and removing the control groups of a container.

Where cgroups can't be had, a container runs without and the caller gets warnings; what it must
know for safety is `Cgroup.devices_enforced`.
"""

import errno
import os
import signal
import time
from collections.abc import Callable, Container, Iterable, Sequence
from itertools import groupby
from operator import attrgetter

from minidock.errors import SystemFailure, Unsupported
from minidock.fs.atomic import read_file
from minidock.runtime.cgroup_plan import (
    CONSEQUENCES,
    LACKING,
    CgroupPlan,
    Group,
    Setting,
)
from minidock.values import NamedTuple

_PATIENCE = 10.0  # seconds for the kernel to freeze, kill or let go of processes
_PAUSE = 0.001  # seconds between looks
_RACES = 16


class CgroupFailure(SystemFailure):
    """A cgroup can't be joined, frozen or removed."""


class FreezerMissing(Unsupported):
    """The container is in no cgroup that can be frozen."""


class Cgroup(NamedTuple):
    """The cgroup of a container as it was made: `paths` are its directories.

    `devices_enforced` says whether the device rules are in force for whoever joins.
    """

    paths: tuple[str, ...]
    devices_enforced: bool
    warnings: tuple[str, ...]


def create(plan: CgroupPlan, *, strict: bool = False) -> Cgroup:
    """Make the directories and apply the settings; what fails becomes a warning.

    Raises:
        CgroupFailure: with `strict`, a value is refused by a file that is there.
    """
    paths = []
    warnings = list(plan.warnings)
    devices_enforced = False
    for group in plan.groups:
        try:
            _make_directory(group.path)
            paths.append(group.path)
            _inherit(group)
        except OSError as e:
            warnings += _warnings(group, group.controllers, e)
            continue
        refused = _delegate(group)
        for name, error in refused.items():
            warnings += _warnings(group, (name,), error)
        failures = _apply(group, without=refused)
        if strict:
            _raise_refusal(group, failures)
        warnings += _explain(group, failures)
        if group.devices:
            refusal = _filter_devices(group)
            warnings += _warnings(group, ("devices",), refusal) if refusal else []
            devices_enforced = refusal is None
        elif "devices" in group.controllers:
            devices_enforced = "devices.deny" not in failures
    return Cgroup(tuple(paths), devices_enforced, tuple(dict.fromkeys(warnings)))


def _make_directory(path: str) -> None:
    """Make directory `path`, and minidock's own above it where that is missing."""
    for attempt in range(_RACES):
        try:
            os.mkdir(path)
        except FileNotFoundError:
            # Missing from the beginning, or the last other container has just taken it away.
            if attempt == _RACES - 1:
                raise
        except FileExistsError:
            return
        else:
            return
        try:
            os.mkdir(os.path.dirname(path))
        except FileExistsError:
            pass


def _inherit(group: Group) -> None:
    """Fill the files that are empty in a new cgroup and must not be, from the top down."""
    for path in (os.path.dirname(group.path), group.path):
        for file in group.inherit:
            if not _text(f"{path}/{file}").strip():
                _write(f"{path}/{file}", _text(f"{os.path.dirname(path)}/{file}").strip())


def _delegate(group: Group) -> dict[str, OSError]:
    """Give `group` its controllers, from the top down; return those that are refused.

    The reason is EBUSY where processes are above.
    """
    parent = os.path.dirname(group.path)
    refused = {}
    for name in group.delegate:
        try:
            for path in (os.path.dirname(parent), parent):
                _write(f"{path}/cgroup.subtree_control", f"+{name}")
        except OSError as e:
            refused[name] = e
    return refused


def _apply(group: Group, without: Container[str]) -> dict[str, OSError]:
    """Write the settings of `group`; return the files that refused one, and why.

    Controllers in `without` are left out.
    """
    waiting = [
        tuple(settings)
        for file, settings in groupby(group.settings, attrgetter("file"))
        if file.partition(".")[0] not in without
    ]
    failures = {}
    for last in (False, True):
        refused = []
        for settings in waiting:
            file, error = _write_settings(group.path, settings)
            if error and error.errno == errno.EINVAL and not last:
                # Maybe wrong beside another file's old value only: in version 1
                # memory.limit_in_bytes is at most memory.memsw.limit_in_bytes at any time.
                refused.append(settings)
            elif error:
                failures[file] = error
        waiting = refused
    return failures


def _write_settings(path: str, settings: tuple[Setting, ...]) -> tuple[str, OSError | None]:
    """Write settings of one file; return the file that this kernel has, and what it refuses.

    Each value is a write(2) of its own, as rules for devices must be.
    """
    file, instead = settings[0].file, settings[0].instead
    try:
        fd = os.open(f"{path}/{file}", os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError as e:
        return _write_settings(path, (instead,)) if instead else (file, e)
    except OSError as e:
        return file, e
    refusal = None
    for setting in settings:
        try:
            os.write(fd, setting.value.encode())
        except OSError as e:
            refusal = e
    os.close(fd)
    return file, refusal


def _filter_devices(group: Group) -> OSError | None:
    """Attach the filter for devices; return why that is impossible."""
    from minidock.runtime.device_filter import attach  # version 2 only

    try:
        attach(group.path, group.devices)
    except OSError as e:
        return e
    return None


def _raise_refusal(group: Group, failures: dict[str, OSError]) -> None:
    for file, error in failures.items():
        if error.errno != errno.ENOENT:
            path = f"{group.path}/{file}"
            raise CgroupFailure("change cgroup", error.errno or 0, path=path) from error


def _explain(group: Group, failures: dict[str, OSError]) -> list[str]:
    warnings = []
    for file, error in failures.items():
        if error.errno == errno.ENOENT and file in LACKING:
            warnings.append(LACKING[file])
        else:
            warnings.append(f"cgroup {group.path}: {file}: {_reason(error)}")
    return warnings


def _warnings(group: Group, controllers: Iterable[str], error: OSError) -> list[str]:
    return [
        f"{CONSEQUENCES[name]}: cgroup {group.path}: {_reason(error)}"
        for name in controllers
        if name in CONSEQUENCES
    ]


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()


def join(paths: Sequence[str], pid: int) -> None:
    """Move process `pid`, or the caller if it is 0, into the cgroup with `paths`.

    Raises:
        CgroupFailure: one of them refuses; the container must not run then.
    """
    for path in paths:
        try:
            _write(f"{path}/cgroup.procs", str(pid))
        except OSError as e:
            raise CgroupFailure("join cgroup", e.errno or 0, path=path) from e


def gather(members: Callable[[], Iterable[int]], paths: Sequence[str]) -> None:
    """Move all processes that `members` returns into the cgroup with `paths`.

    It is asked again and again, as they may fork meanwhile; it is best to freeze them before.

    Raises:
        CgroupFailure: a cgroup refuses, or after 10 seconds some are still missing.
    """
    deadline = time.monotonic() + _PATIENCE
    for path in paths:
        while missing := set(members()) - set(processes((path,))):
            if time.monotonic() > deadline:
                raise CgroupFailure("join cgroup", errno.EBUSY, path=path)
            for pid in missing:
                try:
                    _write(f"{path}/cgroup.procs", str(pid))
                except ProcessLookupError:
                    pass  # it has ended
                except OSError as e:
                    raise CgroupFailure("join cgroup", e.errno or 0, path=path) from e


def entrances(paths: Sequence[str]) -> tuple[str, ...]:
    """Return the files by which a process with one thread joins, writing 0.

    In version 1 that is ``tasks``: for a thread that moves itself the kernel need not stop all
    forks of the machine, which takes it 10 to 20 ms (cgroup_procs_write_start()).
    """
    return tuple(
        f"{path}/tasks" if os.path.exists(f"{path}/tasks") else f"{path}/cgroup.procs"
        for path in paths
    )


def oom_kills(paths: Sequence[str]) -> int:
    """Return how many processes of a cgroup were killed for want of memory so far.

    It is the line ``oom_kill`` of ``memory.events`` or, in version 1, ``memory.oom_control``.
    """
    for path in paths:
        for file in ("memory.events", "memory.oom_control"):
            try:
                fields = _text(f"{path}/{file}").split()
            except OSError:
                continue
            if "oom_kill" in fields:
                return int(fields[fields.index("oom_kill") + 1])
    return 0


def freeze(paths: Sequence[str]) -> None:
    """Stop all processes of a cgroup; returns when they are stopped.

    Raises:
        FreezerMissing: none of `paths` can do it.
        CgroupFailure: it takes more than 10 seconds, or the kernel refuses; nothing is frozen.
    """
    freezer = _freezer(paths)
    try:
        freezer.set(frozen=True)
        deadline = time.monotonic() + _PATIENCE
        while not freezer.is_frozen():
            if time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            time.sleep(_PAUSE)
    except OSError as e:
        freezer.release()
        raise CgroupFailure("freeze cgroup", e.errno or 0, path=freezer.path) from e


def thaw(paths: Sequence[str]) -> None:
    """Let the processes of a cgroup go on.

    Raises:
        FreezerMissing: none of `paths` can do it.
        CgroupFailure: the kernel refuses.
    """
    freezer = _freezer(paths)
    try:
        freezer.set(frozen=False)
    except OSError as e:
        raise CgroupFailure("thaw cgroup", e.errno or 0, path=freezer.path) from e


def is_frozen(paths: Sequence[str]) -> bool:
    """Tell whether the processes of a cgroup are stopped; False where none can be."""
    try:
        return _freezer(paths).is_frozen()
    except (FreezerMissing, OSError):
        return False


def members(paths: Sequence[str]) -> tuple[int, ...]:
    """Return the processes of a cgroup and of those below it."""
    return tuple(
        sorted({pid for path in paths for tree in _tree(path) for pid in _processes(tree)})
    )


class _Freezer(NamedTuple):
    """The directory that freezes; `version` is that of its hierarchy."""

    path: str
    version: int

    def set(self, *, frozen: bool) -> None:
        if self.version == 1:
            _write(f"{self.path}/freezer.state", "FROZEN" if frozen else "THAWED")
        else:
            _write(f"{self.path}/cgroup.freeze", str(int(frozen)))

    def release(self) -> None:
        """Thaw, whatever became of the cgroup meanwhile."""
        try:
            self.set(frozen=False)
        except OSError:
            pass

    def is_frozen(self) -> bool:
        if self.version == 1:
            return _text(f"{self.path}/freezer.state") == "FROZEN\n"  # was FREEZING
        return "frozen 1\n" in _text(f"{self.path}/cgroup.events")


def _freezer(paths: Sequence[str]) -> _Freezer:
    for version, file in ((1, "freezer.state"), (2, "cgroup.freeze")):
        for path in paths:
            if os.path.exists(f"{path}/{file}"):
                return _Freezer(path, version)
    raise FreezerMissing("the container can't be paused: there is no freezer cgroup")


def remove(paths: Sequence[str]) -> None:
    """Kill what is left in a cgroup and remove its directories; missing ones are no error.

    Raises:
        CgroupFailure: after 10 seconds something is still in it.
    """
    deadline = time.monotonic() + _PATIENCE
    for path in paths:
        while not _remove_directory(path):
            # A process that was waited for can be in its cgroup for a moment yet.
            if time.monotonic() > deadline:
                raise CgroupFailure("remove cgroup", errno.EBUSY, path=path)
            _kill(paths)
            time.sleep(_PAUSE)
        try:
            os.rmdir(os.path.dirname(path))  # succeeds for the last container
        except OSError:
            pass


def _remove_directory(path: str) -> bool:
    """Remove directory `path`; return False while there are processes or cgroups in it."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError as e:
        if e.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise CgroupFailure("remove cgroup", e.errno or 0, path=path) from e
        return False
    return True


def _kill(paths: Sequence[str]) -> None:
    """Kill all processes in the cgroup and below it, and remove the cgroups below it."""
    try:
        freezer = _freezer(paths)
    except FreezerMissing:
        freezer = None
    directories = [directory for path in paths for directory in _tree(path)]
    try:
        if freezer:
            freezer.set(frozen=True)  # so that nobody forks between reading and killing
        for directory in directories:
            for pid in _processes(directory):
                _kill_process(pid)
    except FileNotFoundError:
        pass  # someone else has removed it
    finally:
        if freezer:
            freezer.release()
    for directory in reversed(directories):
        if directory not in paths:
            _remove_directory(directory)


def _tree(path: str) -> list[str]:
    """Return `path` and the cgroups that the container has made below it, parents first."""
    found = [path]
    for directory in found:  # grows meanwhile
        try:
            with os.scandir(directory) as entries:
                found += [e.path for e in entries if e.is_dir(follow_symlinks=False)]
        except OSError:
            pass
    return found


def _processes(directory: str) -> list[int]:
    try:
        # 0 stands for a process outside of this pid namespace
        return [int(pid) for pid in _text(f"{directory}/cgroup.procs").split() if pid != "0"]
    except OSError:
        return []


def processes(paths: Sequence[str]) -> tuple[int, ...]:
    """Return the pids of the processes in a cgroup and below it, lowest first."""
    found = {pid for path in paths for part in _tree(path) for pid in _processes(part)}
    return tuple(sorted(found))


def _kill_process(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _write(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def _text(path: str) -> str:
    return os.fsdecode(read_file(path))
