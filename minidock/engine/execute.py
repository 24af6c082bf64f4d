# SPDX-License-Identifier: Apache-2.0
"""``exec``: one more process in a running container."""

import contextlib
import os

from minidock.engine import isolation, liveness
from minidock.engine.execution import contained, security_of
from minidock.engine.options import ExecOptions
from minidock.engine.views import Finished
from minidock.errors import Conflict, SystemFailure
from minidock.linux.window import screen_size
from minidock.runtime import attach, cgroups, console, enter
from minidock.runtime.streams import Streams
from minidock.store.containers import (
    PAUSED,
    RESTARTING,
    RUNNING,
    Container,
    ContainerNotFound,
    ContainerState,
)
from minidock.store.store import Store


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
    process = process_of(store, container, state, options)
    target = enter.Target(state.pid, state.start_time)
    try:
        if options.tty or options.detach:
            return Finished(_kept(target, process, None if options.detach else streams))
        return Finished(_attached(target, process, options.interactive, streams))
    except OSError as e:
        raise SystemFailure.of("exec", e) from e


def process_of(
    store: Store, container: Container, state: ContainerState, options: ExecOptions
) -> enter.EnterProcess:
    """Return the process that `options` ask for in a container in `state`."""
    config, host = container.record.config, container.record.host
    security = security_of(host, store.layout.cache, privileged=options.privileged)
    security = contained(security, devices_enforced=state.devices_enforced)
    own = [f"HOSTNAME={_host_name(store, container)}"]
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
    connection = keeper.spawn(lambda: enter.enter(target, process, None), size)
    if streams:
        return attach.relay(connection, streams, _no_signals)
    connection.close()
    return None


def _no_signals(_number: int) -> None:
    """Send no signal: what a terminal's keys mean its own line discipline decides."""


def _attached(
    target: enter.Target, process: enter.EnterProcess, open_stdin: bool, streams: Streams
) -> int:
    stdio, ends = console.open_pipes(open_stdin)
    launched = enter.enter(target, process, stdio)
    stdio.close()
    launched.start()

    def forward(number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(launched.pid, number)

    return console.relay(launched, ends, streams, forward)
