"""The Snapshot of a monitor that runs, here or elsewhere."""

from __future__ import annotations

import base64
import email.utils
import http.client
import re
import socket
import ssl
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from genvd.common import files
from genvd.common.text import clean
from genvd.model import snapshot_json

if TYPE_CHECKING:
    from pathlib import Path

    from genvd.model.snapshot import Snapshot

_PATH = "/api/v1/snapshot"
_SECONDS = 5.0
_MOST_BYTES = 64 * 2**20
_MOST_PEM_BYTES = 2**20


class ServiceError(Exception):
    """There is no Snapshot. The text is one line: the thing, the reason, the way out."""


class NobodyThereError(ServiceError):
    """Nobody listens there at all."""


class NotYetError(ServiceError):
    """It has nothing to show yet, or is too busy to."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A Snapshot, and when it was looked at."""

    snapshot: Snapshot
    now: float
    """Unix time in seconds, by the clock of the machine that it is of."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to get in."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    """Certificate to show, where the service asks for one."""
    key_file: Path | None = None
    """Its key; None where it is in the same file."""
    user: str | None = None
    password: str = ""


class Service:
    """A monitor that serves HTTP."""

    def __init__(self, url: str, access: Access) -> None:
        """Make it known where to ask.

        Args:
            url: of the page.
            access: how to get in.

        Raises:
            ServiceError: the URL is none, or a file cannot be used.
        """
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            self._host, self._port = parts.hostname, parts.port
        except ValueError:
            self._host = None
        if not self._host or parts.scheme not in ("http", "https"):
            raise ServiceError(f"{clean(url)}: is no URL of a monitor; such as http://gpu1:8000")
        self.url = clean(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")
        self._path = parts.path.rstrip("/").removesuffix(_PATH) + _PATH
        self._tls = _context(access) if parts.scheme == "https" else None
        self._headers = {"Accept": "application/json"}
        if access.user is not None:
            credentials = base64.b64encode(f"{access.user}:{access.password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {credentials}"
        self._last: tuple[str, Snapshot] | None = None

    def look(self) -> Seen:
        """Return what it shows now.

        Raises:
            ServiceError: it does not answer, or with something else.
        """
        try:
            return self._ask()
        except ssl.SSLCertVerificationError as error:
            raise ServiceError(
                f"{self.url}: its certificate is not trusted: {error.verify_message}; --ca-file names its CA"
            ) from None
        except ssl.SSLError as error:
            raise ServiceError(
                f"{self.url}: TLS fails: {_reason(error)}; it may speak plain HTTP, or want a client certificate"
                " that it trusts: --cert-file and --key-file name one"
            ) from None
        except (ConnectionResetError, BrokenPipeError) as error:  # by some versions of Python instead of an SSLError
            wants = "; it may want a client certificate: --cert-file and --key-file name one" if self._tls else ""
            raise ServiceError(f"{self.url}: {error.strerror or error}{wants or '; --url says where it is'}") from None
        except (ConnectionRefusedError, FileNotFoundError, socket.gaierror) as error:
            raise NobodyThereError(
                f"{self.url}: {error.strerror}; see 'systemctl status genv-monitor', or say with --url where it is"
            ) from None
        except OSError as error:
            raise ServiceError(f"{self.url}: {error.strerror or error}; --url says where it is") from None
        except http.client.HTTPException as error:
            reason = type(error).__name__
            raise ServiceError(f"{self.url}: speaks no HTTP ({reason}); where it is encrypted, say https://") from None

    def _ask(self) -> Seen:
        connection = self._connection()
        try:
            tag = {"If-None-Match": self._last[0]} if self._last else {}
            connection.request("GET", self._path, headers={**self._headers, **tag})
            response = connection.getresponse()
            body = response.read(_MOST_BYTES)
        finally:
            connection.close()
        if response.status == HTTPStatus.NOT_MODIFIED and self._last:
            return Seen(self._last[1], _date(response))
        if response.status != HTTPStatus.OK:
            kind = NotYetError if response.status == HTTPStatus.SERVICE_UNAVAILABLE else ServiceError
            raise kind(f"{self.url}: {_refusal(response.status, body)}")
        try:
            snapshot = snapshot_json.load(body)
        except snapshot_json.NoSnapshotError as error:
            reason = clean(str(error))
            raise ServiceError(f"{self.url}: is no genv-monitor, or of another version: {reason}; see --url") from None
        self._last = (response.headers.get("ETag", ""), snapshot)
        return Seen(snapshot, _date(response))

    def _connection(self) -> http.client.HTTPConnection:
        host = self._host or ""
        if self._tls:
            return http.client.HTTPSConnection(host, self._port, timeout=_SECONDS, context=self._tls)
        return http.client.HTTPConnection(host, self._port, timeout=_SECONDS)


def _context(access: Access) -> ssl.SSLContext:
    if access.ca_file is None:
        context = ssl.create_default_context()
    else:
        # Comments may be anything; without any text Python would take the CAs of the system.
        way_out = "--ca-file names a file of PEM certificates"
        content = _content(access.ca_file, way_out)
        try:
            context = ssl.create_default_context(cadata=content.decode("ascii", "ignore") or "\n")
        except (ssl.SSLError, ValueError):
            text = (
                f"{access.ca_file}: cannot be used: no certificates in it; --ca-file names a file of PEM certificates"
            )
            raise ServiceError(text) from None
    if access.cert_file:
        _show(context, access.cert_file, access.key_file or access.cert_file)
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    for path, option in ((certificate, "--cert-file"), (key, "--key-file")):
        _content(path, f"{option} names a PEM file")
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except (OSError, ValueError) as error:  # of OpenSSL too
        known = isinstance(error, ssl.SSLError) and error.reason
        reason = known.lower().replace("_", " ") if known else "not a certificate and its key, or with a passphrase"
        text = f"{certificate} and {key}: cannot be used: {reason}; see --cert-file and --key-file"
        raise ServiceError(text) from None


def _content(path: Path, way_out: str) -> bytes:
    try:
        return files.content(path, _MOST_PEM_BYTES)
    except OSError as error:
        raise ServiceError(f"{path}: cannot be read: {error.strerror}; {way_out}") from None
    except files.UnfitFileError as error:
        raise ServiceError(f"{path}: {error}; {way_out}") from None


_SOURCE_LINE = re.compile(r"\s*\(\s*_?\w+\.c:\d+\)")
"""Where in Python an error of OpenSSL was met, which its text ends with."""


def _reason(error: ssl.SSLError) -> str:
    """Return why TLS fails, in the words of OpenSSL."""
    return _SOURCE_LINE.sub("", error.reason or error.strerror or str(error)).lower().replace("_", " ")


def _no_passphrase() -> str:
    return ""  # else OpenSSL asks the terminal


def _refusal(status: int, body: bytes) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return "wants a user and the right password: --user and --password-file"
    told = clean(body[:1024].decode("utf-8", "replace").strip().partition("\n")[0])
    known = (
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.MISDIRECTED_REQUEST,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.TOO_MANY_REQUESTS,
    )
    return told if status in known and told else f"is no genv-monitor, it answers with status {status}; see --url"


def _date(response: http.client.HTTPResponse) -> float:
    try:
        return email.utils.parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except ValueError:
        return time.time()
