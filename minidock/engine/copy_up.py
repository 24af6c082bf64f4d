# SPDX-License-Identifier: Apache-2.0
"""What an image gives to a volume that is still empty."""

import os

from minidock.errors import InvalidArgument
from minidock.fs.copying import copy_tree
from minidock.fs.rooted import RootedDir
from minidock.layers.xattrs import travels
from minidock.oci.digest import DiffID
from minidock.rootfs import overlay
from minidock.store.store import Store


class ImageFiles:
    """The files of an image, mounted until close() where only this process sees them."""

    def __init__(self, store: Store, layers: tuple[DiffID, ...]) -> None:
        self._root = RootedDir(overlay.view(store.unpacked.lowers(layers)))

    def close(self) -> None:
        """Take the mount away; a second call does nothing."""
        self._root.close()

    def copy(self, path: str, target: int) -> bool:
        """Copy directory `path` into the empty directory `target` if the image has it.

        Links that lead to it are followed inside the image (CVE-2022-23648). Returns whether
        there was one.

        Raises:
            InvalidArgument: the image has something else there.
            OSError
        """
        try:
            source = self._root.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            raise InvalidArgument(
                f"cannot mount volume over existing file, file exists {path}"
            ) from None
        try:
            copy_tree(source, target, travels)
        finally:
            os.close(source)
        return True
