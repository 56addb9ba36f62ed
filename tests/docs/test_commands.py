"""The commands and options that the documents show are those of the program."""

from __future__ import annotations

import re
from pathlib import Path

from genvd.cli.arguments import build_parsers
from genvd.cli.parser import Parser
from tools.links.document import documents

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def _commands() -> dict[str, Parser]:
    """Return the parser of each command; that of the program has no name."""
    parser, commands = build_parsers("genv-monitor")
    return {"": parser, **commands}


def _options(parser: Parser) -> set[str]:
    return {name for option in parser.options for name in option.option_strings}


def _calls() -> list[tuple[str, list[str]]]:
    """Return the calls of ``genv monitor`` in the documents: the document, and the arguments up to the end."""
    called = re.compile(r"(?<![\w/.-])(?<!-u )(?:genv monitor|genv-monitor)((?: +[^\s`|<>&;()#'\"]+)*)")
    return [
        (document.path.name, words.split())
        for document in documents()
        for words in called.findall("\n".join(document.code))
    ]


def test_options_in_the_documents_exist() -> None:
    commands = _commands()
    calls = [(name, words) for name, words in _calls() if words]
    assert len(calls) > 20
    for name, words in calls:
        command = words[0] if words[0] in commands else ""
        given = {word for word in words if word.startswith("-")}
        assert given <= _options(commands[command]), f"{name}: {words}"


def test_documents_call_the_program_by_the_name_that_is_only_its_own() -> None:
    """Where genv itself comes first on PATH, ``genv monitor check`` is an error of genv, and no reload follows it."""
    ambiguous = re.compile(rf"genv\s+monitor\s+(?:{'|'.join(set(_commands()) - {''})}|--\w+)\b")
    found = {
        document.path.name: words for document in documents() if (words := ambiguous.findall(document.path.read_text()))
    }
    assert found.keys() <= {"CHANGELOG.md", "moving.md"}  # what was, and the difference


def test_the_readme_has_all_commands_and_no_others() -> None:
    rows = re.findall(r"^\| `genv-monitor \[?(\w+)", README, re.MULTILINE)
    assert set(rows) == set(_commands()) - {""}
