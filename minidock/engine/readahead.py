# SPDX-License-Identifier: Apache-2.0
"""A stream read ahead in a thread, so that fetching and unpacking use a core each.

What fetching does, receiving, hashing and writing big blocks, runs without Python's lock.
"""

import threading
from collections import deque
from types import TracebackType

from minidock.oci.content import Reader

BLOCK = 1 << 18
BLOCKS = 16
"""At most so many blocks wait: 4 MiB."""


class ReadAhead:
    """Reads `source` in a thread of its own from ``with`` to the end of the block.

    What the source raises is raised by the read that comes to it. At the end of the block the
    thread has stopped, whatever is left of the source.
    """

    def __init__(self, source: Reader) -> None:
        self._source = source
        self._ready: deque[bytes | BaseException] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._rest = b""
        self._thread = threading.Thread(target=self._fill, daemon=True)

    def __enter__(self) -> "ReadAhead":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, b"" at the end."""
        if not self._rest:
            with self._changed:
                self._changed.wait_for(lambda: self._ready)
                item = self._ready[0]
                if isinstance(item, BaseException):
                    raise item
                if not item:
                    return b""  # stays there, for whoever reads again
                self._ready.popleft()
                self._changed.notify_all()
            self._rest = item
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def _fill(self) -> None:
        more = True
        while more:
            item: bytes | BaseException
            try:
                item = self._block()
            except BaseException as e:  # noqa: BLE001 - it is raised again where it is read
                item = e
            more = isinstance(item, bytes) and bool(item)
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or len(self._ready) < BLOCKS)
                if self._stopped:
                    return
                self._ready.append(item)
                self._changed.notify_all()

    def _block(self) -> bytes:
        """Return a block of the source, less only at its end."""
        parts: list[bytes] = []
        missing = BLOCK
        while missing and (data := self._source.read(missing)):
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)
