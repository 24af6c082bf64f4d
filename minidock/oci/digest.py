# SPDX-License-Identifier: Apache-2.0
"""The three digests of an image, never mixed up.

Grammar and meaning: OCI image-spec, descriptor.md §digests and config.md §layer-diffid.
"""

import re

from minidock.annotations import TYPE_CHECKING, NewType
from minidock.errors import DataCorrupted, InvalidArgument

# What `digest_of` hashes is small, and hashlib loads OpenSSL, which takes 3 ms. These are the
# modules that hashlib itself takes where there is no OpenSSL; an interpreter may lack them.
if TYPE_CHECKING:
    from hashlib import sha256
else:
    try:
        from _sha256 import sha256
    except ImportError:
        try:
            from _sha2 import sha256  # its name from Python 3.12 on
        except ImportError:
            from hashlib import sha256

Digest = NewType("Digest", str)
"""Of a blob as stored and sent (a compressed layer, a config, a manifest)."""

DiffID = NewType("DiffID", str)
"""Of a layer's uncompressed tar."""

ChainID = NewType("ChainID", str)
"""Of a stack of layers up to and including one."""

_SHA256 = re.compile(r"sha256:[a-f0-9]{64}")


class InvalidDigest(InvalidArgument):
    """A text that is not a sha256 digest."""


class DigestMismatch(DataCorrupted):
    """The bytes are not those the digest names."""

    def __init__(self, what: str, expected: str, got: str) -> None:
        super().__init__(f"{what}: digest mismatch: expected {expected}, got {got}")
        self.expected = expected
        self.got = got


def _checked(text: object) -> str:
    if not isinstance(text, str) or not _SHA256.fullmatch(text):
        raise InvalidDigest(
            f"invalid digest: {str(text)[:100]!r}",
            hint="a digest is sha256: and 64 lower-case hexadecimal digits",
        )
    return text


def parse_digest(text: object) -> Digest:
    """Return `text` as a blob digest; raise InvalidDigest for anything but sha256."""
    return Digest(_checked(text))


def parse_diff_id(text: object) -> DiffID:
    """Return `text` as a diff_id; raise InvalidDigest for anything but sha256."""
    return DiffID(_checked(text))


def digest_of(data: bytes) -> Digest:
    """Return the digest of `data`, a document in memory."""
    return Digest("sha256:" + sha256(data).hexdigest())


def hex_of(digest: Digest | DiffID | ChainID | str) -> str:
    """Return the 64 hexadecimal digits, the part that names files."""
    return digest.partition(":")[2]


def chain_ids(diff_ids: tuple[DiffID, ...]) -> tuple[ChainID, ...]:
    """Return the chain id of every prefix of the stack (config.md §layer-chainid)."""
    chain: list[ChainID] = []
    for diff_id in diff_ids:
        if not chain:
            chain.append(ChainID(diff_id))
        else:
            chain.append(ChainID(digest_of(f"{chain[-1]} {diff_id}".encode())))
    return tuple(chain)
