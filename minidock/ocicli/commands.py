# SPDX-License-Identifier: Apache-2.0
"""The commands: the operations of runtime.md, and what engines call besides."""

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping

from minidock import __version__
from minidock.annotations import Any
from minidock.errors import InvalidArgument, Unsupported
from minidock.fs.atomic import read_file, write_file
from minidock.oci.manifest import load_json
from minidock.oci.runtime import VERSION, Process, User
from minidock.ocicli.arguments import Arguments, Option, UsageError, flag, value
from minidock.ocicli.log import Log
from minidock.runtime import oci_bundle
from minidock.runtime.launch import Launched
from minidock.runtime.oci_containers import Container, Containers, UnknownContainer
from minidock.runtime.oci_create import Request, send_console
from minidock.values import NamedTuple

_STDIO = (0, 1, 2)


class Call(NamedTuple):
    """One call of a command."""

    containers: Containers
    arguments: Arguments
    log: Log

    @property
    def id(self) -> str:
        """The container."""
        return self.arguments.operands[0]


class Command(NamedTuple):
    """A command: what it does, its options, and how many operands it takes (0 at most: any)."""

    run: Callable[[Call], int]
    options: tuple[Option, ...] = ()
    operands: tuple[int, int] = (1, 1)
    usage: str = "a container id"


def version() -> int:
    """Print the versions of program and specification."""
    _print(f"minidock-runtime version {__version__}\nspec: {VERSION}")
    return 0


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _print_json(value: object) -> None:
    _print(json.dumps(value, indent=2))


def _create(call: Call) -> int:
    request = _request(call)
    spec_terminal = oci_bundle.load(request.bundle).spec.process.terminal
    if spec_terminal and not request.console_socket:
        raise InvalidArgument("process.terminal is true: --console-socket is needed")
    made = call.containers.create(request)
    call.log.warnings(made.warnings)
    return 0


def _request(call: Call) -> Request:
    given = call.arguments
    if given.text("preserve-fds", "0") not in ("", "0"):
        raise Unsupported("--preserve-fds is not supported: a container gets 0, 1 and 2")
    return Request(
        call.id,
        os.path.abspath(given.text("bundle", ".")),
        _STDIO,
        _absolute(given.text("console-socket")),
        _absolute(given.text("pid-file")),
    )


def _absolute(path: str) -> str:
    return path and os.path.abspath(path)


def _start(call: Call) -> int:
    call.log.warnings(call.containers.start(call.id))
    return 0


def _run(call: Call) -> int:
    request = _request(call)
    made = call.containers.create(request)
    call.log.warnings(made.warnings)
    detach = call.arguments.given("detach")
    if detach and made.launched.console >= 0:
        call.containers.delete(call.id)
        raise InvalidArgument("process.terminal is true: --detach needs --console-socket")

    def start() -> None:
        call.log.warnings(call.containers.start(call.id))

    try:
        if detach:
            start()
            return 0
        status = _follow(made.launched, start)
    except BaseException:
        call.containers.delete(call.id, force=True)
        raise
    if not call.arguments.given("keep"):
        call.log.warnings(call.containers.delete(call.id))
    return status


def _exec(call: Call) -> int:
    given = call.arguments
    if given.text("preserve-fds", "0") not in ("", "0"):
        raise Unsupported("--preserve-fds is not supported: a process gets 0, 1 and 2")
    container = call.containers.find(call.id)
    process, warnings = oci_bundle.check_process(_process(given, container))
    call.log.warnings(warnings)
    socket = _absolute(given.text("console-socket"))
    detach = given.given("detach")
    if process.terminal and detach and not socket:
        raise InvalidArgument("a detached terminal needs --console-socket")
    launched = call.containers.execute(call.id, process, _STDIO)
    if process.terminal and socket:
        send_console(launched, socket)

    def start() -> None:
        launched.start()
        if path := given.text("pid-file"):
            write_file(path, str(launched.pid).encode(), durable=False)

    if detach:
        start()
        return 0
    return _follow(launched, start)


def _follow(launched: Launched, start: Callable[[], None]) -> int:
    from minidock.ocicli.foreground import follow  # engines detach

    return follow(launched, start)


def _process(given: Arguments, container: Container) -> Process:
    """Return the process of ``--process``, or the container's own, changed by options."""
    if path := given.text("process"):
        return Process.from_json(load_json(read_file(path), "process"))
    command = given.operands[1:]
    if not command:
        raise UsageError("exec: expected a command, or --process")
    own = container.spec.process
    return own._replace(
        args=command,
        env=(*own.env, *given.texts("env")),
        cwd=given.text("cwd", own.cwd),
        terminal=given.given("tty"),
        user=_user(given, own.user),
        no_new_privileges=own.no_new_privileges or given.given("no-new-privs"),
        oom_score_adj=None,
    )


def _user(given: Arguments, own: User) -> User:
    uid, _, gid = given.text("user").partition(":")
    try:
        groups = tuple(map(int, given.texts("additional-gids"))) or own.additional_gids
        if not uid:
            return own._replace(additional_gids=groups)
        return User(int(uid), int(gid or 0), groups, own.umask)
    except ValueError as e:
        raise UsageError(f"exec: invalid user: {e}") from e


def _kill(call: Call) -> int:
    text = (*call.arguments.operands, "TERM")[1]
    call.containers.kill(call.id, _signal(text), everybody=call.arguments.given("all"))
    return 0


def _signal(text: str) -> int:
    name = text.upper().removeprefix("SIG")
    found = signal.Signals.__members__.get(f"SIG{name}")
    if found is None and not (name.isdecimal() and 0 < int(name) <= signal.SIGRTMAX):
        raise UsageError(f"unknown signal {text!r}")
    return int(name) if found is None else found


def _delete(call: Call) -> int:
    force = call.arguments.given("force")
    try:
        call.log.warnings(call.containers.delete(call.id, force=force))
    except UnknownContainer:
        if not force:
            raise
    return 0


def _state(call: Call) -> int:
    _print_json(call.containers.find(call.id).state())
    return 0


def _pause(call: Call) -> int:
    call.containers.pause(call.id)
    return 0


def _resume(call: Call) -> int:
    call.containers.resume(call.id)
    return 0


def _list(call: Call) -> int:
    found = call.containers.all()
    if call.arguments.given("quiet"):
        for container in found:
            _print(container.record.id)
        return 0
    rows = [_row(container) for container in found]
    if call.arguments.text("format", "table") == "json":
        _print_json(rows)
        return 0
    titles = ("id", "pid", "status", "bundle", "created")
    table = [
        tuple(map(str.upper, titles)),
        *(tuple(str(row[t]) for t in titles) for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        _print("   ".join(padded).rstrip())
    return 0


def _row(container: Container) -> dict[str, Any]:
    from datetime import UTC, datetime  # list alone shows a date

    moment = datetime.fromtimestamp(container.record.created, UTC)
    created = moment.isoformat().replace("+00:00", "Z")
    return container.state() | {"created": created, "owner": "root"}


def _ps(call: Call) -> int:
    pids = call.containers.processes(call.id)
    if call.arguments.text("format", "table") == "json":
        _print_json(pids)
        return 0
    _print("\n".join(["PID", *map(str, pids)]))
    return 0


def _features(_call: Call) -> int:
    from minidock.ocicli.features import features  # for this command alone

    _print_json(features())
    return 0


def _spec(call: Call) -> int:
    from minidock.ocicli.features import example  # for this command alone

    path = os.path.join(call.arguments.text("bundle", "."), oci_bundle.CONFIG)
    if os.path.exists(path):
        raise InvalidArgument(f"{path} exists already")
    write_file(path, json.dumps(example().to_json(), indent=2).encode(), mode=0o644)
    return 0


_BUNDLE = value("bundle", "b")
_PROCESS_OPTIONS = (
    value("pid-file"),
    value("console-socket"),
    value("preserve-fds"),
)
# The session keyring is the container's own whatever is asked: nothing is weaker for it.
_CREATE_OPTIONS = (_BUNDLE, *_PROCESS_OPTIONS, flag("no-new-keyring"), flag("no-pivot"))

COMMANDS: Mapping[str, Command] = {
    "create": Command(_create, _CREATE_OPTIONS),
    "start": Command(_start),
    "state": Command(_state),
    "kill": Command(_kill, (flag("all", "a"),), (1, 2), "a container id and a signal"),
    "delete": Command(_delete, (flag("force", "f"),)),
    "run": Command(_run, (*_CREATE_OPTIONS, flag("detach", "d"), flag("keep"))),
    "exec": Command(
        _exec,
        (
            *_PROCESS_OPTIONS,
            value("process", "p"),
            flag("detach", "d"),
            flag("tty", "t"),
            value("cwd"),
            Option(("env", "e"), many=True),
            value("user", "u"),
            Option(("additional-gids", "g"), many=True),
            flag("no-new-privs"),
        ),
        (1, 0),
        "a container id and a command",
    ),
    "pause": Command(_pause),
    "resume": Command(_resume),
    "list": Command(_list, (flag("quiet", "q"), value("format", "f")), (0, 0), ""),
    "ps": Command(_ps, (value("format", "f"),), (1, 0)),
    "features": Command(_features, (), (0, 0), ""),
    "spec": Command(_spec, (_BUNDLE,), (0, 0), ""),
}
