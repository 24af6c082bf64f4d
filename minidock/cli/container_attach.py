# SPDX-License-Identifier: Apache-2.0
"""``start`` and ``attach``."""

from minidock.cli.command import command
from minidock.cli.failures import Refused
from minidock.cli.flags import switch, value
from minidock.cli.output import each, err, printable, report
from minidock.cli.session import Session
from minidock.cli.streams import Wanted, open_streams
from minidock.errors import (
    CommandNotExecutable,
    CommandNotFound,
    InvalidArgument,
    MinidockError,
)
from minidock.runtime.streams import Streams

_KEYS_HELP = "Override the key sequence for detaching a container"


@command(
    "Attach local standard input, output, and error streams to a running container",
    "[OPTIONS] CONTAINER",
    (1, 1),
    "container attach",
    "attach",
)
@value("--detach-keys", help=_KEYS_HELP)
@switch("--no-stdin", help="Do not attach STDIN")
@switch(
    "--sig-proxy",
    default=True,
    help="Proxy all received signals to the process (default true)",
)
def attach(
    session: Session,
    /,
    arguments: tuple[str, ...],
    detach_keys: str,
    no_stdin: bool,
    sig_proxy: bool,
) -> int:
    """Relay the streams of a running container; the status is that of its end."""
    (name,) = arguments
    streams = _streams(
        session, name, stdin=not no_stdin, detach_keys=detach_keys, sig_proxy=sig_proxy
    )
    finished = session.engine.containers.attach(name, streams)
    if finished.status is None:
        raise Refused("read escape sequence")
    return finished.status


@command(
    "Start one or more stopped containers",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    (1, None),
    "container start",
    "start",
)
@switch("-a", "--attach", "attached", help="Attach STDOUT/STDERR and forward signals")
@value("--detach-keys", help=_KEYS_HELP)
@switch("-i", "--interactive", help="Attach container's STDIN")
def start(
    session: Session,
    /,
    arguments: tuple[str, ...],
    attached: bool,
    detach_keys: str,
    interactive: bool,
) -> int:
    """Start containers; with ``-a`` or ``-i`` wait for the end of one."""
    if attached or interactive:
        return _start_attached(session, arguments, detach_keys, interactive)
    failed: list[str] = []

    def start_one(name: str) -> str:
        try:
            session.engine.containers.start(name)
        except MinidockError:
            failed.append(name)
            raise
        return name

    status = each(arguments, start_one)
    if failed:
        err(f"Error: failed to start containers: {printable(', '.join(failed))}")
    return status


def _start_attached(
    session: Session, names: tuple[str, ...], detach_keys: str, interactive: bool
) -> int:
    if len(names) > 1:
        raise InvalidArgument("you cannot start and attach multiple containers at once")
    (name,) = names
    streams = _streams(
        session, name, stdin=interactive, detach_keys=detach_keys, sig_proxy=True
    )
    try:
        return session.engine.containers.start_attached(name, streams).status or 0
    except (CommandNotFound, CommandNotExecutable) as e:
        report(e)  # 126 and 127 are statuses of `run` and `exec` only
        return 1


def _streams(
    session: Session, name: str, *, stdin: bool, detach_keys: str, sig_proxy: bool
) -> Streams:
    config = session.engine.containers.inspect(name)["Config"]
    attach = {"stdout", "stderr"}
    if stdin and config["OpenStdin"]:
        attach.add("stdin")
    # Unlike with `run`, a terminal's keys are all that is passed on, as docker has it.
    forward = sig_proxy and not config["Tty"]
    return open_streams(session, Wanted(frozenset(attach), config["Tty"], detach_keys, forward))
