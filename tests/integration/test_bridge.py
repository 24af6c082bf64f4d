# SPDX-License-Identifier: Apache-2.0
"""A real bridge: containers are processes in network namespaces, and so is another host.

::

    lan (10.199.7.2) ---- mdtlan0 (10.199.7.1) host mdtest0 (172.30.77.1) ---- containers
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from minidock.linux import mounts
from minidock.linux.libc import syscall
from minidock.linux.namespaces import CLONE_NEWNS, setns, unshare
from minidock.linux.netlink import CLONE_NEWNET, network_namespace
from minidock.network import firewall
from minidock.network.addresses import parse_subnet
from minidock.network.bridge import Bridge, BridgeSettings, EndpointFailure
from minidock.network.leases import Endpoint
from minidock.network.ports import PortMapping, parse_publish
from minidock.network.reservation import Reservation, UnsupportedBinding

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not os.path.exists("/usr/sbin/nft"), reason="needs nft"),
]

NAME = "mdtest0"
SUBNET = "172.30.77.0/24"
LAN_HOST = "10.199.7.1"
LAN_OTHER = "10.199.7.2"
PATIENCE = 5
IMPATIENCE = 0.4


@pytest.fixture(autouse=True, scope="module")
def _host() -> Iterator[None]:
    """A network of this module's own, so that names and ports are free; /sys shows it."""
    own = [
        os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in ("net", "mnt")
    ]
    cwd = os.getcwd()
    unshare(CLONE_NEWNET | CLONE_NEWNS)
    try:
        mounts.make_private()
        mounts.mount("sysfs", "/sys", "sysfs", "")
        ip("link set lo up")
        yield
    finally:
        setns(own[0], CLONE_NEWNET)
        setns(own[1], CLONE_NEWNS)
        os.chdir(cwd)
        for fd in own:
            os.close(fd)


def ip(command: str, pid: int | None = None) -> str:
    inside = ["nsenter", "-t", str(pid), "-n"] if pid else []
    return subprocess.check_output([*inside, "ip", *command.split()], text=True)


def serve(ready: int) -> None:
    """Tell each TCP client on port 80 and UDP client on port 53 its address, for ever."""
    tcp = socket.create_server(("0.0.0.0", 80))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("0.0.0.0", 53))
    os.write(ready, b"x")
    while True:
        ready, _, _ = select.select([tcp, udp], [], [])
        if tcp in ready:
            client, address = tcp.accept()
            client.sendall(address[0].encode())
            client.close()
        if udp in ready:
            _, address = udp.recvfrom(100)
            udp.sendto(address[0].encode(), address)


@contextlib.contextmanager
def namespace() -> Iterator[int]:
    """Yield the pid of a server process in a network namespace of its own."""
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            # execve(2) would close what is held for the container.
            os.closerange(3, tell)
            os.closerange(tell + 1, 256)
            syscall("unshare", CLONE_NEWNET)
            serve(tell)
        finally:
            os._exit(1)
    os.close(tell)
    try:
        assert os.read(ready, 1) == b"x"
        yield pid
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def connect(
    address: str, port: int, *, pid: int | None = None, patience: float = PATIENCE
) -> socket.socket:
    """Return a connection that is made in the network of `pid`."""
    with contextlib.ExitStack() as stack:
        if pid:
            fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
            stack.callback(os.close, fd)
            stack.enter_context(network_namespace(fd))
        return socket.create_connection((address, port), patience)


def ask(address: str, port: int, *, pid: int | None = None) -> str:
    """Return which client address the server at `address` sees; asked from `pid`'s network."""
    with connect(address, port, pid=pid) as connection:
        return connection.recv(100).decode()


def ask_udp(address: str, port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.sendto(b"?", (address, port))
        return client.recv(100).decode()


def everyone_lives(_container_id: str) -> bool:
    return True


def nobody_lives(_container_id: str) -> bool:
    return False


def elements() -> str:
    command = ["nft", "list", "table", "ip", NAME]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    return "\n".join(line for line in shown.stdout.splitlines() if "elements = " in line)


def veths() -> list[str]:
    """Return the interfaces that are ports of the bridge."""
    return os.listdir(f"/sys/class/net/{NAME}/brif")


class Place:
    """A bridge under test and the containers on it."""

    def __init__(self, state: str, stack: contextlib.ExitStack) -> None:
        self.bridge = Bridge(BridgeSettings(state, NAME, SUBNET))
        self.stack = stack
        self.count = 0

    def start(self, *publish: str) -> tuple[Endpoint, int, Reservation]:
        """Start a container; return its endpoint, pid and held ports."""
        self.count += 1
        mappings = [m for text in publish for m in parse_publish(text)]
        container_id = f"{self.count:064x}"
        endpoint, reservation = self.bridge.prepare(
            container_id, f"c{self.count}", mappings, everyone_lives
        )
        self.stack.enter_context(reservation)
        pid = self.stack.enter_context(namespace())
        assert self.bridge.attach(endpoint, pid) == ()
        return endpoint, pid, reservation


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with contextlib.ExitStack() as stack:
        here = Place(str(tmp_path / "network"), stack)
        stack.callback(here.bridge.remove)
        yield here
        here.bridge.sweep(nobody_lives)


@pytest.fixture
def lan() -> Iterator[int]:
    """Yield the pid of a process on another host."""
    with namespace() as pid:
        ip(f"link add mdtlan0 type veth peer name eth0 netns {pid}")
        try:
            ip(f"addr add {LAN_HOST}/24 dev mdtlan0")
            ip("link set mdtlan0 up")
            ip(f"addr add {LAN_OTHER}/24 dev eth0", pid)
            ip("link set eth0 up", pid)
            ip("link set lo up", pid)
            yield pid
        finally:
            ip("link del mdtlan0")


def test_container_has_address_route_and_loopback(place: Place) -> None:
    """As asked for, and no IPv6 that routers of the bridge could configure (CVE-2020-13401)."""
    endpoint, pid, _ = place.start()
    addresses = ip("addr", pid)
    assert "127.0.0.1/8" in addresses
    assert f"{endpoint.address}/24" in addresses
    assert endpoint.mac in addresses
    assert "fe80:" not in addresses
    assert f"default via {endpoint.gateway} dev eth0" in ip("route", pid)


def test_published_port_is_reached_from_the_host_itself(place: Place) -> None:
    """By loopback, by an address of the host, and at the container's own address."""
    endpoint, _, _ = place.start("18081:80", "18053:53/udp")
    assert ask("127.0.0.1", 18081) == endpoint.gateway
    assert ask("127.0.0.2", 18081) == endpoint.gateway
    assert ask(endpoint.gateway, 18081) == endpoint.gateway
    assert ask(endpoint.address, 80) == endpoint.gateway
    assert ask_udp("127.0.0.1", 18053) == endpoint.gateway


def test_server_sees_the_address_of_a_client_on_another_host(place: Place, lan: int) -> None:
    """The source address is kept."""
    place.start("18081:80", f"{LAN_HOST}:18082:80")
    assert ask(LAN_HOST, 18081, pid=lan) == LAN_OTHER
    assert ask(LAN_HOST, 18082, pid=lan) == LAN_OTHER


def test_port_of_another_address_is_not_published(place: Place, lan: int) -> None:
    """What is published on one address of the host is not reached by another one."""
    place.start(f"{LAN_HOST}:18081:80")
    with pytest.raises(ConnectionRefusedError):
        ask("127.0.0.1", 18081)


def use_loopback_addresses(pid: int, gateway: str) -> None:
    """Make the network of `pid` send packets for 127.0.0.1 to `gateway`."""
    inside = ["nsenter", "-t", str(pid), "-n"]
    setting = "/proc/sys/net/ipv4/conf/eth0/route_localnet"
    subprocess.run([*inside, "sh", "-c", f"echo 1 > {setting}"], check=True)
    ip("addr flush dev lo", pid)
    ip(f"route add 127.0.0.1/32 via {gateway}", pid)


def test_port_of_loopback_is_not_reached_from_another_host(place: Place, lan: int) -> None:
    """Neither by an address of the host nor by sending 127.0.0.1 over the wire."""
    place.start("127.0.0.1:18081:80")
    assert ask("127.0.0.1", 18081)
    with pytest.raises(ConnectionRefusedError):
        ask(LAN_HOST, 18081, pid=lan)
    use_loopback_addresses(lan, LAN_HOST)
    with pytest.raises(TimeoutError):
        connect("127.0.0.1", 18081, pid=lan, patience=IMPATIENCE)


def test_container_does_not_reach_services_on_the_hosts_loopback(place: Place) -> None:
    """route_localnet does not open 127.0.0.1 of the host to the bridge (CVE-2020-8558)."""
    endpoint, pid, _ = place.start()
    with socket.create_server(("127.0.0.1", 0)) as service:
        use_loopback_addresses(pid, endpoint.gateway)
        with pytest.raises(TimeoutError):
            connect("127.0.0.1", service.getsockname()[1], pid=pid, patience=IMPATIENCE)


def test_unpublished_port_is_not_reached_by_a_route_into_the_subnet(
    place: Place, lan: int
) -> None:
    """A neighbour that sends to the container's address by way of the host gets no answer."""
    endpoint, _, _ = place.start()
    ip(f"route add {SUBNET} via {LAN_HOST}", lan)
    with pytest.raises(TimeoutError):
        connect(endpoint.address, 80, pid=lan, patience=IMPATIENCE)


def test_container_reaches_the_outside_with_the_hosts_address(place: Place, lan: int) -> None:
    """The other host has no route back to the container's address."""
    _, pid, _ = place.start()
    assert ask(LAN_OTHER, 80, pid=pid) == LAN_HOST


def test_container_reaches_published_ports_by_the_hosts_address(place: Place) -> None:
    """Its own and its neighbour's."""
    endpoint, pid, _ = place.start("18081:80")
    place.start("18082:80")
    assert ask(endpoint.gateway, 18081, pid=pid) == endpoint.gateway
    assert ask(endpoint.gateway, 18082, pid=pid) == endpoint.gateway


def test_containers_reach_each_other(place: Place) -> None:
    """At their own addresses, without NAT."""
    one, pid, _ = place.start()
    other, _, _ = place.start()
    assert ask(other.address, 80, pid=pid) == one.address


def test_taken_port_is_refused_before_anything_starts(place: Place) -> None:
    """By a container or by another program; nothing is leased."""
    endpoint, _, _ = place.start("18081:80")
    with pytest.raises(EndpointFailure) as caught:
        place.bridge.prepare("f" * 64, "web", parse_publish("18081:80"), everyone_lives)
    assert str(caught.value) == (
        "driver failed programming external connectivity on endpoint web "
        f"({'f' * 64}): Bind for 0.0.0.0:18081 failed: port is already allocated"
    )
    with socket.create_server(("127.0.0.1", 0)) as service:
        port = service.getsockname()[1]
        with pytest.raises(EndpointFailure, match=f"{port} failed: port is already allocated"):
            place.bridge.prepare("f" * 64, "web", parse_publish(f"{port}:80"), everyone_lives)
    other, _, _ = place.start()
    assert other.address == "172.30.77.3"
    assert endpoint.address == "172.30.77.2"


def test_published_port_is_refused_to_other_programs(place: Place) -> None:
    """As long as the reservation is held."""
    _, _, reservation = place.start("18081:80")
    with pytest.raises(OSError, match="Address already in use"):
        socket.create_server(("127.0.0.1", 18081))
    reservation.close()
    socket.create_server(("127.0.0.1", 18081)).close()


def test_addresses_that_are_not_here_are_refused(place: Place) -> None:
    """An address of another machine, and IPv6."""
    with pytest.raises(EndpointFailure, match="cannot assign requested address"):
        place.bridge.prepare("f" * 64, "web", parse_publish("192.0.2.99:1:80"), everyone_lives)
    with pytest.raises(UnsupportedBinding, match="IPv6 address ::1"):
        place.bridge.prepare("f" * 64, "web", parse_publish("[::1]:1:80"), everyone_lives)


def test_free_ports_are_found(place: Place) -> None:
    """A random one is of the ephemeral range; one of a range is the first that is free."""
    place.start("18081:80")
    endpoint, _, _ = place.start("80", "53/udp", "18081-18082:80")
    random_tcp, random_udp, of_range = endpoint.bindings
    assert random_tcp.host_port >= 32768
    assert random_udp.host_port >= 32768
    assert of_range == PortMapping(80, "tcp", "", 18082)
    assert ask("127.0.0.1", random_tcp.host_port) == endpoint.gateway
    assert ask_udp("127.0.0.1", random_udp.host_port) == endpoint.gateway
    assert ask("127.0.0.1", 18082) == endpoint.gateway


def test_everything_is_freed_after_the_holder_was_killed(place: Place) -> None:
    """A process that dies by SIGKILL leaves state that another one sweeps."""
    ready, tell = os.pipe()
    holder = os.fork()
    if holder == 0:
        try:
            endpoint, pid, _ = place.start("18081:80")
            os.write(tell, f"{endpoint.veth} {pid}".encode())
            signal.pause()
        finally:
            os._exit(1)
    veth, orphan = os.read(ready, 100).decode().split()
    place.stack.callback(os.kill, int(orphan), signal.SIGKILL)
    assert veths() == [veth]
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    # The holder's container lives on here, as after a monitor without PR_SET_PDEATHSIG.
    assert "18081" in elements()
    place.bridge.sweep(nobody_lives)
    assert elements() == ""
    assert veths() == []
    endpoint, _, _ = place.start("18081:80")
    assert endpoint.address == "172.30.77.2"
    assert ask("127.0.0.1", 18081) == endpoint.gateway
    os.close(ready)
    os.close(tell)


def test_release_may_be_repeated(place: Place) -> None:
    """And be asked of a container that never was."""
    endpoint, _, reservation = place.start("18081:80")
    for _ in range(2):
        place.bridge.release(endpoint.container_id)
    place.bridge.release("e" * 64)
    reservation.close()
    assert elements() == ""


def test_address_is_not_leased_while_its_interface_exists(place: Place) -> None:
    """A released container whose processes linger keeps its address to itself."""
    first, _, _ = place.start()
    place.bridge.release(first.container_id)
    second, _, _ = place.start()
    assert second.address != first.address
    place.bridge.sweep(everyone_lives)
    third, _, _ = place.start()
    assert third.address == first.address


def test_many_starts_leave_nothing(place: Place) -> None:
    """No interface, no element, no lease."""
    for _ in range(50):
        with contextlib.ExitStack() as stack:
            place.stack, outer = stack, place.stack
            endpoint, _, _ = place.start("18081:80", "80", "53/udp")
            place.stack = outer
        place.bridge.release(endpoint.container_id)
    place.bridge.sweep(nobody_lives)
    assert veths() == []
    assert elements() == ""
    fresh, _ = place.bridge.prepare("d" * 64, "d", (), everyone_lives)
    assert fresh.address == "172.30.77.2"


def test_concurrent_prepares_lease_distinct_addresses(place: Place) -> None:
    """From several processes at once."""
    results, report = os.pipe()
    children = []
    for child in range(4):
        pid = os.fork()
        if pid == 0:
            try:
                for n in range(10):
                    container_id = f"{child}-{n}"
                    endpoint, _ = place.bridge.prepare(
                        container_id, "c", [PortMapping(80)], everyone_lives
                    )
                    os.write(report, f"{endpoint.address}\n".encode())
            finally:
                os._exit(0)
        children.append(pid)
    os.close(report)
    for pid in children:
        os.waitpid(pid, 0)
    with open(results) as lines:
        addresses = lines.read().split()
    assert len(addresses) == 40
    assert len(set(addresses)) == 40


def test_deleted_bridge_and_table_are_made_again(place: Place, lan: int) -> None:
    """The next container brings back the network of those that run."""
    first, pid, _ = place.start("18081:80")
    ip(f"link del {NAME}")
    subprocess.run(["nft", "delete", "table", "ip", NAME], check=True)
    place.start("18082:80")
    assert ask("127.0.0.1", 18081) == first.gateway
    assert ask("127.0.0.1", 18082) == first.gateway
    assert ask(LAN_OTHER, 80, pid=pid) == LAN_HOST


def test_subnet_that_the_host_routes_elsewhere_is_not_used(place: Place, lan: int) -> None:
    """Another one is chosen and kept."""
    ip(f"route add 172.30.77.128/25 via {LAN_OTHER}")
    endpoint, pid, _ = place.start("18081:80")
    assert not endpoint.address.startswith("172.30.77.")
    other, _, _ = place.start()
    assert other.gateway == endpoint.gateway
    assert ask(LAN_OTHER, 80, pid=pid) == LAN_HOST


def test_without_nft_there_is_a_warning(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container starts and has its address."""
    monkeypatch.setattr(firewall, "_PROGRAMS", ("/nonexistent/nft",))
    endpoint, reservation = place.bridge.prepare("a" * 64, "a", (), everyone_lives)
    with reservation, namespace() as pid:
        (warning,) = place.bridge.attach(endpoint, pid)
        assert "nft is not installed" in warning
        assert ask(endpoint.address, 80) == endpoint.gateway


def test_refusals_of_the_kernel_name_the_object(place: Place) -> None:
    """An OSError says which interface or address could not be made."""
    endpoint, pid, _ = place.start()
    with pytest.raises(FileExistsError, match=f"interface {endpoint.veth}"):
        place.bridge.attach(endpoint, pid)


def test_foreign_drop_policy_is_warned_of() -> None:
    """Until the host's FORWARD chain has a rule for the bridge."""
    with namespace() as pid:
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        with network_namespace(fd):
            table = firewall.Table(NAME, parse_subnet(SUBNET))
            assert table.warnings() == ()
            nft = ["nsenter", "-t", str(pid), "-n", "nft"]
            chain = "{ type filter hook forward priority 0; policy drop; }"
            subprocess.run([*nft, f"table ip filter {{ chain FORWARD {chain}; }}"], check=True)
            (warning,) = table.warnings()
            assert f"iptables -I FORWARD -i {NAME} -j ACCEPT" in warning
            rule = f'insert rule ip filter FORWARD iifname "{NAME}" accept'
            subprocess.run([*nft, rule], check=True)
            assert table.warnings() == ()
        os.close(fd)
