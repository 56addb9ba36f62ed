"""The documents, for people who see the page: where it is read there may be no other way to them."""

from __future__ import annotations

import re
import zlib
from html import escape
from pathlib import Path

from genvd import __version__
from genvd.web.markdown import plain, to_html
from genvd.web.response import NO_CONTENT_POLICY, Job, Response

DIRECTORY = Path(__file__).parent / "docs"
"""The documents in Markdown. In a checkout this is a link; builds put the files there."""

_POLICY = f"{NO_CONTENT_POLICY}; style-src 'self'; img-src 'self'"

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} &ndash; genv-monitor</title>
<link rel="icon" href="../icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="../page.css">
</head>
<body>
<header><nav aria-label="Back">
<a href="../..">Back to the machine</a>
<a href="README.html">All documents</a>
</nav></header>
<main class="document">
{content}
</main>
</body>
</html>
"""


class Manual:
    """The documents by their paths. Each is rendered when it is asked for the first time, and then kept."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        """Take the documents that are in a directory; if there is none, there are no documents."""
        self._files = {f"/page/docs/{file.stem}.html": file for file in sorted(directory.glob("*.md"))}
        self._rendered: dict[str, Response] = {}

    @property
    def paths(self) -> tuple[str, ...]:
        """Where the documents are."""
        return tuple(self._files)

    def at(self, path: str) -> Response | Job:
        """Return the document, or what renders it."""
        return self._rendered.get(path) or Job(path, lambda: self._render(path))

    def _render(self, path: str) -> Response:
        text = self._files[path].read_text(encoding="utf-8")
        title, content = plain(text.partition("\n")[0].lstrip("# ")), to_html(text, self._lead)
        body = _PAGE.format(title=escape(title), content=content).encode()
        tag = f'"{__version__}-{zlib.crc32(body):08x}"'
        headers = (("ETag", tag), ("Cache-Control", "no-cache"), ("Content-Security-Policy", _POLICY))
        self._rendered[path] = Response(body, "text/html; charset=utf-8", headers=headers)
        return self._rendered[path]

    def _lead(self, target: str) -> str | None:
        """Return where a link of a document leads here: to other documents and sites, but to no file beside them."""
        if re.match("https?:|#", target):
            return target
        name, mark, fragment = target.partition("#")
        page = name.removesuffix(".md") + ".html"
        return page + mark + fragment if f"/page/docs/{page}" in self._files else None
