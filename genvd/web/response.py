"""What is sent back, and the head that goes before it."""

from __future__ import annotations

import time
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


@dataclass(frozen=True, slots=True)
class Job:
    """A response that takes a while to make: another thread does it, once for all who ask meanwhile."""

    key: Hashable
    """Jobs of the same key give the same response."""
    make: Callable[[], Response]


def problem(status: HTTPStatus, text: str = "", headers: Headers = ()) -> Response:
    """Return a response that says in one line what is wrong."""
    return Response(f"{text or f'{status.value} {status.phrase}'}\n".encode(), status=status, headers=headers)


def head(response: Response, *, closes: bool, headers: Headers = ()) -> bytes:
    """Return the status line and the header fields, with the empty line that ends them.

    Args:
        response: what they go before.
        closes: whether the connection ends with it.
        headers: further ones; those that the response has already are not said twice.
    """
    own = (*_ALWAYS, *response.headers)
    if not any(name == "Content-Security-Policy" for name, _ in response.headers):
        own = (*own, ("Content-Security-Policy", NO_CONTENT_POLICY))
    fields = (
        ("Server", _SERVER),
        ("Date", _date(int(time.time()))),
        *_of_body(response),
        *own,
        *(field for field in headers if field not in own),
        *((("Connection", "close"),) if closes else ()),
    )
    status = HTTPStatus(response.status)
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join((*lines, "", "")).encode("latin-1", "replace")


def _of_body(response: Response) -> Headers:
    if response.status == HTTPStatus.NOT_MODIFIED:  # the length would be that of what is not sent: RFC 9110, 8.6
        return ()
    return ("Content-Type", response.content_type), ("Content-Length", str(len(response.body)))


_last_date = (0, "")


def _date(now: int) -> str:
    """Return the date of a response (RFC 9110, section 5.6.7), made once a second."""
    global _last_date
    moment, text = _last_date
    if moment != now:
        text = formatdate(now, usegmt=True)
        _last_date = (now, text)
    return text
