# SPDX-License-Identifier: Apache-2.0
"""The program: run a command, and turn whatever ends it into a message and an exit status."""

import os
import signal
import sys
from collections.abc import Sequence

from minidock.cli.commands import PROGRAM, VARIABLE, root
from minidock.cli.failures import CommandFailed, StdoutClosed, UsageError, exit_status
from minidock.cli.help import see_help
from minidock.cli.output import err, prepare, printable, report
from minidock.cli.session import Session
from minidock.errors import Cancelled, Disconnected, MinidockError, SystemFailure


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with `arguments`, by default the process's; return the exit status."""
    prepare()
    session = Session()
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if instruction := session.environment.get(VARIABLE):
            from minidock.cli.completion import complete  # only the shell's script asks

            return complete(session, instruction)
        return root.run(session, PROGRAM, words)
    except UsageError as e:
        _explain_usage(e)
        return exit_status(e)
    except CommandFailed as e:
        return _explain(e, session.debug)
    except StdoutClosed:
        return _stdout_closed()
    except KeyboardInterrupt as e:
        return exit_status(e)


def _explain_usage(error: UsageError) -> None:
    err(printable(error.message))
    if error.path:
        if error.path != PROGRAM:
            err(f"\n{error.usage}")
        err(f"\n{see_help(error.path)}")


def _explain(failed: CommandFailed, debug: bool) -> int:
    error = failed.__cause__
    assert error is not None
    if debug:
        import traceback  # only --debug needs it

        err("".join(traceback.format_exception(error)).rstrip())
    match error:
        case Cancelled():
            err("cancelled")
        case Disconnected():
            err(error.message)
        case MinidockError() if failed.starts:
            report(error, "minidock: ")
            err(f"\n{see_help(failed.path)}")
        case MinidockError():
            report(error)
        case OSError() if error.errno:
            report(SystemFailure.of("minidock", error))
        case _:
            what = f"{type(error).__name__}: {error}"
            err(printable(f"minidock: internal error: {what}") + _how_to_debug(debug))
    return exit_status(error, starts=failed.starts)


def _how_to_debug(debug: bool) -> str:
    return "" if debug else " (run with --debug for the traceback)"


def _stdout_closed() -> int:
    """Make the interpreter's own flush at exit quiet, and end as after SIGPIPE."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    return 128 + signal.SIGPIPE
