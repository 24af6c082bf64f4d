"""Laws of layers, on random trees, with the kernel's own overlayfs as the judge."""

import contextlib
import io
import os
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from minidock.errors import MinidockError
from minidock.fs import trees
from minidock.layers.apply import Limits, apply
from minidock.layers.compression import compress, decompress
from minidock.layers.diff import changes, write_layer
from tests.hostile import corpus
from tests.hostile.snapshots import Seen, snapshot

as_root = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts overlays and changes owners"),
]
judged = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

NAMES = ["a", "a", "b", "b", "é", os.fsdecode(b"\xff\xfe"), "with space" * 12]
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)


class Step(NamedTuple):
    """One change to a tree; what is impossible there is left undone."""

    verb: str
    path: str
    other: str
    number: int


CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw=ep


def write(path: str, data: bytes, flags: int = 0, offset: int = 0) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | flags)  # no fifo stops it
    if stat.S_ISREG(os.fstat(fd).st_mode):
        os.lseek(fd, offset, os.SEEK_SET)
        os.write(fd, data)
    os.close(fd)


def recreate(path: str) -> None:
    trees.remove(path)
    os.mkdir(path, 0o700)
    os.mkdir(f"{path}/b")


def set_time(path: str, number: int) -> None:
    time = (number - 2000) * 10**9 + number
    os.utime(path, ns=(time, time), follow_symlinks=False)


PERFORMANCES: dict[str, Callable[[str, str, int], object]] = {
    "write": lambda path, _, number: write(path, b"x" * number, os.O_TRUNC),
    "append": lambda path, _, number: write(path, b"y", os.O_APPEND),
    "sparse": lambda path, _, number: write(path, b"end", offset=number * 100),
    "mkdir": lambda path, _, number: os.mkdir(path),
    "recreate": lambda path, _, number: recreate(path),
    "symlink": lambda path, other, number: os.symlink(os.path.basename(other), path),
    "link": lambda path, other, number: os.link(other, path, follow_symlinks=False),
    "remove": lambda path, _, number: trees.remove(path),
    "rename": lambda path, other, number: os.rename(other, path),
    "chmod": lambda path, _, number: os.chmod(path, number),
    "chown": lambda path, _, number: os.chown(path, number, number + 1, follow_symlinks=False),
    "xattr": lambda path, _, number: os.setxattr(path, "user.mark", b"%d\0" % number),
    "capability": lambda path, _, number: (
        os.path.isfile(path) and os.setxattr(path, "security.capability", CAPABILITY)
    ),
    "utime": lambda path, _, number: set_time(path, number),
    "fifo": lambda path, _, number: os.mkfifo(path),
    "device": lambda path, _, number: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3)),
}


steps = st.lists(
    st.builds(
        Step, st.sampled_from(sorted(PERFORMANCES)), paths, paths, st.integers(0, 0o7777)
    ),
    max_size=20,
)


SEED = [
    Step("mkdir", "a", "a", 0),
    Step("mkdir", "a/b", "a", 0),
    Step("write", "a/b/a", "a", 5),
    Step("write", "a/a", "a", 5),
    Step("link", "a/b/b", "a/a", 5),
    Step("mkdir", "b", "a", 0),
    Step("mkdir", "b/a", "a", 0),
    Step("mkdir", "b/b", "a", 0),
    Step("symlink", "b/é", "a", 0),
]
"""A tree to start from, for the changes to have something to hit."""


def mutate(top: str, todo: list[Step]) -> None:
    for step in todo:
        with contextlib.suppress(OSError):
            if os.path.realpath(f"{top}/{step.path}").startswith(f"{top}/"):
                perform = PERFORMANCES[step.verb]
                perform(f"{top}/{step.path}", f"{top}/{step.other}", step.number)


@contextlib.contextmanager
def overlay(lowers: tuple[str, ...], upper: str = "") -> Iterator[str]:
    """Mount the layers (top first) and give the place."""
    with tempfile.TemporaryDirectory() as base:
        os.mkdir(f"{base}/merged")
        options = f"lowerdir={':'.join(lowers)}"
        if upper:
            os.makedirs(f"{upper}.work", exist_ok=True)
            options += f",upperdir={upper},workdir={upper}.work"
        mount = ["mount", "-t", "overlay", "overlay", "-o", options, f"{base}/merged"]
        subprocess.run(mount, check=True)
        try:
            yield f"{base}/merged"
        finally:
            subprocess.run(["umount", f"{base}/merged"], check=True)


@contextlib.contextmanager
def workspace() -> Iterator[str]:
    base = tempfile.mkdtemp()
    try:
        yield base
    finally:
        trees.remove(base)


def directory(base: str, name: str) -> str:
    os.mkdir(f"{base}/{name}")
    os.chmod(f"{base}/{name}", 0o755)
    return f"{base}/{name}"


def tar_of(upper: str, lowers: tuple[str, ...]) -> bytes:
    out = io.BytesIO()
    write_layer(upper, lowers, out)
    return out.getvalue()


def adopt(layer: str, below: str, implied: tuple[str, ...]) -> None:
    """Do what the user of apply() does: parents without an entry look as they did below."""
    assert implied in ((), (".",))
    for path in implied:
        status = os.stat(f"{below}/{path}")
        os.chown(f"{layer}/{path}", status.st_uid, status.st_gid)
        os.chmod(f"{layer}/{path}", stat.S_IMODE(status.st_mode))
        os.utime(f"{layer}/{path}", ns=(status.st_mtime_ns,) * 2)


def check_changes(
    upper: str, lowers: tuple[str, ...], before: dict[str, Seen], after: dict[str, Seen]
) -> None:
    """Compare what `changes` tells with what two looks at the merged tree tell."""
    told = list(changes(upper, lowers))
    assert told == sorted(told, key=lambda change: os.fsencode(change.path))
    of = {
        kind: {change.path[1:] for change in told if change.kind == kind}
        for kind in ("A", "C", "D")
    }
    assert len(told) == sum(map(len, of.values()))
    is_directory = {path for path, seen in after.items() if stat.S_ISDIR(seen.mode)}
    gone = {path for path in before if path not in after}
    assert of["A"] == {path for path in after if path not in before}
    assert of["D"] == {path for path in gone if os.path.dirname(path) in is_directory}
    differ = {
        path
        for path in before
        if path in after and after[path]._replace(nlink=0) != before[path]._replace(nlink=0)
    }
    assert differ - {""} <= of["C"] <= set(before) & set(after)


class TestOverlays:
    pytestmark = as_root

    @judged
    @given(steps, steps, steps)
    def test_applied_diff_makes_the_second_tree(
        self, base: list[Step], lower: list[Step], upper: list[Step]
    ) -> None:
        """apply(diff(a, b)) over a == b, and the changes told are those to be seen."""
        with workspace() as top:
            bottom, middle = directory(top, "bottom"), directory(top, "middle")
            above, applied = directory(top, "above"), directory(top, "applied")
            mutate(bottom, SEED + base)
            with overlay((bottom,), middle) as merged:
                mutate(merged, lower)
            with overlay((middle, bottom), above) as merged:
                before = snapshot(merged)
                mutate(merged, upper)
                after = snapshot(merged)
            tar = tar_of(above, (middle, bottom))
            assert tar == tar_of(above, (middle, bottom))
            adopt(applied, middle, apply(io.BytesIO(tar), applied).implied_parents)
            with overlay((applied, middle, bottom)) as merged:
                assert snapshot(merged) == after
            check_changes(above, (middle, bottom), before, after)

    @judged
    @given(steps)
    def test_written_layer_unpacks_to_itself(self, todo: list[Step]) -> None:
        """write_layer(apply(write_layer(x))) == write_layer(x), without any layer below."""
        with workspace() as top:
            first, second = directory(top, "first"), directory(top, "second")
            mutate(first, SEED + todo)
            tar = tar_of(first, ())
            applied = apply(io.BytesIO(tar), second)
            assert snapshot(first) == snapshot(second)
            assert tar == tar_of(second, ())
            assert applied.implied_parents == ()
            assert applied.size == trees.disk_usage(second) == trees.disk_usage(first)


VALID = corpus.control("/nowhere")[0].layers[0]


class TestHostileBytes:
    pytestmark = as_root

    @settings(judged, max_examples=300)
    @given(
        st.lists(
            st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255), st.booleans()),
            min_size=1,
            max_size=6,
        )
    )
    def test_damaged_archives_raise_only_our_errors(
        self, damage: list[tuple[int, int, bool]]
    ) -> None:
        """Whatever bytes change, with right checksums or not: unpacked, or our error."""
        data = bytearray(VALID)
        for at, value, is_repaired in damage:
            data[at] = value
            if is_repaired:
                block = at // 512 * 512
                data[block + 148 : block + 156] = b" " * 8
                check = b"%06o\0 " % sum(data[block : block + 512])
                data[block + 148 : block + 156] = check
        with workspace() as top:
            inside, canary = directory(top, "inside"), directory(top, "canary")
            seen = snapshot(canary)
            with contextlib.suppress(MinidockError):
                apply(io.BytesIO(bytes(data)), inside, Limits(size=1 << 20))
            assert os.listdir(canary) == []
            assert snapshot(canary) == seen

    @settings(judged, max_examples=100)
    @given(
        st.binary(max_size=3000), st.sampled_from([b"", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"])
    )
    @example(b"", b"\x5a\x2a\x4d\x18")
    def test_random_streams_raise_only_our_errors(self, data: bytes, magic: bytes) -> None:
        """No stream makes a decompressor raise anything but our kinds."""
        with contextlib.suppress(MinidockError):
            reader = decompress(io.BytesIO(magic + data), "plain")
            while reader.read(1 << 16):
                pass


@settings(judged, max_examples=100)
@given(
    st.lists(st.binary(max_size=400_000), max_size=4),
    st.sampled_from(["gzip", "zstd", "plain"]),
    st.integers(1, 200_000),
)
def test_compressed_streams_come_back(parts: list[bytes], how: str, size: int) -> None:
    """decompress(compress(x)) == x, however it is cut, and for members in a row."""
    out = io.BytesIO()
    for part in parts:
        stream = compress(out, how)
        stream.write(part)
        stream.close()
    out.seek(0)
    back = bytearray()
    # The label is wrong at will: the first bytes decide.
    reader = decompress(out, "plain")
    while data := reader.read(size):
        assert len(data) <= size
        back += data
    assert bytes(back) == b"".join(parts)
