# SPDX-License-Identifier: Apache-2.0
"""Reading the journal, journal.py, while others write to it."""

import os
from collections.abc import Iterator

from minidock.store.layout import Layout

_READ = 1 << 16


def is_at(fd: int, path: str) -> bool:
    """Tell whether `path` is the file that `fd` has open."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


class JournalReader:
    """Reads the lines, from the first that is kept or from what comes from now on."""

    def __init__(self, layout: Layout, *, from_start: bool) -> None:
        self._journal = layout.journal
        self._fd = -1
        self._rest = b""  # of a line that is being written
        self._open(layout.old_journal if from_start else layout.journal)
        if not from_start and self._fd >= 0:
            os.lseek(self._fd, 0, os.SEEK_END)

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that there are now and were not yielded yet."""
        while True:
            # Asked before it is read to its end: what is written until it gives way is read.
            is_last = self._fd >= 0 and is_at(self._fd, self._journal)
            yield from self._read()
            if is_last or not self._open(self._journal):
                return

    def close(self) -> None:
        """Close what is open."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self, path: str) -> bool:
        """Go on with file `path`; tell whether it is there."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        self.close()
        self._fd, self._rest = fd, b""
        return True

    def _read(self) -> Iterator[bytes]:
        while self._fd >= 0 and (data := os.read(self._fd, _READ)):
            *lines, self._rest = (self._rest + data).split(b"\n")
            yield from lines
