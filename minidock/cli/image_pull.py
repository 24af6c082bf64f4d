# SPDX-License-Identifier: Apache-2.0
"""``pull``."""

import sys

from minidock.cli.command import command
from minidock.cli.flags import switch, value
from minidock.cli.output import out, warn, writing_results
from minidock.cli.params import parse_platform
from minidock.cli.pull_progress import show
from minidock.cli.session import Session
from minidock.cli.streams import stdout_is_terminal
from minidock.engine.options import PullOptions
from minidock.errors import Unsupported
from minidock.oci.reference import parse_reference
from minidock.progress import Event, Warned


@command(
    "Download an image from a registry",
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    (1, 1),
    "image pull",
    "pull",
)
@switch("-a", "--all-tags", help="", hidden=True)
@switch("--disable-content-trust", help="", hidden=True, default=True)
@value("--platform", help="Set platform if the image is for several")
@switch("-q", "--quiet", help="Suppress verbose output")
def pull(
    session: Session,
    /,
    arguments: tuple[str, ...],
    all_tags: bool,
    disable_content_trust: bool,
    platform: str,
    quiet: bool,
) -> None:
    """Fetch an image, show how, and print its full name."""
    del disable_content_trust  # digests are verified; signatures are not looked for
    if all_tags:
        raise Unsupported("--all-tags is not supported", hint="name the tags one by one")
    (name,) = arguments
    reference = parse_reference(name)
    options = PullOptions(parse_platform(platform) if platform else None)
    images = session.engine.images
    if quiet:
        images.pull(reference, options, _warnings_only)
        out(str(reference))
        return
    if not parse_reference(name, default_tag="").suffix:
        out(f"Using default tag: {reference.tag}")
    drawing = show(sys.stdout, terminal=stdout_is_terminal())
    with writing_results(), drawing as progress:
        pulled = images.pull(reference, options, progress)
    state = "Image is up to date" if pulled.up_to_date else "Downloaded newer image"
    out(f"Digest: {pulled.digest}")
    out(f"Status: {state} for {reference.familiar}")
    out(str(reference))


def _warnings_only(event: Event) -> None:
    if isinstance(event, Warned):
        warn(event.message)
