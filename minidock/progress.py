# SPDX-License-Identifier: Apache-2.0
"""What long work tells its caller: typed events through one callback."""

from collections.abc import Callable

from minidock.oci.digest import Digest
from minidock.values import NamedTuple


class Resolving(NamedTuple):
    """A reference is being looked up; `name` is its repository, without the registry."""

    target: str
    name: str


class LayerWaiting(NamedTuple):
    """A layer will be fetched; `size` is in bytes, compressed."""

    digest: Digest
    size: int


class LayerExists(NamedTuple):
    """A layer is in the store already."""

    digest: Digest


class LayerDownloading(NamedTuple):
    """`done` of `size` bytes have arrived."""

    digest: Digest
    done: int
    size: int


class LayerVerified(NamedTuple):
    """A layer has arrived whole and has the right digest."""

    digest: Digest


class LayerExtracting(NamedTuple):
    """`done` of `size` compressed bytes have been unpacked."""

    digest: Digest
    done: int
    size: int


class LayerDone(NamedTuple):
    """A layer is unpacked and published."""

    digest: Digest


class Retrying(NamedTuple):
    """A request failed and will be made again after `delay` seconds."""

    what: str
    reason: str
    delay: float


class Copying(NamedTuple):
    """`done` bytes of a copy have passed, counted as in a tar."""

    done: int


class Warned(NamedTuple):
    """Something is not as asked; the work goes on."""

    message: str


Event = (
    Resolving
    | LayerWaiting
    | LayerExists
    | LayerDownloading
    | LayerVerified
    | LayerExtracting
    | LayerDone
    | Retrying
    | Copying
    | Warned
)

Progress = Callable[[Event], None]
"""Called from any thread of the work; must not block for long and must not raise."""


def ignore(_event: Event) -> None:
    """Take an event and do nothing."""
