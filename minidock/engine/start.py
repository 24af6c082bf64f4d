# SPDX-License-Identifier: Apache-2.0
"""From a stored container to a running one, and back when it ends.

All of this runs in the container's monitor process; starting.py is the command's side.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping

from minidock.annotations import TYPE_CHECKING, Any
from minidock.config import Config
from minidock.engine import devices, isolation, liveness
from minidock.engine.ending import bridge_of, finish, record_exit
from minidock.engine.execution import Security, contained, seccomp_document, security_of
from minidock.engine.isolation import Joined, host_name
from minidock.engine.lowers import lowers_of
from minidock.engine.mount_points import tmpfs_of
from minidock.engine.place import Place
from minidock.engine.records import has_other_runtime, is_limited, publish_of
from minidock.errors import InvalidArgument, MinidockError, SystemFailure
from minidock.fs.atomic import write_file
from minidock.fs.locks import Lock
from minidock.fs.rooted import RootedDir
from minidock.linux import capabilities
from minidock.network import files
from minidock.network.ports import plan_bindings
from minidock.oci.manifest import dump_json
from minidock.oci.runtime import SHM, LinuxDevice, Mount
from minidock.rootfs import overlay
from minidock.runtime import (
    cgroup_plan,
    cgroups,
    commands,
    console,
    monitor_plan,
    oci_resources,
    spec,
    users,
)
from minidock.runtime.child import Stdio
from minidock.runtime.hooks import Outcome
from minidock.runtime.launch import Bundle, Launched, launch
from minidock.store import journal
from minidock.store.chains import copy_metadata
from minidock.store.containers import (
    CREATED,
    EXITED,
    RESTARTING,
    RUNNING,
    Container,
    ContainerNotFound,
    ContainerState,
)
from minidock.store.store import Store
from minidock.store.unpacked import boot_id

if TYPE_CHECKING:
    from minidock.network.leases import Endpoint
    from minidock.network.reservation import Reservation
    from minidock.runtime.other_runtime import OtherLaunched

PRIVATE = ("bridge", "default")
"""Network modes that put a container on the bridge."""


class Starter:
    """Starts one container, and does what is due when it ends."""

    def __init__(self, config: Config, store: Store, container: Container) -> None:
        self._config = config
        self._store = store
        self._prepare(container, ContainerState())

    def _prepare(self, container: Container, state: ContainerState) -> None:
        """Forget what an earlier start has made; `state` is the container's."""
        self._container = container
        self._state = state
        self._hierarchies = cgroup_plan.Layout()
        self._reservation: Reservation | None = None
        self._endpoint: Endpoint | None = None
        self._launched: Launched | OtherLaunched | None = None
        self._warnings: tuple[str, ...] = ()
        self._limits = _limits(container.record.host)
        self._devices: tuple[LinuxDevice, ...] = ()
        self._owner = container  # of the network

    def begin_anew(self) -> None:
        """Count no earlier starts: the next is a user's and not a restart."""
        container = self._container
        state = container.state._replace(restarts=0, backoff=0.0, stopped=False)
        self._prepare(container, state)

    def create(self, stdio: Stdio | None) -> "Launched | OtherLaunched":
        """Assemble the root, the network's side and the process; leave it waiting."""
        try:
            host = self._container.record.host
            self._hierarchies = self._layout()
            security = security_of(host, self._store.layout.cache)
            wanted = devices.wanted(host, privileged=security.privileged)
            security = devices.with_rules(security, host, wanted)
            self._warnings += security.warnings
            group = self._make_cgroup(security)
            security = contained(security, devices_enforced=group.devices_enforced)
            self._devices, left_out = devices.contained(wanted, enforced=group.devices_enforced)
            self._warnings += left_out
            nodev = not group.devices_enforced and not security.privileged
            with contextlib.ExitStack() as held:
                root = mount_root(self._store, self._container, self._state, nodev=nodev)
                held.callback(os.close, root)
                joined = self._join(held)
                self._prepare_network()
                mounts = self._mounts(joined, self._user_mounts(held, nodev=nodev))
                bundle = self._bundle(root, security, joined, mounts)
                self._launched = self._launch(bundle, stdio)
        except OSError as e:
            raise SystemFailure.of("start the container", e) from e
        return self._launched

    def _launch(self, bundle: Bundle, stdio: Stdio | None) -> "Launched | OtherLaunched":
        if not has_other_runtime(self._container.record.host):
            return launch(bundle, stdio)
        from minidock.engine import runtimes  # few containers have another runtime

        self._warnings += runtimes.left_out(self._container)
        return runtimes.create(self._container, bundle, stdio)

    def _join(self, held: contextlib.ExitStack) -> Joined:
        """Return what the container shares; the descriptors are closed with `held`."""
        wanted = isolation.sharing(self._container.record.host)
        if not wanted.joined:
            return Joined(wanted.host, shm=isolation.shm_of_host(wanted.host))
        from minidock.engine import joining  # few containers join others

        self._owner = joining.network_owner(self._store, self._container)
        return held.enter_context(joining.opened(self._store, wanted))

    def _layout(self) -> cgroup_plan.Layout:
        layout = cgroup_plan.discover()
        if not has_other_runtime(self._container.record.host):
            return layout
        from minidock.engine import runtimes  # few containers have another runtime

        return runtimes.layout_of(layout)

    def _make_cgroup(self, security: Security) -> cgroups.Cgroup:
        plan = cgroup_plan.plan(
            self._hierarchies, self._container.id, self._limits, security.devices
        )
        if has_other_runtime(self._container.record.host):
            from minidock.engine import runtimes  # few containers have another runtime

            plan = runtimes.everywhere(plan, self._hierarchies, self._container.id)
        # On disk before they exist: whoever removes the container can find them.
        paths = tuple(group.path for group in plan.groups)
        self._state = self._state._replace(cgroups=paths)
        self._container.set_state(self._state)
        group = cgroups.create(plan)
        self._warnings += group.warnings
        self._state = self._state._replace(
            cgroups=group.paths,
            devices_enforced=group.devices_enforced,
            oom_kills=cgroups.oom_kills(group.paths),
        )
        return group

    def _prepare_network(self) -> None:
        container = self._container
        host = container.record.host
        if host["NetworkMode"] not in PRIVATE:
            return
        exposed = tuple(container.record.config.get("ExposedPorts") or ())
        wanted = plan_bindings(publish_of(host), bool(host["PublishAllPorts"]), exposed)
        bridge = bridge_of(self._config, self._store)
        self._endpoint, self._reservation = bridge.prepare(
            container.id, container.name, wanted, self._alive
        )
        self._state = self._state._replace(endpoint=self._endpoint.to_json())

    def _alive(self, container_id: str) -> bool:
        try:
            container = self._store.containers.find(container_id)
            return liveness.monitor_alive(container) or liveness.init_alive(container.state)
        except MinidockError:
            return False

    def _bundle(
        self, root_fd: int, security: Security, joined: Joined, mounts: tuple[Mount, ...]
    ) -> Bundle:
        container = self._container
        config, host = container.record.config, container.record.host
        cwd = config.get("WorkingDir") or "/"
        if not cwd.startswith("/"):
            raise InvalidArgument(
                f"the working directory '{cwd}' is invalid, it needs to be an absolute path"
            )
        root = RootedDir(root_fd)
        user = users.resolve(root, config.get("User", ""), tuple(host["GroupAdd"]))
        commands.prepare_working_directory(root, cwd)
        self._write_network_files()
        inputs = spec.SpecInputs(
            args=(*config["Entrypoint"], *config["Cmd"]),
            user=user,
            env=tuple(config["Env"]),
            cwd=cwd,
            terminal=bool(config.get("Tty")),
            hostname=host_name(self._owner),
            domainname=config.get("Domainname", ""),
            capabilities=capabilities.names(security.capabilities),
            mounts=mounts,
            devices=self._devices,
            host_namespaces=joined.host,
            joined=joined.paths,
            sysctl=host["Sysctls"],
            rlimits=isolation.rlimits(host),
            oom_score_adj=host["OomScoreAdj"],
            no_new_privileges=security.no_new_privileges,
            read_only=bool(host["ReadonlyRootfs"]),
            privileged=security.privileged,
            unmasked=security.unmasked,
            shm_size=isolation.shm_size(host),
            apparmor_profile=security.apparmor,
            **self._document(security),
        )
        made = spec.make_spec(inputs)
        write_file(container.file("config.json"), dump_json(made.to_json()), durable=False)
        procs = cgroups.entrances(self._state.cgroups)
        return Bundle(
            container.id,
            made,
            root_fd,
            container.mountpoint,
            security.seccomp,
            procs,
            joined.namespaces,
            joined.trees,
            bool(host.get("Init")),
        )

    def _document(self, security: Security) -> dict[str, Any]:
        """Return what config.json says besides, for whoever else reads it."""
        container = self._container
        host = container.record.host
        bits, cache = security.capabilities, self._store.layout.cache
        return {
            "root_path": container.mountpoint,
            # Absolute, below the mounts, as other runtimes take it. Our own group is below the
            # caller's, which has another path in each hierarchy of version 1.
            "cgroups_path": "/" + cgroup_plan.directory_of(container.id),
            "resources": oci_resources.to_spec(self._limits, security.devices),
            "seccomp": seccomp_document(host, bits, cache) if security.seccomp else {},
            "annotations": host.get("Annotations") or {},
        }

    def _user_mounts(self, held: contextlib.ExitStack, *, nodev: bool) -> list[Mount]:
        """Return the mounts that were asked for; `held` closes what they need."""
        record = self._container.record
        mounts = [spec.tmpfs_mount(m.destination, m.options) for m in tmpfs_of(record.host)]
        if record.mounts:
            from minidock.engine import mounting  # only containers with mounts need it

            mounts += mounting.mounts(record, held, nodev=nodev)
        return mounts

    def _mounts(self, joined: Joined, mounts: list[Mount]) -> tuple[Mount, ...]:
        """Return the user's `mounts`, and the files and places that every container has."""
        taken = {mount.destination for mount in mounts}
        read_only = bool(self._container.record.host["ReadonlyRootfs"])
        mounts += [
            spec.bind_mount(self._owner.file(name), f"/etc/{name}", read_only=read_only)
            for name in ("hosts", "hostname", "resolv.conf")
            if f"/etc/{name}" not in taken
        ]
        if joined.shm and SHM not in taken:
            mounts.append(spec.bind_mount(joined.shm, SHM))
        return tuple(mounts)

    def _write_network_files(self) -> None:
        container, endpoint = self._container, self._endpoint
        if self._owner is not container:
            return  # it has written them
        config, host = container.record.config, container.record.host
        shared = host["NetworkMode"] == "host"
        hostname = host_name(container)
        texts = {
            "hostname": files.hostname_file(hostname),
            "hosts": _host_file("/etc/hosts")
            if shared and not host["ExtraHosts"]
            else files.hosts(
                hostname,
                endpoint.address if endpoint else "",
                host["ExtraHosts"],
                gateway=endpoint.gateway if endpoint else "",
                domainname=config.get("Domainname", ""),
            ),
            "resolv.conf": files.resolv_conf(
                _host_resolv_conf(private=not shared),
                host["Dns"],
                host["DnsSearch"],
                host["DnsOptions"],
                private=not shared,
            ),
        }
        for name, text in texts.items():
            write_file(container.file(name), text.encode(), mode=0o644, durable=False)

    def attach(self, started: console.Started) -> None:
        """Connect the waiting process to its network."""
        try:
            if self._endpoint:
                bridge = bridge_of(self._config, self._store)
                self._warnings += bridge.attach(self._endpoint, started.pid)
        except OSError as e:
            # Init goes on meanwhile: where it has failed there is no namespace to connect.
            assert self._launched
            own = self._launched.failure()
            raise own or SystemFailure.of("connect the network", e) from e

    def started(self, started: console.Started) -> Outcome:
        """Record that the container runs."""
        launched = self._launched
        assert launched is started
        self._state = self._state._replace(
            status=RUNNING,
            pid=launched.pid,
            start_time=launched.start_time,
            boot_id=boot_id(),
            exit_code=0,
            error="",
            oom_killed=False,
            started=time.time(),
            finished=0.0,
        )
        self._container.set_state(self._state)
        layout, container = self._store.layout, self._container
        journal.parts(layout, container, ("mount", "connect"), networked=bool(self._endpoint))
        journal.container(layout, container, "start")
        keep = self._reservation.detach() if self._reservation else ()
        return Outcome(keep, self._warnings + launched.warnings)

    def failed(self, error: MinidockError) -> None:
        """Take back what a start that failed has made."""
        code = liveness.exit_status_of(error)
        ran = self._state.status in (EXITED, RESTARTING)
        status = EXITED if ran else CREATED
        state = self._state._replace(status=status, exit_code=code, error=error.message, pid=0)
        if self._reservation:
            self._reservation.close()
        journal.container(self._store.layout, self._container, "die", exitCode=code)
        finish(self._config, self._store, self._container, state)

    def exited(self, status: int) -> float | None:
        """Record the end and give everything back; return the seconds to the next start."""
        return record_exit(self._config, self._store, self._container, status, self._state)

    @contextlib.contextmanager
    def again(self) -> Iterator[bool]:
        """Hold the container's lock, unless a user has taken the restart back."""
        container = self._container
        lock = Lock(container.file("lock"))
        try:
            while is_restarting(container) and not lock.try_acquire():
                time.sleep(0.01)  # who holds it may wait for this process to go
            wanted = is_restarting(container)
            if wanted:
                record = self._store.containers.find(container.id)  # `update` changes it
                self._prepare(record, container.state)
            yield wanted
        finally:
            lock.release()


def is_restarting(container: Container) -> bool:
    """Tell whether the container waits for its next start; it may have been removed."""
    try:
        return container.state.status == RESTARTING
    except ContainerNotFound:
        return False


def first(plan: monitor_plan.MonitorPlan) -> Starter:
    """Return the hooks of a container that a user wants to be started."""
    assert plan.revive
    starter = Starter(*Place.from_json(plan.revive.text).open())
    starter.begin_anew()
    return starter


def _limits(host: Mapping[str, Any]) -> cgroup_plan.Limits:
    if not is_limited(host):
        return cgroup_plan.Limits()
    from minidock.engine.resources import limits_of  # most containers have no limits

    return limits_of(host)


def mount_root(
    store: Store, container: Container, state: ContainerState, *, nodev: bool
) -> int:
    """Return a descriptor of the container's root, a detached mount; raise SystemFailure."""
    lowers = lowers_of(store, container)
    if state.started == 0:
        lowers = _with_places(store, container, lowers)
        # Overlayfs shows the topmost directory's metadata: that of / comes from the upper.
        copy_metadata(lowers[0], container.upper)
    plan = overlay.plan(lowers, container.upper, container.work)
    return overlay.mount(plan, nodev=nodev)


def _with_places(
    store: Store, container: Container, lowers: tuple[str, ...]
) -> tuple[str, ...]:
    if not container.record.mounts and not container.record.host["Tmpfs"]:
        return lowers
    from minidock.engine import mounting  # only containers with mounts need it

    mounting.make_places(store, container, lowers)
    return lowers_of(store, container)


def _host_resolv_conf(*, private: bool) -> str:
    """Return the host's resolv.conf, or what a stub that is out of reach asks."""
    text = _host_file("/etc/resolv.conf")
    if private and files.names_only_stub(text):
        return _host_file(files.SYSTEMD_RESOLV_CONF) or text
    return text


def _host_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
