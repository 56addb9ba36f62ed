"""Parses the links, anchors, files and make targets of a Markdown document."""

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
_DIRECTORIES = ("docs", "genvd", "packaging", "tests", "tools")
"""Directories with documents, in addition to the root."""

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
    """A Markdown file."""

    path: Path
    text: str

    @cached_property
    def links(self) -> list[str]:
        """The targets of its links and images, as written."""
        prose = _CODE.sub("", self._without_blocks)
        return [target for pattern in (_LINK, _DEFINITION, _AUTOMATIC, _ATTRIBUTE) for target in pattern.findall(prose)]

    @cached_property
    def anchors(self) -> frozenset[str]:
        """Its anchors, including those that GitHub creates for headings."""
        return frozenset((*_ANCHOR.findall(self._without_blocks), *anchors(self.text)))

    @cached_property
    def files(self) -> list[str]:
        """The files and directories of this tree that its code blocks and spans name."""
        return [name for code in self.code for name in _FILE.findall(code)]

    @cached_property
    def make_targets(self) -> list[str]:
        """The make targets that its code blocks and spans name."""
        return [name for code in self.code for name in _TARGET.findall(code)]

    @property
    def _without_blocks(self) -> str:
        return _COMMENT.sub("", _BLOCK.sub("", self.text))

    @property
    def code(self) -> Iterator[str]:
        """Its code blocks and code spans."""
        yield from (match[0] for match in _BLOCK.finditer(self.text))
        yield from _CODE.findall(_BLOCK.sub("", self.text))


def documents(root: Path = ROOT) -> Iterator[Document]:
    """Return all documents of a tree."""
    paths = (path for directory in _DIRECTORIES for path in (root / directory).rglob("*.md"))
    for path in sorted((*root.glob("*.md"), *paths)):
        yield Document(path, path.read_text(encoding="utf-8"))
