"""Parses a YAML configuration file of limited size, and reports each problem in one line with its position."""

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
"""Maximum size of the file. The commented sample has 10 KiB, and PyYAML takes many seconds for a megabyte."""

_NAMES = re.compile(r"(alias|anchor|tag handle) '.*'", re.DOTALL)
"""Matches names from the file in error messages of PyYAML."""

STR_TAG, _NULL_TAG = "tag:yaml.org,2002:str", "tag:yaml.org,2002:null"

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


class _Loader(yaml.SafeLoader):
    """A loader that leaves the type of untagged scalars to its caller: they are all tagged as strings.

    ``!!str null`` gets the style of a quoted scalar, because :func:`is_null` would take it for null otherwise.
    """

    yaml_implicit_resolvers: ClassVar[Any] = {}  # type: ignore[misc]

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        tagged = self.peek_event().tag is not None  # type: ignore[no-untyped-call]
        node: yaml.ScalarNode = super().compose_scalar_node(anchor)
        if tagged and node.tag == STR_TAG:
            node.style = "'"
        return node


class _YamlError(Exception):
    """The text is not valid YAML."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


class ConfigError(Exception):
    """The configuration cannot be used. Each problem is one line: the position, the key, what is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def describe_unexpected(path: Path | str, error: Exception) -> str:
    """Return one line about an unexpected exception while a file was read, and log its traceback.

    The message of the exception is left out, because it may contain secrets from the file.
    """
    where = "".join(traceback.format_tb(error.__traceback__))
    log.debug("%s: %s\n%s", path, type(error).__name__, where)
    return f"{path}: cannot be used: {type(error).__name__}; --log-level debug shows where, please report it"


def compose(path: Path) -> yaml.Node | None:
    """Return the root node of the YAML document in a file, None if the document is empty.

    Raises:
        ConfigError: the file cannot be read, or is not valid YAML.
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
    """Return the text of a file; raise _YamlError if it is not UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _YamlError(line, "is not valid YAML: not UTF-8 text") from None


def _tree(text: str) -> yaml.Node | None:
    """Return the root node; None for an empty document.

    Raises:
        _YamlError: the text is not valid YAML, has more than one document, or is nested too deeply.
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
        raise _YamlError(loader.line + 1, "is nested too deeply") from None
    except (yaml.YAMLError, ValueError, OverflowError):  # PyYAML does not check the range of numbers and escapes
        problem = "is not valid YAML: a number or an escape is out of range"
        raise _YamlError(loader.line + 1, problem) from None
    except Exception as error:  # PyYAML raises exceptions of many types for unexpected text
        problem = f"is not valid YAML: PyYAML cannot read it ({type(error).__name__})"
        raise _YamlError(loader.line + 1, problem) from None
    return node


def _without_names(problem: str | None) -> str:
    """Return a message of PyYAML without names from the file: a password that begins with * looks like an alias."""
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
    """Return a hint that names the known key most similar to an unknown one, or all known keys."""
    import difflib  # only needed for problems

    close = difflib.get_close_matches(key[:100], known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"


def _hint(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "see who may read it, and the directories above it"
    return "expected an existing YAML file"
