"""YAML text -> the tree of its one document. Whatever is wrong with the text is told with its line."""

from __future__ import annotations

import re

import yaml

_NAMES = re.compile(r"(alias|anchor|tag handle) '.*'", re.DOTALL)


class YamlProblemError(Exception):
    """The text is no YAML."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


def decode(content: bytes) -> str:
    """Return the text of a file.

    Raises:
        YamlProblemError: it is not UTF-8.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise YamlProblemError(line, "is not valid YAML: is not UTF-8 text") from None


def tree(text: str) -> yaml.Node | None:
    """Return the tree; None for an empty document.

    Raises:
        YamlProblemError: it is no YAML, or more than one document, or nested too deep.
    """
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        reason = f"unacceptable character {chr(error.character)!a}"
        raise YamlProblemError(_line(text, error.position), f"is not valid YAML: {reason}") from None
    try:
        node: yaml.Node | None = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line if mark else loader.line
        raise YamlProblemError(line + 1, f"is not valid YAML: {_harmless(error.problem or error.context)}") from None
    except RecursionError:
        raise YamlProblemError(loader.line + 1, "is nested too deep") from None
    except (yaml.YAMLError, ValueError, OverflowError):  # PyYAML checks no bounds of what it makes of digits
        problem = "is not valid YAML: a number or an escape is out of range"
        raise YamlProblemError(loader.line + 1, problem) from None
    except Exception as error:  # PyYAML raises whatever its code meets in a text that it does not expect
        problem = f"is not valid YAML: PyYAML cannot read it ({type(error).__name__})"
        raise YamlProblemError(loader.line + 1, problem) from None
    return node


def _harmless(problem: str | None) -> str:
    """Return what PyYAML says is wrong, without names from the file: a password that begins with * looks like one."""
    return _NAMES.sub(r"\1", problem or "cannot be read")


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
