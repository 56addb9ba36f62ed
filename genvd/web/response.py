"""What is sent back, and the head that goes before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
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
    before, after = _around_date(
        response.status, response.content_type, len(response.body), response.headers, closes, headers
    )
    return b"".join((before, _date(int(time.time())), after))


@lru_cache(maxsize=64)
def _around_date(
    status: int, content_type: str, length: int, of_response: Headers, closes: bool, headers: Headers
) -> tuple[bytes, bytes]:
    """Return what goes before the date and after it, which is the same for the scrapes of one tick."""
    own = (*_ALWAYS, *of_response)
    if not any(name == "Content-Security-Policy" for name, _ in of_response):
        own = (*own, ("Content-Security-Policy", NO_CONTENT_POLICY))
    fields = (
        *_of_body(status, content_type, length),
        *own,
        *(field for field in headers if field not in own),
        *((("Connection", "close"),) if closes else ()),
    )
    before = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nServer: {_SERVER}\r\nDate: "
    after = "\r\n".join(("", *(f"{name}: {value}" for name, value in fields), "", ""))
    return before.encode("latin-1", "replace"), after.encode("latin-1", "replace")


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""In the words of HTTP, whatever those of the locale are."""


def _of_body(status: int, content_type: str, length: int) -> Headers:
    if status == HTTPStatus.NOT_MODIFIED:  # the length would be that of what is not sent: RFC 9110, 8.6
        return ()
    return ("Content-Type", content_type), ("Content-Length", str(length))


_last_date = (0, b"")


def _date(now: int) -> bytes:
    """Return the date of a response (RFC 9110, section 5.6.7), made once a second."""
    global _last_date
    moment, text = _last_date
    if moment != now:
        parts = time.gmtime(now)
        text = time.strftime(f"{_DAYS[parts.tm_wday]}, %d {_MONTHS[parts.tm_mon - 1]} %Y %H:%M:%S GMT", parts).encode()
        _last_date = (now, text)
    return text
