# SPDX-License-Identifier: Apache-2.0
"""``logs``."""

import time

from minidock.cli.command import command
from minidock.cli.flags import switch, value
from minidock.cli.output import err_bytes, out_bytes
from minidock.cli.session import Session
from minidock.cli.times import parse_time, rfc3339_nano
from minidock.engine.options import LogOptions

_TIME_HELP = 'timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)'


@command(
    "Fetch the logs of a container", "[OPTIONS] CONTAINER", (1, 1), "container logs", "logs"
)
@switch("--details", help="Show extra details provided to logs")
@switch("-f", "--follow", help="Follow log output")
@value("--since", help=f"Show logs since {_TIME_HELP}")
@value(
    "-n",
    "--tail",
    default="all",
    help='Number of lines to show from the end of the logs (default "all")',
)
@switch("-t", "--timestamps", help="Show timestamps")
@value("--until", help=f"Show logs before {_TIME_HELP}")
def logs(
    session: Session,
    /,
    arguments: tuple[str, ...],
    *,
    details: bool,
    follow: bool,
    since: str,
    tail: str,
    timestamps: bool,
    until: str,
) -> None:
    """Write a container's log, its stdout to ours and its stderr to ours."""
    (name,) = arguments
    now = time.time()
    options = LogOptions(
        follow=follow,
        since=parse_time("since", since, now),
        until=parse_time("until", until, now),
        tail=_tail(tail),
    )
    for line in session.engine.containers.logs(name, options):
        stamp = f"{rfc3339_nano(line.time)} ".encode() if timestamps else b""
        stamp += (
            b" " if details else b""
        )  # docker shows its log's attributes here; there are none
        write = err_bytes if line.stream == "stderr" else out_bytes
        write(stamp + line.data)


def _tail(text: str) -> int | None:
    """Return the number of lines; like docker take anything that is no number as all."""
    return int(text) if text.isascii() and text.isdigit() else None
