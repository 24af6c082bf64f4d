# SPDX-License-Identifier: Apache-2.0
"""What images and containers have in common is on the disk, and in memory, once."""

import os
import re

from tests.system.place import Place


def test_a_common_base_is_stored_once(minidock: Place):
    """Two images on one base are two unpacked layers, and each layer was fetched once."""
    base = minidock.inspect("base")["RootFS"]["Layers"]
    tomcat = minidock.inspect("tomcat:9.0")["RootFS"]["Layers"]
    assert tomcat[:1] == base
    assert minidock.entries("layers") == sorted(
        layer.removeprefix("sha256:") for layer in tomcat
    )
    manifest = minidock.registry.manifest("library/tomcat", "9.0")
    for blob in manifest["layers"]:
        assert minidock.registry.count("GET", f"/blobs/{blob['digest']}$") == 1
        path = os.path.join(minidock.root, "images/blobs/sha256", blob["digest"][7:])
        assert os.path.getsize(path) == blob["size"]


def test_containers_of_a_base_run_the_same_file(minidock: Place):
    """Two containers map the very inode of the stored layer: one copy in the page cache."""
    for name, image in (("one", "base"), ("two", "tomcat:9.0")):
        minidock("run", "-d", "--name", name, image, "sleep", "60")
    layer = minidock.inspect("base")["RootFS"]["Layers"][0].removeprefix("sha256:")
    stored = os.stat(os.path.join(minidock.root, "layers", layer, "diff/bin/busybox"))

    inodes = {
        minidock("exec", name, "stat", "-c", "%i", "/bin/busybox") for name in ("one", "two")
    }
    assert inodes == {f"{stored.st_ino}\n"}
    for name in ("one", "two"):
        assert _mapped_inodes(minidock.state(name)["Pid"]) == {stored.st_ino}


def _mapped_inodes(pid: int) -> set[int]:
    """Return the inodes of the files that a process has mapped: proc_pid_maps(5)."""
    with open(f"/proc/{pid}/maps") as file:
        fields = (line.split() for line in file)
        return {int(inode) for _, _, _, _, inode, *_ in fields} - {0}


def test_what_one_container_writes_no_other_sees(minidock: Place):
    """A file of the base changes in one container only; the stored layer stays as it was."""
    minidock("run", "--name", "writer", "base", "sh", "-c", "echo mine >> /etc/group")
    assert "mine" not in minidock("run", "--rm", "base", "cat", "/etc/group")
    assert minidock("diff", "writer") == "C /etc\nC /etc/group\n"
    rows = minidock("ps", "-a", "-s").splitlines()
    assert re.search(r"   \d+(\.\d+)?k?B \(virtual \S+MB\)$", rows[1])


def test_removing_an_image_leaves_what_another_needs(minidock: Place):
    """Rmi deletes the layers that no image has any more, and only those."""
    minidock("tag", "tomcat:9.0", "web:1")
    assert minidock("rmi", "web:1") == "Untagged: web:1\n"
    assert len(minidock.entries("layers")) == 2
    image_id = minidock.inspect("tomcat:9.0")["Id"]
    out = minidock("rmi", "tomcat:9.0").splitlines()
    assert out[0] == "Untagged: tomcat:9.0"
    assert f"Deleted: {image_id}" in out
    base = minidock.inspect("base")["RootFS"]["Layers"]
    assert minidock.entries("layers") == [layer.removeprefix("sha256:") for layer in base]
    assert minidock("run", "--rm", "base", "echo", "fine") == "fine\n"
    assert minidock("pull", "-q", "tomcat:9.0") == "docker.io/library/tomcat:9.0\n"
