# SPDX-License-Identifier: Apache-2.0
"""One look at a container's health, in a process of its own that the monitor starts."""

import os
import time

from minidock.annotations import Any
from minidock.engine import liveness
from minidock.engine.clock import exact_rfc3339, go_duration
from minidock.engine.execute import process_of
from minidock.engine.health import Plan, health_of, plan_of, store_health
from minidock.engine.options import ExecOptions
from minidock.engine.place import Place
from minidock.errors import MinidockError
from minidock.runtime import enter
from minidock.runtime.capture import Captured, capture, open_output
from minidock.runtime.interpreter import name_process
from minidock.runtime.monitor_plan import STARTING
from minidock.store import journal
from minidock.store.containers import RUNNING, Container, ContainerNotFound, ContainerState
from minidock.store.store import Store

_LONGEST_OUTPUT = 4096  # bytes, docker's
_NO_STATUS = -1  # docker's for a check that has none of its own


def main(text: str) -> None:
    """Check the health of the container that `text`, a place, names; end the process."""
    status = 0
    try:
        name_process("minidock-health")
        _, store, container = Place.from_json(text).open()
        plan = plan_of(container.record.config)
        if plan and _look(store, container, plan):
            status = STARTING
    except ContainerNotFound:  # removed meanwhile
        pass
    finally:
        os._exit(status)


def _look(store: Store, container: Container, plan: Plan) -> bool:
    """Run the check and store the result; tell whether the next one comes sooner."""
    state = container.state
    if state.status == RUNNING:
        begun = time.time()
        result = _result(store, container, state, plan)
        # Of a container that has ended meanwhile, and its check with it, nothing is told.
        health = health_of(container, state) if liveness.init_alive(state) else None
        if health:
            counts = begun - state.started >= plan.start_period
            found = health.after(result, retries=plan.retries, counts=counts)
            store_health(container, found)
            if found.status != health.status:
                journal.container(store.layout, container, f"health_status: {found.status}")
    health = health_of(container, state)
    ran = time.time() - state.started
    return health is not None and plan.pause(health.status, ran) == plan.start_interval


def _result(
    store: Store, container: Container, state: ContainerState, plan: Plan
) -> dict[str, Any]:
    """Return one entry of docker's ``State.Health.Log``."""
    start = time.time()
    try:
        captured = _run(store, container, state, plan)
    except MinidockError as e:
        code, output = _NO_STATUS, e.message
    else:
        code = _NO_STATUS if captured.status is None else captured.status
        output = _text(captured)
        if captured.status is None:
            what = f"Health check exceeded timeout ({go_duration(plan.timeout)})"
            output = f"{what}: {output}" if output else what
    return {
        "Start": exact_rfc3339(start),
        "End": exact_rfc3339(time.time()),
        "ExitCode": code,
        "Output": output,
    }


def _run(store: Store, container: Container, state: ContainerState, plan: Plan) -> Captured:
    privileged = bool(container.record.host["Privileged"])
    options = ExecOptions(plan.command, privileged=privileged)
    process = process_of(store, container, state, options)
    stdio, end = open_output()
    target = enter.Target(state.pid, state.start_time)
    launched = enter.enter(target, process, stdio)
    stdio.close()
    launched.start()
    return capture(launched, end, timeout=plan.timeout, limit=_LONGEST_OUTPUT)


def _text(captured: Captured) -> str:
    output = captured.output
    if not captured.complete:
        output = output[: _LONGEST_OUTPUT - 3] + b"..."
    return output.decode(errors="replace")
