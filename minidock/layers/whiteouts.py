# SPDX-License-Identifier: Apache-2.0
"""How a layer says that something of the layers below is gone.

In a tar: an empty file ``.wh.NAME`` beside where NAME was, and ``.wh..wh..opq`` in a directory
that hides all the layers below have in it (OCI image-spec, layer.md §whiteouts). In a layer of
overlayfs: a character device 0:0 called NAME, and an extended attribute of the directory
(Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").
"""

from minidock.layers.compression import CorruptArchive

PREFIX = ".wh."
OPAQUE_NAME = ".wh..wh..opq"
_RESERVED = ".wh..wh."  # aufs kept its own files under such names


def hidden_name(name: str) -> str:
    """Return the name that whiteout `name` hides, "" if it is one of aufs's own files.

    Raises:
        CorruptArchive: it would hide the directory itself or its parent.
    """
    if name.startswith(_RESERVED):
        return ""
    hidden = name.removeprefix(PREFIX)
    if hidden in ("", ".", ".."):
        raise CorruptArchive(f"layer: whiteout {name!r} hides no name")
    return hidden
