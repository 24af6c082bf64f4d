# SPDX-License-Identifier: Apache-2.0
"""How overlayfs marks deletions in an upper directory (Documentation/filesystems/overlayfs)."""

import os
import stat

OPAQUE_XATTR = "trusted.overlay.opaque"
_OPAQUE_XATTRS = (OPAQUE_XATTR, "user.overlay.opaque")  # the second with option userxattr


def is_whiteout(status: os.stat_result) -> bool:
    """Tell whether lstat's `status` is that of a whiteout, a character device 0:0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(path: str | int) -> bool:
    """Tell whether a directory (a path that is not followed, or a descriptor) is opaque."""
    for name in _OPAQUE_XATTRS:
        try:
            value = os.getxattr(path, name, follow_symlinks=isinstance(path, int))
        except OSError:
            continue
        if value == b"y":
            return True
    return False
