"""What is sent back, and the header fields that go before it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

from genvd import __version__

Headers = tuple[tuple[str, str], ...]

_SERVER = f"genv-monitor/{__version__}"

_ALWAYS: Headers = (
    # No other site's page may read or show anything of this: see docs/network.md.
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
)
NO_CONTENT_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent back."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200
    headers: Headers = ()

    def fields(self, *, closes: bool, configured: Headers = ()) -> list[tuple[bytes, bytes]]:
        """Return all header fields.

        Args:
            closes: whether the connection ends with this response.
            configured: further ones; those that the response has already are not repeated.
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
        if self.status == HTTPStatus.NOT_MODIFIED:  # the length would be that of what is not sent: RFC 9110, 8.6
            return ()
        return ("Content-Type", self.content_type), ("Content-Length", str(len(self.body)))


@dataclass(frozen=True, slots=True)
class Job:
    """A response that takes a while to make: another thread does it, once for all who ask meanwhile."""

    key: Hashable
    """Jobs of the same key give the same response."""
    make: Callable[[], Response]


def problem(status: HTTPStatus, text: str = "", headers: Headers = ()) -> Response:
    """Return a response that says in one line what is wrong."""
    return Response(f"{text or f'{status.value} {status.phrase}'}\n".encode(), status=status, headers=headers)
