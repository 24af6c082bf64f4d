"""The corpus: each case is one or two layers, built by code, and what must come of them.

`REFUSED` cases must raise an error of ours; `CONTAINED` ones must unpack. In neither may the
canary directory beside the layer change.
"""

import functools
import gzip
import io
import os
import struct
import tarfile
from typing import NamedTuple

from minidock.layers.apply import Limits

REFUSED, CONTAINED = "refused", "contained"

FILE, LINK, SYM = tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE
CHR, BLK, DIR, FIFO = tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE
END = bytes(1024)


class Case(NamedTuple):
    name: str
    expected: str
    layers: tuple[bytes, ...]
    limits: Limits = Limits()


def member(
    name: str, kind: bytes = FILE, data: bytes = b"", link: str = "", **more: object
) -> bytes:
    """Return one member of a tar, header and data."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(data), link
    info.mode = 0o755 if kind == DIR else 0o644
    info.mtime = 1_500_000_000
    for key, value in more.items():
        setattr(info, key, value)
    header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    return header + data + bytes(-len(data) % 512)


def layer(*members: bytes) -> bytes:
    return b"".join(members) + END


def raw_header(
    name: bytes = b"x",
    size: bytes = b"00000000000\0",
    kind: bytes = b"0",
    magic: bytes = b"ustar\x0000",
    tail: bytes = b"",
) -> bytes:
    """Return a header block with a right checksum and fields as given."""
    block = struct.pack(
        "100s8s8s8s12s12s8sc100s8s247s",
        name,
        b"0000644\0",
        b"0000000\0",
        b"0000000\0",
        size,
        b"00000000000\0",
        b" " * 8,
        kind,
        b"",
        magic,
        tail,
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def extended(records: bytes, kind: bytes = b"x") -> bytes:
    size = b"%011o\0" % len(records)
    return raw_header(b"pax", size, kind) + records + bytes(-len(records) % 512)


def record(key: bytes, value: bytes) -> bytes:
    """Return a record of an extended header with a right length."""
    rest = len(key) + len(value) + 3
    length = next(n for n in range(rest + 1, rest + 10) if n == rest + len(str(n)))
    return b"%d %s=%s\n" % (length, key, value)


def xattr(key: str, value: bytes = b"1") -> dict[str, dict[str, str]]:
    return {"pax_headers": {f"SCHILY.xattr.{key}": value.decode("latin-1")}}


def traversal(canary: str) -> list[Case]:
    up = f"../{os.path.basename(canary)}"
    evil = b"evil"
    to_canary = member("s", SYM, link=canary)
    to_secret = member("s", SYM, link=f"{canary}/secret")
    return [
        Case("dotdot", REFUSED, (layer(member(f"{up}/secret", data=evil)),)),
        Case("dotdot-mid", REFUSED, (layer(member(f"a/../{up}/secret", data=evil)),)),
        Case("dotdot-end", REFUSED, (layer(member("a/..", DIR, mode=0o777)),)),
        Case("dotdot-directory", REFUSED, (layer(member(up, DIR, mode=0o777)),)),
        Case("abs", CONTAINED, (layer(member(f"{canary}/secret", data=evil)),)),
        Case("sym-write", REFUSED, (layer(to_canary, member("s/new", data=evil)),)),
        Case(
            "sym-rel-write",
            REFUSED,
            (layer(member("s", SYM, link=up), member("s/secret", data=evil)),),
        ),
        Case("sym-write-2layer", CONTAINED, (layer(to_canary), layer(member("s/new")))),
        Case(
            "sym-chain",
            REFUSED,
            (
                layer(
                    member("a", DIR),
                    member("a/b", SYM, link=".."),
                    member("c", SYM, link=f"a/b/{up}"),
                    member("c/new", data=evil),
                ),
            ),
        ),
        Case("sym-file-write", CONTAINED, (layer(to_secret, member("s", data=evil)),)),
        Case(
            "sym-file-write-2layer",
            CONTAINED,
            (layer(to_secret), layer(member("s", data=evil))),
        ),
        Case("sym-dir-entry", CONTAINED, (layer(to_canary, member("s", DIR, mode=0o777)),)),
        Case(
            "sym-dir-entry-2layer",
            CONTAINED,
            (layer(to_canary), layer(member("s/", DIR, uid=7))),
        ),
        Case(
            "dir-then-sym",
            CONTAINED,
            (layer(member("s", DIR, mode=0o777, uid=7, mtime=1), to_canary),),
        ),
        Case("implied-then-sym", CONTAINED, (layer(member("s/directory/x"), to_canary),)),
        Case(
            "sym-chmod-chown",
            CONTAINED,
            (layer(member("s", SYM, link=f"{canary}/secret", mode=0o777, uid=7, gid=7)),),
        ),
        Case(
            "sym-xattr",
            CONTAINED,
            (layer(member("s", SYM, link=f"{canary}/secret", **xattr("user.evil"))),),
        ),
        Case("sym-mkparent", REFUSED, (layer(to_canary, member("s/a/b/c", data=evil)),)),
        Case(
            "sym-loop",
            REFUSED,
            (layer(member("a", SYM, link="b"), member("b", SYM, link="a"), member("a/x")),),
        ),
        Case(
            "sym-proc",
            REFUSED,
            (layer(member("s", SYM, link="/proc/self/cwd"), member("s/x")),),
        ),
        Case("root-symlink", REFUSED, (layer(member(".", SYM, link=canary), member("new")),)),
        Case("root-symlink-slash", REFUSED, (layer(member("/", SYM, link=canary)),)),
        Case("root-file", REFUSED, (layer(member("./", data=evil)),)),
        Case("root-hard-link", REFUSED, (layer(member("./", LINK, link="x")),)),
        Case("empty-name", REFUSED, (layer(raw_header(b"")),)),
    ]


def hard_links(canary: str) -> list[Case]:
    up = f"../{os.path.basename(canary)}"
    secret = f"{canary}/secret"
    return [
        Case("hard-abs", REFUSED, (layer(member("h", LINK, link=secret)),)),
        Case("hard-dotdot", REFUSED, (layer(member("h", LINK, link=f"{up}/secret")),)),
        Case(
            "hard-via-sym",
            REFUSED,
            (layer(member("s", SYM, link=canary), member("h", LINK, link="s/secret")),),
        ),
        Case(
            "hard-to-sym",
            CONTAINED,
            (
                layer(
                    member("s", SYM, link=secret),
                    member("h", LINK, link="s"),
                    member("h", data=b"evil", mode=0o777),
                ),
            ),
        ),
        Case(
            "hard-read",
            REFUSED,
            (layer(member("h", LINK, link=secret), member("h2", LINK, link="h")),),
        ),
        Case("hard-dir", REFUSED, (layer(member("d", DIR), member("h", LINK, link="d")),)),
        Case("hard-root", REFUSED, (layer(member("h", LINK, link="/")),)),
        Case(
            "hard-lower",
            REFUSED,
            (layer(member("f", data=b"1")), layer(member("h", LINK, link="f"))),
        ),
        Case("hard-self", REFUSED, (layer(member("h", LINK, link="h")),)),
        Case("hard-whiteout", REFUSED, (layer(member(".wh.f"), member("h", LINK, link="f")),)),
        Case(
            "hard-through-replaced",
            REFUSED,
            (layer(member("d/x", data=b"1"), member("d", LINK, link="d/x")),),
        ),
    ]


def whiteouts(canary: str) -> list[Case]:
    up = f"../{os.path.basename(canary)}"
    return [
        Case("wh-parent", REFUSED, (layer(member("a/.wh...")),)),
        Case("wh-dot", REFUSED, (layer(member("a/.wh..")),)),
        Case("wh-empty", REFUSED, (layer(member("a/.wh.")),)),
        Case(
            "wh-via-sym",
            REFUSED,
            (layer(member("s", SYM, link=canary), member("s/.wh.secret")),),
        ),
        Case(
            "wh-via-relsym",
            REFUSED,
            (layer(member("s", SYM, link=up), member("s/.wh.secret")),),
        ),
        Case(
            "wh-opq-via-sym",
            REFUSED,
            (layer(member("s", SYM, link=canary), member("s/.wh..wh..opq")),),
        ),
        Case(
            "wh-sym-itself", CONTAINED, (layer(member("s", SYM, link=canary), member(".wh.s")),)
        ),
        Case("wh-dotdot-dir", REFUSED, (layer(member(f"{up}/.wh.secret")),)),
        Case("wh-aufs", CONTAINED, (layer(member(".wh..wh.plnk"), member(".wh..wh.aufs")),)),
        Case("wh-missing", CONTAINED, (layer(member("a/b/.wh.c")),)),
        Case("wh-name-is-directory", CONTAINED, (layer(member(".wh.x", DIR)),)),
    ]


def types(canary: str) -> list[Case]:
    data = b"data"
    return [
        Case("dup-file-dir", CONTAINED, (layer(member("x", data=data), member("x/", DIR)),)),
        Case(
            "dup-dir-file",
            CONTAINED,
            (layer(member("x", DIR), member("x/y/z", data=data), member("x", data=data)),),
        ),
        Case("dup-1000", CONTAINED, (layer(*[member("x", data=data)] * 1000),)),
        Case("file-as-parent", REFUSED, (layer(member("x", data=data), member("x/y")),)),
        Case("fifo-as-parent", REFUSED, (layer(member("x", FIFO), member("x/y")),)),
        Case("fifo-then-file", CONTAINED, (layer(member("x", FIFO), member("x", data=data)),)),
        Case("dev-mem", CONTAINED, (layer(member("m", CHR, devmajor=1, devminor=1)),)),
        Case("dev-block", CONTAINED, (layer(member("sda", BLK, devmajor=8, devminor=0)),)),
        Case("dev-range", REFUSED, (layer(member("d", BLK, devmajor=5000, devminor=0)),)),
        Case("overlay-whdev", REFUSED, (layer(member("x", CHR, devmajor=0, devminor=0)),)),
        Case(
            "xattr-overlay",
            CONTAINED,
            (
                layer(
                    member("a", DIR, **xattr("trusted.overlay.redirect", b"/etc")),
                    member("b", DIR, **xattr("trusted.overlay.opaque", b"y")),
                    member("c", DIR, **xattr("user.overlay.opaque", b"y")),
                    member("d", **xattr("security.selinux", b"x")),
                    member("e", **xattr("trusted.evil", b"x")),
                ),
            ),
        ),
        Case(
            "xattr-bad-capability",
            REFUSED,
            (layer(member("x", **xattr("security.capability"))),),
        ),
        Case("xattr-long-name", REFUSED, (layer(member("x", **xattr("user." + "x" * 300))),)),
        Case("uid-minus-one", REFUSED, (layer(member("x", uid=0xFFFFFFFF)),)),
        Case("uid-huge", REFUSED, (layer(member("x", uid=1 << 40)),)),
        Case("sym-empty", REFUSED, (layer(member("x", SYM)),)),
        Case("sym-long", REFUSED, (layer(member("x", SYM, link="x" * 4096)),)),
        Case("mtime-huge", CONTAINED, (layer(member("x", mtime=1 << 60)),)),
        Case("mtime-negative", CONTAINED, (layer(member("x", mtime=-5.5)),)),
    ]


def parser(canary: str) -> list[Case]:
    x = member("x", data=b"0123456789")
    sparse = b"".join(b"%-12o%-12o" % (offset, 512) for offset in (0, 0))
    return [
        Case("pax-nul", REFUSED, (layer(extended(b"13 path=a\0bc\n"), x),)),
        Case("pax-zero-len", REFUSED, (layer(extended(b"0 path=a\n"), x),)),
        Case("pax-short-len", REFUSED, (layer(extended(b"2 path=a\n"), x),)),
        Case("pax-long-len", REFUSED, (layer(extended(b"99 path=a\n"), x),)),
        Case("pax-negative-len", REFUSED, (layer(extended(b"-9 path=a\n"), x),)),
        Case("pax-no-equals", REFUSED, (layer(extended(b"7 path\n"), x),)),
        Case("pax-dotdot", REFUSED, (layer(extended(record(b"path", b"../canary")), x),)),
        Case("pax-huge-claim", REFUSED, (raw_header(b"p", b"77777777777\0", b"x"),)),
        Case("pax-1mib", REFUSED, (layer(extended(record(b"path", b"a" * 1048576))),)),
        Case("pax-alone", REFUSED, (layer(extended(b"10 path=a\n")),)),
        Case("gnu-longname-claim", REFUSED, (raw_header(b"p", b"77777777777\0", b"L"),)),
        Case("neg-size", REFUSED, (layer(raw_header(size=b"-0000000001\0")),)),
        Case("neg-size-base256", REFUSED, (layer(raw_header(size=b"\xff" * 12)),)),
        Case("neg-size-pax", REFUSED, (layer(extended(b"11 size=-9\n"), x),)),
        Case("underscore-size", REFUSED, (layer(raw_header(size=b"00_00\0")),)),
        Case("digits-size-pax", REFUSED, (layer(extended(record(b"size", b"9" * 501))),)),
        Case("huge-size-trunc", REFUSED, (raw_header(size=b"00000777777\0") + b"x" * 512,)),
        Case("no-eof", CONTAINED, (x,)),
        Case("empty", CONTAINED, (b"",)),
        Case("half-block", REFUSED, (x + b"ustar",)),
        Case("lone-zero-block", REFUSED, (bytes(512) + x,)),
        Case("bad-checksum", REFUSED, (layer(b"y" + x[1:]),)),
        Case("unknown-type", REFUSED, (layer(raw_header(kind=b"Z")),)),
        Case("name-newline", CONTAINED, (layer(member("a\nb\x1b[31m")),)),
        Case("name-nonutf8", CONTAINED, (layer(raw_header(b"\xff\xfe")),)),
        Case("name-256", REFUSED, (layer(member("n" * 256)),)),
        Case("name-5000", REFUSED, (layer(member("n/" * 2500)),)),
        Case("deep-3000", REFUSED, (layer(member("d/" * 3000 + "x")),)),
        Case("deep-1500", CONTAINED, (layer(member("d/" * 1500 + "x")),)),
        Case(
            "pax-global", CONTAINED, (layer(extended(record(b"path", b"../../evil"), b"g"), x),)
        ),
        Case(
            "sparse-overlap",
            REFUSED,
            (
                layer(
                    raw_header(
                        size=b"%011o\0" % 1024,
                        kind=b"S",
                        magic=b"ustar  \0",
                        tail=bytes(386 - 265) + sparse + bytes(49) + b"%011o\0" % 1024,
                    ),
                    bytes(1024),
                ),
            ),
        ),
        Case(
            "sparse-map-lies",
            REFUSED,
            (
                layer(
                    extended(
                        record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0")
                    ),
                    member("x", data=b"999999999\n0\n".ljust(512, b"0")),
                ),
            ),
        ),
        Case("gzip-trunc", REFUSED, (gzip.compress(layer(x))[:-12],)),
        Case("gzip-no-trailer", REFUSED, (gzip.compress(layer(x))[:-8],)),
        Case("gzip-crc", REFUSED, (flipped(gzip.compress(layer(x)), -6),)),
        Case("gzip-junk", REFUSED, (gzip.compress(layer(x)) + b"junk",)),
        Case("gzip-multi", CONTAINED, (gzip.compress(x) + gzip.compress(END),)),
        Case("gzip-padding", CONTAINED, (gzip.compress(layer(x)) + bytes(1000),)),
        Case("trailing-zeros", CONTAINED, (layer(x) + bytes(8 << 20),)),
        Case("trailing-junk", CONTAINED, (layer(x) + b"junk" * 1000,)),
    ]


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


@functools.cache
def sixteen_mebibytes() -> bytes:
    return gzip.compress(bytes(16 << 20))


def bombs(canary: str) -> list[Case]:
    claim = raw_header(b"big", b"%011o\0" % (1 << 31))
    gigabytes = gzip.compress(claim) + sixteen_mebibytes() * 128
    sparse = record(b"GNU.sparse.size", b"%d" % (8 << 40)) + record(b"GNU.sparse.map", b"")
    many = b"".join(member(f"f{number}") for number in range(200))
    deep = b"".join(member(f"{number}/" + "d/" * 50 + "x") for number in range(20))
    return [
        Case(
            "sparse-8tib",
            REFUSED,
            (layer(extended(sparse), member("x")),),
        ),
        Case(
            "gzip-2gib",
            REFUSED,
            (gigabytes,),
            Limits(compressed_size=len(gigabytes) // 100, ratio_from=32 << 20),
        ),
        Case(
            "claim-64gib", REFUSED, (raw_header(size=b"\x80" + (65 << 30).to_bytes(11, "big")),)
        ),
        Case("entries", REFUSED, (layer(many),), Limits(entries=100)),
        Case("implied-entries", REFUSED, (layer(deep),), Limits(entries=100)),
        Case("size", REFUSED, (layer(member("x", data=bytes(3000))),), Limits(size=2000)),
        Case("trailing-past-limit", REFUSED, (layer() + bytes(3 << 20),), Limits(size=1 << 20)),
    ]


def control(canary: str) -> list[Case]:
    return [
        Case(
            "control",
            CONTAINED,
            (
                layer(
                    member("./", DIR, mode=0o755),
                    member("bin", SYM, link="usr/bin"),
                    member("usr", DIR),
                    member("usr/bin", DIR),
                    member("usr/bin/tool", data=b"#!/bin/sh\n", mode=0o4755, uid=3, gid=4),
                    member("usr/bin/alias", LINK, link="usr/bin/tool"),
                    member("bin/late", data=b"through a link"),
                    member("run/fifo", FIFO),
                ),
            ),
        )
    ]


def cases(canary: str) -> list[Case]:
    """Return the corpus, aimed at the directory `canary` beside the layer."""
    groups = (control, traversal, hard_links, whiteouts, types, parser, bombs)
    return [case for group in groups for case in group(canary)]


def reader(data: bytes) -> io.BytesIO:
    return io.BytesIO(data)
