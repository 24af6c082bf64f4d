# SPDX-License-Identifier: Apache-2.0
"""docker's matrix of ``cp``, measured with docker 28.2 and dockerd 20.10."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from minidock.engine import copy
from minidock.engine.copy import Files
from minidock.engine.options import CopyOptions
from minidock.errors import MinidockError
from minidock.fs.rooted import RootedDir
from minidock.progress import ignore

KEEP = CopyOptions()
FOLLOW = CopyOptions(follow_link=True)


def populate_source(top: Path) -> None:
    (top / "src/dir/sub").mkdir(parents=True)
    (top / "src/file").write_text("F")
    (top / "src/dir/inner").write_text("I")
    (top / "src/dir/sub/deep").write_text("D")
    for name, target in (("lfile", "file"), ("ldir", "dir"), ("ldang", "nowhere")):
        (top / "src" / name).symlink_to(target)


def populate_target(top: Path) -> None:
    (top / "dst/dir").mkdir(parents=True)
    (top / "dst/file").write_text("old")
    for name, target in (("lfile", "file"), ("ldir", "dir"), ("ldang", "newtarget")):
        (top / "dst" / name).symlink_to(target)
    (top / "dst/labs").symlink_to("/dst/dir" if top.name == "inside" else top / "dst/dir")
    (top / "dst/clash/file").mkdir(parents=True)
    (top / "dst/clash/dir").write_text("in the way")


def tree(top: Path) -> dict[str, str]:
    """Return what is below a directory: contents of files, targets of links."""
    found = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        else:
            found[name] = "/" if path.is_dir() else path.read_text()
    return found


class Sides:
    """A container's root and a directory of the host, and copies between them."""

    def __init__(self, top: Path, *, inward: bool) -> None:
        self.inside, self.outside = top / "inside", top / "outside"
        self.inside.mkdir()
        self.outside.mkdir()
        self.inward = inward
        source, self.target = self.outside, self.inside
        if not inward:
            source, self.target = self.inside, self.outside
        populate_source(source)
        populate_target(self.target)
        self.files = Files(RootedDir.at(str(self.inside)), "c")

    def __call__(self, source: str, target: str, options: CopyOptions = KEEP) -> dict[str, str]:
        """Copy, and return what is new or different in the target."""
        before = tree(self.target / "dst")
        if self.inward:
            path = f"{self.outside}/src/{source}"
            copy.copy_in(self.files, path, f"/dst/{target}", options, ignore)
        else:
            path = f"{self.outside}/dst/{target}"
            copy.copy_out(self.files, f"/src/{source}", path, options, ignore)
        after = tree(self.target / "dst")
        assert before.keys() <= after.keys()
        return {name: what for name, what in after.items() if before.get(name) != what}


@pytest.fixture(params=["in", "out"])
def sides(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sides]:
    sides = Sides(tmp_path, inward=request.param == "in")
    yield sides
    sides.files.root.close()


FILES = {"file": "F", "lfile": "-> file", "ldir": "-> dir", "ldang": "-> nowhere"}
DIRECTORIES = {"dir": "dir", "dir/": "dir", "ldir/": "ldir"}
CONTENTS = ("dir/.", "ldir/.")
INTO_DIRECTORY = ("dir", "dir/", "dir/.", "ldir", "ldir/", "labs")
TREE = {"": "/", "/inner": "I", "/sub": "/", "/sub/deep": "D"}


def below(place: str, *, made: bool = True) -> dict[str, str]:
    return {f"{place}{name}": what for name, what in TREE.items() if made or name}


@pytest.mark.parametrize("source", FILES)
def test_a_file_or_link_arrives(sides: Sides, source: str) -> None:
    """A new name, over a file, into a directory; a link of the destination is followed."""
    what = FILES[source]
    assert sides(source, "new") == {"new": what}
    assert sides(source, "ldang") == {"newtarget": what}
    for target in INTO_DIRECTORY:
        (sides.target / "dst/dir" / source).unlink(missing_ok=True)
        assert sides(source, target) == {f"dir/{source}": what}
    assert sides(source, "lfile") == {"file": what}


@pytest.mark.parametrize("source", DIRECTORIES)
def test_a_directory_arrives(sides: Sides, source: str) -> None:
    """As a new directory, or inside one that is there."""
    name = DIRECTORIES[source]
    assert sides(source, "new") == below("new")
    assert sides(source, "newer/") == below("newer")
    assert sides(source, "ldang") == below("newtarget")
    assert sides(source, "dir") == below(f"dir/{name}")
    for target in INTO_DIRECTORY:
        assert sides(source, target) == {}, "it is there already, and merges"


@pytest.mark.parametrize("source", CONTENTS)
def test_contents_arrive(sides: Sides, source: str) -> None:
    """``/.`` stands for what is in a directory."""
    assert sides(source, "new") == below("new")
    assert sides(source, "newer/") == below("newer")
    assert sides(source, "dir") == below("dir", made=False)
    for target in INTO_DIRECTORY:
        assert sides(source, target) == {}


@pytest.mark.parametrize(
    ("source", "target", "text"),
    [
        ("file", "new/", "no such directory"),
        ("lfile", "new/", "no such directory"),
        ("dir", "file", "cannot copy directory"),
        ("dir/.", "lfile", "cannot copy directory"),
        ("file", "clash", 'cannot overwrite directory "{}/dst/clash/file" with non-directory'),
        ("dir", "clash", 'cannot overwrite non-directory "{}/dst/clash/dir" with directory'),
        ("file/", "new", "not a directory"),
    ],
)
def test_refused_both_ways(sides: Sides, source: str, target: str, text: str) -> None:
    """What can't be meant is refused in docker's words, and nothing changes."""
    before = tree(sides.target)
    with pytest.raises(MinidockError) as caught:
        sides(source, target)
    assert text.format("" if sides.inward else sides.outside) in str(caught.value)
    assert tree(sides.target) == before


@pytest.mark.parametrize(
    ("source", "target", "inward", "outward"),
    [
        (
            "file",
            "nodir/x",
            "the file /dst/nodir in container c",
            'ory "{}/dst/nodir" does not',
        ),
        (
            "file",
            "file/x",
            "extraction point is not a directory",
            "stat {}/dst/file/x: not a d",
        ),
        ("file", "file/", "no such directory", "stat {}/dst/file/: not a directory"),
        (
            "dir",
            "file/",
            "cannot overwrite non-directory",
            "stat {}/dst/file/: not a directory",
        ),
        (
            "dir",
            "new/.",
            "the file /dst/new in container c",
            "stat {}/dst/new: no such file or",
        ),
        ("gone", "new", "lstat {}/src/gone: no such file", "the file /src/gone in container c"),
    ],
)
def test_refused_in_other_words(
    sides: Sides, source: str, target: str, inward: str, outward: str
) -> None:
    """The two sides name a missing path differently, as docker's daemon and client do."""
    with pytest.raises(MinidockError) as caught:
        sides(source, target)
    assert (inward if sides.inward else outward).format(sides.outside) in str(caught.value)


def test_links_are_followed_if_asked(sides: Sides) -> None:
    """-L copies what a link leads to, under the link's name."""
    assert sides("lfile", "new", FOLLOW) == {"new": "F"}
    assert sides("lfile", "dir", FOLLOW) == {"dir/lfile": "F"}
    assert sides("ldir", "dir", FOLLOW) == below("dir/ldir")
    with pytest.raises(MinidockError, match="/src/nowhere"):
        sides("ldang", "dir", FOLLOW)


def test_metadata_arrive(sides: Sides) -> None:
    """Modes and times are the source's, and two names of a file stay two names."""
    top = (sides.outside if sides.inward else sides.inside) / "src/dir"
    os.link(top / "inner", top / "other")
    (top / "inner").chmod(0o640)
    (top / "sub").chmod(0o2710)
    for name in ("inner", "sub", ""):
        os.utime(top / name, (1_000_000_001.5, 1_000_000_001.5))
    sides("dir", "new")
    new = sides.target / "dst/new"
    assert stat.S_IMODE((new / "inner").stat().st_mode) == 0o640
    assert stat.S_IMODE((new / "sub").stat().st_mode) == 0o2710
    assert {(new / name).stat().st_mtime for name in ("inner", "sub", "")} == {1_000_000_001.5}
    assert (new / "inner").samefile(new / "other")


def test_what_stood_there_is_replaced_not_written_to(sides: Sides) -> None:
    """Another name of the old file keeps the old contents."""
    os.link(sides.target / "dst/file", sides.target / "dst/other")
    sides("file", "file")
    assert (sides.target / "dst/other").read_text() == "old"


def test_holes_stay_holes(sides: Sides) -> None:
    """A sparse file of a terabyte takes no time and no space."""
    source = (sides.outside if sides.inward else sides.inside) / "src/file"
    with open(source, "r+b") as file:
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(b"middle")
    done = copy_file(sides)
    copied = sides.target / "dst/sparse"
    assert copied.stat().st_size == 1 << 40
    assert copied.stat().st_blocks * 512 < 1 << 20
    with open(copied, "rb") as file:
        file.seek(1 << 39)
        assert file.read(6) == b"middle"
    assert done == (1 << 40) + 512 + 1024, "the length of the tar"


def copy_file(sides: Sides) -> int:
    if sides.inward:
        path = f"{sides.outside}/src/file"
        return copy.copy_in(sides.files, path, "/dst/sparse", KEEP, ignore)
    path = f"{sides.outside}/dst/sparse"
    return copy.copy_out(sides.files, "/src/file", path, KEEP, ignore)


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Files]:
    (tmp_path / "inside/run").mkdir(parents=True)
    (tmp_path / "inside/var").mkdir()
    (tmp_path / "inside/var/run").symlink_to("/run")
    (tmp_path / "inside/up").symlink_to("../../../../../run")
    (tmp_path / "file").write_text("F")
    with RootedDir.at(str(tmp_path / "inside")) as root:
        yield Files(root, "c")


@pytest.mark.parametrize("link", ["/var/run/x", "up/x", "/../../var/./run/x"])
def test_links_mean_what_they_mean_inside(inside: Files, tmp_path: Path, link: str) -> None:
    """Absolute links and .. stay in the container's root."""
    copy.copy_in(inside, f"{tmp_path}/file", link, KEEP, ignore)
    assert (tmp_path / "inside/run/x").read_text() == "F"
    copy.copy_out(inside, link, f"{tmp_path}/back", KEEP, ignore)
    assert (tmp_path / "back").read_text() == "F"


@pytest.mark.parametrize("link", ["/", "/etc", "../../../outside"])
def test_link_of_the_container_never_leads_out(
    inside: Files, tmp_path: Path, link: str
) -> None:
    """A link in a container to a path of the host gives nothing of the host."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("S")
    (tmp_path / "inside/evil").symlink_to(link)
    with pytest.raises(MinidockError):
        copy.copy_in(inside, f"{tmp_path}/file", "/evil/secret/x", KEEP, ignore)
    with pytest.raises(MinidockError):
        copy.copy_out(inside, "/evil/secret", f"{tmp_path}/stolen", KEEP, ignore)
    assert tree(tmp_path / "outside") == {"secret": "S"}
    assert not (tmp_path / "stolen").exists()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make files of others")
def test_owners(inside: Files, tmp_path: Path) -> None:
    """What goes in keeps its owner; what comes out is the caller's, and nobody's set-ID."""
    file = tmp_path / "file"
    os.chown(file, 1234, 1235)
    file.chmod(0o6755)
    (tmp_path / "inside/etc").mkdir()
    (tmp_path / "inside/etc/passwd").write_text("bob:x:1000:1001::/:/bin/sh\n")
    bobs = inside._replace(user="bob")

    def owner(path: str) -> tuple[int, int, int]:
        status = (tmp_path / path).stat()
        return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)

    archive = CopyOptions(archive=True)
    copy.copy_in(bobs, str(file), "/kept", KEEP, ignore)
    copy.copy_in(bobs, str(file), "/bobs", archive, ignore)
    copy.copy_out(inside, "/kept", f"{tmp_path}/mine", KEEP, ignore)
    copy.copy_out(inside, "/kept", f"{tmp_path}/theirs", archive, ignore)
    assert owner("inside/kept") == (1234, 1235, 0o6755)
    assert owner("inside/bobs") == (1000, 1001, 0o755)
    assert owner("mine") == (0, 0, 0o755)
    assert owner("theirs") == (1234, 1235, 0o6755)


def test_files_that_grow_and_shrink(inside: Files, tmp_path: Path) -> None:
    """A tar of a file that changes its length while it is read is whole all the same."""
    source = tmp_path / "inside/big"
    source.write_bytes(b"x" * (3 << 20))
    written = bytearray()

    class Shrinking:
        def write(self, data: bytes, /) -> None:
            written.extend(data)
            if len(written) > 1 << 20:
                os.truncate(source, 1 << 20)

    copy.write_archive(inside, "/big", Shrinking(), KEEP, ignore)
    assert len(written) == 512 + (3 << 20) + 1024
    assert written[512 : 512 + (1 << 20)] == b"x" * (1 << 20)
