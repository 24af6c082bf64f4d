# SPDX-License-Identifier: Apache-2.0
"""One bundle, several runtimes: what a container sees of its confinement does not depend on it.

minidock's own runtime is the measure, called as such and by the OCI command line.
"""

from collections.abc import Iterator

import pytest

from tests.fakes.registry import FakeRegistry
from tests.system.conftest import network  # noqa: F401
from tests.system.images import add_images
from tests.system.place import Place, command_words, require
from tests.system.probing import parse, probe
from tests.system.runtimes import OTHERS, own_runtime

pytestmark = [
    pytest.mark.root,
    pytest.mark.oracle,
    pytest.mark.skipif(bool(require()), reason=require()),
    pytest.mark.skipif(not OTHERS, reason="needs runc or crun"),
]

FLAGS = (
    "",
    "--read-only",
    "--user 1000",
    "--cap-drop ALL",
    "--security-opt no-new-privileges",
    "--security-opt seccomp=unconfined",
    "--security-opt systempaths=unconfined",
    "--privileged",
)

KNOWN = {
    # runc and crun allow some devices to every container, ours only those that it is given.
    "dev_tun": ("mknod-ok,open-ok", "mknod-ok,open-failed"),
    "dev_fuse": ("mknod-ok,open-ok", "mknod-ok,open-failed"),
    # The tmpfs of cgroup version 1 that holds the read-only mounts.
    "mnt:/sys/fs/cgroup": ("rw",),
}
"""What runc or crun may do otherwise, by key."""


@pytest.fixture(scope="module")
def minidock(
    tmp_path_factory: pytest.TempPathFactory,
    network: None,  # noqa: F811
) -> Iterator[Place]:
    with FakeRegistry() as registry:
        add_images(registry)
        root = tmp_path_factory.mktemp("compat") / "state"
        place = Place(str(root), registry, command_words())
        place("pull", "-q", "base")
        yield place
        place.clear()
        place.assert_clean()


@pytest.fixture(scope="module")
def runtimes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    own = own_runtime(tmp_path_factory.mktemp("bin"))
    return {"own": own, **{name: name for name in OTHERS}}


@pytest.mark.parametrize("name", ["own", *OTHERS])
@pytest.mark.parametrize("flags", FLAGS)
def test_probe(minidock: Place, runtimes: dict[str, str], flags: str, name: str):
    """Line by line as our own runtime has it, but for the known differences."""
    words = ("--network", "none", *flags.split(), "base", *probe())
    ours = parse(minidock("run", "--rm", *words))
    theirs = parse(minidock("run", "--rm", "--runtime", runtimes[name], *words))
    compare(ours, theirs, {} if name == "own" else KNOWN)


@pytest.mark.parametrize("name", OTHERS)
def test_exec(minidock: Place, runtimes: dict[str, str], name: str):
    """Exec is our own in a container of whatever runtime."""
    quiet = ("--network", "none")
    minidock("run", "-d", "--name", "ours", *quiet, "base", "sleep", "60")
    minidock("run", "-d", "--name", "its", *quiet, "--runtime", name, "base", "sleep", "60")
    ours = parse(minidock("exec", "ours", *probe()))
    theirs = parse(minidock("exec", "its", *probe()))
    compare(ours, theirs, KNOWN)
    minidock("rm", "-f", "ours", "its")


def compare(
    ours: dict[str, str], theirs: dict[str, str], known: dict[str, tuple[str, ...]]
) -> None:
    """Assert that they differ only where they are known to."""
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        alike = (common(key, value), *known.get(key, ())) if known else (value,)
        assert (common(key, theirs[key]) if known else theirs[key]) in alike, (key, value)


def common(key: str, value: str) -> str:
    """Return what runtimes have in common where they go several ways to one end."""
    if key.startswith("masked:") and value in ("absent", "devnull", "dir:0"):
        return "hidden"  # by the null device, or by something empty
    if key.startswith("ropath:"):
        return value.partition(",")[0]  # crun adds nothing to "ro"
    return value.replace("core ", "") if key == "dev" else value  # a link of crun's
