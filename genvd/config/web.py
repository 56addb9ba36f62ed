"""The web configuration file, in the format of Prometheus' exporter-toolkit: who may connect, and how.

The format: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md. What promtool
refuses is refused here; some of what it accepts is refused as well, where this server could not keep the promise.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from genvd.common.text import clean
from genvd.config import tls_names
from genvd.config.values import sum_of_units
from genvd.config.yaml_reader import ConfigError, compose, is_null, nearest, unexpected

if TYPE_CHECKING:
    from collections.abc import Mapping


MOST_COST = 16
"""Of a bcrypt hash. At this one a login takes several seconds; with each step twice as long."""

HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-Content-Type-Options": ("nosniff",),
    "X-XSS-Protection": (),
    "Strict-Transport-Security": (),
}
"""The header fields that may be added, with the values that they may have; none means any."""

_WORDS = {"true": True, "yes": True, "on": True, "y": True, "false": False, "no": False, "off": False, "n": False}
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
"""In each unit that time.ParseDuration of Go knows."""
_MOST_SECONDS = 2**63 / 1e9
"""That a time.Duration of Go holds."""
_OR_EMPTY = frozenset({"cert", "key", "client_ca", "cert_file", "key_file", "client_ca_file", "client_auth_type"})
"""Keys of tls_server_config that are as good as not there when their text is empty."""


@dataclass(frozen=True, slots=True)
class Pem:
    """Text in PEM form, or the file that it is in."""

    key: str
    """Of the configuration."""
    line: int
    text: str = ""
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How to encrypt."""

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
    lines: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WebConfig:
    """Who may connect, and how."""

    tls: TlsSettings | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    """Names and bcrypt hashes; without any, everybody may."""
    headers: tuple[tuple[str, str], ...] = ()
    request_interval: float = 0.0
    """Seconds in which one more request is allowed; 0 for no limit."""
    request_burst: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of reading a file."""

    config: WebConfig
    """Of no use if there are problems."""
    problems: list[str]
    files: tuple[Path, ...]
    """All files that count, the configuration itself first."""


def read(path: Path) -> Reading:
    """Return what a web configuration file says, without the certificates and keys that it names; never raises."""
    try:
        reader = _Reader(path, compose(path))
        config = reader.config()
    except ConfigError as error:
        return Reading(WebConfig(), error.problems, (path,))
    except Exception as error:  # whatever is in the file, a service that runs must go on
        return Reading(WebConfig(), [unexpected(path, error)], (path,))
    problems = [f"{path}:{line}: {text}" for line, text in sorted(reader.problems)]
    return Reading(config, problems, (path, *reader.files))


Read = Callable[[yaml.Node, str], Any]


class _Reader:
    """Walks the tree of the document, and collects values and problems."""

    def __init__(self, path: Path, root: yaml.Node | None) -> None:
        self.problems: list[tuple[int, str]] = []
        self.files: list[Path] = []
        self._directory = path.parent
        self._root = root

    def config(self) -> WebConfig:
        """Return the whole."""
        sections: dict[str, Read] = {
            "tls_server_config": self._tls,
            "http_server_config": self._http,
            "basic_auth_users": self._users,
            "rate_limit": self._rate_limit,
        }
        values, _ = self._mapping(self._root, "", sections)
        interval, burst = values.get("rate_limit") or (0.0, 0)
        return WebConfig(
            tls=values.get("tls_server_config"),
            users=values.get("basic_auth_users") or {},
            headers=values.get("http_server_config") or (),
            request_interval=interval,
            request_burst=burst,
        )

    # --- Sections --------------------------------------------------------------------------------------------

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
                "min_version": self._one_of(*tls_names.VERSIONS),
                "max_version": self._one_of(*tls_names.VERSIONS),
                "cipher_suites": self._list(self._one_of(*tls_names.CIPHERS, *sorted(tls_names.CIPHERS_OF_TLS13))),
                "prefer_server_cipher_suites": self._boolean,
                "curve_preferences": self._list(self._one_of(*tls_names.CURVES)),
            },
        )
        if not lines and not self._empty_texts(node):
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
            line=_line(node),
            lines=lines,
        )

    def _empty_texts(self, node: yaml.Node) -> bool:
        return isinstance(node, yaml.MappingNode) and any(_is_empty_text(value) for _, value in node.value)

    def _check_tls(self, node: yaml.Node, name: str, values: dict[str, Any], lines: dict[str, int]) -> None:
        """Find what does not go together."""
        for what in ("cert", "key"):
            if not {what, f"{what}_file"} & lines.keys():
                self._problem(_line(node), f"{name}: has no {what}_file; give one, or take the section away")
        for what in ("cert", "key", "client_ca"):
            if {what, f"{what}_file"} <= lines.keys():
                self._problem(lines[what], f"{name}.{what}: is there beside {what}_file; give one of them")
        kind = values.get("client_auth_type", "NoClientCert")
        verifies = kind in ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
        given = {"client_ca", "client_ca_file"} & lines.keys()
        if verifies and not given:
            where = lines["client_auth_type"]
            self._problem(where, f"{name}.client_auth_type: {kind} needs client_ca_file, which says whom to trust")
        if given and kind == "NoClientCert" and not {"client_auth_type", *given} & self._wrong(lines):
            where = min(lines[key] for key in given)
            self._problem(where, f"{name}: has client CAs but no client_auth_type; expected RequireAndVerifyClientCert")
        if "client_allowed_sans" in lines and kind != "RequireAndVerifyClientCert":
            where = lines["client_allowed_sans"]
            self._problem(where, f"{name}.client_allowed_sans: needs client_auth_type RequireAndVerifyClientCert")
        self._check_versions(name, values, lines)

    def _wrong(self, lines: dict[str, int]) -> set[str]:
        """Return the keys that something is wrong with already."""
        found = {line for line, _ in self.problems}
        return {key for key, line in lines.items() if line in found}

    def _check_versions(self, name: str, values: dict[str, Any], lines: dict[str, int]) -> None:
        least, most = values.get("min_version", "TLS12"), values.get("max_version", "TLS13")
        if most < "TLS12":
            text = f"{name}.max_version: {most} is not offered here any more; expected TLS12 or TLS13"
            self._problem(lines["max_version"], text)
        elif least > most:
            text = f"{name}.max_version: {most} is less than min_version, {least}; nobody could connect"
            self._problem(lines["max_version"], text)

    def _http(self, node: yaml.Node, name: str) -> tuple[tuple[str, str], ...]:
        values, _ = self._mapping(node, name, {"http2": self._boolean, "headers": self._headers})
        return values.get("headers") or ()

    def _headers(self, node: yaml.Node, name: str) -> tuple[tuple[str, str], ...]:
        values, _ = self._mapping(node, name, dict.fromkeys(HEADERS, self._header))
        return tuple((key, value) for key, value in values.items() if value)

    def _header(self, node: yaml.Node, name: str) -> str | None:
        value, allowed = self._text(node, name), HEADERS[name.rpartition(".")[2]]
        if value is not None and allowed and value not in allowed:
            self._wrong_value(node, name, f"expected {' or '.join(allowed)}")
        elif value is not None and not (value.isprintable() and value.isascii()):
            self._wrong_value(node, name, "expected one line of ASCII characters")
        return value

    def _users(self, node: yaml.Node, name: str) -> dict[str, str]:
        users: dict[str, str] = {}
        for user, line, value in self._entries(node, name):
            if user in users:
                self._problem(line, f"{name}.{clean(user)}: is there twice; expected once")
            users[user] = self._hash(value, f"{name}.{clean(user)}")
        if users and importlib.util.find_spec("bcrypt") is None:
            self._problem(
                _line(node),
                f"{name}: needs the Python module bcrypt; apt install python3-bcrypt, or pip install 'genvd[auth]'",
            )
        return users

    def _hash(self, node: yaml.Node, name: str) -> str:
        """Return a bcrypt hash; it is a secret, so no message shows it."""
        hashed = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
        try:
            steps = bcrypt_cost(hashed)
        except ValueError:
            self._problem(_line(node), f"{name}: is no bcrypt hash; make one with htpasswd -nBC 10 NAME")
            return hashed
        if not 4 <= steps <= MOST_COST:
            text = f"{name}: is a bcrypt hash of cost {steps}; expected 4 to {MOST_COST}: htpasswd -nBC 10 NAME"
            self._problem(_line(node), text)
        return hashed

    def _rate_limit(self, node: yaml.Node, name: str) -> tuple[float, int]:
        values, lines = self._mapping(node, name, {"interval": self._duration, "burst": self._count})
        interval, burst = values.get("interval") or 0.0, values.get("burst") or 0
        if interval and not burst and "burst" not in self._wrong(lines):
            where = lines.get("burst", lines["interval"])
            self._problem(where, f"{name}.burst: without one nobody is served; expected 1 or more")
        return interval, burst

    # --- Values ----------------------------------------------------------------------------------------------

    def _text(self, node: yaml.Node, name: str) -> str | None:
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        self._wrong_value(node, name, "expected text")
        return None

    def _inline(self, node: yaml.Node, name: str) -> Pem | None:
        text = self._text(node, name)
        return None if text is None else Pem(name, _line(node), text=text)

    def _file(self, node: yaml.Node, name: str) -> Pem | None:
        text = self._text(node, name)
        if text is not None and (not text or not text.isprintable()):
            self._wrong_value(node, name, "expected the path of a file")
            return None
        if text is None:
            return None
        path = self._directory / text
        self.files.append(path)
        return Pem(name, _line(node), path=path)

    def _client_auth(self, node: yaml.Node, name: str) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.value in tls_names.UNVERIFIED:
            better = "which lets anybody in who makes one; expected RequireAndVerifyClientCert"
            self._problem(_line(node), f"{name}: {node.value} takes a certificate from nowhere, {better}")
            return None
        kind: str | None = self._one_of(*tls_names.CLIENT_AUTH)(node, name)
        return kind

    def _boolean(self, node: yaml.Node, name: str) -> bool:
        value = _WORDS.get(node.value.lower()) if isinstance(node, yaml.ScalarNode) and node.style is None else None
        if value is None:
            self._wrong_value(node, name, "expected true or false")
        return bool(value)

    def _duration(self, node: yaml.Node, name: str) -> float:
        value = node.value.removeprefix("+") if isinstance(node, yaml.ScalarNode) else ""
        with suppress(ValueError):
            seconds = 0.0 if value == "0" else sum_of_units(value, _SECONDS)
            if seconds <= _MOST_SECONDS:
                return seconds
        self._wrong_value(node, name, "expected a duration such as 1s or 500ms")
        return 0.0

    def _count(self, node: yaml.Node, name: str) -> int:
        if (
            isinstance(node, yaml.ScalarNode)
            and node.style is None
            and re.fullmatch(r"\+?[0-9][0-9_]{0,17}", node.value)
        ):
            return int(node.value.replace("_", ""))
        self._wrong_value(node, name, "expected a whole number")
        return 0

    def _one_of(self, *words: str) -> Read:
        def read(node: yaml.Node, name: str) -> str | None:
            if isinstance(node, yaml.ScalarNode) and node.value in words:
                return str(node.value)
            self._wrong_value(node, name, f"expected one of {', '.join(words)}")
            return None

        return read

    def _list(self, read: Read) -> Read:
        def read_all(node: yaml.Node, name: str) -> list[Any]:
            if not isinstance(node, yaml.SequenceNode):
                self._wrong_value(node, name, "expected a list")
                return []
            return [read(each, name) for each in node.value]

        return read_all

    # --- Structure -------------------------------------------------------------------------------------------

    def _mapping(
        self, node: yaml.Node | None, name: str, known: dict[str, Read]
    ) -> tuple[dict[str, Any], dict[str, int]]:
        """Return values and lines of the keys that are said."""
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, line, value in self._entries(node, name):
            full_name = f"{name}.{clean(key)}" if name else clean(key)
            if key not in known:
                self._problem(line, f"{full_name}: unknown key; {nearest(key, list(known))}")
            elif key in lines:
                self._problem(line, f"{full_name}: is there twice; expected once")
            elif not is_null(value) and not (key in _OR_EMPTY and _is_empty_text(value)):
                lines[key] = line
                result = known[key](value, full_name)
                if result is not None:
                    values[key] = result
        return values, lines

    def _entries(self, node: yaml.Node | None, name: str) -> list[tuple[str, int, yaml.Node]]:
        if is_null(node):
            return []
        assert node
        if not isinstance(node, yaml.MappingNode):
            self._problem(_line(node), f"{name or 'the file'}{':' if name else ''} is no mapping; expected keys")
            return []
        return [
            (str(key.value) if isinstance(key, yaml.ScalarNode) else "?", _line(key), value)
            for key, value in node.value
        ]

    def _wrong_value(self, node: yaml.Node, name: str, expected: str) -> None:
        shown = repr(node.value[:60]) if isinstance(node, yaml.ScalarNode) else "a list or mapping"
        if isinstance(node, yaml.ScalarNode) and "-----BEGIN" in node.value:
            shown = "text in PEM form"  # a key may be in it, and everybody may get to see a problem
        self._problem(_line(node), f"{name}: {shown} is wrong; {expected}")

    def _problem(self, line: int, text: str) -> None:
        self.problems.append((line, text))


def _is_empty_text(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not is_null(node) and not node.value


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


_HASH = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")


def bcrypt_cost(hashed: str) -> int:
    """Return the cost of a bcrypt hash, of which each step doubles the work.

    Raises:
        ValueError: it is no bcrypt hash.
    """
    match = _HASH.fullmatch(hashed)
    if not match:
        raise ValueError("no bcrypt hash")
    return int(match[1])
