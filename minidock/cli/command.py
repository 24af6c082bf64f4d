# SPDX-License-Identifier: Apache-2.0
"""What the words of a command line name: a verb, which counts its arguments, or a group."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from minidock.cli.failures import (
    ArgumentError,
    CommandFailed,
    FlagError,
    StdoutClosed,
    UsageError,
)
from minidock.cli.flags import Flag, Given, HelpRequested, declared, parse
from minidock.cli.help import flag_table, usage_line
from minidock.cli.output import err, out
from minidock.cli.session import Session

Arity = tuple[int, int | None]


class Command(ABC):
    """A verb or a group of verbs.

    Attributes:
        help: what it does.
        usage: what follows the name in the usage line, ``[OPTIONS] CONTAINER``.
        flags: its flags.
        interspersed: flags may follow arguments.
    """

    def __init__(
        self, help: str, usage: str, flags: tuple[Flag, ...], *, interspersed: bool
    ) -> None:
        self.help = help
        self.usage = usage
        self.flags = flags
        self.interspersed = interspersed

    def run(self, session: Session, path: str, words: Sequence[str]) -> int:
        """Do what `words` ask for, or show the help; return the exit status.

        `path` is the command's full name, ``minidock container run``.

        Raises:
            UsageError: the words can't be meant.
            CommandFailed: what they ask for failed.
        """
        try:
            given = parse(words, self.flags, interspersed=self.interspersed)
        except FlagError as e:
            raise e.at(path, self.usage_line(path)) from e.__cause__
        except HelpRequested as e:
            if e.flag == "-h":
                err("Flag shorthand -h has been deprecated, use --help")
            out(self.help_text(path))
            return 0
        return self.act(session, path, given)

    def usage_line(self, path: str) -> str:
        """Return the line that shows how it is called."""
        return usage_line(path, self.usage)

    @abstractmethod
    def act(self, session: Session, path: str, given: Given) -> int:
        """Do what was understood; `run` has the rest."""

    @abstractmethod
    def help_text(self, path: str) -> str:
        """Return the help text."""


class Verb(Command):
    """A command that does something.

    Attributes:
        arity: the least and the greatest number of arguments; None means no limit.
        aliases: all full names without the program's, ``container rm``.
        starts: the verb starts a container: its failures have the exit status 125.
        epilog: what the help says at its end.
    """

    def __init__(
        self,
        function: Callable[..., int | None],
        help: str,
        usage: str,
        arity: Arity,
        aliases: tuple[str, ...],
        *,
        interspersed: bool,
        starts: bool,
        epilog: str,
    ) -> None:
        super().__init__(help, usage, declared(function), interspersed=interspersed)
        self._function = function
        self.arity = arity
        self.aliases = aliases
        self.starts = starts
        self.epilog = epilog

    def act(self, session: Session, path: str, given: Given) -> int:
        """Call the function; raise ArgumentError or CommandFailed."""
        self._check_arity(path, len(given.arguments))
        try:
            status = self._function(session, arguments=given.arguments, **given.flags)
        except (UsageError, StdoutClosed):
            raise
        except Exception as e:
            raise CommandFailed(path, starts=self.starts) from e
        return status or 0

    def _check_arity(self, path: str, count: int) -> None:
        least, most = self.arity
        if count < least or (most is not None and count > most):
            error = ArgumentError(f"minidock: '{path}' {_requirement(least, most)}")
            raise error.at(path, self.usage_line(path))

    def help_text(self, path: str) -> str:
        """Return the usage, the aliases and the flags."""
        parts = [self.usage_line(path), self.help]
        if len(self.aliases) > 1:
            program = path.partition(" ")[0]
            names = ", ".join(f"{program} {alias}" for alias in self.aliases)
            parts.append(f"Aliases:\n  {names}")
        parts += flag_table("Options", self.flags)
        if self.epilog:
            parts.append(self.epilog)
        return "\n\n".join(parts)


def _requirement(least: int, most: int | None) -> str:
    if most == 0:
        return "accepts no arguments"
    bound, number = "", least
    if most is None:
        bound = "at least "
    elif most != least:
        bound, number = f"at least {least} and at most " if least else "at most ", most
    return f"requires {bound}{number} argument{'' if number == 1 else 's'}"


def command(
    help: str,
    usage: str,
    arity: Arity,
    *aliases: str,
    interspersed: bool = True,
    starts: bool = False,
    epilog: str = "",
) -> Callable[[Callable[..., int | None]], Verb]:
    """Return a decorator that makes a Verb; see there for the arguments.

    The function is called with the session, the arguments of the command line as the tuple
    ``arguments``, and a keyword argument for each flag; it returns the exit status, None for 0.
    """

    def decorate(function: Callable[..., int | None]) -> Verb:
        return Verb(
            function,
            help,
            usage,
            arity,
            aliases,
            interspersed=interspersed,
            starts=starts,
            epilog=epilog,
        )

    return decorate
