"""Creates the TLS context from the settings of the web configuration, with its certificates and keys."""

from __future__ import annotations

import ipaddress
import os
import ssl
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from genvd.common import files
from genvd.common.files import UnsuitableFileError
from genvd.config.web_tls import CIPHERS, CIPHERS_OF_TLS13, CURVES
from genvd.model.snapshot import CertificateValidity
from genvd.web.certificate_dates import read_validity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.config.web_tls import Pem, TlsSettings

_MAX_BYTES = 1024 * 1024
"""Maximum size of a file with certificates or a key."""

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}

_DAMAGED = "a {} in it is damaged, incomplete or of a type that OpenSSL does not support; copy it again, or replace it"

_VERIFIES = {"VerifyClientCertIfGiven": 1, "RequireAndVerifyClientCert": 2}
"""The values of client_auth_type that verify a certificate; a higher number is stricter."""


class TlsError(Exception):
    """TLS cannot be set up. The message is one line; ``line`` is the line number in the web configuration."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


class Tls:
    """The TLS context of the server, and the requirements on client certificates."""

    def __init__(self, settings: TlsSettings) -> None:
        """Read the certificates and keys.

        Raises:
            TlsError: they cannot be used, or this version of Python does not support a setting.
        """
        authorities = _read(settings.client_ca) if settings.client_ca else b""
        self.client_requirements = (settings.min_version, settings.client_auth, settings.allowed_sans, authorities)
        """All settings that restrict which clients may connect."""
        self.verify_level = _VERIFIES.get(settings.client_auth, 0)
        """How strictly client certificates are verified; 0 for not at all."""
        self.checks_sans = settings.allowed_sans is not None
        """Whether only client certificates with certain subject alternative names are accepted."""
        self.certificate_ends: tuple[CertificateValidity, ...] = ()
        """The validity of the certificates ``server`` and ``client_ca``."""
        self.labels: dict[str, str] = {}
        """The name of each certificate in messages."""
        self._allowed_sans = settings.allowed_sans
        self.warning = ""
        """A setting that has no effect here, in one line; empty if there is none."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            self._set_up(settings, authorities)
        except TlsError:
            raise
        except Exception as error:  # no exception of Python's ssl may end a running service
            raise TlsError(settings.line, f"tls_server_config: cannot be used: {_reason(error)}") from None

    def _set_up(self, settings: TlsSettings, authorities: bytes) -> None:
        _set_versions(self._context, settings)
        self.warning = _set_curves(self._context, settings)
        self._store_validity("server", settings.certificate, _load_certificate(self._context, settings))
        if self.verify_level and settings.client_ca:
            _load_authorities(self._context, settings.client_ca, authorities)
            self._store_validity("client_ca", settings.client_ca, authorities)
            required = settings.client_auth == "RequireAndVerifyClientCert"
            self._context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        self._context.options |= ssl.OP_NO_RENEGOTIATION  # in TLS 1.2 it costs the server more than the client
        self._context.set_alpn_protocols(["http/1.1"])

    def _store_validity(self, name: str, pem: Pem, content: bytes) -> None:
        """Store the validity of certificates, if it can be parsed."""
        if times := read_validity(content):
            end = CertificateValidity(name, times.not_after, times.not_before, times.all_begun)
            self.certificate_ends += (end,)
            self.labels[name] = _label(pem)

    def session(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        """Return the server side of a new TLS session that uses these buffers for encrypted bytes."""
        return self._context.wrap_bio(incoming, outgoing, server_side=True)

    def check_sans(self, session: ssl.SSLObject) -> None:
        """Check the subject alternative names of the client's certificate after the handshake.

        Raises:
            ConnectionAbortedError: none of the names is allowed.
        """
        if self._allowed_sans is None:
            return
        names = (session.getpeercert() or {}).get("subjectAltName", ())
        if not any(_normalized_name(*pair) in self._allowed_sans for pair in names):
            raise ConnectionAbortedError("the client's certificate has none of the allowed names")


def _normalized_name(kind: str, value: str) -> str:
    """Return a subject alternative name in Go's format, which client_allowed_sans uses."""
    if kind == "IP Address":
        with suppress(ValueError):
            return str(ipaddress.ip_address(value.strip()))
    return value


def _set_versions(context: ssl.SSLContext, settings: TlsSettings) -> None:
    # TLS 1.0 and 1.1 are not offered even if min_version allows them: OpenSSL has disabled them.
    context.minimum_version = _VERSIONS.get(settings.min_version, ssl.TLSVersion.TLSv1_2)
    context.maximum_version = _VERSIONS[settings.max_version]
    if settings.ciphers:
        names = [CIPHERS[name] for name in settings.ciphers if name not in CIPHERS_OF_TLS13]
        if names:
            context.set_ciphers(":".join(names))
        elif settings.max_version == "TLS12":
            raise TlsError(
                settings.lines["cipher_suites"], "cipher_suites: has none of TLS 1.2, the only version allowed"
            )
        else:
            context.minimum_version = ssl.TLSVersion.TLSv1_3
    if settings.prefer_server_ciphers:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE


def _set_curves(context: ssl.SSLContext, settings: TlsSettings) -> str:
    """Offer only these curves, in this order. Return a warning if this Python cannot limit them, and offers others."""
    curves = [CURVES[name] for name in settings.curves]
    if not curves:
        return ""
    if hasattr(context, "set_groups"):  # since Python 3.15
        context.set_groups(":".join(curves))
        return ""
    if len(curves) == 1:
        # Python 3.11.2 of Debian 12 accepts only curves that ECDSA uses too, so not X25519.
        with suppress(ssl.SSLError, ValueError):
            context.set_ecdh_curve(curves[0])
            return ""
    if "X25519" in settings.curves:
        given = ", ".join(settings.curves)
        return f"curve_preferences: this Python cannot limit TLS to {given}; OpenSSL's list is used, with X25519"
    if len(curves) == 1:
        text = f"curve_preferences: this OpenSSL does not have {settings.curves[0]}; choose another one"
    else:
        text = "curve_preferences: this version of Python supports only one curve; set only one, or remove the key"
    raise TlsError(settings.lines["curve_preferences"], text)


def _load_certificate(context: ssl.SSLContext, settings: TlsSettings) -> bytes:
    """Load the server's certificate and key; return the content of the certificate file."""
    certificate, key = settings.certificate, settings.private_key
    chain, secret = _read(certificate), _read(key)
    if b"-----BEGIN CERTIFICATE-----" not in chain:
        raise TlsError(certificate.line, f"{_label(certificate)}: no certificate in PEM form; see openssl-req(1)")
    if b"PRIVATE KEY-----" not in secret:
        raise TlsError(key.line, f"{_label(key)}: no private key in PEM form; see openssl-pkey(1)")
    if b"ENCRYPTED" in secret:
        raise TlsError(key.line, f"{_label(key)}: is encrypted with a passphrase; remove it with: openssl pkey")
    try:
        with _as_file(chain) as chain_path, _as_file(secret) as key_path:
            context.load_cert_chain(chain_path, key_path, password=_no_passphrase)
    except ssl.SSLError as error:
        if "MISMATCH" in (error.reason or ""):
            text = f"{_label(key)}: does not belong to the certificate of {certificate.key}; expected its key"
            raise TlsError(key.line, text) from None
        raise _unusable(certificate, key, chain, error) from None
    return chain


def _unusable(certificate: Pem, key: Pem, chain: bytes, error: ssl.SSLError) -> TlsError:
    """Return an error for the file that OpenSSL rejects, with the reason."""
    if "TOO_SMALL" in (error.reason or "") or "TOO_WEAK" in (error.reason or ""):
        text = f"{_label(certificate)}: its key or signature is too weak for OpenSSL ({_reason(error)})"
        return TlsError(certificate.line, f"{text}; create a new one, for example with openssl req -newkey rsa:3072")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=chain.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError):
        return TlsError(certificate.line, f"{_label(certificate)}: {_DAMAGED.format('certificate')}")
    return TlsError(key.line, f"{_label(key)}: {_DAMAGED.format('private key')}")


def _load_authorities(context: ssl.SSLContext, pem: Pem, content: bytes) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            context.load_verify_locations(cadata=content.decode("ascii", "ignore"))  # comments may not be ASCII
    except (ssl.SSLError, ValueError) as error:
        known = isinstance(error, ssl.SSLError) and error.reason
        if known:
            text = f"cannot be used: {_reason(error)}; expected certificates of CAs"
        elif b"CERTIFICATE-----" in content:
            text = _DAMAGED.format("certificate")
        else:
            text = "no certificate in PEM form; expected certificates of CAs"
        raise TlsError(pem.line, f"{_label(pem)}: {text}") from None


def _read(pem: Pem) -> bytes:
    if pem.path is None:
        return pem.text.encode(errors="replace")
    try:
        return files.read_file(pem.path, _MAX_BYTES)
    except OSError as error:
        text = f"{_label(pem)}: cannot be read: {error.strerror}; see who may read it, and the directories above it"
        raise TlsError(pem.line, text) from None
    except UnsuitableFileError as error:
        raise TlsError(pem.line, f"{_label(pem)}: {error}; expected a file in PEM form") from None


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Yield a path with this content, since Python's ssl accepts only paths here. The file has no name."""
    descriptor = _new_file()
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _new_file() -> int:
    """Return the descriptor of an empty file in memory, or else in the directory of temporary files.

    The units forbid memfd_create(2), whose files could be executed, and give the service a /tmp of its own.
    """
    try:
        return os.memfd_create("pem", os.MFD_CLOEXEC)
    except PermissionError:
        import tempfile

        with tempfile.TemporaryFile() as file:  # which only its user can open
            return os.dup(file.fileno())


def _no_passphrase() -> str:
    return ""  # otherwise OpenSSL asks on the terminal


def _label(pem: Pem) -> str:
    return pem.key if pem.path is None else f"{pem.key}: {pem.path}"


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "cannot be used").replace("_", " ").lower()
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__  # the message may contain a key
