"""Checks the links of the documents to other sites; needs a network."""

from __future__ import annotations

import urllib.error
import urllib.request
from urllib.parse import urlsplit

from tools.links.document import documents

_OWN = ("localhost",)
_SECONDS = 20.0
_REFUSED = (401, 403, 405, 429)
"""Status codes of sites that exist but refuse programs."""


def links() -> list[str]:
    """Return the distinct links to other sites."""
    found = {link.partition("#")[0] for document in documents() for link in document.links if link.startswith("http")}
    return sorted(link for link in found if urlsplit(link).hostname not in _OWN)


def problem_of(link: str) -> str | None:
    """Return why a link is broken; None if it seems to work."""
    request = urllib.request.Request(link, headers={"User-Agent": "genv-monitor (checks its links)"})
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return None if error.code in _REFUSED else f"{error.code} {error.reason}"
    except OSError as error:
        return str(getattr(error, "reason", error))
