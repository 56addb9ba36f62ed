"""Reading a YAML file that people write: bounded, and what is wrong told in lines with their places."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from genvd.yaml_text import YamlProblemError, decode, tree

if TYPE_CHECKING:
    from pathlib import Path

    import yaml

MAX_BYTES = 64 * 1024
"""Of the file. The commented sample has about two thousand, and reading a megabyte of YAML takes many seconds."""

_NULL_TAG = "tag:yaml.org,2002:null"


class ConfigError(Exception):
    """The configuration cannot be used. Each problem is a line: the place, the key, what is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def compose(path: Path) -> yaml.Node | None:
    """Return the tree of the one YAML document in a file, None if there is nothing in it.

    Raises:
        ConfigError: the file cannot be read, or is no YAML.
    """
    try:
        return tree(decode(_content(path)))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}; {_way_out(error)}"]) from None
    except YamlProblemError as error:
        raise ConfigError([f"{path}:{error.line}: {error}"]) from None
    except NoFileError as error:
        raise ConfigError([f"{path}: {error}"]) from None


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


class NoFileError(Exception):
    """What is at the path is no file that can be read as configuration."""


def _content(path: Path) -> bytes:
    """Return what is in a file of at most :data:`MAX_BYTES`; raise OSError or :class:`NoFileError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISCHR(mode):  # /dev/null is how people say: no file
            raise NoFileError("is no regular file; expected a YAML file")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise NoFileError(f"is larger than {MAX_BYTES} bytes; expected a configuration")
    return content
