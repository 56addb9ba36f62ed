"""What the monitor serves: the latest tick, under its paths."""

from __future__ import annotations

import dataclasses
import html
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from genvd.metrics.exposition import OPENMETRICS, TEXT
from genvd.web.negotiation import accepts_gzip, preferred

if TYPE_CHECKING:
    from email.message import Message

    from genvd.metrics.exposition import Exposition
    from genvd.model import Snapshot


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent back."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Latest:
    """What the last tick left."""

    snapshot: Snapshot
    exposition: Exposition


_PAGE = Path(__file__).parent / "page.html"
_NOT_READY = Response(b"The first collection is not done yet.\n", status=503)
_NOT_FOUND = Response(b"Not found. See / for what there is.\n", status=404)


class Site:
    """All pages. A tick puts its result into :attr:`latest` by one assignment; requests only read it."""

    def __init__(self) -> None:
        self.latest: Latest | None = None
        self._template = Template(_PAGE.read_text(encoding="utf-8"))
        self._pages: dict[str, Callable[[Message], Response]] = {
            "/": self._page,
            "/metrics": self._metrics,
            "/-/healthy": lambda _: Response(b"Healthy.\n"),
            "/-/ready": self._ready,
            "/api/v1/snapshot": self._snapshot,
        }

    def respond(self, path: str, headers: Message) -> Response:
        """Return the response to a GET of the path, given without its query."""
        page = self._pages.get(path)
        return page(headers) if page else _NOT_FOUND

    def _ready(self, _: Message) -> Response:
        return Response(b"Ready.\n") if self.latest else _NOT_READY

    def _metrics(self, headers: Message) -> Response:
        latest = self.latest
        if latest is None:
            return _NOT_READY
        media_type = preferred(headers.get_all("Accept", []), (TEXT.media_type, OPENMETRICS.media_type))
        format_ = OPENMETRICS if media_type == OPENMETRICS.media_type else TEXT
        compressed = accepts_gzip(headers.get_all("Accept-Encoding", []))
        encoding = (("Content-Encoding", "gzip"),) if compressed else ()
        return Response(
            latest.exposition.body((format_, compressed)),
            format_.content_type,
            headers=(("Vary", "Accept, Accept-Encoding"), *encoding),
        )

    def _snapshot(self, _: Message) -> Response:
        latest = self.latest
        if latest is None:
            return _NOT_READY
        document = dataclasses.asdict(latest.snapshot)
        return Response(json.dumps(document).encode() + b"\n", "application/json")

    def _page(self, _: Message) -> Response:
        latest = self.latest
        if latest is None:
            return _NOT_READY
        values = {name: html.escape(value) for name, value in _summary(latest.snapshot).items()}
        return Response(
            self._template.substitute(values).encode(),
            "text/html; charset=utf-8",
            headers=(("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),),
        )


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
