"""The JSON of the ledger: ``/api/v1/usage`` for the page, ``/api/v1/usage/report`` for ``genv-monitor report``."""

from __future__ import annotations

import gzip
import json
import math
import sqlite3
from collections import OrderedDict
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

from genvd.ledger.report import LABELS
from genvd.ledger.report_formats import as_json
from genvd.ledger.schema import UnusableLedgerError
from genvd.ledger.usage import PERIODS, View, report_document, usage_document
from genvd.metrics.exposition import GZIP_LEVEL
from genvd.model.identity import device_keys
from genvd.web.negotiation import accepts_gzip, is_current
from genvd.web.response import Job, Response, error_response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from genvd.ledger.ledger import Ledger
    from genvd.model.snapshot import Snapshot
    from genvd.web.request import Request
    from genvd.web.response import Headers

USAGE_PATH, REPORT_PATH = "/api/v1/usage", "/api/v1/usage/report"

_JSON = "application/json"
_PARAMETERS = {USAGE_PATH: ("user", "hours"), REPORT_PATH: ("user", "since", "until", "by")}
_MAX_CACHED = 16
"""Maximum number of documents that are kept until the ledger is written again."""
_MAX_TIME = 2.0**37

_OFF = error_response(HTTPStatus.NOT_FOUND, "The ledger is off; see ledger.enabled in monitor.yaml.")
_PRIVATE = error_response(
    HTTPStatus.FORBIDDEN, "Usage is private here (usage.visible: own): log in as the user whose usage you want to see."
)
_NOT_READY = error_response(HTTPStatus.SERVICE_UNAVAILABLE, "The first collection is not complete yet.")
_VARY = ("Vary", "Accept-Encoding, Authorization")


class _ParameterError(Exception):
    """A parameter of the query is wrong. The text is one line."""


class _Parameters(NamedTuple):
    user: str | None = None
    hours: int = PERIODS["7d"]
    since: float = 0.0
    until: float = math.inf
    by: str = "user"


class UsageApi:
    """Answers requests for usage. The documents are made by a job, never in the event loop."""

    def __init__(self, run_id: str) -> None:
        """Create the routes without a ledger.

        Args:
            run_id: part of the entity tags; differs between processes.
        """
        self.ledger: Ledger | None = None
        self.visible = "all"
        self._run_id = run_id
        self._cache: OrderedDict[tuple[object, ...], Response] = OrderedDict()
        """Used only by the thread that renders."""

    def respond(self, request: Request, snapshot: Snapshot | None) -> Response | Job:
        """Return the response, or a job that makes it.

        Args:
            request: a request for one of the paths.
            snapshot: the latest Snapshot; None before the first one.
        """
        ledger = self.ledger
        if ledger is None:
            return _OFF
        if snapshot is None:
            return _NOT_READY
        try:
            parameters = _parse(request)
        except _ParameterError as error:
            return error_response(HTTPStatus.BAD_REQUEST, str(error))
        view = View(self.visible, request.user, parameters.user)
        if not view.allowed:
            return _PRIVATE
        # Weak, as the plain and the compressed document share it. Whoever logs in gets another document.
        tag = f'W/"{self._run_id}-{ledger.version}-{view.visible}-{abs(hash(view.login)):x}"'
        headers = (("ETag", tag), ("Cache-Control", "private, no-cache"), _VARY)
        if is_current(request.headers.get_all("if-none-match"), tag):
            return Response(b"", status=HTTPStatus.NOT_MODIFIED, headers=headers)
        compressed = accepts_gzip(request.accept_encoding)
        key = (tag, request.path, parameters, view, compressed)
        return Job(
            key, lambda: self._cached(key, lambda: _make(ledger, snapshot, request.path, parameters, view), headers)
        )

    def _cached(self, key: tuple[object, ...], make: Callable[[], bytes], headers: Headers) -> Response:
        if key not in self._cache:
            try:
                body = make()
            except FileNotFoundError:
                return error_response(HTTPStatus.SERVICE_UNAVAILABLE, "The ledger has not been written yet.")
            except (UnusableLedgerError, OSError, sqlite3.Error) as error:
                return error_response(HTTPStatus.SERVICE_UNAVAILABLE, f"The ledger cannot be read: {error}.")
            if key[-1]:
                body = gzip.compress(body, GZIP_LEVEL, mtime=0)
                headers = (*headers, ("Content-Encoding", "gzip"))
            self._cache[key] = Response(body, _JSON, headers=headers)
            while len(self._cache) > _MAX_CACHED:
                self._cache.popitem(last=False)
        return self._cache[key]


def _make(ledger: Ledger, snapshot: Snapshot, path: str, parameters: _Parameters, view: View) -> bytes:
    now = snapshot.timestamp
    with ledger.reading() as connection:
        if path == REPORT_PATH:
            until = min(parameters.until, now)
            return as_json(report_document(connection, parameters.since, until, parameters.by, view)).encode()
        indices = {key: index for index, key in device_keys(snapshot.devices or ()).items()}
        return _compact(usage_document(connection, now, view, indices, parameters.hours))


def _compact(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _parse(request: Request) -> _Parameters:
    known = _PARAMETERS[request.path]
    try:
        # A blank value counts: the user with the empty name is the unknown one, and not everybody.
        pairs = parse_qsl(
            request.query,
            keep_blank_values=True,
            strict_parsing=bool(request.query),
            max_num_fields=8,
            errors="strict",
        )
    except ValueError:
        raise _ParameterError(f"The query is invalid. Parameters: {', '.join(known)}.") from None
    given = dict(pairs)
    if len(given) < len(pairs) or not set(given) <= set(known):
        raise _ParameterError(f"Unknown or repeated parameter. Parameters: {', '.join(known)}.")
    if given.get("by", "user") not in LABELS:
        raise _ParameterError(f"by is wrong; expected one of {', '.join(LABELS)}.")
    return _Parameters(
        user=given.get("user"),
        hours=int(_number(given, "hours", PERIODS["7d"], 1, PERIODS["30d"])),
        since=_number(given, "since", 0.0, 0.0, _MAX_TIME),
        until=_number(given, "until", _MAX_TIME, 0.0, _MAX_TIME),
        by=given.get("by", "user"),
    )


def _number(given: Mapping[str, str], name: str, default: float, least: float, most: float) -> float:
    text = given.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:  # NaN fails this comparison too
        raise _ParameterError(f"{name} is wrong; expected a number from {least:g} to {most:g}.")
    return number
