# SPDX-License-Identifier: Apache-2.0
"""``update``: other limits and another restart policy for a container that exists.

The container's record is rewritten; where it runs its cgroups are changed first, so that what
the kernel refuses is not recorded. The texts are docker's.
"""

import contextlib
from collections.abc import Mapping, Sequence

from minidock.annotations import Any
from minidock.engine import liveness
from minidock.engine.options import UpdateOptions
from minidock.engine.records import (
    UNLIMITED,
    has_other_runtime,
    resources_config,
    restart_config,
)
from minidock.engine.resources import check_limits, limits_of
from minidock.errors import Conflict, InvalidArgument, SystemFailure
from minidock.runtime import cgroups
from minidock.runtime.cgroup_plan import CgroupPlan, discover, plan
from minidock.runtime.proc import members
from minidock.runtime.workers import undone
from minidock.store.containers import (
    PAUSED,
    RUNNING,
    Container,
    ContainerState,
)


class UpdateRefused(Conflict):
    """What is wanted does not go with what the container has, or can't be had now."""

    def __init__(self, container: Container, reason: str) -> None:
        super().__init__(f"Cannot update container {container.id}: {reason}")


def update(container: Container, options: UpdateOptions) -> tuple[str, ...]:
    """Change what `options` say; return warnings.

    Raises:
        InvalidArgument, UpdateRefused: nothing was changed.
    """
    wanted = resources_config(options.resources)
    check_limits(wanted, update=True)
    # The end of a commit must not wake what is frozen here, see pause.py.
    with container.freeze_lock(), container.lock():
        container = container.reread()
        host = {**container.record.host, **_changed(wanted)}
        _check(container, options, wanted, host)
        if options.restart:
            host["RestartPolicy"] = restart_config(options.restart)
        warnings: tuple[str, ...] = ()
        if container.state.status in (RUNNING, PAUSED) and _changed(wanted):
            warnings = _apply(container, container.state, host)
        container.set_host(host)
    return warnings


def _changed(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in wanted.items() if value != UNLIMITED[key]}


def _check(
    container: Container,
    options: UpdateOptions,
    wanted: Mapping[str, Any],
    host: Mapping[str, Any],
) -> None:
    """Refuse what contradicts what the container has."""
    has = {**UNLIMITED, **container.record.host}
    for new, old in (("Nano CPUs", "CPU Period"), ("Nano CPUs", "CPU Quota")):
        if wanted["NanoCpus"] and has[_KEYS[old]]:
            raise UpdateRefused(container, _CONTRADICTION.format(new, old))
    for new in ("CPU Period", "CPU Quota"):
        if wanted[_KEYS[new]] and has["NanoCpus"]:
            raise UpdateRefused(container, _CONTRADICTION.format(new, "NanoCPUs"))
    if 0 < has["MemorySwap"] < wanted["Memory"] and not wanted["MemorySwap"]:
        raise UpdateRefused(
            container,
            "Memory limit should be smaller than already set memoryswap limit, update the "
            "memoryswap at the same time",
        )
    try:
        check_limits({**UNLIMITED, **host})
    except InvalidArgument as e:
        raise UpdateRefused(container, e.message) from e
    policy = options.restart
    if policy and policy.name != "no" and host.get("AutoRemove"):
        raise UpdateRefused(
            container,
            "Restart policy cannot be updated because AutoRemove is enabled for the container",
        )


_KEYS = {"CPU Period": "CpuPeriod", "CPU Quota": "CpuQuota"}
_CONTRADICTION = "Conflicting options: {} cannot be updated as {} has already been set"


def _apply(
    container: Container, state: ContainerState, host: Mapping[str, Any]
) -> tuple[str, ...]:
    """Put the limits in force for the running processes; return warnings."""
    layout = discover()
    if has_other_runtime(host):
        from minidock.engine import runtimes  # few containers have another runtime

        layout = runtimes.layout_of(layout)
    planned = plan(layout, container.id, limits_of(host), ())
    paths = (*state.cgroups, *_missing(state, planned))
    container.set_state(state._replace(cgroups=paths))  # whoever removes it can find them
    try:
        made = cgroups.create(planned, strict=True)
        more = [path for path in made.paths if path not in state.cgroups]
        if more:
            _gather(state, more)
    except SystemFailure as e:
        # The limits that it had; a new one stays if there was none before.
        cgroups.create(plan(layout, container.id, limits_of(container.record.host), ()))
        raise UpdateRefused(container, e.message) from e
    container.set_state(state._replace(cgroups=(*state.cgroups, *more)))
    return made.warnings


def _missing(state: ContainerState, planned: CgroupPlan) -> list[str]:
    return [group.path for group in planned.groups if group.path not in state.cgroups]


def _gather(state: ContainerState, more: Sequence[str]) -> None:
    """Move the processes into further cgroups, standing still so that none is forgotten."""
    with contextlib.ExitStack() as still:
        if state.status == RUNNING and state.cgroups:
            still.enter_context(undone(lambda: liveness.thaw(state)))
            with contextlib.suppress(cgroups.FreezerMissing):
                cgroups.freeze(state.cgroups)
        cgroups.gather(lambda: members(state.cgroups, state.pid), more)
