"""Other tools as judges: umoci unpacks the same tree, GNU tar's sparse files are understood."""

import hashlib
import io
import json
import os
import shutil
import stat
import subprocess

import pytest

from minidock.layers.apply import apply
from minidock.layers.compression import compress, decompress
from tests.hostile.corpus import CHR, DIR, FIFO, LINK, SYM, layer, member, xattr
from tests.hostile.snapshots import Seen, snapshot

pytestmark = [
    pytest.mark.root,
    pytest.mark.oracle,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts overlays and makes devices"),
]

LAYERS = (
    layer(
        member("./", DIR, mode=0o755),
        member("usr", DIR, mtime=1000),
        member("usr/bin", DIR, mode=0o2755, gid=5),
        member("usr/bin/tool", data=b"tool", mode=0o4755),
        member("usr/bin/alias", LINK, link="usr/bin/tool"),
        member("bin", SYM, link="usr/bin", mtime=2000),
        member("etc", DIR, mode=0o750, uid=1, gid=2),
        member("etc/passwd", data=b"root", uid=3),
        member("etc/" + "long" * 60, data=b"long name"),
        member("old", DIR),
        member("old/a", data=b"a"),
        member("old/b", DIR),
        member("old/b/c", data=b"c"),
        member("old2", DIR),
        member("old2/x", data=b"x"),
        member("type", DIR),
        member("type/inner", data=b"i"),
    ),
    layer(
        member("./", DIR, mode=0o755, mtime=5000),
        member("etc", DIR, mode=0o750, uid=1, gid=2, mtime=7),
        member("etc/.wh.passwd"),
        member("etc/shadow", data=b"secret", mode=0o600, **xattr("user.key", b"v")),
        member("old", DIR, mode=0o711),
        member("old/.wh..wh..opq"),
        member("old/new", data=b"new"),
        member(".wh.old2"),
        member("type", data=b"a file now"),
        member("usr", DIR, mtime=3000),
        member("usr/fifo", FIFO, mode=0o640),
        member("usr/null", CHR, devmajor=1, devminor=3, mode=0o666),
    ),
    layer(
        member("./", DIR, mode=0o751, mtime=6000),
        member("old2", DIR, mtime=8),
        member("old2/y", data=b"y"),
        member(".wh.type"),
    ),
)


def gzipped(data: bytes) -> bytes:
    out = io.BytesIO()
    stream = compress(out, "gzip")
    stream.write(data)
    stream.close()
    return out.getvalue()


class Layout:
    """An OCI image layout with one image."""

    def __init__(self, path: str) -> None:
        self.path = path
        os.makedirs(f"{path}/blobs/sha256")
        layers = [
            self.blob(gzipped(data), "application/vnd.oci.image.layer.v1.tar+gzip")
            for data in LAYERS
        ]
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in LAYERS],
            },
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": self.document(config, "application/vnd.oci.image.config.v1+json"),
            "layers": layers,
        }
        found = self.document(manifest, str(manifest["mediaType"]))
        found["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
        with open(f"{path}/index.json", "w") as file:
            json.dump({"schemaVersion": 2, "manifests": [found]}, file)
        with open(f"{path}/oci-layout", "w") as file:
            json.dump({"imageLayoutVersion": "1.0.0"}, file)

    def blob(self, data: bytes, media_type: str) -> dict[str, object]:
        name = hashlib.sha256(data).hexdigest()
        with open(f"{self.path}/blobs/sha256/{name}", "wb") as file:
            file.write(data)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}

    def document(self, value: object, media_type: str) -> dict[str, object]:
        return self.blob(json.dumps(value).encode(), media_type)


def stacked(base: str) -> dict[str, Seen]:
    """Unpack the layers by ourselves and look at their union."""
    lowers = []
    for number, data in enumerate(LAYERS):
        path = f"{base}/layer{number}"
        os.mkdir(path)
        applied = apply(decompress(io.BytesIO(gzipped(data)), "gzip"), path)
        assert applied.implied_parents == ()
        lowers.insert(0, path)
    os.mkdir(f"{base}/merged")
    options = f"lowerdir={':'.join(lowers)}"
    subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", options, f"{base}/merged"], check=True
    )
    try:
        return snapshot(f"{base}/merged")
    finally:
        subprocess.run(["umount", f"{base}/merged"], check=True)


def without_times_umoci_loses(seen: dict[str, Seen]) -> dict[str, Seen]:
    """Leave out times of directories: umoci's change with what later layers put in them."""
    return {
        path: found._replace(mtime_ns=0) if stat.S_ISDIR(found.mode) else found
        for path, found in seen.items()
    }


@pytest.mark.skipif(shutil.which("umoci") is None, reason="umoci is not installed")
def test_stacked_layers_are_what_umoci_unpacks(tmp_path):
    """Our layers under overlayfs show the tree that umoci makes of the same image."""
    Layout(f"{tmp_path}/image")
    command = ["umoci", "unpack", "--image", f"{tmp_path}/image:latest", f"{tmp_path}/bundle"]
    subprocess.run(command, check=True, capture_output=True)
    theirs = without_times_umoci_loses(snapshot(f"{tmp_path}/bundle/rootfs"))
    ours = without_times_umoci_loses(stacked(f"{tmp_path}"))
    assert ours == theirs


@pytest.mark.skipif(shutil.which("tar") is None, reason="tar is not installed")
@pytest.mark.parametrize(
    "how",
    [
        ["--format=gnu"],
        ["--format=posix", "--sparse-version=0.0"],
        ["--format=posix", "--sparse-version=0.1"],
        ["--format=posix", "--sparse-version=1.0"],
    ],
    ids=["old", "0.0", "0.1", "1.0"],
)
def test_sparse_files_of_gnu_tar_come_out_whole(tmp_path, how):
    """All of GNU tar's sparse formats are read, with many segments and a hole at the end."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    with open(tmp_path / "in/sparse", "wb") as file:
        for number in range(60):
            file.seek(number * 131072)
            file.write(b"%d" % number * 100)
        file.truncate(60 * 131072 + 12345)
    (tmp_path / "in/after").write_text("after")
    command = ["tar", "--sparse", *how, "-C", f"{tmp_path}/in", "-cf", f"{tmp_path}/t.tar", "."]
    subprocess.run(command, check=True)
    with open(tmp_path / "t.tar", "rb") as file:
        apply(file, f"{tmp_path}/out")
    assert os.stat(tmp_path / "t.tar").st_size < 1 << 20
    theirs, ours = snapshot(f"{tmp_path}/in"), snapshot(f"{tmp_path}/out")
    assert {path: seen.content for path, seen in ours.items()} == {
        path: seen.content for path, seen in theirs.items()
    }
    assert os.stat(tmp_path / "out/sparse").st_blocks * 512 < 1 << 20
