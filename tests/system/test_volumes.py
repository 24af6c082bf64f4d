# SPDX-License-Identifier: Apache-2.0
"""Volumes: named and without a name, what they get from the image, and how they go."""

import io
import json
import os
import re
import shutil
import signal
import tarfile
import time
from collections.abc import Iterator

import pytest

from tests.fakes.registry import FakeRegistry
from tests.system.images import CREATED, PATH, base_layer
from tests.system.place import Place

HEX = r"[0-9a-f]{64}"
WHEN = 1_600_000_000


def data_layer() -> bytes:
    """Return a layer with /data of bob's, with a file of two names, a link and a directory."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:

        def add(name: str, kind: bytes, mode: int, **more: object) -> None:
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.mtime = kind, mode, WHEN
            member.uid = member.gid = 1000
            content = more.pop("content", b"")
            assert isinstance(content, bytes)
            member.size = len(content)
            for key, value in more.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(content))

        add("data", tarfile.DIRTYPE, 0o750)
        attributes = {"SCHILY.xattr.user.colour": "blue"}
        add("data/one", tarfile.REGTYPE, 0o4640, content=b"first\n", pax_headers=attributes)
        add("data/two", tarfile.LNKTYPE, 0o640, linkname="data/one")
        add("data/link", tarfile.SYMTYPE, 0o777, linkname="/etc/passwd")
        add("data/inner", tarfile.DIRTYPE, 0o2755)
        add("data/inner/deep", tarfile.REGTYPE, 0o600, content=b"deep\n")
        add("alias", tarfile.SYMTYPE, 0o777, linkname="data/inner")
        add("file", tarfile.REGTYPE, 0o644, content=b"file\n")
    return raw.getvalue()


@pytest.fixture(scope="module")
def offered(registry: FakeRegistry) -> None:
    config = {"created": CREATED, "config": {"Env": [PATH], "Cmd": ["sh"]}}
    registry.add_image("library/stuff", "latest", [base_layer(), data_layer()], config)
    config["config"]["Volumes"] = {"/data": {}}
    registry.add_image("library/volume", "latest", [base_layer(), data_layer()], config)


@pytest.fixture
def minidock(minidock: Place, offered: None) -> Iterator[Place]:
    """The command line, with the images stuff and, with a VOLUME, volume."""
    if not minidock("images", "-q", "stuff"):
        minidock("pull", "-q", "stuff")
        minidock("pull", "-q", "volume")
    yield minidock
    minidock.clear()
    minidock("volume", "prune", "-af")


def volumes(minidock: Place) -> list[str]:
    return minidock("volume", "ls", "-q").split()


# The verbs.


def test_create_list_inspect_remove(minidock: Place) -> None:
    """A volume has a name, labels and a place, is made once, and is gone when removed."""
    words = ("volume", "create", "--label", "a=1", "--label", "b", "my.vol")
    assert minidock(*words) == "my.vol\n"
    assert minidock("volume", "create", "my.vol") == "my.vol\n"
    assert minidock("volume", "ls").splitlines() == [
        "DRIVER    VOLUME NAME",
        "local     my.vol",
    ]
    (document,) = json.loads(minidock("volume", "inspect", "my.vol"))
    created = document.pop("CreatedAt")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created)
    assert document == {
        "Driver": "local",
        "Labels": {"a": "1", "b": ""},
        "Mountpoint": f"{minidock.root}/volumes/my.vol/_data",
        "Name": "my.vol",
        "Options": None,
        "Scope": "local",
    }
    assert (
        minidock("volume", "inspect", "-f", "{{.Name}} {{.Labels.a}}", "my.vol") == "my.vol 1\n"
    )
    assert minidock("inspect", "--type", "volume", "-f", "{{.Name}}", "my.vol") == "my.vol\n"
    assert minidock("inspect", "-f", "{{.Name}}", "my.vol") == "my.vol\n"
    assert minidock("volume", "rm", "my.vol") == "my.vol\n"
    assert minidock("volume", "ls", "-q") == ""
    assert minidock.entries("volumes") == []


def test_a_volume_without_a_name(minidock: Place) -> None:
    """It gets 64 digits, and docker's label by which it is known as such."""
    name = minidock("volume", "create").strip()
    assert re.fullmatch(HEX, name)
    labels = minidock("volume", "inspect", "-f", "{{json .Labels}}", name)
    assert json.loads(labels) == {"com.docker.volume.anonymous": ""}


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("inspect nosuch", "get nosuch: no such volume"),
        ("rm nosuch", "get nosuch: no such volume"),
        ("create ../x", 'create ../x: "../x" includes invalid characters for a local volume'),
        ("create x", "create x: volume name is too short"),
        ("create -d nfs vol", 'error looking up volume plugin nfs: plugin "nfs" not found'),
        ("create -o size=1 vol", 'create vol: invalid option: "size"'),
        ("create -o type=none vol", 'create vol: missing required option: "device"'),
        ("create -o type=nfs -o device=:/x -o o=addr=h vol", "can't be of type nfs"),
        ("ls -f bogus=1", "Invalid filter 'bogus'"),
        ("ls -f dangling=maybe", "Invalid filter 'dangling=maybe'"),
    ],
)
def test_refusals(minidock: Place, line: str, text: str) -> None:
    """Docker's words and status 1."""
    result = minidock.result("volume", *line.split())
    assert (result.status, text in result.errors) == (1, True), result
    assert minidock("volume", "ls", "-q") == ""


def test_rm_force(minidock: Place) -> None:
    """With -f a volume that there is not is no failure; one in use stays all the same."""
    assert minidock("volume", "rm", "-f", "nosuch") == "nosuch\n"
    minidock("create", "--name", "user", "-v", "kept:/x", "base")
    container = minidock.inspect("user")["Id"]
    said = minidock.refused(1, "volume", "rm", "-f", "kept")
    assert f"remove kept: volume is in use - [{container}]" in said
    assert volumes(minidock) == ["kept"]


def test_filters(minidock: Place) -> None:
    """By use, driver, label and name."""
    minidock("create", "-v", "used:/x", "base")
    minidock("volume", "create", "--label", "a=1", "free")

    def found(*filters: str) -> list[str]:
        words = [word for text in filters for word in ("-f", text)]
        return minidock("volume", "ls", "-q", *words).split()

    assert found("dangling=true") == ["free"]
    assert found("dangling=false") == ["used"]
    assert found("label=a") == found("label=a=1") == found("name=re") == ["free"]
    assert found("driver=local") == ["free", "used"]
    assert found("driver=other") == []
    row = json.loads(minidock("volume", "ls", "-f", "name=free", "--format", "json"))
    assert (row["Name"], row["Labels"], row["Links"]) == ("free", "a=1", "N/A")


def test_prune(minidock: Place) -> None:
    """Only volumes without a name and without a user go, with -a all that nobody uses."""
    minidock("create", "-v", "used:/x", "-v", "/y", "base")
    minidock("volume", "create", "named")
    name = minidock("volume", "create").strip()
    with open(f"{minidock.root}/volumes/{name}/_data/file", "w") as file:
        file.write("x" * 1500)
    question = (
        "WARNING! This will remove anonymous local volumes not used by at least one "
        "container.\n"
        "Are you sure you want to continue? [y/N] "
    )
    assert minidock("volume", "prune") == question
    assert len(volumes(minidock)) == 4
    deleted = f"Deleted Volumes:\n{name}\n\nTotal reclaimed space: 1.5kB\n"
    assert minidock("volume", "prune", stdin=b"y\n") == question + deleted
    assert minidock("volume", "prune", "-f") == "Total reclaimed space: 0B\n"
    kept = ("volume", "prune", "-af", "--filter", "label!=a", "--filter", "label=b")
    assert minidock(*kept) == "Total reclaimed space: 0B\n"
    out = minidock("volume", "prune", "-a", "-f")
    assert out == "Deleted Volumes:\nnamed\n\nTotal reclaimed space: 0B\n"
    assert len(volumes(minidock)) == 2


# What containers see.


def test_a_named_volume_outlives_its_containers(minidock: Place) -> None:
    """What one container writes the next one finds; removing a container removes nothing."""
    minidock("run", "--rm", "-v", "v1:/x", "base", "sh", "-c", "echo kept >/x/file")
    assert minidock("run", "--rm", "-v", "v1:/y:ro", "base", "cat", "/y/file") == "kept\n"
    result = minidock.result("run", "--rm", "-v", "v1:/y:ro", "base", "touch", "/y/new")
    assert "Read-only file system" in result.errors
    assert volumes(minidock) == ["v1"]


def test_users_of_the_container_have_it(minidock: Place) -> None:
    """A user of the container writes where the image lets him; the host's users don't."""
    words = ("run", "--rm", "-u", "bob", "-v", "v1:/data", "stuff")
    assert minidock(*words, "sh", "-c", "echo mine >/data/new; cat /data/new") == "mine\n"
    assert os.stat(f"{minidock.root}/volumes/v1").st_mode & 0o777 == 0o700


@pytest.mark.parametrize("flags", [("-v", "v1:/data"), ("--mount", "src=v1,dst=/data")])
def test_an_empty_volume_gets_the_images_files(minidock: Place, flags: tuple[str, ...]) -> None:
    """Contents, owners, modes, times, attributes, hard links and links, of /data itself too."""
    minidock("create", *flags, "stuff")
    data = f"{minidock.root}/volumes/v1/_data"
    top, one, two = (os.stat(f"{data}/{name}") for name in (".", "one", "two"))
    assert (top.st_mode, top.st_uid, top.st_gid) == (0o40750, 1000, 1000)
    assert top.st_mtime == one.st_mtime == WHEN
    assert (one.st_mode, one.st_uid, one.st_nlink) == (0o104640, 1000, 2)
    assert one.st_ino == two.st_ino
    assert os.getxattr(f"{data}/one", "user.colour") == b"blue"
    assert os.readlink(f"{data}/link") == "/etc/passwd"
    assert os.lstat(f"{data}/link").st_uid == 1000
    assert os.stat(f"{data}/inner").st_mode == 0o42755
    with open(f"{data}/inner/deep") as file:
        assert file.read() == "deep\n"
    assert minidock.entries("volumes", "v1") == ["_data", "fill.lock", "volume.json"]


def test_what_gets_nothing_of_the_image(minidock: Place, tmp_path: os.PathLike[str]) -> None:
    """A volume that has something, one with nocopy, a part of one, and a bind mount."""
    listed = ("stuff", "ls", "/data")
    minidock("run", "--rm", "-v", "v1:/x", "base", "touch", "/x/own")
    assert minidock("run", "--rm", "-v", "v1:/data", *listed) == "own\n"
    assert minidock("run", "--rm", "-v", "v2:/data:nocopy", *listed) == ""
    mount = "type=volume,src=v3,dst=/data,volume-nocopy"
    assert minidock("run", "--rm", "--mount", mount, *listed) == ""
    assert minidock("run", "--rm", "-v", f"{os.fspath(tmp_path)}:/data", *listed) == ""


def test_a_link_of_the_image_is_followed(minidock: Place) -> None:
    """A volume at a link to a directory of the image is that directory's."""
    assert minidock("run", "--rm", "-v", "v1:/alias", "stuff", "ls", "/data/inner") == "deep\n"
    assert os.listdir(f"{minidock.root}/volumes/v1/_data") == ["deep"]


def test_a_volume_over_a_file(minidock: Place) -> None:
    """A directory can't cover a file; nothing is left of the attempt."""
    said = minidock.refused(125, "run", "-v", "/file", "stuff", "true")
    assert "cannot mount volume over existing file, file exists /file" in said
    assert volumes(minidock) == []
    assert minidock("ps", "-aq") == ""


def test_volumes_of_an_image(minidock: Place) -> None:
    """They are new ones for each container, filled, and go with --rm or rm -v only."""
    minidock("run", "--name", "one", "volume", "sh", "-c", "echo changed >/data/one")
    assert minidock("run", "--rm", "volume", "cat", "/data/one") == "first\n"
    (name,) = volumes(minidock)
    assert re.fullmatch(HEX, name)
    (mount,) = minidock.inspect("one")["Mounts"]
    assert mount == {
        "Type": "volume",
        "Name": name,
        "Source": f"{minidock.root}/volumes/{name}/_data",
        "Destination": "/data",
        "Driver": "local",
        "Mode": "",
        "RW": True,
        "Propagation": "",
    }
    minidock("rm", "one")
    assert volumes(minidock) == [name]
    minidock("run", "--name", "two", "-v", "named:/x", "volume", "true")
    minidock("rm", "-v", "two")
    assert volumes(minidock) == sorted(["named", name])


def test_what_covers_a_volume_of_an_image(minidock: Place, tmp_path: os.PathLike[str]) -> None:
    """A mount of the user's in the same place leaves no volume behind."""
    for flags in (("--tmpfs", "/data"), ("-v", f"{os.fspath(tmp_path)}:/data")):
        minidock("run", "--name", "one", *flags, "volume", "true")
        assert volumes(minidock) == []
        minidock("rm", "one")


def test_anonymous_volumes_of_the_user(minidock: Place) -> None:
    """-v /x is stored as docker stores it, and survives a restart of the container."""
    minidock("run", "--name", "one", "-v", "/x", "base", "sh", "-c", "echo x >>/x/y; cat /x/y")
    assert minidock.inspect("one")["Config"]["Volumes"] == {"/x": {}}
    minidock("start", "-a", "one")
    assert minidock("logs", "one") == "x\nx\nx\n"


def test_a_name_that_is_taken_leaves_no_volume(minidock: Place) -> None:
    """What a failed create has made without a name goes."""
    minidock("create", "--name", "one", "base")
    minidock.refused(125, "create", "--name", "one", "-v", "/x", "base")
    assert volumes(minidock) == []


def test_host_config_is_dockers(minidock: Place) -> None:
    """Binds for -v, Mounts for --mount, and both among the container's mounts."""
    mounts = "type=volume,src=m1,dst=/m,readonly,volume-label=a=1,volume-nocopy"
    flags = (
        "-v",
        "b1:/b:ro,nocopy",
        "--mount",
        mounts,
        "--mount",
        "type=tmpfs,dst=/t,tmpfs-size=1m",
    )
    minidock("create", "--name", "one", *flags, "base")
    document = minidock.inspect("one")
    host = document["HostConfig"]
    assert host["Binds"] == ["b1:/b:ro,nocopy"]
    assert host["Mounts"] == [
        {
            "Type": "volume",
            "Source": "m1",
            "Target": "/m",
            "ReadOnly": True,
            "VolumeOptions": {"NoCopy": True, "Labels": {"a": "1"}},
        },
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20}},
    ]
    shown = [(m["Type"], m["Destination"], m["Mode"], m["RW"]) for m in document["Mounts"]]
    assert shown == [
        ("volume", "/b", "ro,nocopy", False),
        ("volume", "/m", "z", False),
        ("tmpfs", "/t", "", True),
    ]
    assert minidock("volume", "inspect", "-f", "{{.Labels.a}}", "m1") == "1\n"
    row = ("ps", "-a", "--format", "{{.Mounts}} {{.LocalVolumes}}")
    assert (
        minidock(*row, "-f", "volume=b1") == minidock(*row, "-f", "volume=/m") == "b1,m1, 2\n"
    )
    assert minidock(*row, "-f", "volume=other") == ""


def test_volumes_from(minidock: Place) -> None:
    """The mounts of another container, read-only if asked; nameless ones go with the last."""
    minidock("create", "--name", "store", "-v", "/x", "-v", "named:/n", "volume")
    words = ("run", "--name", "one", "--volumes-from", "store:ro", "base")
    assert minidock(*words, "cat", "/data/one") == "first\n"
    assert minidock.inspect("one")["HostConfig"]["VolumesFrom"] == ["store:ro"]
    mounts = minidock.inspect("one")["Mounts"]
    assert {m["Destination"]: m["RW"] for m in mounts} == dict.fromkeys(
        ("/x", "/n", "/data"), False
    )
    minidock("rm", "-v", "store")
    assert len(volumes(minidock)) == 3
    minidock("rm", "-v", "one")
    assert volumes(minidock) == ["named"]
    assert "No such container: gone" in minidock.refused(
        125, "run", "--volumes-from", "gone", "base"
    )
    assert "invalid mode: x" in minidock.refused(125, "run", "--volumes-from", "a:x", "base")


def test_part_of_a_volume(minidock: Place) -> None:
    """A directory or a file of it; what is not there is an error of the start."""
    minidock("create", "-v", "v1:/data", "stuff")
    mount = "type=volume,src=v1,dst=/part,volume-subpath="
    shown = minidock("run", "--rm", "--mount", f"{mount}inner", "base", "ls", "/part")
    assert shown == "deep\n"
    shown = minidock("run", "--rm", "--mount", f"{mount}inner/deep", "base", "cat", "/part")
    assert shown == "deep\n"
    said = minidock.refused(125, "run", "--rm", "--mount", f"{mount}nosuch", "base")
    assert "cannot access path nosuch of the volume v1: no such file" in said


@pytest.mark.skipif(shutil.which("runc") is None, reason="needs runc")
def test_another_runtime(minidock: Place) -> None:
    """It mounts volumes too, but no part of one, as it can't be told which without a path."""
    words = ("run", "--rm", "--network", "none", "--runtime", "runc", "--mount")
    assert minidock(*words, "src=v1,dst=/data", "stuff", "cat", "/data/one") == "first\n"
    part = "src=v1,dst=/part,volume-subpath=inner"
    said = minidock.refused(125, *words, part, "stuff", "true")
    assert "the runtime runc can't mount a part of a volume" in said


def test_a_directory_of_the_host_as_a_volume(
    minidock: Place, tmp_path: os.PathLike[str]
) -> None:
    """type=none,o=bind: it is filled, mounted and read-only as told; removing spares it."""
    path = os.fspath(tmp_path)
    options = ("-o", "type=none", "-o", "o=bind", "-o", f"device={path}")
    minidock("volume", "create", *options, "linked")
    assert (
        minidock("run", "--rm", "-v", "linked:/data", "stuff", "cat", "/data/one") == "first\n"
    )
    assert sorted(os.listdir(path)) == ["inner", "link", "one", "two"]
    minidock("volume", "rm", "linked")
    assert sorted(os.listdir(path)) == ["inner", "link", "one", "two"]


# What is a change of the container and what is not.


def test_volumes_are_no_changes(minidock: Place) -> None:
    """Neither what is in a volume nor its place is shown by diff or kept by commit."""
    script = "echo v >/new/place/file; echo w >/data/file; echo own >/srv.txt"
    flags = ("-v", "v1:/new/place", "-v", "/data", "--tmpfs", "/run/x")
    minidock("run", "--name", "one", *flags, "stuff", "sh", "-c", script)
    assert minidock("diff", "one") == "A /srv.txt\n"
    minidock("start", "-a", "one")
    assert minidock("diff", "one") == "A /srv.txt\n"
    minidock("commit", "one", "kept")
    shown = minidock("run", "--rm", "--entrypoint", "ls", "kept", "/", "/data")
    assert "new" not in shown.split()
    assert "srv.txt" in shown.split()
    minidock("rmi", "-f", "kept")


# What goes wrong.


def test_a_fill_that_is_killed_is_completed(minidock: Place) -> None:
    """Whoever uses the volume next finds all of the image's files, whenever it was killed."""
    for number in range(3):
        name = f"killed{number}"
        with minidock.background("create", "-v", f"{name}:/data", "stuff") as process:
            time.sleep(0.06 + number * 0.03)
            process.send_signal(signal.SIGKILL)
            process.wait()
        shown = minidock("run", "--rm", "-v", f"{name}:/data", "stuff", "ls", "/data")
        assert shown.split() == ["inner", "link", "one", "two"]
    assert minidock.entries("tmp") == []


def test_two_that_fill_at_once(minidock: Place) -> None:
    """One fills, the other waits and finds everything."""
    words = ("run", "--rm", "--network", "none", "-v", "v1:/data", "stuff", "ls", "/data")
    with minidock.background(*words) as one, minidock.background(*words) as two:
        outs = [process.communicate(timeout=20)[0] for process in (one, two)]
    assert outs == [b"inner\nlink\none\ntwo\n"] * 2
