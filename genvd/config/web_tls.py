"""Reads ``tls_server_config`` of the web configuration: certificates, client authentication, versions, ciphers.

The file uses Go's names (constants of crypto/tls); the tables here translate them to OpenSSL's (openssl-ciphers(1),
SSL_CTX_set1_groups(3)).
"""

from __future__ import annotations

from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from genvd.config import go_yaml
from genvd.config.web_reader import Reader, line_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERSIONS = ("TLS10", "TLS11", "TLS12", "TLS13")

CIPHERS = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
"""The cipher suites of TLS 1.2 that Go 1.22 and later list as secure. promtool accepts only these."""

CIPHERS_OF_TLS13 = frozenset({"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"})
"""The cipher suites of TLS 1.3. Go accepts them in the list, but always offers all of them."""

CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}

CLIENT_AUTH = (
    "NoClientCert",
    "RequestClientCert",
    "VerifyClientCertIfGiven",
    "RequireAndVerifyClientCert",
)
UNVERIFIED = ("RequireAnyClientCert", "RequireClientCert")
"""Refused types of client authentication: they accept any certificate, even one that the client has just created."""


class Pem(NamedTuple):
    """Text in PEM form, or the path of the file that contains it."""

    key: str
    """The key of the web configuration, with its line number."""
    line: int
    text: str = ""
    path: Path | None = None


class TlsSettings(NamedTuple):
    """The content of ``tls_server_config``."""

    certificate: Pem
    private_key: Pem
    client_ca: Pem | None = None
    client_auth: str = "NoClientCert"
    allowed_sans: frozenset[str] | None = None
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    ciphers: tuple[str, ...] = ()
    prefer_server_ciphers: bool = True
    curves: tuple[str, ...] = ()
    line: int = 0
    """The line number of the section."""
    lines: Mapping[str, int] = MappingProxyType({})
    """The line number of each key that is set."""


class TlsReader(Reader):
    """Reads ``tls_server_config``."""

    def __init__(self, path: Path, root: yaml.Node | None) -> None:
        """Create a reader; see :class:`Reader`."""
        super().__init__(path, root)
        self.files: list[Path] = []
        """The files that the document names."""

    def _tls(self, node: yaml.Node, name: str) -> TlsSettings | None:
        before = len(self.problems)
        values, lines = self._mapping(
            node,
            name,
            {
                "cert": self._inline,
                "key": self._inline,
                "client_ca": self._inline,
                "cert_file": self._file,
                "key_file": self._file,
                "client_ca_file": self._file,
                "client_auth_type": self._client_auth,
                "client_allowed_sans": self._list(self._text),
                "min_version": self._one_of(*VERSIONS),
                "max_version": self._one_of(*VERSIONS),
                "cipher_suites": self._list(self._one_of(*CIPHERS, *sorted(CIPHERS_OF_TLS13))),
                "prefer_server_cipher_suites": self._boolean,
                "curve_preferences": self._list(self._one_of(*CURVES)),
            },
        )
        if not lines and not self._has_empty_text(node):
            return None
        self._check_tls(node, name, values, lines)
        if len(self.problems) > before:
            return None
        sans = values.get("client_allowed_sans")
        return TlsSettings(
            certificate=values.get("cert_file") or values["cert"],
            private_key=values.get("key_file") or values["key"],
            client_ca=values.get("client_ca_file") or values.get("client_ca"),
            client_auth=values.get("client_auth_type", "NoClientCert"),
            allowed_sans=None if sans is None else frozenset(sans),
            min_version=values.get("min_version", "TLS12"),
            max_version=values.get("max_version", "TLS13"),
            ciphers=tuple(values.get("cipher_suites", ())),
            prefer_server_ciphers=values.get("prefer_server_cipher_suites", True),
            curves=tuple(values.get("curve_preferences", ())),
            line=line_of(node),
            lines=lines,
        )

    def _check_tls(self, node: yaml.Node, name: str, values: dict[str, Any], lines: dict[str, int]) -> None:
        """Find missing keys, and keys that conflict."""
        for what in ("cert", "key"):
            if not {what, f"{what}_file"} & lines.keys():
                self._problem(line_of(node), f"{name}: has no {what}_file; add one, or remove the section")
        for what in ("cert", "key", "client_ca"):
            if {what, f"{what}_file"} <= lines.keys():
                text = f"{name}.{what}: cannot be combined with {what}_file; expected only one of them"
                self._problem(lines[what], text)
        kind = values.get("client_auth_type", "NoClientCert")
        verifies = kind in ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
        given = {"client_ca", "client_ca_file"} & lines.keys()
        if verifies and not given:
            where = lines["client_auth_type"]
            self._problem(where, f"{name}.client_auth_type: {kind} needs client_ca_file, the CA to trust")
        if given and kind == "NoClientCert" and not {"client_auth_type", *given} & self._keys_with_problems(lines):
            where = min(lines[key] for key in given)
            self._problem(where, f"{name}: has client CAs but no client_auth_type; expected RequireAndVerifyClientCert")
        if "client_allowed_sans" in lines and kind != "RequireAndVerifyClientCert":
            where = lines["client_allowed_sans"]
            self._problem(where, f"{name}.client_allowed_sans: needs client_auth_type RequireAndVerifyClientCert")
        self._check_versions(name, values, lines)

    def _check_versions(self, name: str, values: dict[str, Any], lines: dict[str, int]) -> None:
        minimum, maximum = values.get("min_version", "TLS12"), values.get("max_version", "TLS13")
        if maximum < "TLS12":
            text = f"{name}.max_version: {maximum} is not supported; expected TLS12 or TLS13"
            self._problem(lines["max_version"], text)
        elif minimum > maximum:
            text = f"{maximum} is lower than min_version, so nobody could connect; expected {minimum} or higher"
            self._problem(lines["max_version"], f"{name}.max_version: {text}")

    def _client_auth(self, node: yaml.Node, name: str) -> str | None:
        with suppress(ValueError):
            if (kind := go_yaml.text(node)) in UNVERIFIED:
                text = "accepts any certificate, even a self-signed one; expected RequireAndVerifyClientCert"
                self._problem(line_of(node), f"{name}: {kind} {text}")
                return None
        allowed: str | None = self._one_of(*CLIENT_AUTH)(node, name)
        return allowed

    def _inline(self, node: yaml.Node, name: str) -> Pem | None:
        text = self._text(node, name)
        return None if text is None else Pem(name, line_of(node), text=text)

    def _file(self, node: yaml.Node, name: str) -> Pem | None:
        text = self._text(node, name)
        if text is not None and (not text or not text.isprintable()):
            self._wrong_value(node, name, "expected the path of a file")
            return None
        if text is None:
            return None
        path = self._directory / text
        self.files.append(path)
        return Pem(name, line_of(node), path=path)
