"""No layer, whatever is in it, touches anything outside its directory."""

import io
import os
import tarfile
from collections.abc import Iterator

import pytest

from minidock.errors import MinidockError
from minidock.fs.trees import remove
from minidock.layers.apply import Applied, Limits, apply
from minidock.layers.compression import decompress
from tests.hostile import corpus
from tests.hostile.corpus import CONTAINED, Case
from tests.hostile.snapshots import Seen, snapshot

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes devices and changes owners"),
]
CASES = corpus.cases("/nowhere/canary")
NAMES = [case.name for case in CASES]


class Target:
    """A directory to unpack into, with a canary beside it."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.canary = f"{base}/canary"
        os.makedirs(f"{self.canary}/directory")
        for name in ("secret", "directory/inner"):
            with open(f"{self.canary}/{name}", "w") as file:
                file.write("the secret")
            os.chmod(f"{self.canary}/{name}", 0o600)
        os.setxattr(f"{self.canary}/secret", "trusted.mark", b"1")
        for path in ("directory/inner", "directory", "secret", ""):
            os.utime(f"{self.canary}/{path}", ns=(10**18, 10**18))
        self.before = self.look()

    def look(self) -> tuple[dict[str, Seen], list[str]]:
        beside = [name for name in os.listdir(self.base) if not name.startswith("layer")]
        return snapshot(self.canary), sorted(beside)

    def make_directory(self, number: int) -> str:
        path = f"{self.base}/layer{number}"
        os.mkdir(path)
        return path

    def is_intact(self) -> bool:
        return self.look() == self.before


@pytest.fixture
def target(tmp_path: os.PathLike[str]) -> Iterator[Target]:
    yield Target(os.fspath(tmp_path))
    remove(os.fspath(tmp_path))  # deeper than pytest's own removal goes


def aimed(name: str, target: Target) -> Case:
    return next(case for case in corpus.cases(target.canary) if case.name == name)


def unpack(data: bytes, directory: str, limits: Limits) -> Applied:
    said = "gzip" if data.startswith(b"\x1f\x8b") else "plain"
    return apply(decompress(io.BytesIO(data), said), directory, limits)


@pytest.mark.parametrize("name", NAMES)
def test_hostile_layer_is_refused_or_contained(name: str, target: Target) -> None:
    """The canary is as before, the secret is nowhere, and the outcome is the expected one."""
    case = aimed(name, target)
    outcome = CONTAINED
    for number, data in enumerate(case.layers):
        directory = target.make_directory(number)
        try:
            unpack(data, directory, case.limits)
        except MinidockError:
            outcome = corpus.REFUSED
        assert target.is_intact(), "a path outside the layer was changed"
        for path, seen in snapshot(directory).items():
            assert seen.content != b"the secret", path
            assert not any(key.startswith("trusted.o") for key, _ in seen.xattrs), path
    assert outcome == case.expected


def test_control_layer_unpacks_as_written(target: Target) -> None:
    """The positive control: an ordinary layer comes out whole."""
    directory = target.make_directory(0)
    applied = unpack(aimed("control", target).layers[0], directory, Limits())
    seen = snapshot(directory)
    assert seen["usr/bin/tool"].mode == 0o104755
    assert (seen["usr/bin/tool"].uid, seen["usr/bin/tool"].gid) == (3, 4)
    assert seen["usr/bin/tool"].nlink == 2
    assert seen["usr/bin/late"].content == b"through a link"
    assert seen["usr/bin"].mtime_ns == 1_500_000_000 * 10**9
    assert applied.implied_parents == ("run",)
    assert applied.entries == 9


def test_canary_notices_a_careless_extractor(
    tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check can fail: tarfile without a filter escapes in several cases."""
    monkeypatch.chdir(tmp_path)  # one case escapes to the working directory
    escapes = []
    for name in [case.name for case in corpus.traversal("") + corpus.hard_links("")]:
        target = Target(os.fspath(tmp_path) + f"/{name}")
        aimed = corpus.traversal(target.canary) + corpus.hard_links(target.canary)
        case = next(case for case in aimed if case.name == name)
        for number, data in enumerate(case.layers):
            directory = target.make_directory(number)
            try:
                with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                    archive.extractall(directory, filter="fully_trusted")
            except (OSError, tarfile.TarError, KeyError, RecursionError):
                pass
        if not target.is_intact():
            escapes.append(name)
    assert {"dotdot", "abs", "sym-write", "sym-file-write", "hard-abs"} <= set(escapes)
