"""``genv-monitor report``: asks the ledger's file, the running service, a simulated machine, or a Prometheus."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from genvd.config.paths import ledger_to_read
from genvd.ledger.paths import FILE_NAME
from genvd.ledger.report import Report, ReportError, make_report, read_report
from genvd.ledger.report_formats import FORMATS, parse_json
from genvd.ledger.report_table import ASCII, BLOCKS, Layout, as_table
from genvd.terminal.http_client import Access, HttpClient, NotListeningError, Server, ServiceError
from genvd.terminal.source import local_url
from genvd.terminal.style import can_encode, terminal_size

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from genvd.config.schema import Config

_PATH = "/api/v1/usage/report"

PROMETHEUS = Server("Prometheus", "--prometheus", "http://localhost:9090", 30.0)


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What a report is about."""

    since: datetime
    until: datetime
    by: str
    user: str | None = None
    """The only user whose usage is wanted; None for all."""
    own: str | None = None
    """Who runs the command, if usage is private: the user of a report, unless another one is wanted. A service limits
    its report by itself."""


def make(
    config: Config,
    options: ReportOptions,
    ledger: Path | None,
    demo: int | None,
    url: str | None,
    prometheus: str | None,
    access: Access,
) -> Report:
    """Return the report, from the first of the sources that is given.

    Without any, it comes from the ledger of the service, or if this user may not read it, from the running service.

    Raises:
        CommandError: the source cannot be read.
    """
    user = options.user if options.user is not None else options.own
    if prometheus is not None:
        from genvd.terminal.fleet_report import fleet_report

        client = HttpClient(prometheus, access, PROMETHEUS)
        return fleet_report(client, (options.since, options.until), options.by, time.time(), user)
    if demo is not None:
        return _from_demo(config, options, demo, user)
    if url is not None:
        return _from_service(url, access, options)
    file = ledger or ledger_to_read(config) / FILE_NAME
    try:
        return make_report(file, options.since, options.until, options.by, user)
    except ReportError as error:
        if ledger is not None:
            raise
        url = local_url(config)
        try:
            return _from_service(url, access, options)
        except NotListeningError:
            raise ReportError(f"{error}; no service answers at {url} either") from None


def as_text(report: Report, form: str) -> bytes:
    """Return the report in a format, for standard output; a table with the width of the terminal."""
    if form != "table":
        return FORMATS[form](report).encode()
    encoding = (sys.stdout and sys.stdout.encoding) or "utf-8"
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    now = time.time()
    if report.fleet and now - report.until < PROMETHEUS.timeout:
        now = report.until  # it ends at the time of its first query
    layout = Layout(terminal_size()[0] if is_terminal else None, BLOCKS if can_encode(encoding, BLOCKS) else ASCII, now)
    return as_table(report, layout).encode(encoding, "replace")


def _from_service(url: str, access: Access, options: ReportOptions) -> Report:
    """Return the report of a running service. If usage is private there, it limits the report by itself."""
    client = HttpClient(url, access)
    parameters: dict[str, Any] = {
        "since": max(0.0, options.since.timestamp()),
        "until": max(0.0, options.until.timestamp()),
        "by": options.by,
    }
    if options.user is not None:
        parameters["user"] = options.user
    reply = client.get(f"{client.path}{_PATH}?{urlencode(parameters)}")
    if reply.status == HTTPStatus.NOT_FOUND:
        raise ServiceError(
            f"{client.url}: has no usage; upgrade it, check ledger.enabled there, or use sudo and --ledger"
        )
    if reply.status != HTTPStatus.OK:
        raise ServiceError(f"{client.url}: {client.refusal(reply)}")
    try:
        return parse_json(reply.body)
    except (ValueError, json.JSONDecodeError) as error:
        raise ServiceError(
            f"{client.url}: not a genv-monitor, or an incompatible version: {error}; check --url"
        ) from None


def _from_demo(config: Config, options: ReportOptions, demo: int, user: str | None) -> Report:
    """Return the report of a simulated machine, with a simulated past."""
    from genvd.collectors.registry import make_collectors
    from genvd.ledger.memory import MemoryLedger
    from genvd.ledger.pending import PendingUsage
    from genvd.ledger.store import StoredState
    from genvd.model.identity import device_keys
    from genvd.service.monitor import Monitor

    snapshot = Monitor(config, make_collectors(config, demo)).collect()
    pending = PendingUsage()
    pending.load(StoredState())
    ledger = MemoryLedger(pending, past=True)
    ledger.set_devices(device_keys(snapshot.devices or ()).values(), snapshot.timestamp)
    with ledger.reading() as connection:
        return read_report(connection, options.since.timestamp(), options.until.timestamp(), options.by, user)
