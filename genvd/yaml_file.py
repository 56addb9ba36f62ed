"""Reading a YAML file that people write: bounded, and what is wrong told in lines with their places."""

from __future__ import annotations

import errno
import logging
import traceback
from typing import TYPE_CHECKING

from genvd import regular_file
from genvd.regular_file import UnfitFileError
from genvd.yaml_text import YamlProblemError, decode, tree

if TYPE_CHECKING:
    from pathlib import Path

    import yaml

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024
"""Of the file. The commented sample has about two thousand, and reading a megabyte of YAML takes many seconds."""

_NULL_TAG = "tag:yaml.org,2002:null"


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
        return tree(decode(regular_file.content(path, MAX_BYTES, or_device=True)))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}; {_way_out(error)}"]) from None
    except YamlProblemError as error:
        raise ConfigError([f"{path}:{error.line}: {error}"]) from None
    except UnfitFileError as error:
        raise ConfigError([f"{path}: {error}; expected a YAML file with a configuration"]) from None


def is_null(node: yaml.Node | None) -> bool:
    """Tell whether nothing is said."""
    return node is None or bool(node.tag == _NULL_TAG)


def nearest(key: str, known: list[str]) -> str:
    """Return what somebody who wrote an unknown key may have meant."""
    import difflib  # only for what is wrong

    close = difflib.get_close_matches(key[:100], known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"


def _way_out(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "see who may read it, and the directories above it"
    return "expected a YAML file that is there"
