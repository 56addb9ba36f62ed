"""An HTTP request, made from an event of h11, with the limits that h11 does not enforce."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import h11

MAX_HEAD_BYTES = 16 * 1024
"""Maximum size of the request line and the header fields together."""

MAX_FIELDS = 100

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""Characters that a field value must not contain (RFC 9110, section 5.5). h11 accepts most of them."""


class BadRequestError(Exception):
    """The request is not valid, or not supported."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


@dataclass(frozen=True, slots=True)
class Headers:
    """Header fields in their order, with names in lower case."""

    fields: tuple[tuple[str, str], ...] = ()

    def get_all(self, name: str) -> list[str]:
        """Return the values of all fields with a name, which is in lower case."""
        return [value for field, value in self.fields if field == name]

    def __contains__(self, name: object) -> bool:
        return any(field == name for field, _ in self.fields)


class Request(NamedTuple):
    """An HTTP request."""

    method: str
    path: str
    """The path without the query."""
    host: str | None
    """The Host field or the authority of the URL, with the port if there is one; None only in HTTP/1.0."""
    headers: Headers
    accept: tuple[str, ...]
    """The values of all Accept fields."""
    accept_encoding: tuple[str, ...]
    """The values of all Accept-Encoding fields."""
    query: str = ""
    """What follows the question mark, still encoded."""
    user: str | None = None
    """The user who has logged in; None without a login."""

    @property
    def has_body(self) -> bool:
        """Whether a body follows, which is not read."""
        return "content-length" in self.headers or "transfer-encoding" in self.headers

    @property
    def from_browser(self) -> bool:
        """Whether the request has header fields that only browsers send."""
        return any(name in _BROWSER_FIELDS or name.startswith("sec-fetch-") for name, _ in self.headers.fields)


_BROWSER_FIELDS = frozenset({"origin", "referer", "accept-language"})
"""A page can suppress Origin and Referer, and browsers send Sec-Fetch-* (Fetch Metadata, W3C) only over TLS or to
localhost. No page can suppress Accept-Language (Fetch, section 4.5)."""


def from_event(event: h11.Request) -> Request:
    """Return the request in an event of h11.

    Raises:
        BadRequestError: the request is too large, of another HTTP version, or violates RFC 9110 or 9112.
    """
    if not event.http_version.startswith(b"1."):
        raise BadRequestError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    fields = list(event.headers)
    size = len(event.method) + len(event.target) + sum(len(name) + len(value) + 4 for name, value in fields)
    if len(fields) > MAX_FIELDS or size > MAX_HEAD_BYTES:
        raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    if any(_CONTROL.search(value) for _, value in fields):
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    headers = Headers(tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields))
    hosts = headers.get_all("host")  # h11 allows one at most
    if not hosts and event.http_version != b"1.0":  # RFC 9112, section 3.2
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    target, _, query = event.target.decode("latin-1").partition("?")
    path, authority = _split(target)
    return Request(
        method=event.method.decode("latin-1"),
        path=path,
        host=authority if authority is not None else hosts[0] if hosts else None,
        headers=headers,
        accept=tuple(headers.get_all("accept")),
        accept_encoding=tuple(headers.get_all("accept-encoding")),
        query=query,
    )


def _split(target: str) -> tuple[str, str | None]:
    """Return the path of a target without its query, and the host if it is an absolute URL (RFC 9112, 3.2.2)."""
    _, scheme_end, rest = target.partition("://")
    if not scheme_end or target.startswith("/"):
        return target, None
    authority, _, path = rest.partition("/")
    return f"/{path}", authority.rpartition("@")[2]
