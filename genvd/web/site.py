"""The paths that the monitor serves: metrics, probes, the Snapshot, the page and the documents."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from genvd.analysis.history import EMPTY_HISTORY, History
from genvd.common.host_names import HostNames
from genvd.metrics.exposition import GZIP_LEVEL, OPENMETRICS, TEXT
from genvd.web.json_documents import day_document, page_document, snapshot_document
from genvd.web.negotiation import accepts_gzip, is_current, preferred_media_type
from genvd.web.plain_page import plain_document
from genvd.web.response import Headers, Job, Response, error_response
from genvd.web.static_files import PLAIN_POLICY, Docs, load_assets
from genvd.web.usage_api import REPORT_PATH, USAGE_PATH, UsageApi

if TYPE_CHECKING:
    from genvd.metrics.exposition import Exposition, Variant
    from genvd.model.snapshot import Snapshot
    from genvd.web.request import Request

Make = Callable[["Snapshot", History], bytes]
"""Makes a document of a collection."""


@dataclass(frozen=True, slots=True)
class Latest:
    """The results of the latest collection."""

    snapshot: Snapshot
    exposition: Exposition
    history: History = EMPTY_HISTORY
    rendered: dict[tuple[Make, bool], Response] = field(default_factory=dict)
    """Documents, plain and compressed, made at the first request."""
    scrapes: dict[Variant, Response] = field(default_factory=dict)
    """The responses with metrics, made at the first request."""


_HTML = "text/html"
_JSON = "application/json"
_VARY = ("Vary", "Accept, Accept-Encoding")

Kind = tuple[str, Headers]
"""Media type of a document, and its own header fields."""

_JSON_KIND: Kind = (_JSON, ())
_TABLES: Kind = ("text/html; charset=utf-8", (("Content-Security-Policy", PLAIN_POLICY),))
_MOVED = {"/page": "./", "/page/": "../", "/page/docs": "docs/"}
"""Addresses of directories that have no page, or lack a slash."""

_NOT_READY = error_response(HTTPStatus.SERVICE_UNAVAILABLE, "The first collection is not complete yet.")
_NO_TABLES = error_response(
    HTTPStatus.SERVICE_UNAVAILABLE, "The first collection is not complete yet.", (("Refresh", "2"),)
)
_NO_PAGE_DATA = Response(b"null\n", _JSON, headers=(("Cache-Control", "no-cache"), _VARY))
"""The data of the page before the first collection. The page waits; an error status would be logged in the browser."""
_NOT_FOUND = error_response(HTTPStatus.NOT_FOUND, "Not found. Open / for the page.")
_UNKNOWN_HOST = error_response(
    HTTPStatus.MISDIRECTED_REQUEST,
    "This is not a known host name of this machine. Use its address, or add the name to listen.names in monitor.yaml.",
)


class Site:
    """All paths. A collection replaces :attr:`latest` by one assignment; requests only read it.

    Scrapers and probes may use any host name, because they use any alias. Browsers must use a name of this machine,
    which prevents DNS rebinding.
    """

    def __init__(self) -> None:
        self.latest: Latest | None = None
        self.host_names = HostNames()
        self._run_id = os.urandom(4).hex()
        """Part of the entity tags: the number of the collection starts again with each process."""
        self.usage = UsageApi(self._run_id)
        self._assets = load_assets()
        self._docs = Docs()
        self._pages: dict[str, Callable[[Request], Response | Job]] = {
            **dict.fromkeys(self._assets, self._asset),
            **dict.fromkeys(self._docs.paths, self._document),
            "/": self._root,
            "/metrics": self._metrics,
            "/-/healthy": lambda _: Response(b"Healthy.\n"),
            "/-/ready": self._ready,
            "/api/v1/snapshot": lambda request: self._made(snapshot_document, request),
            USAGE_PATH: self._usage,
            REPORT_PATH: self._usage,
            "/page/data.json": lambda request: self._made(page_document, request, _NO_PAGE_DATA),
            "/page/day.json": lambda request: self._made(day_document, request, _NO_PAGE_DATA),
            "/page/table.html": lambda request: self._made(plain_document, request, _NO_TABLES, _TABLES),
            **{path: partial(_moved, to) for path, to in _MOVED.items()},
        }

    def respond(self, request: Request) -> Response | Job:
        """Return the response to a GET request, or a job that makes it."""
        page = self._pages.get(request.path)
        return page(request) if page else _NOT_FOUND

    def _ready(self, _: Request) -> Response:
        return Response(b"Ready.\n") if self.latest else _NOT_READY

    def _metrics(self, request: Request) -> Response | Job:
        if request.from_browser and not self.host_names.allows(request.host):
            return _UNKNOWN_HOST
        latest = self.latest
        if latest is None:
            return _NOT_READY
        variant = _variant(request.accept, request.accept_encoding)
        body = latest.exposition.cached_body(variant)
        if body is None:
            return Job((id(latest), variant), lambda: _scrape(variant, latest.exposition.body(variant)))
        if variant not in latest.scrapes:
            latest.scrapes[variant] = _scrape(variant, body)
        return latest.scrapes[variant]

    def _root(self, request: Request) -> Response | Job:
        if preferred_media_type(request.accept, (_HTML, _JSON)) == _JSON:
            return self._made(snapshot_document, request)
        return self._asset(request)

    def _asset(self, request: Request) -> Response:
        if not self.host_names.allows(request.host):
            return _UNKNOWN_HOST
        asset = self._assets[request.path]
        return _not_modified(request, asset.headers) or asset

    def _document(self, request: Request) -> Response | Job:
        if not self.host_names.allows(request.host):
            return _UNKNOWN_HOST
        document = self._docs.get(request.path)
        return document if isinstance(document, Job) else _not_modified(request, document.headers) or document

    def _usage(self, request: Request) -> Response | Job:
        if not self.host_names.allows(request.host):
            return _UNKNOWN_HOST
        return self.usage.respond(request, self.latest.snapshot if self.latest else None)

    def _made(
        self, make: Make, request: Request, if_not_ready: Response = _NOT_READY, kind: Kind = _JSON_KIND
    ) -> Response | Job:
        if not self.host_names.allows(request.host):
            return _UNKNOWN_HOST
        latest = self.latest
        if latest is None:
            return if_not_ready
        # The tag is weak because the plain and the compressed document share it.
        tag = f'W/"{self._run_id}-{latest.snapshot.service.collections}"'
        headers = (("ETag", tag), ("Cache-Control", "no-cache"), _VARY)
        variant = (make, accepts_gzip(request.accept_encoding))
        return (
            _not_modified(request, headers)
            or latest.rendered.get(variant)
            or Job((id(latest), variant), lambda: _render(latest, variant, kind, headers))
        )


def _not_modified(request: Request, headers: Headers) -> Response | None:
    """Return 304 Not Modified if the client already has the document with these header fields."""
    if not is_current(request.headers.get_all("if-none-match"), dict(headers)["ETag"]):
        return None
    return Response(b"", status=HTTPStatus.NOT_MODIFIED, headers=headers)


def _moved(to: str, _: Request) -> Response:
    """Return a redirection to a relative address, which also works behind a reverse proxy that adds a prefix."""
    return Response(b"", status=HTTPStatus.PERMANENT_REDIRECT, headers=(("Location", to),))


def _render(latest: Latest, variant: tuple[Make, bool], kind: Kind, headers: Headers) -> Response:
    if variant not in latest.rendered:  # another request may have rendered it meanwhile
        make, compressed = variant
        body = make(latest.snapshot, latest.history)
        if compressed:
            body = gzip.compress(body, GZIP_LEVEL, mtime=0)
            headers = (*headers, ("Content-Encoding", "gzip"))
        content_type, more = kind
        latest.rendered[variant] = Response(body, content_type, headers=(*headers, *more))
    return latest.rendered[variant]


@lru_cache(maxsize=64)
def _variant(accept: tuple[str, ...], accept_encoding: tuple[str, ...]) -> Variant:
    """Return the format and whether to compress. It is cached, as a scraper sends the same header fields each time."""
    media_type = preferred_media_type(accept, (TEXT.media_type, OPENMETRICS.media_type))
    return (OPENMETRICS if media_type == OPENMETRICS.media_type else TEXT), accepts_gzip(accept_encoding)


def _scrape(variant: Variant, body: bytes) -> Response:
    format_, compressed = variant
    encoding = (("Content-Encoding", "gzip"),) if compressed else ()
    return Response(body, format_.content_type, headers=(_VARY, *encoding))
