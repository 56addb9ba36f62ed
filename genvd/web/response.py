"""HTTP responses and their header fields."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

from genvd import __version__

Headers = tuple[tuple[str, str], ...]

_SERVER = f"genv-monitor/{__version__}"

_ALWAYS: Headers = (
    # Pages of other sites may not read or show these responses: see docs/network.md.
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
)
NO_CONTENT_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class Response(NamedTuple):
    """An HTTP response."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200
    headers: Headers = ()

    def fields(self, *, closes: bool, configured: Headers = ()) -> list[tuple[bytes, bytes]]:
        """Return all header fields.

        Args:
            closes: whether the connection is closed after this response.
            configured: additional fields from the web configuration. Fields that the response already has are not
                repeated.
        """
        own = (*_ALWAYS, *self.headers)
        if not any(name == "Content-Security-Policy" for name, _ in self.headers):
            own = (*own, ("Content-Security-Policy", NO_CONTENT_POLICY))
        fields = (
            ("Server", _SERVER),
            ("Date", formatdate(usegmt=True)),
            *self._body_fields(),
            *own,
            *(field for field in configured if field not in own),
            *((("Connection", "close"),) if closes else ()),
        )
        return [(name.encode("latin-1"), value.strip().encode("latin-1", "replace")) for name, value in fields]

    def _body_fields(self) -> Headers:
        if self.status == HTTPStatus.NOT_MODIFIED:  # Content-Length would be that of the full response: RFC 9110, 8.6
            return ()
        return ("Content-Type", self.content_type), ("Content-Length", str(len(self.body)))


class Job(NamedTuple):
    """A response that takes long to make. A thread makes it once for all requests that wait for it."""

    key: Hashable
    """Jobs with the same key give the same response."""
    make: Callable[[], Response]


def error_response(status: HTTPStatus, text: str = "", headers: Headers = ()) -> Response:
    """Return an error response with one line of text."""
    return Response(f"{text or f'{status.value} {status.phrase}'}\n".encode(), status=status, headers=headers)
