"""The head of a request (RFC 9112): read strictly, because what is read in two ways is how requests are smuggled."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

from genvd.web.negotiation import list_items

MAX_HEAD_BYTES = 16 * 1024
"""Of the request line and the header fields together."""

MAX_FIELDS = 100

_OFTEN_BYTES = 1024

END = b"\r\n\r\n"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VERSION = re.compile(r"HTTP/([0-9])\.([0-9])")
_NO_LINE = re.compile(r"\r(?!\n)|(?<!\r)\n|\0")
"""Ends of lines that are none, and the character that ends text elsewhere: some readers see other fields behind it."""
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""The value of a field (RFC 9110, section 5.5): of the control characters it may have the tab only."""


class BadRequestError(Exception):
    """What came is no request that is served."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


@dataclass(frozen=True, slots=True)
class Headers:
    """Header fields in their order, the names in small letters."""

    fields: tuple[tuple[str, str], ...] = ()

    def get_all(self, name: str) -> list[str]:
        """Return the values of all fields of a name, which is given in small letters."""
        return [value for field, value in self.fields if field == name]

    def __contains__(self, name: object) -> bool:
        return any(field == name for field, _ in self.fields)


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for."""

    method: str
    path: str
    """Without the query."""
    host: str | None
    """Whom the client means to ask, with the port if it says one; None only from a client older than HTTP/1.1."""
    headers: Headers
    accept: tuple[str, ...]
    """The values of all fields of that name, and so the next one."""
    accept_encoding: tuple[str, ...]
    keeps_connection: bool
    """Whether the next request may come over the same connection."""
    has_body: bool

    @property
    def from_browser(self) -> bool:
        """Whether the header fields show that a browser asks. No scraper sends any of them."""
        return any(name in _OF_BROWSERS or name.startswith("sec-fetch-") for name, _ in self.headers.fields)


_OF_BROWSERS = frozenset({"origin", "referer", "accept-language"})
"""A page can keep its browser from sending Origin and Referer, and Sec-Fetch-* (Fetch Metadata, W3C) is sent through
TLS or to this machine only; but no page can make it leave out Accept-Language (Fetch, section 4.5)."""


def parse(head: bytes) -> Request:
    """Return the request whose head, without the empty line that ends it, came.

    Raises:
        BadRequestError: it is none, or none that can be told apart from others for sure.
    """
    # A scraper says the same each time. What is secret is not kept, nor is what nobody says often.
    often = len(head) <= _OFTEN_BYTES and b"authorization" not in head.lower()
    return _parsed_before(head) if often else _parsed(head)


def _parsed(head: bytes) -> Request:
    text = head.decode("latin-1")
    if _NO_LINE.search(text):
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    request_line, *lines = text.split("\r\n", MAX_FIELDS + 1)
    method, target, minor = _request_line(request_line)
    if len(lines) > MAX_FIELDS:
        raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    headers = Headers(tuple(map(_field, lines)))
    hosts = headers.get_all("host")
    if len(hosts) > 1 or (minor and not hosts):  # RFC 9112, section 3.2
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    path, authority = _split(target)
    has_body = "content-length" in headers or "transfer-encoding" in headers
    return Request(
        method=method,
        path=path,
        host=authority if authority is not None else hosts[0] if hosts else None,
        headers=headers,
        accept=tuple(headers.get_all("accept")),
        accept_encoding=tuple(headers.get_all("accept-encoding")),
        keeps_connection=minor > 0 and not has_body and not _asks_to_close(headers.get_all("connection")),
        has_body=has_body,
    )


_parsed_before = lru_cache(maxsize=64)(_parsed)


def _request_line(line: str) -> tuple[str, str, int]:
    """Return method, target and the minor version of HTTP/1."""
    words = line.split(" ", 3)
    version = _VERSION.fullmatch(words[-1])
    if len(words) != 3 or not version or not _TOKEN.fullmatch(words[0]) or not words[1].isprintable():
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    if version[1] != "1":
        raise BadRequestError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    return words[0], words[1], int(version[2])


def _asks_to_close(connection: list[str]) -> bool:
    """Tell whether the connection is to end; so it does where the list of options is too long to be read."""
    options = list_items(connection)
    return options is None or "close" in map(str.lower, options)


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    # A folded line begins with a space, which is no part of a token.
    if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    return name.lower(), value.strip(" \t")


def _split(target: str) -> tuple[str, str | None]:
    """Return the path of a request target, and the host if it is an absolute URL (RFC 9112, section 3.2.2)."""
    target = target.split("?", 1)[0]
    _, scheme_end, rest = target.partition("://")
    if not scheme_end or target.startswith("/"):
        return target, None
    authority, _, path = rest.partition("/")
    return f"/{path}", authority.rpartition("@")[2]
