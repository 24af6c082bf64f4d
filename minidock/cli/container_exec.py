# SPDX-License-Identifier: Apache-2.0
"""``exec``."""

from minidock.annotations import Any
from minidock.cli.command import command
from minidock.cli.failures import Refused, StdoutClosed
from minidock.cli.flags import switch, value, values
from minidock.cli.kvfiles import read_environment
from minidock.cli.params import ENV
from minidock.cli.session import Session
from minidock.cli.streams import DETACHED, Wanted, open_streams
from minidock.engine.options import ExecOptions
from minidock.runtime.attach import OutputLost
from minidock.runtime.streams import Streams


@command(
    "Execute a command in a running container",
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    (2, None),
    "container exec",
    "exec",
    interspersed=False,
)
@switch("-d", "--detach", help="Detached mode: run command in the background")
@value("--detach-keys", help="Override the key sequence for detaching a container")
@values("-e", "--env", type=ENV, help="Set environment variables")
@values("--env-file", help="Read in a file of environment variables")
@switch("-i", "--interactive", help="Keep STDIN open even if not attached")
@switch("--privileged", help="Give extended privileges to the command")
@switch("-t", "--tty", help="Allocate a pseudo-TTY")
@value("-u", "--user", help='Username or UID (format: "<name|uid>[:<group|gid>]")')
@value("-w", "--workdir", help="Working directory inside the container")
def exec_(
    session: Session, /, arguments: tuple[str, ...], detach_keys: str, **given: Any
) -> int:
    """Run a further command in a running container."""
    name, *words = arguments
    options = ExecOptions(
        command=tuple(words),
        env=read_environment(given["env_file"], given["env"], session.environment),
        user=given["user"],
        working_dir=given["workdir"],
        interactive=given["interactive"],
        tty=given["tty"],
        detach=given["detach"],
        privileged=given["privileged"],
    )
    streams = _streams(session, options, detach_keys)
    try:
        finished = session.engine.containers.exec(name, options, streams)
    except OutputLost as e:
        if e.closed:  # the command finds its output closed too, as in a pipe without us
            raise StdoutClosed from e
        raise
    if finished.status is None and not options.detach:
        raise Refused("read escape sequence")
    return finished.status or 0


def _streams(session: Session, options: ExecOptions, detach_keys: str) -> Streams:
    if options.detach:
        return DETACHED
    attach = {"stdout", "stderr"} | ({"stdin"} if options.interactive else set())
    wanted = Wanted(frozenset(attach), options.tty, detach_keys, not options.tty)
    return open_streams(session, wanted)
