"""HTTP client that fetches the Snapshot of a running monitor."""

from __future__ import annotations

import base64
import email.utils
import http.client
import json
import re
import socket
import ssl
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from genvd.common import files
from genvd.common.output import CommandError
from genvd.common.text import clean
from genvd.model import snapshot_json
from genvd.terminal.curves import Curves, parse_curves

if TYPE_CHECKING:
    from pathlib import Path

    from genvd.model.snapshot import Snapshot

_PATH = "/api/v1/snapshot"
_PAGE_DATA = "/page/data.json"
_TIMEOUT_SECONDS = 5.0
_MAX_BYTES = 64 * 2**20
_MAX_PEM_BYTES = 2**20


class ServiceError(CommandError):
    """The Snapshot could not be fetched."""


class NotListeningError(ServiceError):
    """Nothing listens at the address."""


class NotReadyError(ServiceError):
    """The service has no Snapshot yet, or is overloaded."""


@dataclass(frozen=True, slots=True)
class TimedSnapshot:
    """A Snapshot and the time at which it was fetched."""

    snapshot: Snapshot
    now: float
    """Unix time in seconds, by the clock of the monitored machine."""
    curves: Curves = field(default_factory=dict)
    """The last hour of each GPU, as far as it is known."""


@dataclass(frozen=True, slots=True)
class Access:
    """Credentials and certificates of the client."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    """Client certificate, for services that require one."""
    key_file: Path | None = None
    """Key of the client certificate; None if it is in the same file."""
    user: str | None = None
    password: str = ""


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
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            self._host, self._port = parts.hostname, parts.port
        except ValueError:
            self._host = None
        if not self._host or parts.scheme not in ("http", "https"):
            raise ServiceError(f"{clean(url)}: not the URL of a monitor; an example is http://gpu1:8000")
        self.url = clean(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")
        self._base = parts.path.rstrip("/").removesuffix(_PATH)
        self._tls = _tls_context(access) if parts.scheme == "https" else None
        self._headers = {"Accept": "application/json"}
        if access.user is not None:
            credentials = base64.b64encode(f"{access.user}:{access.password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {credentials}"
        self._last: tuple[str, Snapshot] | None = None
        """The last Snapshot and its entity tag, so that an unchanged one is not sent again."""

    def fetch(self) -> TimedSnapshot:
        """Return the current Snapshot of the monitor.

        Raises:
            ServiceError: the monitor does not answer, or the answer is not a Snapshot.
        """
        try:
            return self._request()
        except ssl.SSLCertVerificationError as error:
            raise ServiceError(
                f"{self.url}: the certificate is not trusted: {error.verify_message}; set --ca-file to its CA"
            ) from None
        except ssl.SSLError as error:
            raise ServiceError(
                f"{self.url}: TLS failed: {_reason(error)}; the monitor may use plain HTTP, or require a client"
                " certificate that it trusts (--cert-file and --key-file)"
            ) from None
        except (ConnectionResetError, BrokenPipeError) as error:  # some versions of Python raise it instead of SSLError
            advice = "it may require a client certificate (--cert-file and --key-file)" if self._tls else "check --url"
            raise ServiceError(f"{self.url}: {error.strerror or error}; {advice}") from None
        except (ConnectionRefusedError, FileNotFoundError, socket.gaierror) as error:
            raise NotListeningError(
                f"{self.url}: {error.strerror}; see 'systemctl status genv-monitor', or set --url"
            ) from None
        except OSError as error:
            raise ServiceError(f"{self.url}: {error.strerror or error}; check --url") from None
        except http.client.HTTPException as error:
            reason = type(error).__name__
            raise ServiceError(f"{self.url}: the answer is not HTTP ({reason}); for TLS, use https://") from None

    def fetch_curves(self) -> Curves:
        """Return the last hour of each GPU; none if the monitor does not give it. They are an extra: no error."""
        try:
            response, body = self._get(_PAGE_DATA, {})
            return parse_curves(json.loads(body)) if response.status == HTTPStatus.OK else {}
        except (OSError, http.client.HTTPException, ValueError, RecursionError):
            return {}

    def _request(self) -> TimedSnapshot:
        """Return the Snapshot from one HTTP request. Exceptions of :mod:`http.client` and of sockets pass through."""
        response, body = self._get(_PATH, {"If-None-Match": self._last[0]} if self._last else {})
        if response.status == HTTPStatus.NOT_MODIFIED and self._last:
            return TimedSnapshot(self._last[1], _date(response))
        if response.status != HTTPStatus.OK:
            kind = NotReadyError if response.status == HTTPStatus.SERVICE_UNAVAILABLE else ServiceError
            raise kind(f"{self.url}: {_refusal(response.status, body)}")
        try:
            snapshot = snapshot_json.load(body)
        except snapshot_json.InvalidSnapshotError as error:
            reason = clean(str(error))
            raise ServiceError(
                f"{self.url}: not a genv-monitor, or an incompatible version: {reason}; check --url"
            ) from None
        self._last = (response.headers.get("ETag", ""), snapshot)
        return TimedSnapshot(snapshot, _date(response))

    def _get(self, path: str, headers: dict[str, str]) -> tuple[http.client.HTTPResponse, bytes]:
        """Return the answer to a GET request, and its body."""
        connection = self._connection()
        try:
            connection.request("GET", self._base + path, headers={**self._headers, **headers})
            response = connection.getresponse()
            return response, response.read(_MAX_BYTES)
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host = self._host or ""
        if self._tls:
            return http.client.HTTPSConnection(host, self._port, timeout=_TIMEOUT_SECONDS, context=self._tls)
        return http.client.HTTPConnection(host, self._port, timeout=_TIMEOUT_SECONDS)


def _tls_context(access: Access) -> ssl.SSLContext:
    if access.ca_file is None:
        context = ssl.create_default_context()
    else:
        advice = "--ca-file needs a file of PEM certificates"
        content = _read_pem(access.ca_file, advice)
        # Comments in the file need not be ASCII. An empty string would make Python use the CAs of the system.
        try:
            context = ssl.create_default_context(cadata=content.decode("ascii", "ignore") or "\n")
        except (ssl.SSLError, ValueError):
            raise ServiceError(f"{access.ca_file}: contains no certificate; {advice}") from None
    if access.cert_file:
        _load_client_certificate(context, access.cert_file, access.key_file or access.cert_file)
    return context


def _load_client_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    for path, option in ((certificate, "--cert-file"), (key, "--key-file")):
        _read_pem(path, f"{option} needs a PEM file")
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        known = isinstance(error, ssl.SSLError) and error.reason
        reason = known.lower().replace("_", " ") if known else "no certificate and key, or the key has a passphrase"
        text = f"{certificate} and {key}: cannot be used: {reason}; check --cert-file and --key-file"
        raise ServiceError(text) from None


def _read_pem(path: Path, advice: str) -> bytes:
    try:
        return files.read_file(path, _MAX_PEM_BYTES)
    except OSError as error:
        raise ServiceError(f"{path}: cannot be read: {error.strerror}; {advice}") from None
    except files.UnsuitableFileError as error:
        raise ServiceError(f"{path}: {error}; {advice}") from None


_SOURCE_LINE = re.compile(r"\s*\(\s*_?\w+\.c:\d+\)")
"""The line of Python's source that the text of an OpenSSL error ends with."""


def _reason(error: ssl.SSLError) -> str:
    """Return the reason that OpenSSL gives."""
    return _SOURCE_LINE.sub("", error.reason or error.strerror or str(error)).lower().replace("_", " ")


def _no_passphrase() -> str:
    return ""  # without this, OpenSSL would ask on the terminal


def _refusal(status: int, body: bytes) -> str:
    """Return why there is no Snapshot in the answer, and what to do."""
    if status == HTTPStatus.UNAUTHORIZED:
        return "user and password are required: --login and --password-file"
    message = clean(body[:1024].decode("utf-8", "replace").strip().partition("\n")[0])
    known = (  # genv-monitor explains these in the first line of the body
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.MISDIRECTED_REQUEST,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.TOO_MANY_REQUESTS,
    )
    return message if status in known and message else f"not a genv-monitor: HTTP status {status}; check --url"


def _date(response: http.client.HTTPResponse) -> float:
    """Return the Date field as Unix time; without a valid one, the time of this machine."""
    try:
        return email.utils.parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except ValueError:
        return time.time()
