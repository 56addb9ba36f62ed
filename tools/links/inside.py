"""Checks that everything the documents refer to in this tree exists."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from tools.links.document import ROOT, Document, documents

if TYPE_CHECKING:
    from collections.abc import Iterator


def problems(root: Path = ROOT) -> list[str]:
    """Return the broken references, one line each, with the document."""
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE))
    return [
        f"{document.path.relative_to(root)}: {problem}"
        for document in documents(root)
        for problem in (
            *_links(document, root),
            *(f"{name} does not exist" for name in document.files if not (root / name).exists()),
            *(f"'make {name}' is not a make target" for name in document.make_targets if name not in targets),
        )
    ]


def _links(document: Document, root: Path) -> Iterator[str]:
    for link in document.links:
        if re.match(r"[a-z]+:", link):
            continue
        name, _, fragment = unquote(link).partition("#")
        path = (document.path.parent / name).resolve() if name else document.path
        if not path.is_relative_to(root.resolve()):
            yield f"the link {link} points outside the repository"
        elif not path.exists():
            yield f"the link {link} points to a missing file"
        elif fragment and path.suffix == ".md" and fragment not in _anchors(path):
            yield f"the link {link} points to a missing heading"


@cache
def _anchors(path: Path) -> frozenset[str]:
    return Document(path, path.read_text(encoding="utf-8")).anchors
