"""Parses the command line with argparse. Options of a command may also be given before it.

argparse accepts the options of a command only after it. Therefore a first parser, which knows all options, splits the
command line, and the parser of the program gets the command first.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NoReturn

from genvd.common.output import EXIT_USAGE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

FILE, PID = "FILE", "PID"
"""Names of the positional arguments of ``check`` and ``reload``."""


class Parser(argparse.ArgumentParser):
    """A parser without abbreviated options. Options that are not given are not set, so the file can set them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False, argument_default=argparse.SUPPRESS)
        self.exclusive: dict[str, tuple[str, ...]] = {}
        """For the long name of an option, the options that cannot be used with it. In a group of argparse, no two
        options could be combined; here some of the others can."""

    @property
    def options(self) -> tuple[argparse.Action, ...]:
        """The options. The last name of each is its long name."""
        return tuple(action for action in self._actions if action.option_strings)

    def error(self, message: str) -> NoReturn:
        """Print the error in one line, and exit."""
        self.exit(EXIT_USAGE, f"{self.prog}: error: {message}; see {self.prog} --help\n")

    def check_options(self, command: str, given: Collection[str]) -> None:
        """Exit with an error if the command does not have an option, or if two options exclude each other.

        Args:
            command: the command of this parser.
            given: the long names of the given options, and :data:`FILE`.
        """
        for name in given:
            if name not in (FILE, *(option.option_strings[-1] for option in self.options)):
                self.error(f"{command} does not support {name}; leave it out")
            for other in self.exclusive.get(name, ()):
                if other in given:
                    self.error(f"{name} cannot be used with {other}; leave one of them out")


class _Record(argparse.Action):
    """Appends the long name of an option and its value, or None, to ``given``."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, option: str | None = None
    ) -> None:
        if self.nargs == "?" and value in namespace.commands:  # a command instead of a value: "--demo top"
            namespace.more_words.append(value)
            value = None
        namespace.given.append((self.option_strings[-1], value if isinstance(value, str) else None))


def parse(
    parser: Parser, commands: Mapping[str, Parser], arguments: Sequence[str], default: str = "run"
) -> argparse.Namespace:
    """Return the parsed arguments, or exit with an error.

    Args:
        parser: the parser of the program, with the commands as its subparsers.
        commands: the parsers of the commands by name.
        arguments: the arguments after the program name.
        default: the command if none is given. ``parser`` also has the options of this command.
    """
    words, given, unknown = _split(parser, commands, arguments)
    command, command_parser = (words[0], commands.get(words[0], parser)) if words else (default, parser)
    if unknown:
        command_parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if command in commands:
        command_parser.check_options(command, [*(name for name, _ in given), *(FILE for _ in words[1:])])
    options = [name if value is None else f"{name}={value}" for name, value in given]
    return parser.parse_args([*words[:1], *options, *(("--", *words[1:]) if words[1:] else ())])


def _split(
    parser: Parser, commands: Mapping[str, Parser], arguments: Sequence[str]
) -> tuple[list[str], list[tuple[str, str | None]], list[str]]:
    """Return the positional words, the options, and the unknown arguments."""
    splitter = Parser(prog=parser.prog, add_help=False)
    options = {
        tuple(action.option_strings): action
        for command_parser in commands.values()
        for action in command_parser.options
    }
    for names, action in options.items():
        splitter.add_argument(*names, nargs=action.nargs, action=_Record)
    splitter.add_argument("words", nargs="*", default=[])
    empty = argparse.Namespace(commands=commands, given=[], more_words=[])
    found, unknown = splitter.parse_known_intermixed_args(arguments, empty)
    return [*found.words, *found.more_words], found.given, unknown
