"""Certificates made by a real openssl."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.needs import need_command

# Complete by RFC 5280, as Python from 3.13 on wants it (VERIFY_X509_STRICT), and nothing of the machine's openssl.cnf.
_CONFIGURATION = """\
[req]
distinguished_name = name
x509_extensions = extensions
[name]
[extensions]
subjectAltName = {sans}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
basicConstraints = critical, CA:{signs}
keyUsage = critical, digitalSignature{usage}
"""


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, in files."""

    certificate: Path
    key: Path

    @property
    def pem(self) -> str:
        """The certificate itself."""
        return self.certificate.read_text()


def issue(
    directory: Path, name: str, *, sans: str = "DNS:localhost,IP:127.0.0.1", ca: Certificate | None = None
) -> Certificate:
    """Make a certificate.

    Args:
        directory: where to put it.
        name: of its files and of its subject.
        sans: the names that it holds, in the form of x509v3_config(5).
        ca: who signs it; None if it does so itself, and then it may sign others.
    """
    made = Certificate(directory / f"{name}.pem", directory / f"{name}.key")
    signed = ["-CA", str(ca.certificate), "-CAkey", str(ca.key)] if ca else []
    signs, usage = ("FALSE", "") if ca else ("TRUE", ", keyCertSign, cRLSign")
    configuration = directory / f"{name}.cnf"
    configuration.write_text(_CONFIGURATION.format(sans=sans, signs=signs, usage=usage))
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
        *("-config", str(configuration), "-subj", f"/CN={name}"),
        *("-keyout", str(made.key), "-out", str(made.certificate), *signed),
    )
    return made


def trusting(server: Certificate, client: Certificate | None = None) -> ssl.SSLContext:
    """Return how a client asks a server whose certificate, or whose CA's, it has."""
    context = ssl.create_default_context(cafile=str(server.certificate))
    context.check_hostname = False
    if client:
        context.load_cert_chain(client.certificate, client.key)
    return context


def _openssl(*arguments: str) -> None:
    openssl = need_command("openssl", "openssl")
    subprocess.run([openssl, *arguments], check=True, capture_output=True, text=True)
