"""The web configuration file, in the format of Prometheus' exporter-toolkit: who may connect, and how.

The format: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md. What promtool
refuses is refused here; some of what it accepts is refused as well, where this server could not keep the promise.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from genvd.common.text import clean
from genvd.config import go_yaml
from genvd.config.web_reader import Read, line_of
from genvd.config.web_tls import TlsReader, TlsSettings
from genvd.config.yaml_reader import ConfigError, compose, unexpected

if TYPE_CHECKING:
    from collections.abc import Mapping


MAX_BCRYPT_COST = 16
"""Of a bcrypt hash. At this one a login takes several seconds; with each step twice as long."""

HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-Content-Type-Options": ("nosniff",),
    "X-XSS-Protection": (),
    "Strict-Transport-Security": (),
}
"""The header fields that may be added, with the values that they may have; none means any."""


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
class WebConfigFile:
    """What came of reading a file."""

    config: WebConfig
    """Of no use if there are problems."""
    problems: list[str]
    files: tuple[Path, ...]
    """All files that count, the configuration itself first."""


def read(path: Path) -> WebConfigFile:
    """Return what a web configuration file says, without the certificates and keys that it names; never raises."""
    try:
        reader = _Reader(path, compose(path))
        config = reader.config()
    except ConfigError as error:
        return WebConfigFile(WebConfig(), error.problems, (path,))
    except Exception as error:  # whatever is in the file, a service that runs must go on
        return WebConfigFile(WebConfig(), [unexpected(path, error)], (path,))
    problems = [f"{path}:{line}: {text}" for line, text in sorted(reader.problems)]
    return WebConfigFile(config, problems, (path, *reader.files))


class _Reader(TlsReader):
    """Walks the tree of the document, and collects values and problems."""

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
        for user, line, value in self._items(node, name):
            if user in users:
                self._problem(line, f"{name}.{clean(user)}: duplicate key; expected only one")
            users[user] = self._hash(value, f"{name}.{clean(user)}")
        if users and importlib.util.find_spec("bcrypt") is None:
            self._problem(
                line_of(node),
                f"{name}: needs the Python module bcrypt; apt install python3-bcrypt, or pip install 'genvd[auth]'",
            )
        return users

    def _hash(self, node: yaml.Node, name: str) -> str:
        """Return a bcrypt hash; it is a secret, so no message shows it."""
        try:
            hashed = go_yaml.text(node)
            steps = bcrypt_cost(hashed)
        except ValueError:
            self._problem(line_of(node), f"{name}: is no bcrypt hash; make one with htpasswd -nBC 10 NAME")
            return ""
        if not 4 <= steps <= MAX_BCRYPT_COST:
            text = f"{name}: is a bcrypt hash of cost {steps}; expected 4 to {MAX_BCRYPT_COST}: htpasswd -nBC 10 NAME"
            self._problem(line_of(node), text)
        return hashed

    def _rate_limit(self, node: yaml.Node, name: str) -> tuple[float, int]:
        values, lines = self._mapping(node, name, {"interval": self._duration, "burst": self._count})
        interval, burst = values.get("interval") or 0.0, values.get("burst") or 0
        if interval and not burst and "burst" not in self._keys_with_problems(lines):
            where = lines.get("burst", lines["interval"])
            self._problem(where, f"{name}.burst: without one nobody is served; expected 1 or more")
        return interval, burst


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
