# SPDX-License-Identifier: Apache-2.0
"""A click command that parses, counts its arguments, and shows its help as docker does."""

from collections.abc import Callable
from typing import Any

import click

from minidock.cli.failures import ArgumentError, CommandFailed, FlagError, StdoutClosed
from minidock.cli.flags import HelpRequested, Normalised, normalise
from minidock.cli.help import command_help, usage_line
from minidock.cli.output import err, out


class Command(click.Command):
    """One verb.

    Attributes:
        usage: what follows the name in the usage line, ``[OPTIONS] CONTAINER``.
        arity: the least and the greatest number of arguments; None means no limit.
        aliases: all full names without the program's, ``container rm``.
        interspersed: flags may follow arguments.
        starts: the verb starts a container: its failures have the exit status 125.
    """

    def __init__(
        self,
        *args: Any,
        usage: str = "",
        arity: tuple[int, int | None] = (0, 0),
        aliases: tuple[str, ...] = (),
        interspersed: bool = True,
        starts: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.usage = usage
        self.arity = arity
        self.aliases = aliases
        self.interspersed = interspersed
        self.starts = starts

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words after the command's name, or show the help."""
        words = parse_words(self, ctx, args, interspersed=self.interspersed)
        rest = super().parse_args(ctx, [*words.flags, "--", *words.arguments])
        self._check_arity(ctx, len(words.arguments))
        return rest

    def _check_arity(self, ctx: click.Context, count: int) -> None:
        least, most = self.arity
        if count < least or (most is not None and count > most):
            raise ArgumentError(
                f"minidock: '{ctx.command_path}' {_requirement(least, most)}", ctx
            )

    def invoke(self, ctx: click.Context) -> int:
        """Run the verb and return its exit status; raise CommandFailed."""
        try:
            status = super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, StdoutClosed):
            raise
        except Exception as e:
            raise CommandFailed(ctx.command_path, starts=self.starts) from e
        return status if isinstance(status, int) else 0

    def get_help(self, ctx: click.Context) -> str:
        """Return the help text."""
        return command_help(self, ctx.command_path, self.usage, self.aliases)


def _requirement(least: int, most: int | None) -> str:
    if most == 0:
        return "accepts no arguments"
    bound, number = "", least
    if most is None:
        bound = "at least "
    elif most != least:
        bound, number = f"at least {least} and at most " if least else "at most ", most
    return f"requires {bound}{number} argument{'' if number == 1 else 's'}"


def parse_words(
    command: click.Command, ctx: click.Context, words: list[str], *, interspersed: bool
) -> Normalised:
    """Return `words` in normal form; a request for help is answered and ends the program."""
    options = {
        spelling: param
        for param in command.get_params(ctx)
        if isinstance(param, click.Option)
        for spelling in param.opts
    }
    try:
        return normalise(words, options, interspersed=interspersed)
    except FlagError as e:
        e.ctx = ctx
        raise
    except HelpRequested as e:
        if e.flag == "-h":
            err("Flag shorthand -h has been deprecated, use --help")
        out(command.get_help(ctx))
        ctx.exit(0)


def usage_of(ctx: click.Context) -> str:
    """Return the usage line of the command that `ctx` is for."""
    usage = getattr(ctx.command, "usage", "")
    return usage_line(ctx.command_path, usage)


def command(
    help: str,
    usage: str,
    arity: tuple[int, int | None],
    *aliases: str,
    interspersed: bool = True,
    starts: bool = False,
    epilog: str = "",
) -> Callable[[Callable[..., Any]], Command]:
    """Return a decorator that makes a Command; see there for the arguments.

    The arguments of the command line come as one tuple, the parameter ``arguments``.
    """

    def decorate(function: Callable[..., Any]) -> Command:
        return click.command(
            cls=Command,
            add_help_option=False,
            help=help,
            epilog=epilog,
            usage=usage,
            arity=arity,
            aliases=aliases,
            interspersed=interspersed,
            starts=starts,
        )(click.argument("arguments", nargs=-1, type=click.UNPROCESSED)(function))

    return decorate
