"""What a document in Markdown refers to, and what in it can be referred to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tools.documents import anchors

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
_PLACES = ("docs", "genvd", "packaging", "tests", "tools")
"""Where documents are, beside those at the top."""

_BLOCK = re.compile(r"^ *(```|~~~).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_DEFINITION = re.compile(r"^ {0,3}\[[^\]]+\]: *<?([^\s>]+)", re.MULTILINE)
_AUTOMATIC = re.compile(r"<(https?://[^>\s]+)>")
_ATTRIBUTE = re.compile(r"\b(?:href|src|srcset)=\"([^\"]+)\"")
_ANCHOR = re.compile(r"\b(?:id|name)=\"([^\"]+)\"")
_FILE = re.compile(
    r"(?<![\w./-])(?:\.ci|debian|docs|genvd|packaging|systemd|tests|tools)/[A-Za-z0-9_./-]*[A-Za-z0-9_/](?![\w*{<-])"
)
_TARGET = re.compile(r"\bmake ([a-z][a-z-]*)\b")


@dataclass(frozen=True)
class Document:
    """One file."""

    path: Path
    text: str

    @cached_property
    def links(self) -> list[str]:
        """Where its links and pictures lead to, as they are written."""
        prose = _CODE.sub("", self._without_blocks)
        return [target for pattern in (_LINK, _DEFINITION, _AUTOMATIC, _ATTRIBUTE) for target in pattern.findall(prose)]

    @cached_property
    def anchors(self) -> frozenset[str]:
        """The fragments that lead somewhere in it, as GitHub makes them from headings."""
        return frozenset((*_ANCHOR.findall(self._without_blocks), *anchors(self.text)))

    @cached_property
    def files(self) -> list[str]:
        """The files and directories of this tree that its code names."""
        return [name for code in self.code for name in _FILE.findall(code)]

    @cached_property
    def make_targets(self) -> list[str]:
        """The targets of make that its code names."""
        return [name for code in self.code for name in _TARGET.findall(code)]

    @property
    def _without_blocks(self) -> str:
        return _COMMENT.sub("", _BLOCK.sub("", self.text))

    @property
    def code(self) -> Iterator[str]:
        """What is in it as code: its blocks, and what stands between backquotes."""
        yield from (match[0] for match in _BLOCK.finditer(self.text))
        yield from _CODE.findall(_BLOCK.sub("", self.text))


def documents(root: Path = ROOT) -> Iterator[Document]:
    """Return all documents of a tree."""
    places = (path for place in _PLACES for path in (root / place).rglob("*.md"))
    for path in sorted((*root.glob("*.md"), *places)):
        yield Document(path, path.read_text(encoding="utf-8"))
