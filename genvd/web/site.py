"""What the monitor serves: the latest tick, under its paths."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from genvd.metrics.exposition import OPENMETRICS, TEXT
from genvd.web.hosts import Hosts
from genvd.web.negotiation import accepts_gzip, preferred
from genvd.web.response import NO_CONTENT_POLICY, Job, Response, problem

if TYPE_CHECKING:
    from genvd.metrics.exposition import Exposition, Variant
    from genvd.model import Snapshot
    from genvd.web.request import Request


@dataclass(frozen=True, slots=True)
class Latest:
    """What the last tick left."""

    snapshot: Snapshot
    exposition: Exposition
    rendered: dict[str | Variant, Response] = field(default_factory=dict)
    """What was made of them, each from when it is asked for the first time."""


_PAGE = Path(__file__).parent / "page.html"
_STYLE = re.compile("<style>(.*)</style>", re.DOTALL)
_NOT_READY = problem(HTTPStatus.SERVICE_UNAVAILABLE, "The first collection is not done yet.")
_NOT_FOUND = problem(HTTPStatus.NOT_FOUND, "Not found. See / for what there is.")
_NOT_OURS = problem(
    HTTPStatus.MISDIRECTED_REQUEST,
    "This name is not known to be one of this machine. Ask by its address, or add the name to listen.names in"
    " monitor.yaml.",
)


class Site:
    """All pages. A tick puts its result into :attr:`latest` by one assignment; requests only read it.

    Metrics and probes are answered by whatever name they are asked, since scrapers use any alias; what browsers show
    only by names that are this machine's.
    """

    def __init__(self) -> None:
        self.latest: Latest | None = None
        self.hosts = Hosts()
        text = _PAGE.read_text(encoding="utf-8")
        self._template = Template(text)
        self._text = text
        self._pages: dict[str, Callable[[Request], Response | Job]] = {
            "/": self._page,
            "/metrics": self._metrics,
            "/-/healthy": lambda _: Response(b"Healthy.\n"),
            "/-/ready": self._ready,
            "/api/v1/snapshot": self._snapshot,
        }

    def respond(self, request: Request) -> Response | Job:
        """Return the response to a GET, or what makes it if that takes longer."""
        page = self._pages.get(request.path)
        return page(request) if page else _NOT_FOUND

    def _ready(self, _: Request) -> Response:
        return Response(b"Ready.\n") if self.latest else _NOT_READY

    def _metrics(self, request: Request) -> Response | Job:
        latest = self.latest
        if latest is None:
            return _NOT_READY
        variant = _variant(request.accept, request.accept_encoding)
        body = latest.exposition.at_hand(variant)
        if body is None:
            return Job((id(latest), variant), lambda: _scrape(variant, latest.exposition.body(variant)))
        if variant not in latest.rendered:
            latest.rendered[variant] = _scrape(variant, body)
        return latest.rendered[variant]

    def _snapshot(self, request: Request) -> Response | Job:
        return self._once_a_tick("snapshot", _json, request)

    def _page(self, request: Request) -> Response | Job:
        return self._once_a_tick("page", self._html, request)

    def _once_a_tick(self, name: str, render: Callable[[Snapshot], Response], request: Request) -> Response | Job:
        if not self.hosts.include(request.host):
            return _NOT_OURS
        latest = self.latest
        if latest is None:
            return _NOT_READY

        def make() -> Response:
            if name not in latest.rendered:  # somebody may have asked while the last one was sent
                latest.rendered[name] = render(latest.snapshot)
            return latest.rendered[name]

        return latest.rendered.get(name) or Job((id(latest), name), make)

    def _html(self, snapshot: Snapshot) -> Response:
        import html  # like what follows only for people: it takes a megabyte

        values = {name: html.escape(value) for name, value in _summary(snapshot).items()}
        page = self._template.substitute(values).encode("utf-8", "backslashreplace")
        return Response(
            page, "text/html; charset=utf-8", headers=(("Content-Security-Policy", _content_policy(self._text)),)
        )


@lru_cache(maxsize=64)
def _variant(accept: tuple[str, ...], accept_encoding: tuple[str, ...]) -> Variant:
    """Return what to send; a scraper says the same each time."""
    media_type = preferred(accept, (TEXT.media_type, OPENMETRICS.media_type))
    return (OPENMETRICS if media_type == OPENMETRICS.media_type else TEXT), accepts_gzip(accept_encoding)


def _scrape(variant: Variant, body: bytes) -> Response:
    format_, compressed = variant
    encoding = (("Content-Encoding", "gzip"),) if compressed else ()
    return Response(body, format_.content_type, headers=(("Vary", "Accept, Accept-Encoding"), *encoding))


def _json(snapshot: Snapshot) -> Response:
    return Response(json.dumps(dataclasses.asdict(snapshot)).encode() + b"\n", "application/json")


def _content_policy(page: str) -> str:
    """Return the content security policy (CSP level 3) that lets a browser use the page's own style and no more."""
    import hashlib

    (style,) = _STYLE.findall(page)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"{NO_CONTENT_POLICY}; style-src 'sha256-{digest}'"


def _summary(snapshot: Snapshot) -> dict[str, str]:
    def count(things: tuple[object, ...] | None) -> str:
        return "unknown" if things is None else str(len(things))

    failing = [f"{c.name}: {c.error}" for c in snapshot.collectors if not c.success]
    return {
        "mode": " (simulated machine)" if snapshot.service.mode == "demo" else "",
        "version": snapshot.service.version,
        "devices": count(snapshot.devices),
        "environments": count(snapshot.environments),
        "users": count(snapshot.users),
        "processes": count(snapshot.processes),
        "problems": "\n".join(failing) or "none",
    }
