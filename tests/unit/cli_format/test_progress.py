# SPDX-License-Identifier: Apache-2.0
"""How a pull is shown."""

import io

from minidock import progress as events
from minidock.cli.progress import live, plain
from minidock.oci.digest import parse_digest

DIGEST = parse_digest("sha256:" + "0123456789ab" + "0" * 52)
OTHER = parse_digest("sha256:" + "f" * 64)
PULL: list[events.Event] = [
    events.Resolving("latest", "library/app"),
    events.LayerWaiting(DIGEST, 2000),
    events.LayerExists(OTHER),
    events.LayerDownloading(DIGEST, 1000, 2000),
    events.Retrying("blob [bold]x[/bold]", "connection reset", 0.5),
    events.LayerVerified(DIGEST),
    events.LayerExtracting(DIGEST, 1500, 2000),
    events.LayerDone(DIGEST),
    events.Warned("take care"),
]


def test_plain() -> None:
    """A pipe gets docker's lines, without those that only move a bar."""
    out = io.StringIO()
    show = plain(out)
    for event in PULL:
        show(event)
    assert out.getvalue().splitlines() == [
        "latest: Pulling from library/app",
        "0123456789ab: Pulling fs layer",
        "ffffffffffff: Already exists",
        "blob [bold]x[/bold]: connection reset, trying again in 0 s",
        "0123456789ab: Download complete",
        "0123456789ab: Pull complete",
        "WARNING: take care",
    ]


def test_live() -> None:
    """The bars end with each layer's last state and the total; messages stand above them."""
    out = io.StringIO()
    with live(out) as show:
        for event in PULL:
            show(event)
    text = out.getvalue()
    assert "latest: Pulling from library/app" in text
    assert "blob [bold]x[/bold]: connection reset" in text
    assert "WARNING: take care" in text
    assert "0123456789ab: Pull complete" in text
    assert "ffffffffffff: Already exists" in text
    assert "2kB/2kB" in text
