"""The files of the page: fixed, the same for everybody, and read once."""

from __future__ import annotations

import zlib
from pathlib import Path

from genvd import __version__
from genvd.web.response import NO_CONTENT_POLICY, Headers, Response

DIRECTORY = Path(__file__).parent / "page"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_POLICY = (
    f"{NO_CONTENT_POLICY}; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
"""What the page may do (CSP level 3): use its own files and ask its own server. With trusted types and no policy for
them, no text can become a script or markup, whatever a name consists of."""


def assets() -> dict[str, Response]:
    """Return the files of the page by their paths; the page itself is at ``/``."""
    found = {f"/page/{file.name}": _asset(file) for file in sorted(DIRECTORY.iterdir()) if file.suffix in _TYPES}
    return {"/": found.pop("/page/index.html"), **found}


def _asset(file: Path) -> Response:
    body = file.read_bytes()
    tag = f"{__version__}-{zlib.crc32(body):08x}"  # a real digest takes megabytes, for OpenSSL
    headers: Headers = (("ETag", f'"{tag}"'), ("Cache-Control", "no-cache"), ("Vary", "Accept"))
    if file.suffix == ".html":
        headers = (*headers, ("Content-Security-Policy", _POLICY))
    return Response(body, _TYPES[file.suffix], headers=headers)
