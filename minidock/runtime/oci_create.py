# SPDX-License-Identifier: Apache-2.0
"""Making a container of a bundle that others wrote, up to the gate it waits at."""

import os
from collections.abc import Callable
from contextlib import ExitStack

from minidock.annotations import Any
from minidock.errors import InvalidArgument, SystemFailure
from minidock.fs.atomic import make_directory
from minidock.linux import mounts
from minidock.oci.runtime import VERSION, Capabilities, Process, Spec
from minidock.runtime import cgroup_plan, cgroups, oci_cgroups, oci_hooks, seccomp
from minidock.runtime.cgroups import Cgroup
from minidock.runtime.launch import Bundle, Launched, launch
from minidock.values import NamedTuple

CREATING = "creating"
CREATED = "created"
RUNNING = "running"
PAUSED = "paused"
STOPPED = "stopped"

_CONSOLE_NAME = b"/dev/pts/ptmx"


class Request(NamedTuple):
    """What `create` is asked for; paths are absolute.

    `stdio` is for a process without a terminal; with one its master is sent to the socket at
    `console_socket`, empty to leave it to the caller.
    """

    id: str
    bundle: str
    stdio: tuple[int, int, int]
    console_socket: str = ""
    pid_file: str = ""


class Created(NamedTuple):
    """A container that waits: its process, directories of its cgroup, and warnings.

    `spec` is what it was made of, without what can't be had here.
    """

    launched: Launched
    spec: Spec
    cgroups: tuple[str, ...]
    warnings: tuple[str, ...]


def state_document(
    container_id: str, status: str, pid: int, bundle: str, spec: Spec
) -> dict[str, Any]:
    """Return the state of a container as runtime.md has it."""
    out: dict[str, Any] = {
        "ociVersion": VERSION,
        "id": container_id,
        "status": status,
        "pid": pid,
        "bundle": bundle,
    }
    return out | ({"annotations": dict(spec.annotations)} if spec.annotations else {})


def filter_of(spec: Spec) -> bytes:
    """Return the system call filter of a container, empty for none; raise InvalidProfile."""
    if not spec.linux.seccomp:
        return b""
    system = os.uname()
    kernel = seccomp.kernel_version(system.release)
    return seccomp.compile_object(spec.linux.seccomp, system.machine, kernel)


class Making:
    """One `create`; each step leaves in `undo` how to take it back."""

    def __init__(self, request: Request, spec: Spec, directory: str, undo: ExitStack) -> None:
        self._request = request
        self._spec = spec
        self._directory = directory
        self._undo = undo

    def make(self, record: Callable[[Request, Created], None]) -> Created:
        """Do it; `record` is called when there is a process. Raises MinidockError, OSError."""
        request = self._request
        _check_terminal(request, self._spec)
        group = self._make_cgroup()
        nodev = not group.devices_enforced and bool(self._spec.linux.resources.get("devices"))
        if nodev:
            self._spec = _without_mknod(self._spec)
        root = self._open_root(nodev=nodev)
        try:
            bundle = Bundle(
                request.id,
                self._spec,
                root,
                self._spec.root_path,
                filter_of(self._spec),
                cgroups.entrances(group.paths),
            )
            launched = launch(bundle, request.stdio, self._directory)
        finally:
            os.close(root)
        self._undo.callback(_end, launched)
        made = Created(launched, self._spec, group.paths, group.warnings)
        record(request, made)
        size_console(launched, self._spec.process)
        state = state_document(request.id, CREATING, launched.pid, request.bundle, self._spec)
        oci_hooks.run(self._spec, oci_hooks.BEFORE_START, state)
        launched.wait_built()
        if request.console_socket:
            send_console(launched, request.console_socket)
        return made._replace(warnings=made.warnings + launched.warnings)

    def _make_cgroup(self) -> Cgroup:
        layout = cgroup_plan.discover()
        plan = oci_cgroups.plan(layout, self._request.id, self._spec.linux)
        for group in plan.groups:
            make_directory(os.path.dirname(group.path), 0o755)
        own = any(namespace.type == "cgroup" for namespace in self._spec.linux.namespaces)
        if layout.v1 and not own:
            self._spec = oci_cgroups.show_own(self._spec, plan.groups)
        made = cgroups.create(plan)
        self._undo.callback(cgroups.remove, made.paths)
        return made

    def _open_root(self, *, nodev: bool) -> int:
        fd = mounts.clone_tree(0, self._spec.root_path, recursive=True)
        try:
            mounts.set_attributes(
                fd,
                mounts.MOUNT_ATTR_NODEV if nodev else 0,
                propagation=mounts.MS_PRIVATE,
                recursive=True,
            )
        except BaseException:
            os.close(fd)
            raise
        return fd


def _check_terminal(request: Request, spec: Spec) -> None:
    if request.console_socket and not spec.process.terminal:
        raise InvalidArgument("a console socket, and process.terminal is false")


def _without_mknod(spec: Spec) -> Spec:
    """Return `spec` without CAP_MKNOD: no cgroup keeps new device nodes closed."""
    kept = (
        tuple(name for name in names if name != "CAP_MKNOD")
        for names in spec.process.capabilities
    )
    process = spec.process._replace(capabilities=Capabilities(*kept))
    return spec._replace(process=process)


def _end(launched: Launched) -> None:
    launched.kill()
    launched.wait()
    launched.close()


def size_console(launched: Launched, process: Process) -> None:
    """Give the terminal of a process the size that the process is to find."""
    if launched.console < 0 or not any(process.console_size):
        return
    from minidock.linux.window import WindowSize, set_window_size  # with a terminal only

    set_window_size(launched.console, WindowSize(*process.console_size))


def send_console(launched: Launched, path: str) -> None:
    """Send the terminal's master to who listens at socket `path` (SCM_RIGHTS), and close it.

    Raises:
        SystemFailure: nobody takes it.
    """
    import socket  # with a terminal only

    from minidock.runtime.attach import short_path  # the same

    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as console:
            with short_path(*os.path.split(path)) as short:
                console.connect(short)
            socket.send_fds(console, [_CONSOLE_NAME], [launched.console])
    except OSError as e:
        raise SystemFailure("send the console", e.errno or 0, path=path) from e
    os.close(launched.console)
    launched.console = -1
