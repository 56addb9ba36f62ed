"""The documents, for people who see the page: where it is read there may be no other way to them."""

from __future__ import annotations

import zlib
from pathlib import Path

from genvd import __version__
from genvd.web.response import NO_CONTENT_POLICY, Job, Response

PAGES = Path(__file__).parent / "docs"
"""The documents as HTML, which the build makes (tools/documents.py)."""
SOURCES = Path(__file__).parents[2] / "docs"
"""The documents as text, which only a checkout has here."""

_POLICY = f"{NO_CONTENT_POLICY}; style-src 'self'; img-src 'self'"


class Manual:
    """The documents by their paths. Each is read when somebody first asks for it, and then kept."""

    def __init__(self, pages: Path | None = None, sources: Path | None = None) -> None:
        """Find the documents.

        Args:
            pages: the directory with them as HTML; the default is :data:`PAGES`.
            sources: the directory with them as Markdown, which is served as text if there are no pages; the default
                is :data:`SOURCES`.
        """
        files = sorted((pages or PAGES).glob("*.html")) or sorted((sources or SOURCES).glob("*.md"))
        self._files = {f"/page/docs/{file.stem}.html": file for file in files}
        self._read: dict[str, Response] = {}

    @property
    def paths(self) -> tuple[str, ...]:
        """Where the documents are."""
        return tuple(self._files)

    def at(self, path: str) -> Response | Job:
        """Return the document, or what reads it."""
        return self._read.get(path) or Job(path, lambda: self._load(path))

    def _load(self, path: str) -> Response:
        file = self._files[path]
        body = file.read_bytes()
        kind = "text/html" if file.suffix == ".html" else "text/plain"
        tag = f'"{__version__}-{zlib.crc32(body):08x}"'
        headers = (("ETag", tag), ("Cache-Control", "no-cache"), ("Content-Security-Policy", _POLICY))
        self._read[path] = Response(body, f"{kind}; charset=utf-8", headers=headers)
        return self._read[path]
