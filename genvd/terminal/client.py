"""Fetches the Snapshot of a running monitor."""

from __future__ import annotations

import email.utils
import json
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from genvd.common.text import clean
from genvd.model import snapshot_json
from genvd.terminal.curves import Curves, parse_curves
from genvd.terminal.http_client import Access, HttpClient, NotReadyError, Reply, ServiceError

if TYPE_CHECKING:
    from genvd.model.snapshot import Snapshot

_PATH = "/api/v1/snapshot"
_PAGE_DATA = "/page/data.json"


@dataclass(frozen=True, slots=True)
class TimedSnapshot:
    """A Snapshot and the time at which it was fetched."""

    snapshot: Snapshot
    now: float
    """Unix time in seconds, by the clock of the monitored machine."""
    curves: Curves = field(default_factory=dict)
    """The last hour of each GPU, as far as it is known."""


class ServiceClient:
    """Fetches the Snapshot of one monitor."""

    def __init__(self, url: str, access: Access) -> None:
        """Create a client.

        Args:
            url: URL of the monitor's page.
            access: credentials and certificates.

        Raises:
            ServiceError: the URL is invalid, or a file cannot be used.
        """
        self._http = HttpClient(url, access)
        self.url = self._http.url
        self._base = self._http.path.removesuffix(_PATH)
        self._last: tuple[str, Snapshot] | None = None
        """The last Snapshot and its entity tag, so that an unchanged one is not sent again."""

    def fetch(self) -> TimedSnapshot:
        """Return the current Snapshot of the monitor.

        Raises:
            ServiceError: the monitor does not answer, or the answer is not a Snapshot.
        """
        reply = self._http.get(self._base + _PATH, {"If-None-Match": self._last[0]} if self._last else {})
        if reply.status == HTTPStatus.NOT_MODIFIED and self._last:
            return TimedSnapshot(self._last[1], _date(reply))
        if reply.status != HTTPStatus.OK:
            kind = NotReadyError if reply.status == HTTPStatus.SERVICE_UNAVAILABLE else ServiceError
            raise kind(f"{self.url}: {self._http.refusal(reply)}")
        try:
            snapshot = snapshot_json.load(reply.body)
        except snapshot_json.InvalidSnapshotError as error:
            reason = clean(str(error))
            raise ServiceError(
                f"{self.url}: not a genv-monitor, or an incompatible version: {reason}; check --url"
            ) from None
        self._last = (reply.headers.get("ETag", ""), snapshot)
        return TimedSnapshot(snapshot, _date(reply))

    def fetch_curves(self) -> Curves:
        """Return the last hour of each GPU; none if the monitor does not give it. They are an extra: no error."""
        try:
            reply = self._http.get(self._base + _PAGE_DATA)
            return parse_curves(json.loads(reply.body)) if reply.status == HTTPStatus.OK else {}
        except (ServiceError, ValueError, RecursionError):
            return {}


def _date(reply: Reply) -> float:
    """Return the Date field as Unix time; without a valid one, the time of this machine."""
    try:
        return email.utils.parsedate_to_datetime(reply.headers.get("Date", "")).timestamp()
    except ValueError:
        return time.time()
