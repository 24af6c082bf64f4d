# SPDX-License-Identifier: Apache-2.0
"""``completion``: click's, for a command tree of click's that is made of our declarations.

The script that a shell reads calls the program with `VARIABLE` set. Then nothing is done but to
answer what may follow the words that have been typed.
"""

import re
from collections.abc import Callable

import click
from click.shell_completion import CompletionItem, get_completion_class

from minidock.cli.command import Command, Verb, command
from minidock.cli.commands import PROGRAM, VARIABLE, root
from minidock.cli.flags import Flag
from minidock.cli.group import Group
from minidock.cli.output import out
from minidock.cli.session import Session
from minidock.engine.options import ListContainers, ListImages
from minidock.errors import MinidockError

Item = CompletionItem


def _script(shell: str) -> Verb:
    @command(f"Generate the autocompletion script for {shell}", "", (0, 0))
    def print_script(session: Session, /, arguments: tuple[str, ...]) -> None:
        """Print the script, for the shell to read at its start."""
        del arguments
        kind = get_completion_class(shell)
        assert kind is not None
        out(kind(_command(root), {"obj": session}, PROGRAM, VARIABLE).source().rstrip())

    return print_script


bash = _script("bash")
fish = _script("fish")
zsh = _script("zsh")


def complete(session: Session, instruction: str) -> int:
    """Print what may come next, as the script of ``bash_complete``'s shell reads it.

    Returns:
        The exit status, 1 for an instruction that is none.
    """
    shell, _, action = instruction.partition("_")
    kind = get_completion_class(shell)
    if kind is None or action != "complete":
        return 1
    out(kind(_command(root), {"obj": session}, PROGRAM, VARIABLE).complete())
    return 0


def _command(ours: Command) -> click.Command:
    """Return a command of click's that is completed as `ours`."""
    if isinstance(ours, Group):
        return _ClickGroup(ours)
    params: list[click.Parameter] = [_option(flag) for flag in ours.flags]
    arguments = click.Argument(["arguments"], nargs=-1, shell_complete=_arguments(ours.usage))
    return click.Command(
        None,
        params=[*params, arguments],
        context_settings={"allow_interspersed_args": ours.interspersed},
    )


class _ClickGroup(click.Group):
    """A group of click's whose commands are made when they are named."""

    def __init__(self, ours: Group) -> None:
        super().__init__(params=[_option(flag) for flag in ours.flags])
        self._table = ours.table

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return the command that `cmd_name` names."""
        entry = self._table.get(cmd_name)
        return entry and _command(entry.load())

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Item]:
        """Return the flags or the commands that begin so; aliases are not offered."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [
            Item(name, help=entry.help)
            for name, entry in self._table.items()
            if entry.section and name.startswith(incomplete)
        ]


def _option(flag: Flag) -> click.Option:
    return click.Option(
        [*flag.spellings, flag.parameter],
        is_flag=flag.alone is not None,
        multiple=flag.repeated,
        type=click.Path() if "file" in flag.long else None,
        help=flag.help,
        hidden=flag.hidden,
    )


def _arguments(usage: str) -> Callable[[click.Context, click.Parameter, str], list[Item]]:
    """Return what completes the arguments of a command with the usage line `usage`."""
    places = [word for word in usage.split() if word != "[OPTIONS]"]

    def items(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
        index = len(ctx.params.get(str(param.name)) or ())
        if index >= len(places) and places and "..." in places[-1]:
            index = len(places) - 1
        if index >= len(places):
            return []
        settings = ctx.find_root().params
        session: Session = ctx.obj
        session.root, session.config_file = settings["root"] or "", settings["config"] or ""
        return _items(session, places[index], incomplete)

    return items


def _items(session: Session, place: str, incomplete: str) -> list[Item]:
    """Return what may stand in a place of a usage line, ``CONTAINER`` or ``[IMAGE...]``."""
    kind = re.split("[^A-Z_]", place.lstrip("["))[0]
    if kind.endswith("PATH"):
        return [Item(incomplete, type="file")]
    look_up = _NAMED.get(kind)
    try:
        names = look_up(session) if look_up else []
    except (MinidockError, OSError):
        return []  # there is nobody to tell
    return [Item(name) for name in names if name.startswith(incomplete)]


def _containers(session: Session) -> list[str]:
    return [view.name for view in session.engine.containers.list(ListContainers(all=True))]


def _images(session: Session) -> list[str]:
    views = session.engine.images.list(ListImages())
    return [f"{view.repository}:{view.tag}" for view in views if view.tag]


def _objects(session: Session) -> list[str]:
    return [*_containers(session), *_images(session)]


_NAMED: dict[str, Callable[[Session], list[str]]] = {
    "CONTAINER": _containers,
    "IMAGE": _images,
    "NAME": _objects,
    "REPOSITORY": _images,
    "SOURCE_IMAGE": _images,
    "TARGET_IMAGE": _images,
}
