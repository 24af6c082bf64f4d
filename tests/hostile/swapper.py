# SPDX-License-Identifier: Apache-2.0
"""Exchanges two names as fast as it can, until it is killed: ``python swapper.py A B``."""

import ctypes
import os
import sys

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def swap(first: str, second: str) -> None:
    """Exchange two names: renameat2(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = _AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second)
    if libc.renameat2(*names, _RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), first)


if __name__ == "__main__":
    os.write(1, b"swapping\n")
    while True:
        swap(*sys.argv[1:])
