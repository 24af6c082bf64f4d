# SPDX-License-Identifier: Apache-2.0
"""Mount flags become mounts or docker's errors."""

import os

import pytest

from minidock.cli.mounts import (
    AnonymousVolume,
    check_destinations,
    parse_mount,
    parse_tmpfs,
    parse_volume,
)
from minidock.engine.options import BindMount, TmpfsMount
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
        ("/data:ro", AnonymousVolume("/data")),
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
        ("name:/x", "named volumes are not supported: name"),
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


@pytest.mark.parametrize("text", ["target=/x", "type=volume,source=v,target=/x"])
def test_mounted_volumes_are_unsupported(text: str) -> None:
    """A mount without a type is a volume, which minidock does not have."""
    with pytest.raises(Unsupported, match="type volume"):
        parse_mount(text)


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
