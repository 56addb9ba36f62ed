"""HTTP client of the commands: it asks a running monitor, or a Prometheus, and explains what is wrong."""

from __future__ import annotations

import base64
import http.client
import re
import socket
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from genvd.common import files
from genvd.common.output import CommandError
from genvd.common.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message
    from pathlib import Path

_TIMEOUT_SECONDS = 5.0
MAX_BYTES = 64 * 2**20
"""Longest answer that is read."""
_MAX_PEM_BYTES = 2**20
_SPEAKS_TLS = "HTTP request to an HTTPS server"
"""What programs in Go, such as Prometheus, answer to a request without TLS."""


class ServiceError(CommandError):
    """The Snapshot could not be fetched."""


class NotListeningError(ServiceError):
    """Nothing listens at the address."""


class NotReadyError(ServiceError):
    """The service has no Snapshot yet, or is overloaded."""


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


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request."""

    status: int
    headers: Message
    body: bytes


@dataclass(frozen=True, slots=True)
class Server:
    """What is asked, for error messages."""

    name: str = "genv-monitor"
    option: str = "--url"
    """The option with its URL."""
    example: str = "http://gpu1:8000"
    timeout: float = _TIMEOUT_SECONDS
    """Seconds to wait for each part of the answer."""


class HttpClient:
    """Asks one server."""

    def __init__(self, url: str, access: Access, server: Server | None = None) -> None:
        """Create a client.

        Args:
            url: URL of the server's first page.
            access: credentials and certificates.
            server: what is asked.

        Raises:
            ServiceError: the URL is invalid, or a file cannot be used.
        """
        self._server = server or Server()
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            self._host, self._port = parts.hostname, parts.port
        except ValueError:
            self._host = None
        if not self._host or parts.scheme not in ("http", "https"):
            kind = "a monitor" if server is None else f"a {server.name}"
            raise ServiceError(f"{clean(url)}: not the URL of {kind}; an example is {self._server.example}")
        self.url = clean(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")
        self.path = parts.path.rstrip("/")
        self._tls = _tls_context(access) if parts.scheme == "https" else None
        self._headers = {"Accept": "application/json"}
        if access.user is not None:
            credentials = base64.b64encode(f"{access.user}:{access.password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {credentials}"

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Return the answer to a GET request, whatever its status.

        Raises:
            ServiceError: the server does not answer.
        """
        option = self._server.option
        try:
            return self._request(path, headers or {})
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
            advice = (
                "it may require a client certificate (--cert-file and --key-file)" if self._tls else f"check {option}"
            )
            raise ServiceError(f"{self.url}: {error.strerror or error}; {advice}") from None
        except (ConnectionRefusedError, FileNotFoundError, socket.gaierror) as error:
            advice = f"see 'systemctl status genv-monitor', or set {option}" if option == "--url" else f"check {option}"
            raise NotListeningError(f"{self.url}: {error.strerror}; {advice}") from None
        except OSError as error:
            raise ServiceError(f"{self.url}: {error.strerror or error}; check {option}") from None
        except http.client.HTTPException as error:
            reason = type(error).__name__
            raise ServiceError(f"{self.url}: the answer is not HTTP ({reason}); for TLS, use https://") from None

    def _request(self, path: str, headers: Mapping[str, str]) -> Reply:
        connection = self._connection()
        try:
            connection.request("GET", path, headers={**self._headers, **headers})
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read(MAX_BYTES))
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, timeout = self._host or "", self._server.timeout
        if self._tls:
            return http.client.HTTPSConnection(host, self._port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(host, self._port, timeout=timeout)

    def refusal(self, reply: Reply) -> str:
        """Return why the answer is not what was asked for, and what to do."""
        if reply.status == HTTPStatus.UNAUTHORIZED:
            problem = "or the password is wrong" if "Authorization" in self._headers else "and password are required"
            return f"user {problem}: --login and --password-file"
        message = clean(reply.body[:1024].decode("utf-8", "replace").strip().partition("\n")[0])
        known = (  # genv-monitor explains these in the first line of the body
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.MISDIRECTED_REQUEST,
            HTTPStatus.SERVICE_UNAVAILABLE,
            HTTPStatus.TOO_MANY_REQUESTS,
        )
        if reply.status == HTTPStatus.BAD_REQUEST and _SPEAKS_TLS in message:
            return f"{message.rstrip('.')}; use https://"
        if reply.status in known and message:
            return message
        return f"not a {self._server.name}: HTTP status {reply.status}; check {self._server.option}"


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
