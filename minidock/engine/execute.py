# SPDX-License-Identifier: Apache-2.0
"""``exec``: one more process in a running container."""

import contextlib
import os

from minidock.engine import isolation, liveness
from minidock.engine.execution import contained, security_of
from minidock.engine.options import ExecOptions
from minidock.engine.views import Finished
from minidock.errors import (
    CommandNotExecutable,
    Conflict,
    Disconnected,
    MinidockError,
    SystemFailure,
)
from minidock.fs.atomic import random_hex
from minidock.linux.window import screen_size
from minidock.runtime import attach, cgroups, console, enter, users
from minidock.runtime.child import Stdio
from minidock.runtime.commands import DEFAULT_PATH
from minidock.runtime.launch import Launched
from minidock.runtime.streams import Streams
from minidock.store import journal
from minidock.store.containers import (
    PAUSED,
    RESTARTING,
    RUNNING,
    Container,
    ContainerNotFound,
    ContainerState,
)
from minidock.store.store import Store

_DYING = 0.2
"""Seconds between the first signs of a container's end and that of its first process."""


def execute(
    store: Store,
    container: Container,
    state: ContainerState,
    options: ExecOptions,
    streams: Streams,
) -> Finished:
    """Run a command in a container; return its status, None when it was left running.

    Raises:
        NotRunning, Conflict for a paused container, CommandNotFound, CommandNotExecutable.
    """
    if state.status == PAUSED:
        raise Conflict(
            f"Container {container.name} is paused, unpause the container before exec"
        )
    if state.status == RESTARTING:
        raise Conflict(
            f"Container {container.id} is restarting, wait until the container is running"
        )
    if state.status != RUNNING:
        raise liveness.NotRunning(container)
    if options.working_dir and not options.working_dir.startswith("/"):
        raise CommandNotExecutable("Cwd must be an absolute path")
    process = process_of(store, container, state, options)
    target = enter.Target(state.pid, state.start_time)
    told = {"execID": random_hex(32)}
    for step in ("exec_create", "exec_start"):
        action = f"{step}: {' '.join(options.command)}"
        journal.container(store.layout, container, action, **told)
    try:
        if options.tty or options.detach:
            status = _kept(target, process, None if options.detach else streams)
        else:
            status = _attached(target, process, options.interactive, streams)
    except Disconnected:
        raise
    except (MinidockError, OSError) as e:
        raise _reason(container, state, e) from e
    if status is not None:
        journal.container(store.layout, container, "exec_die", exitCode=status, **told)
    return Finished(status)


def _reason(
    container: Container, state: ContainerState, error: MinidockError | OSError
) -> MinidockError:
    """Return what to tell the user of `error`.

    In a container that ends, any step fails with any error.
    """
    if isinstance(error, OSError):
        error = SystemFailure.of("exec", error)
    patience = _DYING if isinstance(error, SystemFailure) else 0
    if liveness.await_init(state, patience):
        return liveness.NotRunning(container)
    return error


def process_of(
    store: Store, container: Container, state: ContainerState, options: ExecOptions
) -> enter.EnterProcess:
    """Return the process that `options` ask for in a container in `state`."""
    config, host = container.record.config, container.record.host
    security = security_of(host, store.layout.cache, privileged=options.privileged)
    security = contained(security, devices_enforced=state.devices_enforced)
    own = [f"PATH={DEFAULT_PATH}", f"HOSTNAME={_host_name(store, container)}"]
    if options.tty:
        own.append("TERM=xterm")
    return enter.EnterProcess(
        args=options.command,
        env=(*own, *config["Env"], *options.env),
        cwd=options.working_dir or config.get("WorkingDir") or "/",
        user=options.user or config.get("User", ""),
        groups=tuple(host["GroupAdd"]),
        capabilities=security.capabilities,
        no_new_privileges=security.no_new_privileges,
        rlimits=isolation.rlimits(host),
        oom_score_adj=host["OomScoreAdj"],
        apparmor_profile=security.apparmor,
        seccomp=security.seccomp,
        terminal=options.tty,
        cgroup=cgroups.entrances(state.cgroups),
    )


def _host_name(store: Store, container: Container) -> str:
    if not isolation.sharing(container.record.host).joined:
        return isolation.host_name(container)
    from minidock.engine.joining import network_owner  # few containers join others

    with contextlib.suppress(ContainerNotFound):  # the owner may have been removed since
        container = network_owner(store, container)
    return isolation.host_name(container)


def _kept(
    target: enter.Target, process: enter.EnterProcess, streams: Streams | None
) -> int | None:
    """Run `process` with a keeper; without `streams` leave it at once."""
    from minidock.runtime import keeper  # only -t and -d need it

    size = screen_size(streams.screen) if streams else None
    connection = keeper.spawn(lambda: _enter(target, process, None), size)
    if streams:
        return attach.relay(connection, streams, _no_signals)
    connection.close()
    return None


def _enter(target: enter.Target, process: enter.EnterProcess, stdio: Stdio | None) -> Launched:
    try:
        return enter.enter(target, process, stdio)
    except (users.InvalidUser, users.UnknownUser, users.UnknownGroup) as e:
        raise CommandNotExecutable(e.message) from e  # whose status is docker's


def _no_signals(_number: int) -> None:
    """Send no signal: what a terminal's keys mean its own line discipline decides."""


def _attached(
    target: enter.Target, process: enter.EnterProcess, open_stdin: bool, streams: Streams
) -> int:
    stdio, ends = console.open_pipes(open_stdin)
    launched = _enter(target, process, stdio)
    stdio.close()
    launched.start()

    def forward(number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(launched.pid, number)

    return console.relay(launched, ends, streams, forward)
