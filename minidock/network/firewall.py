# SPDX-License-Identifier: Apache-2.0
"""One nftables table for each bridge: NAT for what goes out, maps for what comes in.

Nothing else of the host's rules is read or changed. The table's chains never change while it
lives; a published port is one element of a map. nft(8) is called to make the table only.
"""

import contextlib
import errno
import os
from collections.abc import Sequence
from io import FileIO

from minidock.errors import MinidockError, Unsupported
from minidock.linux import nfnetlink
from minidock.linux.nfnetlink import Element
from minidock.linux.sockets import IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, inet_aton
from minidock.network.addresses import Subnet
from minidock.network.leases import Endpoint
from minidock.network.ports import ANY_ADDRESS
from minidock.values import NamedTuple

_LAYOUT = "v1"
"""Changes with every change of _RULES, so that an older table is replaced."""

_RULES = """\
table ip {name} {{ }}
delete table ip {name}
table ip {name} {{
    map published {{
        type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service
    }}
    map published_any {{
        type inet_proto . inet_service : ipv4_addr . inet_service
    }}
    chain {marker} {{
    }}
    chain raw {{
        type filter hook prerouting priority raw; policy accept;
        # route_localnet lets these in (CVE-2020-8558). Answers to 127.0.0.1 get that address
        # back at a later hook only.
        iifname "{name}" ip daddr 127.0.0.0/8 drop
        iifname "{name}" ip saddr 127.0.0.0/8 drop
    }}
    chain publish {{
        meta l4proto {{ tcp, udp, sctp }} \
dnat ip to meta l4proto . ip daddr . th dport map @published
        meta l4proto {{ tcp, udp, sctp }} \
dnat ip to meta l4proto . th dport map @published_any
    }}
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
        # What comes from outside for 127.0.0.1 is left to the kernel, which drops it.
        ip daddr != 127.0.0.0/8 fib daddr type local jump publish
    }}
    chain output {{
        type nat hook output priority -100; policy accept;
        fib daddr type local jump publish
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {subnet} oifname != "{name}" masquerade
        # From 127.0.0.1 to a container.
        ip saddr 127.0.0.0/8 oifname "{name}" masquerade
        # From a container by way of a published port: the answer must come back through here.
        ip saddr {subnet} oifname "{name}" ct status dnat masquerade
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        oifname != "{name}" accept
        iifname "{name}" accept
        ct state established,related accept
        ct status dnat accept
        # A neighbour with a route to the subnet gets no further than the published ports.
        drop
    }}
}}
"""

_PROTOCOLS = {"tcp": IPPROTO_TCP, "udp": IPPROTO_UDP, "sctp": IPPROTO_SCTP}
_PROGRAMS = ("/usr/sbin/nft", "/sbin/nft", "/usr/local/sbin/nft", "/usr/bin/nft")
_ABSENT = (errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL)
"""What nfnetlink says when the kernel has no nf_tables, or no nfnetlink."""

_PIPE_CAPACITY = 65536  # pipe(7)


class NoFirewall(Unsupported):
    """The rules can't be made here."""


class FirewallFailure(MinidockError):
    """nft(8) refused the rules."""


class Table(NamedTuple):
    """The table of bridge `name`, whose containers live in `subnet`."""

    name: str
    subnet: Subnet

    @property
    def rules(self) -> str:
        """The whole table, to replace what there is, in the language of nft(8)."""
        return _RULES.format(name=self.name, subnet=self.subnet, marker=self.marker)

    @property
    def marker(self) -> str:
        """The name of an empty chain that tells a table's layout and subnet."""
        return f"{_LAYOUT}-{self.subnet}"

    def ensure(self, endpoints: Sequence[Endpoint]) -> None:
        """Make the table with the ports of `endpoints` unless it is there already.

        Raises:
            NoFirewall: no nft(8), or no nf_tables in the kernel.
            FirewallFailure: nft(8) refuses.
            OSError: the kernel refuses.
        """
        try:
            if nfnetlink.has_chain(self.name, self.marker):
                return
        except OSError as e:
            if e.errno in _ABSENT:
                raise NoFirewall("the kernel has no nf_tables") from e
            raise
        complaint = _run_nft(self.rules)
        if not nfnetlink.has_chain(self.name, self.marker):
            raise FirewallFailure(f"nft refuses the rules: {complaint}")
        for endpoint in endpoints:
            self.publish(endpoint)

    def publish(self, endpoint: Endpoint) -> None:
        """Lead the host's ports to `endpoint`, whoever had them before; raise OSError."""
        elements = plan_elements(endpoint)
        try:
            nfnetlink.add_elements(self.name, elements)
        except OSError as e:
            if e.errno not in (errno.EEXIST, errno.EBUSY):
                raise
            nfnetlink.delete_elements(self.name, elements)
            nfnetlink.add_elements(self.name, elements)

    def withdraw(self, endpoint: Endpoint) -> None:
        """Take the ports of `endpoint` away; none, or no table, is no error."""
        try:
            nfnetlink.delete_elements(self.name, plan_elements(endpoint))
        except OSError as e:
            if e.errno not in _ABSENT:
                raise

    def warnings(self) -> tuple[str, ...]:
        """Return what else on this host will stop the containers' packets; raise OSError.

        An accept in one table does not overrule a drop in another. Rules made by the old
        iptables interface are not seen.
        """
        if not nfnetlink.drops_by_default("filter", "FORWARD"):
            return ()
        if nfnetlink.rules_mention("filter", self.name):
            return ()
        chain = "DOCKER-USER" if nfnetlink.has_chain("filter", "DOCKER-USER") else "FORWARD"
        return (
            "the host's iptables drop forwarded packets, so containers reach only the host; "
            f"to let them through: iptables -I {chain} -i {self.name} -j ACCEPT && "
            f"iptables -I {chain} -o {self.name} -j ACCEPT",
        )


def remove_table(name: str) -> None:
    """Delete the table of bridge `name`; none is no error. Raise OSError."""
    nfnetlink.delete_table(name)


def plan_elements(endpoint: Endpoint) -> tuple[Element, ...]:
    """Return the map elements that publish the ports of `endpoint`. Pure."""
    elements = []
    for mapping in endpoint.bindings:
        protocol = _PROTOCOLS[mapping.protocol].to_bytes(1, "big") + bytes(3)
        port = _service(mapping.host_port)
        value = inet_aton(endpoint.address) + _service(mapping.container_port)
        if mapping.host_ip in ("", ANY_ADDRESS):
            elements.append(Element("published_any", protocol + port, value))
        else:
            key = protocol + inet_aton(mapping.host_ip) + port
            elements.append(Element("published", key, value))
    return tuple(elements)


def _service(port: int) -> bytes:
    return port.to_bytes(2, "big") + bytes(2)


def _run_nft(script: str) -> str:
    """Feed nft(8) with `script`; return the first line of its complaints."""
    program = next((path for path in _PROGRAMS if os.access(path, os.X_OK)), None)
    if program is None:
        raise NoFirewall("nft is not installed", hint="install the package nftables")
    with contextlib.ExitStack() as stack:
        script_out, script_in, errors_out, errors_in = (
            stack.enter_context(FileIO(fd, mode))
            for fd, mode in zip((*os.pipe(), *os.pipe()), ("r", "w", "r", "w"), strict=True)
        )
        raw = script.encode("ascii")
        assert len(raw) < _PIPE_CAPACITY  # the pipe takes it all before anyone reads
        script_in.write(raw)
        script_in.close()
        actions = [
            (os.POSIX_SPAWN_DUP2, script_out.fileno(), 0),
            (os.POSIX_SPAWN_DUP2, errors_in.fileno(), 2),
        ]
        pid = os.posix_spawn(program, [program, "-f", "-"], {}, file_actions=actions)
        errors_in.close()
        complaints = errors_out.readall()
        with contextlib.suppress(ChildProcessError):  # someone reaps all children
            os.waitpid(pid, 0)
    return complaints.decode("utf-8", "replace").partition("\n")[0]
