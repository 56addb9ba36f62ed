"""Reads the files that the section ``notify`` names and the monitor itself needs: addresses of users, and texts."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from genvd.common import files
from genvd.common.text import MAX_TEXT, clean
from genvd.config.mail import ADDRESS
from genvd.config.yaml_reader import ConfigError, suggest_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from genvd.config.schema import Config

TEXTS = (
    "genv.user.subject",
    "genv.user.text",
    "genv.user.advice",
    "genv.page",
    "genv.admin.subject",
    "genv.admin.text",
    "genv.chat.title",
    "genv.chat.text",
)
"""The templates that ``notify.texts_file`` may replace."""

PARTS = (
    "genv.user.address",
    "genv.name",
    "genv.machine",
    "genv.this_machine",
    "genv.where",
    "genv.gpus",
    "genv.environment",
    "genv.contact",
    "genv.repeat",
    "genv.escalation",
    "genv.chat.plain",
)
"""The other templates, which texts may use."""

_MAX_TEXTS_BYTES = 64 * 1024
_MAX_ADDRESSES_BYTES = 1024 * 1024
_MAX_PROBLEMS = 20
"""Problems of one file that are reported."""

_DEFINE = re.compile(r"\{\{-?\s*(?:define|block)\s+[\"`]([^\"`]*)[\"`]")
_USE = re.compile(r"\{\{-?\s*template\s+[\"`]([^\"`]*)[\"`]")
_OF_ALERTMANAGER = re.compile(r"__.*|.+\.default\..+")
"""Matches the names of Alertmanager's own templates."""


class NotifyFiles(NamedTuple):
    """What the files contain."""

    addresses: Mapping[str, str] = MappingProxyType({})
    """The mail address of each user, if ``notify.user_address`` is a file."""
    texts: str = ""
    """Templates that replace others."""


def read_notify_files(config: Config) -> NotifyFiles:
    """Return the content of the files that the configuration names.

    Raises:
        ConfigError: a file cannot be read, or contains a problem.
    """
    source = config.notify_user_address
    addresses = {} if isinstance(source, str) else _addresses(source)
    return NotifyFiles(addresses, _texts(config.notify_texts_file) if config.notify_texts_file else "")


def _addresses(path: Path) -> dict[str, str]:
    """Return the addresses of a file with a line ``name: address`` for each user; ``#`` begins a comment."""
    found: dict[str, str] = {}
    problems = []
    for number, line in enumerate(_read(path, _MAX_ADDRESSES_BYTES, "lines such as alice: alice@example.org"), 1):
        try:
            if line.strip() and not line.lstrip().startswith("#"):
                name, address = _entry(line)
                if name in found:
                    raise ValueError(f"{clean(name)}: is there twice; expected each user once")
                found[name] = address
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
    if not found and not problems:
        problems = [f"{path}: has no user; expected lines such as alice: alice@example.org"]
    if problems:
        raise ConfigError(problems[:_MAX_PROBLEMS])
    return found


def _entry(line: str) -> tuple[str, str]:
    """Return the name and the address of a line; raise ValueError with the problem if one is wrong."""
    name, _, address = (part.strip() for part in line.rpartition(":"))
    if not name or len(name) > MAX_TEXT or not name.isprintable():
        raise ValueError("has no name of a user; expected a line such as alice: alice@example.org")
    if name[0] in "\"'-":
        raise ValueError(f"{clean(name)}: no user name begins so; expected a line such as alice: alice@example.org")
    if not ADDRESS.fullmatch(address):
        raise ValueError(
            f"{clean(name)}: {clean(address)!r} is no mail address; expected one, such as alice@example.org"
        )
    return name, address


def _texts(path: Path) -> str:
    text = "".join(_read(path, _MAX_TEXTS_BYTES, "templates of Alertmanager"))
    if problems := [f"{path}:{problem}" for problem in _problems(text)]:
        raise ConfigError(problems[:_MAX_PROBLEMS])
    return text


def _read(path: Path, max_bytes: int, expected: str) -> list[str]:
    """Return the lines of a text file, with their ends."""
    try:
        return files.read_file(path, max_bytes).decode("utf-8-sig").splitlines(keepends=True)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except files.UnsuitableFileError as error:
        reason = str(error)
    except UnicodeError:
        reason = "is not UTF-8 text"
    raise ConfigError([f"{path}: {reason}; expected a file with {expected}"])


def _problems(text: str) -> Iterator[str]:
    """Yield the problems of the templates, each with its line. Their syntax is Alertmanager's to check."""
    defined, used = ([(_line(match), match[1]) for match in form.finditer(text)] for form in (_DEFINE, _USE))
    if not defined:
        yield f' defines no text; expected {{{{ define "NAME" }}}} with a NAME such as {TEXTS[0]}'
    for line, name in defined:
        if name.startswith("genv.") and name not in TEXTS:
            yield f"{line}: {clean(name)}: there is no such text; {suggest_key(name, list(TEXTS))}"
    known = [*TEXTS, *PARTS, *(name for _, name in defined)]
    for line, name in used:
        if name not in known and not _OF_ALERTMANAGER.fullmatch(name):
            yield f"{line}: {clean(name)}: is used, but not defined; {suggest_key(name, known)}"


def _line(match: re.Match[str]) -> int:
    return match.string.count("\n", 0, match.start()) + 1
