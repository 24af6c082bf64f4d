# SPDX-License-Identifier: Apache-2.0
"""Containers that another OCI runtime than minidock's own makes: ``--runtime``."""

from minidock.fs.atomic import write_file
from minidock.oci.manifest import dump_json
from minidock.runtime import cgroup_plan, oci_cgroups, other_runtime
from minidock.runtime.cgroup_plan import CgroupPlan, Layout
from minidock.runtime.launch import Bundle
from minidock.runtime.other_runtime import OtherBundle, OtherLaunched
from minidock.store.containers import Container


def check(name: str) -> None:
    """Raise UnknownRuntime for a runtime that is not on this machine."""
    other_runtime.find(name)


def everywhere(plan: CgroupPlan, layout: Layout, container_id: str) -> CgroupPlan:
    """Return `plan` with a group in each hierarchy: other runtimes join all there are."""
    return oci_cgroups.with_all(plan, layout, cgroup_plan.directory_of(container_id))


def left_out(container: Container) -> tuple[str, ...]:
    """Return a warning of each option that only minidock's own runtime obeys."""
    host = container.record.host
    if not host.get("Init"):
        return ()
    return (f"--init has no effect with --runtime {host['Runtime']}",)


def create(
    container: Container, bundle: Bundle, stdio: tuple[int, int, int] | None
) -> OtherLaunched:
    """Have the container's runtime make it of `bundle`, which config.json describes."""
    # What is in other mount namespaces has no path that a runtime could bind, so it gets one.
    places = {
        source: f"{container.runtime_directory}/tree{number}"
        for number, source in enumerate(bundle.trees)
        if source.startswith("/")
    }
    if places:
        mounts = (m._replace(source=places.get(m.source, m.source)) for m in bundle.spec.mounts)
        spec = bundle.spec._replace(mounts=tuple(mounts))
        write_file(container.file("config.json"), dump_json(spec.to_json()), durable=False)
    other = OtherBundle(
        bundle.container_id,
        container.directory,
        bundle.root,
        bundle.mountpoint,
        container.runtime_directory,
        bundle.spec.process.terminal,
        {place: bundle.trees[source] for source, place in places.items()},
    )
    return other_runtime.create(str(container.record.host["Runtime"]), other, stdio)


def delete(container: Container) -> None:
    """Have the container's runtime forget it, after its end."""
    name = str(container.record.host["Runtime"])
    other_runtime.delete(name, container.id, container.runtime_directory)


def layout_of(layout: Layout) -> Layout:
    """Return where other runtimes make control groups: below the mounts.

    Each of them takes an absolute cgroupsPath for that, but not a relative one for the same.
    """
    return oci_cgroups.at_mounts(layout)
