# SPDX-License-Identifier: Apache-2.0
"""From a command line to one operation on containers, and to an exit status."""

import os
from collections.abc import Sequence

from minidock.errors import MinidockError, SystemFailure
from minidock.ocicli import arguments
from minidock.ocicli.arguments import UsageError, flag, value
from minidock.ocicli.commands import COMMANDS, Call, version
from minidock.ocicli.log import Log
from minidock.runtime.oci_containers import Containers

ROOT = "/run/minidock-runtime"

_GLOBAL = (
    value("root"),
    value("log"),
    value("log-format"),
    value("log-level"),
    value("cgroup-manager"),
    value("rootless"),
    value("criu"),
    flag("systemd-cgroup"),
    flag("debug"),
    flag("version", "v"),
    flag("help", "h"),
)
_FAILURE = 1


def main(words: Sequence[str]) -> int:
    """Run one command; return the exit status: 1 after an error, 0 or the container's else."""
    log = Log()
    try:
        given = arguments.parse(words, _GLOBAL)
        log = Log(given.text("log"), given.text("log-format", "text"))
        if given.given("version"):
            return version()
        if given.given("systemd-cgroup") or given.text("cgroup-manager") == "systemd":
            log.warnings(("systemd is not asked for control groups: cgroupfs is used",))
        return _run(given, log)
    except MinidockError as e:
        log.failure(e)
    except OSError as e:
        log.failure(SystemFailure.of("minidock-runtime", e))
    except KeyboardInterrupt:
        return 130
    except Exception as e:  # noqa: BLE001 - an engine takes one line, not a traceback
        log.failure(MinidockError(f"internal error: {type(e).__name__}: {e}"))
    return _FAILURE


def _run(given: arguments.Arguments, log: Log) -> int:
    name, *rest = given.operands or ("help",)
    if name in ("help", "h") or given.given("help"):
        names = ", ".join(COMMANDS)
        raise UsageError(f"usage: minidock-runtime [options] command: {names}")
    command = COMMANDS.get(name)
    if command is None:
        raise UsageError(f'no such command: "{name}"')
    told = arguments.parse(rest, command.options)
    least, most = command.operands
    if not least <= len(told.operands) <= (most or len(told.operands)):
        raise UsageError(f"{name}: expected {command.usage or 'no arguments'}")
    root = os.path.abspath(given.text("root", ROOT))
    return command.run(Call(Containers(root), told, log))
