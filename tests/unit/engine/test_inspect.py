# SPDX-License-Identifier: Apache-2.0
"""``inspect``: what scripts look for."""

from minidock.engine.inspect import container_document, state_document
from minidock.engine.mount_points import MountPoint, mount_points
from minidock.engine.options import CreateOptions
from minidock.engine.records import container_config, host_config
from minidock.network.ports import PortMapping
from minidock.oci.descriptor import Platform
from minidock.oci.digest import DiffID, digest_of
from minidock.oci.image import ImageConfig
from minidock.store.containers import Container, ContainerRecord, ContainerState

ID = "c" * 64
LINUX = Platform("linux", "amd64")


def make(options: CreateOptions) -> Container:
    config = container_config(ID, options, ImageConfig(cmd=("sh", "-c", "x")))
    image = digest_of(b"image")
    record = ContainerRecord(
        ID, 1.5, "app", image, image, "type", (DiffID(image),), config, host_config(options)
    )
    return Container(record, "/nowhere")


def test_created_container() -> None:
    """Docker's zero time, no address, no ports."""
    document = container_document(make(CreateOptions("app")), ContainerState(), LINUX, ())
    assert document["State"]["Status"] == "created"
    assert document["State"]["StartedAt"] == "0001-01-01T00:00:00Z"
    assert (document["Path"], document["Args"]) == ("sh", ["-c", "x"])
    assert document["Created"] == "1970-01-01T00:00:01.5Z"
    assert document["Config"]["Entrypoint"] is None
    assert document["NetworkSettings"]["Ports"] == {}
    assert document["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] == ""


def test_mounts() -> None:
    """What became of the mounts is shown as docker shows it."""
    points = (
        MountPoint("bind", "/a", "/b", read_only=True, mode="ro", propagation="rprivate"),
        MountPoint("volume", "/v/_data", "/c", "vol", mode="z", anonymous=True, subpath="x"),
        MountPoint("tmpfs", "", "/t", options=("size=1",)),
    )
    container = make(CreateOptions("app"))
    record = container.record._replace(mounts=tuple(point._asdict() for point in points))
    record = ContainerRecord.from_json(record.to_json())
    assert mount_points(record) == points
    document = container_document(Container(record, "/"), ContainerState(), LINUX, ())
    assert document["Mounts"] == [
        {
            "Type": "bind",
            "Source": "/a",
            "Destination": "/b",
            "Mode": "ro",
            "RW": False,
            "Propagation": "rprivate",
        },
        {
            "Type": "volume",
            "Name": "vol",
            "Source": "/v/_data",
            "Destination": "/c",
            "Driver": "local",
            "Mode": "z",
            "RW": True,
            "Propagation": "",
        },
        {
            "Type": "tmpfs",
            "Source": "",
            "Destination": "/t",
            "Mode": "",
            "RW": True,
            "Propagation": "",
        },
    ]


def test_running_container() -> None:
    """The address is at docker's two places, exposed ports without a binding are null."""
    port = PortMapping(80, "tcp", "", 8080)
    options = CreateOptions("app", publish=(port,), expose=("53/udp",))
    endpoint = {"address": "172.29.0.2", "prefix": 16, "gateway": "172.29.0.1", "mac": "02:42"}
    state = ContainerState("running", pid=7, started=1.0, endpoint=endpoint)
    document = container_document(make(options), state, LINUX, (port,))
    network = document["NetworkSettings"]
    assert network["IPAddress"] == network["Networks"]["bridge"]["IPAddress"] == "172.29.0.2"
    assert network["Ports"] == {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}],
        "53/udp": None,
    }


def test_state_of_the_dead() -> None:
    """A pid is shown only while it means something."""
    state = ContainerState("exited", pid=7, exit_code=137, oom_killed=True, finished=2.0)
    document = state_document(state)
    assert (document["Running"], document["Pid"], document["ExitCode"]) == (False, 0, 137)
    assert document["OOMKilled"]
    assert document["FinishedAt"] == "1970-01-01T00:00:02Z"
