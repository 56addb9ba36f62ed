"""Reading a YAML file that people write: bounded, and what is wrong told in lines with their places."""

from __future__ import annotations

import errno
import logging
import re
import traceback
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from genvd.common import files
from genvd.common.files import UnsuitableFileError

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024
"""Of the file. The commented sample has about two thousand, and reading a megabyte of YAML takes many seconds."""

_NAMES = re.compile(r"(alias|anchor|tag handle) '.*'", re.DOTALL)
"""In what PyYAML says is wrong: names that the file gives."""

STR_TAG, _NULL_TAG = "tag:yaml.org,2002:str", "tag:yaml.org,2002:null"

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


class _Loader(yaml.SafeLoader):
    """Gives each scalar without a tag the tag of a string: what it means depends on where it is.

    A plain scalar that is tagged as a string counts as quoted, so that it can be told from one without a tag.
    """

    yaml_implicit_resolvers: ClassVar[Any] = {}  # type: ignore[misc]

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        tagged = self.peek_event().tag is not None  # type: ignore[no-untyped-call]
        node: yaml.ScalarNode = super().compose_scalar_node(anchor)
        if tagged and node.tag == STR_TAG:
            node.style = "'"
        return node


class _YamlError(Exception):
    """The text is no YAML."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


class ConfigError(Exception):
    """The configuration cannot be used. Each problem is a line: the place, the key, what is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def unexpected(path: Path | str, error: Exception) -> str:
    """Return in one line that an error that nobody thought of keeps a file from being used; log where it arose.

    What the error says is not shown: it may have a part of the file in it, which can be secret.
    """
    where = "".join(traceback.format_tb(error.__traceback__))
    log.debug("%s: %s\n%s", path, type(error).__name__, where)
    return f"{path}: cannot be used: {type(error).__name__}; --log-level debug shows where, please report it"


def compose(path: Path) -> yaml.Node | None:
    """Return the tree of the one YAML document in a file, None if there is nothing in it.

    Raises:
        ConfigError: the file cannot be read, or is no YAML.
    """
    try:
        return _tree(_decode(files.read_file(path, MAX_BYTES, allow_device=True)))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}; {_hint(error)}"]) from None
    except _YamlError as error:
        raise ConfigError([f"{path}:{error.line}: {error}"]) from None
    except UnsuitableFileError as error:
        raise ConfigError([f"{path}: {error}; expected a YAML file with a configuration"]) from None


def _decode(content: bytes) -> str:
    """Return the text of a file.

    Raises:
        _YamlError: it is not UTF-8.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _YamlError(line, "is not valid YAML: is not UTF-8 text") from None


def _tree(text: str) -> yaml.Node | None:
    """Return the tree; None for an empty document.

    Raises:
        _YamlError: it is no YAML, or more than one document, or nested too deep.
    """
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        reason = f"unacceptable character {chr(error.character)!a}"
        raise _YamlError(_line_number(text, error.position), f"is not valid YAML: {reason}") from None
    try:
        node: yaml.Node | None = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line if mark else loader.line
        raise _YamlError(line + 1, f"is not valid YAML: {_without_names(error.problem or error.context)}") from None
    except RecursionError:
        raise _YamlError(loader.line + 1, "is nested too deep") from None
    except (yaml.YAMLError, ValueError, OverflowError):  # PyYAML checks no bounds of what it makes of digits
        problem = "is not valid YAML: a number or an escape is out of range"
        raise _YamlError(loader.line + 1, problem) from None
    except Exception as error:  # PyYAML raises whatever its code meets in a text that it does not expect
        problem = f"is not valid YAML: PyYAML cannot read it ({type(error).__name__})"
        raise _YamlError(loader.line + 1, problem) from None
    return node


def _without_names(problem: str | None) -> str:
    """Return what PyYAML says is wrong, without names from the file: a password that begins with * looks like one."""
    return _NAMES.sub(r"\1", problem or "cannot be read")


def _line_number(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def is_null(node: yaml.Node | None) -> bool:
    """Return whether a node is null, or missing."""
    if node is None:
        return True
    if not isinstance(node, yaml.ScalarNode) or node.value not in _NULLS:
        return False
    return bool(node.tag == _NULL_TAG or (node.tag == STR_TAG and node.style is None))


def suggest_key(key: str, known: list[str]) -> str:
    """Return what somebody who wrote an unknown key may have meant."""
    import difflib  # only for what is wrong

    close = difflib.get_close_matches(key[:100], known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"


def _hint(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "see who may read it, and the directories above it"
    return "expected a YAML file that is there"
