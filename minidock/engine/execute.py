# SPDX-License-Identifier: Apache-2.0
"""``exec``: one more process in a running container."""

import contextlib
import os

from minidock.engine import isolation, liveness
from minidock.engine.execution import contained, security_of
from minidock.engine.options import ExecOptions, Streams
from minidock.engine.views import Finished
from minidock.errors import Conflict, SystemFailure
from minidock.runtime import attach, cgroups, console, enter
from minidock.runtime.child import Stdio
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
        if options.detach:
            _detached(target, process)
            return Finished(None)
        return Finished(_attached(target, process, options, streams))
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


def _detached(target: enter.Target, process: enter.EnterProcess) -> None:
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        launched = enter.enter(target, process, Stdio(null, null, null))
        try:
            launched.start()
        finally:
            launched.close()
    finally:
        os.close(null)


def _attached(
    target: enter.Target,
    process: enter.EnterProcess,
    options: ExecOptions,
    streams: Streams,
) -> int | None:
    stdio, ends = (None, None) if options.tty else console.open_pipes(options.interactive)
    launched = enter.enter(target, process, stdio)
    if stdio:
        stdio.close()
    if ends is None:
        ends = console.open_console(launched.console, options.interactive)
    launched.start()

    def forward(number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(launched.pid, number)

    return console.relay(launched, ends, attach.ClientStreams(*streams), forward)
