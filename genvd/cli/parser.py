"""The parser of the command line: argparse, with options before the command as well as after it.

argparse takes the options of a command only after it. So a first parser, which knows the options of all commands,
takes the line apart, and the parser of the program gets it with the command first.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NoReturn

from genvd.common.output import EXIT_USAGE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

FILE = "FILE"
"""Stands for the argument of ``check``, which is no option."""

PID = "PID"
"""The same of ``reload``."""


class Parser(argparse.ArgumentParser):
    """Options are never abbreviated, and those that are not given leave no trace, so that a file can say them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False, argument_default=argparse.SUPPRESS)
        self.exclusive: dict[str, tuple[str, ...]] = {}
        """By the long names of options: which others do not go together with it. Within a group of argparse's own no
        two options go together, whereas some of these others do."""

    @property
    def options(self) -> tuple[argparse.Action, ...]:
        """The options; the last name of each is its long one."""
        return tuple(action for action in self._actions if action.option_strings)

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong, and end."""
        self.exit(EXIT_USAGE, f"{self.prog}: error: {message}; see {self.prog} --help\n")

    def refuse_unfit(self, command: str, given: Collection[str]) -> None:
        """End if the command does not have one of the options, or if two of them do not go together.

        Args:
            command: that this parser is for.
            given: the long names of the options, and :data:`FILE`.
        """
        for name in given:
            if name not in (FILE, *(option.option_strings[-1] for option in self.options)):
                self.error(f"{command} does not support {name}; leave it out")
            for other in self.exclusive.get(name, ()):
                if other in given:
                    self.error(f"{name} and {other} do not go together; leave one of them out")


class _Record(argparse.Action):
    """Appends an option to ``given``: its long name, and its value if it has one."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, option: str | None = None
    ) -> None:
        if self.nargs == "?" and value in namespace.commands:  # its value was left out: "--demo top"
            namespace.more_words.append(value)
            value = None
        namespace.given.append((self.option_strings[-1], value if isinstance(value, str) else None))


def parse(
    parser: Parser, commands: Mapping[str, Parser], arguments: Sequence[str], default: str = "run"
) -> argparse.Namespace:
    """Return what was given, wherever it stands; end if it is wrong.

    Args:
        parser: of the program, with the commands as its subparsers.
        commands: their parsers by name.
        arguments: those after the program's name.
        default: the command that is meant where there is none; the program's parser has its options too.
    """
    words, given, unknown = _take_apart(parser, commands, arguments)
    command, wanted = (words[0], commands.get(words[0], parser)) if words else (default, parser)
    if unknown:
        wanted.error(f"unrecognized arguments: {' '.join(unknown)}")
    if command in commands:
        wanted.refuse_unfit(command, [*(name for name, _ in given), *(FILE for _ in words[1:])])
    options = [name if value is None else f"{name}={value}" for name, value in given]
    return parser.parse_args([*words[:1], *options, *(("--", *words[1:]) if words[1:] else ())])


def _take_apart(
    parser: Parser, commands: Mapping[str, Parser], arguments: Sequence[str]
) -> tuple[list[str], list[tuple[str, str | None]], list[str]]:
    """Return the words that are neither options nor their values, the options, and what is unknown."""
    first = Parser(prog=parser.prog, add_help=False)
    every = {tuple(action.option_strings): action for one in commands.values() for action in one.options}
    for names, action in every.items():
        first.add_argument(*names, nargs=action.nargs, action=_Record)
    first.add_argument("words", nargs="*", default=[])
    empty = argparse.Namespace(commands=commands, given=[], more_words=[])
    found, unknown = first.parse_known_intermixed_args(arguments, empty)
    return [*found.words, *found.more_words], found.given, unknown
