# SPDX-License-Identifier: Apache-2.0
"""The control groups of a container at ``linux.cgroupsPath`` of its configuration."""

import os
from collections.abc import Sequence

from minidock.oci.runtime import Linux, Mount, Spec
from minidock.runtime import cgroup_plan, oci_resources
from minidock.runtime.cgroup_plan import CPUSET_FILES, CgroupPlan, Group, Hierarchy, Layout


def plan(layout: Layout, container_id: str, linux: Linux) -> CgroupPlan:
    """Return what to make in `layout`, that of `cgroup_plan.discover`.

    In version 1 the container joins all hierarchies, for whoever reads its usage there. An
    absolute path is below the mounts, a relative one below the caller's own groups.
    """
    wanted = oci_resources.from_spec(linux.resources)
    path = _directory(linux.cgroups_path) or container_id
    if path.startswith("/"):
        layout = at_mounts(layout)
    made = cgroup_plan.plan(layout, container_id, wanted.limits, wanted.devices)
    usual = cgroup_plan.directory_of(container_id)
    inside = os.path.normpath(f"/{path}").strip("/")
    groups = [
        group._replace(path=f"{group.path.removesuffix(usual)}{inside}")
        for group in made.groups
    ]
    moved = CgroupPlan(tuple(groups), (*wanted.warnings, *made.warnings))
    return with_all(moved, layout, inside)


def _directory(cgroups_path: str) -> str:
    """Return the path that systemd would give ``SLICE:PREFIX:NAME``, others as they are."""
    slice_, colon, scope = cgroups_path.partition(":")
    if not colon:
        return cgroups_path
    return f"/{slice_ or 'system.slice'}/{scope.replace(':', '-', 1)}.scope"


def with_all(plan: CgroupPlan, layout: Layout, directory: str) -> CgroupPlan:
    """Return `plan` with a group at `directory` of each hierarchy of version 1."""
    groups = list(plan.groups)
    taken = {group.path for group in groups}
    for hierarchy in layout.v1:
        inherit = CPUSET_FILES if "cpuset" in hierarchy.controllers else ()
        path = f"{hierarchy.directory}/{directory}"
        if path not in taken:
            groups.append(Group(path, hierarchy.controllers, (), inherit=inherit))
    return plan._replace(groups=tuple(groups))


def show_own(spec: Spec, groups: Sequence[Group]) -> Spec:
    """Return `spec` with `groups`, of version 1, bound where cgroups are to be mounted.

    For a container in the host's cgroup namespace: a new mount would show it all groups of the
    machine, and as root's let it change them.
    """
    mounts: list[Mount] = []
    read_only = list(spec.linux.readonly_paths)
    for mount in spec.mounts:
        if mount.type != "cgroup":
            mounts.append(mount)
            continue
        top = mount.destination
        mounts.append(Mount(top, "tmpfs", "cgroup", ("nosuid", "nodev", "noexec", "mode=755")))
        for group in groups:
            for name in group.controllers:
                place = f"{top}/{name.removeprefix('name=')}"
                mounts.append(Mount(place, "bind", group.path, ("bind", *mount.options)))
        if "ro" in mount.options:
            read_only.append(top)
    linux = spec.linux._replace(readonly_paths=tuple(read_only))
    return spec._replace(mounts=tuple(mounts), linux=linux)


def at_mounts(layout: Layout) -> Layout:
    """Return `layout` with every hierarchy beginning where it is mounted."""
    return Layout(
        tuple(map(_at_mount, layout.v1)), layout.unified and _at_mount(layout.unified)
    )


def _at_mount(hierarchy: Hierarchy) -> Hierarchy:
    directory = hierarchy.directory
    while not os.path.ismount(directory) and directory != "/":
        directory = os.path.dirname(directory)
    return hierarchy._replace(directory=directory)
