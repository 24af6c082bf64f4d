# SPDX-License-Identifier: Apache-2.0
"""Mount flags become mounts or docker's errors."""

import os

import pytest

from minidock.cli.mounts import (
    AnonymousVolume,
    Mounts,
    check_destinations,
    parse_mount,
    parse_mounts,
    parse_tmpfs,
    parse_volume,
    parse_volumes_from,
)
from minidock.engine.options import BindMount, TmpfsMount, VolumeMount, VolumesFrom
from minidock.errors import Conflict, InvalidArgument, MinidockError, Unsupported


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("/a:/b", BindMount("/a", "/b")),
        ("/a:/b:ro", BindMount("/a", "/b", read_only=True)),
        ("/a:/b:rw", BindMount("/a", "/b")),
        ("/a:/b:ro,Z", BindMount("/a", "/b", read_only=True)),
        ("/a:/b:rshared,ro", BindMount("/a", "/b", True, "rshared")),
        ("/a/../c:/b/", BindMount("/c", "/b")),
        ("/a://b", BindMount("/a", "/b")),
        ("/data", AnonymousVolume("/data")),
        ("name:/b", VolumeMount("name", "/b")),
        ("a.b_c-1:/b:ro,z", VolumeMount("a.b_c-1", "/b", True, modes="ro,z")),
        ("name:/b:nocopy", VolumeMount("name", "/b", nocopy=True, modes="nocopy")),
    ],
)
def test_volume(text: str, mount: object) -> None:
    """A volume flag names a host path, a place and modes."""
    assert parse_volume(text) == mount


def test_volume_of_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]
) -> None:
    """A host path with a dot is taken from the working directory."""
    monkeypatch.chdir(tmp_path)
    assert parse_volume("./x:/b") == BindMount(os.path.join(tmp_path, "x"), "/b")
    assert parse_volume(".:/b") == BindMount(os.fspath(tmp_path), "/b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (":/x", "invalid volume specification: ':/x'"),
        ("/a:", "invalid volume specification: '/a:'"),
        ("", "invalid volume specification: ''"),
        ("/a:/b:ro:x", "invalid volume specification: '/a:/b:ro:x'"),
        ("/a:/b:bogus", "invalid mode: bogus"),
        ("/a:/b:ro,rw", "invalid mode: ro,rw"),
        ("/a:/b:nocopy", "invalid mode: nocopy"),
        ("/a:b", "invalid mount path: 'b' mount path must be absolute"),
        ("/a:/", "invalid volume specification: '/a:/': destination can't be '/'"),
        ("/a:/x/..", "invalid volume specification: '/a:/x/..': destination can't be '/'"),
        ("a/b:/x", '"a/b" includes invalid characters for a local volume name'),
        ("/data:ro", "invalid volume specification: '/data:ro'"),
        ("n:/x", "create n: volume name is too short"),
        ("name:/x:rshared", "invalid mode: rshared"),
        ("name:/x:nocopy,nocopy", "invalid mode: nocopy,nocopy"),
    ],
)
def test_bad_volume(text: str, message: str) -> None:
    """What can't be meant is refused with docker's words."""
    with pytest.raises(MinidockError) as caught:
        parse_volume(text)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("type=bind,source=/a,target=/b", BindMount("/a", "/b", create=False)),
        ("type=bind,src=/a,dst=/b,readonly", BindMount("/a", "/b", True, create=False)),
        ("type=bind,src=/a,dst=/b,ro=false", BindMount("/a", "/b", create=False)),
        ('type=bind,"src=/a,b",dst=/b', BindMount("/a,b", "/b", create=False)),
        (
            "type=bind,src=/a,destination=/b,bind-propagation=rslave",
            BindMount("/a", "/b", False, "rslave", create=False),
        ),
        ("target=/t", VolumeMount("", "/t")),
        (
            "type=volume,src=vol,dst=/b,ro,volume-nocopy,volume-label=a=1,volume-label=b",
            VolumeMount("vol", "/b", True, True, {"a": "1", "b": ""}),
        ),
        (
            "src=vol,dst=/b,volume-driver=local,volume-opt=o=bind,volume-opt=device=/x",
            VolumeMount("vol", "/b", driver="local", options={"o": "bind", "device": "/x"}),
        ),
        ("src=vol,dst=/b,volume-subpath=a//b", VolumeMount("vol", "/b", subpath="a/b")),
        ("type=tmpfs,target=/t", TmpfsMount("/t")),
        (
            "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770",
            TmpfsMount("/t", ("size=1048576", "mode=1770")),
        ),
    ],
)
def test_mount(text: str, mount: object) -> None:
    """A mount flag is a list of fields."""
    assert parse_mount(text) == mount


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo", "invalid field 'foo' must be a key=value pair"),
        ("type=bind,source=/a", "target is required"),
        ("type=bind,source=/a,target=/b,bogus=1", "unexpected key 'bogus' in 'bogus=1'"),
        ("type=bind,source=/a,target=/b,ro=maybe", "invalid value for ro: maybe"),
        ("type=bind,target=/b", "field Source must not be empty"),
        ("type=bind,source=a,target=/b", "mount path must be absolute"),
        ("type=bind,source=/a,target=/b,bind-propagation=x", "invalid propagation value: x"),
        ("src=/a,target=/b", '"/a" includes invalid characters for a local volume name'),
        ("src=vol,target=/b,volume-subpath=/a", "subpath must be a relative path"),
        ("src=vol,target=/b,volume-subpath=a/../..", "subpath must be a relative path"),
        ("target=/b,volume-subpath=a", "must not set Subpath when using anonymous volumes"),
        (
            "type=bind,src=/a,dst=/b,volume-nocopy",
            "cannot mix 'volume-*' options with mount type 'bind'",
        ),
        (
            "src=vol,dst=/b,bind-propagation=shared",
            "cannot mix 'bind-*' options with mount type 'volume'",
        ),
        ("type=tmpfs,source=/a,target=/b", "field Source must not be specified"),
        ("type=tmpfs,target=/b,tmpfs-size=x", "invalid size: 'x'"),
        ("type=tmpfs,target=/b,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
    ],
)
def test_bad_mount(text: str, message: str) -> None:
    """What can't be meant is refused with docker's words."""
    with pytest.raises(InvalidArgument) as caught:
        parse_mount(text)
    assert message in caught.value.message


def test_other_types_are_unsupported() -> None:
    """A mount of an image is something that docker has and minidock does not."""
    with pytest.raises(Unsupported, match="type image"):
        parse_mount("type=image,source=base,target=/x")


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("web", VolumesFrom("web")),
        ("web:rw", VolumesFrom("web")),
        ("web:z", VolumesFrom("web")),
        ("web:ro", VolumesFrom("web", read_only=True)),
    ],
)
def test_volumes_from(text: str, source: VolumesFrom) -> None:
    """The mounts of a container are had as it has them, or read-only."""
    assert parse_volumes_from(text) == source


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (":ro", "cannot be an empty string"),
        ("web:nocopy", "invalid mode: nocopy"),
        ("a:", "mode"),
    ],
)
def test_bad_volumes_from(text: str, message: str) -> None:
    """What can't be meant is refused with docker's words."""
    with pytest.raises(ValueError, match=message):
        parse_volumes_from(text)


def test_all_mounts_together() -> None:
    """They come sorted as docker stores them; only what is named may not stand twice."""
    mounts = parse_mounts(["/a", "/a:/a", "vol:/b", "/a"], (TmpfsMount("/c"),), ["/d"])
    assert mounts == Mounts(
        (BindMount("/a", "/a"), VolumeMount("vol", "/b")),
        (TmpfsMount("/c"),),
        (TmpfsMount("/d"),),
        ("/a",),
    )
    with pytest.raises(Conflict, match="Duplicate mount point: /b"):
        parse_mounts(["vol:/b"], (), ["/b"])


def test_tmpfs() -> None:
    """A tmpfs flag is a path and options."""
    assert parse_tmpfs("/t") == TmpfsMount("/t")
    assert parse_tmpfs("/t:size=1m,exec") == TmpfsMount("/t", ("size=1m", "exec"))
    with pytest.raises(InvalidArgument, match="must be absolute"):
        parse_tmpfs("t")


def test_duplicate_destination() -> None:
    """Two mounts can't have the same place."""
    with pytest.raises(Conflict, match="Duplicate mount point: /a"):
        check_destinations(["/a", "/b", "/a"])
