# SPDX-License-Identifier: Apache-2.0
"""The images of the tests, made of the machine's static busybox."""

import functools
import io
import subprocess
import tarfile

from tests.fakes.registry import FakeRegistry

BUSYBOX = "/bin/busybox"
PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
PASSWD = b"root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n"
GROUP = b"root:x:0:\nbob:x:1000:\nwheel:x:10:bob\n"
CREATED = "2024-01-02T03:04:05Z"


Entry = tuple[str, int, bytes | str | None]
"""Name, mode, and content: bytes, the target of a symbolic link, or None for a directory."""

MOUNT_POINTS: tuple[Entry, ...] = (
    *((name, 0o755, None) for name in ("dev", "proc", "sys")),
    *((f"etc/{name}", 0o644, b"") for name in ("hosts", "hostname", "resolv.conf")),
)
"""What most base images have for the runtime to mount on."""


def layer(*entries: Entry) -> bytes:
    """Return a tar of `entries`."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, mode, what in entries:
            member = tarfile.TarInfo(name)
            member.mode = mode
            if what is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(what, str):
                member.type, member.linkname = tarfile.SYMTYPE, what
            else:
                member.size = len(what)
            tar.addfile(member, io.BytesIO(what) if isinstance(what, bytes) else None)
    return raw.getvalue()


@functools.cache
def base_layer(*more: Entry) -> bytes:
    """Return a layer with busybox, its commands, two users, and `more`."""
    listed = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True)
    names = sorted(set(listed.stdout.split()) - {"busybox"})
    with open(BUSYBOX, "rb") as file:
        program = file.read()
    return layer(
        ("bin", 0o755, None),
        ("bin/busybox", 0o755, program),
        *((f"bin/{name}", 0o777, "busybox") for name in names),
        ("etc", 0o755, None),
        ("etc/passwd", 0o644, PASSWD),
        ("etc/group", 0o644, GROUP),
        ("etc/not-a-program", 0o644, b"text\n"),
        ("home", 0o755, None),
        ("home/bob", 0o755, None),
        ("root", 0o700, None),
        ("tmp", 0o1777, None),
        *more,
    )


@functools.cache
def tomcat_layer() -> bytes:
    """Return a layer with the pages of a web server."""
    return layer(
        ("srv", 0o755, None),
        ("srv/www", 0o755, None),
        ("srv/www/docs", 0o755, None),
        ("srv/www/docs/index.html", 0o644, b"<title>the documentation</title>\n"),
        ("srv/www/docs/manual.html", 0o644, b"<title>the manual</title>\n"),
        ("srv/www/examples", 0o755, None),
        ("srv/www/examples/index.html", 0o644, b"<title>the examples</title>\n"),
    )


def add_images(registry: FakeRegistry) -> None:
    """Give `registry` a base image, a web server on the same base layer, and a bare one."""
    base = {
        "created": CREATED,
        "config": {"Env": [PATH], "Cmd": ["sh"]},
        "history": [{"created": CREATED, "created_by": "ADD busybox /"}],
    }
    common = base_layer(*MOUNT_POINTS)
    registry.add_image("library/base", "latest", [common], base)
    registry.add_image("library/bare", "latest", [base_layer()], base)
    tomcat = {
        "created": CREATED,
        "config": {
            "Env": [PATH, "CATALINA_HOME=/srv/www"],
            "Cmd": ["httpd", "-f", "-v", "-p", "8080"],
            "WorkingDir": "/srv/www",
            "ExposedPorts": {"8080/tcp": {}},
        },
        "history": [
            {"created": CREATED, "created_by": "ADD busybox /"},
            {"created": CREATED, "created_by": "COPY www /srv/www"},
        ],
    }
    layers = [common, tomcat_layer()]
    registry.add_image("library/tomcat", "9.0", layers, tomcat)
    registry.add_image("library/tomcat", "latest", layers, tomcat)
