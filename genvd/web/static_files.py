"""The static files: those of the page, which are read at the start, and the documents, read at the first request."""

from __future__ import annotations

import zlib
from pathlib import Path

from genvd import __version__
from genvd.web.response import NO_CONTENT_POLICY, Headers, Job, Response

DIRECTORY = Path(__file__).parent / "page"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".md": "text/plain; charset=utf-8",
}

_POLICY = (
    f"{NO_CONTENT_POLICY}; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Content security policy of the page (CSP level 3): it may only use its own files and its own server. Trusted types
without a policy prevent that text, such as a user name, is interpreted as a script or markup."""


def load_assets() -> dict[str, Response]:
    """Return the files of the page by path. The page itself is at ``/``."""
    found = {f"/page/{file.name}": _asset(file) for file in sorted(DIRECTORY.iterdir()) if file.suffix in _TYPES}
    return {"/": found.pop("/page/index.html"), **found}


def _asset(file: Path) -> Response:
    policy: Headers = (("Content-Security-Policy", _POLICY),) if file.suffix == ".html" else ()
    return _read(file, ("Vary", "Accept"), *policy)


def _read(file: Path, *headers: tuple[str, str]) -> Response:
    body = file.read_bytes()
    tag = f'"{__version__}-{zlib.crc32(body):08x}"'  # a cryptographic digest would load OpenSSL, which takes megabytes
    return Response(body, _TYPES[file.suffix], headers=(("ETag", tag), ("Cache-Control", "no-cache"), *headers))


PAGES = Path(__file__).parent / "docs"
"""The documents as HTML, made by the build (tools/documents.py)."""
SOURCES = Path(__file__).parents[2] / "docs"
"""The documents as Markdown, only in a checkout."""

PLAIN_POLICY = f"{NO_CONTENT_POLICY}; style-src 'self'; img-src 'self'"
"""Content security policy of pages without scripts."""


_INDEX = "/page/docs/README.html"
"""The list of all documents."""


class Docs:
    """The documents by path. Each is read at the first request and then cached."""

    def __init__(self, pages: Path | None = None, sources: Path | None = None) -> None:
        """Find the documents.

        Args:
            pages: the directory with the HTML files; :data:`PAGES` by default.
            sources: the directory with the Markdown files, which are served as text if there are no HTML files;
                :data:`SOURCES` by default.
        """
        files = sorted((pages or PAGES).glob("*.html")) or sorted((sources or SOURCES).glob("*.md"))
        self._files = {f"/page/docs/{file.stem}.html": file for file in files}
        if _INDEX in self._files:
            self._files["/page/docs/"] = self._files[_INDEX]
        self._responses: dict[str, Response] = {}

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of the documents."""
        return tuple(self._files)

    def get(self, path: str) -> Response | Job:
        """Return the document, or a job that reads it."""
        return self._responses.get(path) or Job(path, lambda: self._load(path))

    def _load(self, path: str) -> Response:
        self._responses[path] = _read(self._files[path], ("Content-Security-Policy", PLAIN_POLICY))
        return self._responses[path]
