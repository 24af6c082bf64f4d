# SPDX-License-Identifier: Apache-2.0
"""``run`` and ``create``."""

import contextlib
import os
from collections.abc import Iterator

from minidock.annotations import Any
from minidock.cli.command import command
from minidock.cli.container_flags import Flags, container_flags, make_options, split_flags
from minidock.cli.failures import Refused
from minidock.cli.flags import switch
from minidock.cli.output import out
from minidock.cli.pull_progress import LatePull
from minidock.cli.session import Session
from minidock.cli.streams import Wanted, open_streams, stderr_is_terminal
from minidock.engine.options import CreateOptions
from minidock.errors import Conflict, SystemFailure
from minidock.oci.reference import InvalidReference, parse_reference

_USAGE = "[OPTIONS] IMAGE [COMMAND] [ARG...]"
_EPILOG = "docker's other flags are accepted; a warning says that they have no effect."


@command(
    "Create and run a new container from an image",
    _USAGE,
    (1, None),
    "container run",
    "run",
    interspersed=False,
    starts=True,
    epilog=_EPILOG,
)
@container_flags
@switch("-d", "--detach", help="Run container in background and print container ID")
@switch(
    "--sig-proxy",
    default=True,
    help="Proxy received signals to the process (default true)",
)
def run(
    session: Session, /, arguments: tuple[str, ...], detach: bool, sig_proxy: bool, **given: Any
) -> int:
    """Make a container, start it, and wait for its end unless detached."""
    flags = split_flags(given)
    if detach and flags.attach:
        raise Refused("conflicting options: cannot specify both --attach and --detach")
    options = _options(session, flags, arguments)
    streams = None
    if detach:
        options = options._replace(attach=frozenset())
    else:
        wanted = Wanted(options.attach, flags.tty, flags.detach_keys, sig_proxy)
        streams = open_streams(session, wanted)

    with _cidfile(flags.cidfile) as cidfile, _progress(options, flags.quiet) as progress:

        def created(container_id: str) -> None:
            progress.close()
            _write_id(cidfile, container_id)
            if detach:
                out(container_id)

        finished = session.engine.containers.run(options, streams, progress, created)
    return finished.status or 0


@command(
    "Create a new container",
    _USAGE,
    (1, None),
    "container create",
    "create",
    interspersed=False,
    starts=True,
    epilog=_EPILOG,
)
@container_flags
def create(session: Session, /, arguments: tuple[str, ...], **given: Any) -> None:
    """Make a container and print its id."""
    flags = split_flags(given)
    options = _options(session, flags, arguments)
    with _cidfile(flags.cidfile) as cidfile, _progress(options, flags.quiet) as progress:
        container_id = session.engine.containers.create(options, progress)
        _write_id(cidfile, container_id)
    out(container_id)


def _options(session: Session, flags: Flags, arguments: tuple[str, ...]) -> CreateOptions:
    image, *words = arguments
    return make_options(flags, image, tuple(words), session.environment)


def _progress(options: CreateOptions, quiet: bool) -> LatePull:
    return LatePull(
        _familiar(options.image),
        missing=options.pull == "missing",
        quiet=quiet,
        terminal=stderr_is_terminal(),
    )


def _familiar(image: str) -> str:
    try:
        return parse_reference(image).familiar
    except InvalidReference:
        return image  # an image id, or something that the engine will refuse


@contextlib.contextmanager
def _cidfile(path: str) -> Iterator[int | None]:
    """Give a descriptor of a new file for the id, which goes away if it stays empty."""
    if not path:
        yield None
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise Conflict(
            "container ID file found, make sure the other container isn't running "
            f"or delete {path}"
        ) from None
    except OSError as e:
        raise SystemFailure.of("failed to create the container ID file", e) from e
    try:
        yield fd
    finally:
        if os.fstat(fd).st_size == 0:
            os.unlink(path)
        os.close(fd)


def _write_id(cidfile: int | None, container_id: str) -> None:
    if cidfile is not None:
        os.write(cidfile, container_id.encode())
