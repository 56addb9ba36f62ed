"""The command line as people write it: options before the command or after it, and each only where it means something.

argparse takes the options of a command after it only, and says of an option of another command that it is unknown. So
the command is put first before argparse sees the line.
"""

from __future__ import annotations

import argparse
import re
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

from genvd.exit_status import WRONG

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

_OPTION = re.compile("-[^0-9]")

FILE = "FILE"
"""Stands for a word that is neither a command nor an option or its value."""

PID = "PID"
"""The same, of the command that takes the number of a process."""


class Parser(argparse.ArgumentParser):
    """Options are never abbreviated, and those that are not given leave no trace, so that a file can say them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False, argument_default=argparse.SUPPRESS)
        self.exclusive: dict[str, tuple[str, ...]] = {}
        """Of a long option, what does not go together with it: other long options or :data:`FILE`."""

    @property
    def options(self) -> dict[str, argparse.Action]:
        """The options by each of their names, such as ``-p`` and ``--port``."""
        return self._option_string_actions

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong, and end."""
        self.exit(WRONG, f"{self.prog}: error: {message}; see {self.prog} --help\n")

    def refuse_exclusive(self, given: Collection[str]) -> None:
        """End if two of the options that were given do not go together."""
        long = {self.options[name].option_strings[-1] if name in self.options else name for name in given}
        for name, others in self.exclusive.items():
            for other in others:
                if {name, other} <= long:
                    self.error(f"{name} and {other} do not go together; leave one of them out")


def parse(
    parser: Parser, commands: dict[str, Parser], arguments: Sequence[str], default: str = "run"
) -> argparse.Namespace:
    """Return what was given, wherever it stands; end if it is wrong.

    Args:
        parser: of the program, with the commands as its subparsers.
        commands: their parsers by name.
        arguments: those after the program's name.
        default: the command that is meant where there is none; the program's parser has its options too.
    """
    groups = list(_groups(arguments, commands))
    words = [group for group in groups if not group[0].startswith("-")]
    rest = [group for group in groups if group is not words[0]] if words else groups
    name = words[0][0] if words else default
    wanted = commands.get(name, parser) if words else parser
    if name in commands:
        given = [_named(group) for group in rest]
        _refuse_of_others(wanted, name, commands, given)
        wanted.refuse_exclusive(given)
    options, unknown = parser.parse_known_args([word for group in (*words[:1], *rest) for word in group])
    if unknown:
        wanted.error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


def _refuse_of_others(wanted: Parser, command: str, commands: dict[str, Parser], given: Collection[str]) -> None:
    for name in given:
        others = [other for other, parser in commands.items() if name in parser.options]
        if others and command not in others:
            told = " and ".join(filter(None, (", ".join(others[:-1]), others[-1])))
            wanted.error(f"{name} means nothing to {command}, only to {told}; leave it out")


def _groups(arguments: Sequence[str], commands: dict[str, Parser]) -> Iterator[list[str]]:
    """Return the words of the line, each option together with its value."""
    options = {name: action for parser in commands.values() for name, action in parser.options.items()}
    left = deque(arguments)
    while left:
        word = left.popleft()
        nargs = options[word].nargs if word in options else 0
        if word == "--":
            yield [word, *left]
            return
        if nargs == "?":  # its value may be left out, and a command is none
            has_value = left and not _OPTION.match(left[0]) and left[0] not in commands
            yield [word, left.popleft()] if has_value else [f"{word}={options[word].const}"]
        else:
            yield [word, left.popleft()] if nargs is None and left else [word]


def _named(group: list[str]) -> str:
    """Return the name of the option, as it was written, or :data:`FILE`."""
    word = group[0]
    if not word.startswith("-") or (word == "--" and len(group) > 1):
        return FILE
    return word.partition("=")[0] if word.startswith("--") else word[:2]
