# SPDX-License-Identifier: Apache-2.0
"""Advisory locks that the kernel lets go with their holder (flock(2))."""

import fcntl
import os
from types import TracebackType


class Lock:
    """A flock on a file of its own or a directory, held from ``with`` to the end of the block.

    A shared lock is never upgraded: two holders that wait for each other's exclusive lock wait
    for ever.
    """

    def __init__(self, path: str, *, shared: bool = False, directory: bool = False) -> None:
        self._path = path
        # A directory can be locked itself, a file is made if need be.
        self._flags = os.O_RDONLY | os.O_DIRECTORY if directory else os.O_RDWR | os.O_CREAT
        self._operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        self._fd = -1

    def __enter__(self) -> "Lock":
        self._open()
        fcntl.flock(self._fd, self._operation)
        return self

    def try_acquire(self) -> bool:
        """Take the lock if that is possible at once; tell whether it was."""
        self._open()
        try:
            fcntl.flock(self._fd, self._operation | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            return False
        return True

    def is_current(self) -> bool:
        """Tell whether what is locked still is what stands at the path."""
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(self._path))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let the lock go; a second call does nothing."""
        if self._fd >= 0:
            # A forked child shares the open file description: closing would not be enough.
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            os.close(self._fd)
            self._fd = -1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _open(self) -> None:
        self._fd = os.open(self._path, self._flags | os.O_CLOEXEC, 0o600)
