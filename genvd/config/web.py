"""Reads the web configuration file of Prometheus' exporter-toolkit: TLS, users, headers, rate limit.

The format: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md. Everything that
promtool refuses is refused here too, and so are settings that this server cannot honor.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import yaml

from genvd.common.text import clean
from genvd.config import go_yaml
from genvd.config.web_reader import Read, line_of
from genvd.config.web_tls import TlsReader, TlsSettings
from genvd.config.yaml_reader import ConfigError, compose, describe_unexpected

if TYPE_CHECKING:
    from collections.abc import Mapping


MAX_BCRYPT_COST = 16
"""Maximum cost of a bcrypt hash. With this one a login takes several seconds; each step doubles the time."""

HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-Content-Type-Options": ("nosniff",),
    "X-XSS-Protection": (),
    "Strict-Transport-Security": (),
}
"""The header fields that may be added, with their allowed values; an empty tuple allows any value."""


class WebConfig(NamedTuple):
    """The content of a web configuration file."""

    tls: TlsSettings | None = None
    users: Mapping[str, str] = MappingProxyType({})
    """The bcrypt hash of each user's password; if empty, no password is required."""
    headers: tuple[tuple[str, str], ...] = ()
    request_interval: float = 0.0
    """Seconds after which one more request is allowed; 0 for no rate limit."""
    request_burst: int = 0


class WebConfigFile(NamedTuple):
    """The result of reading a file."""

    config: WebConfig
    """Not usable if there are problems."""
    problems: list[str]
    files: tuple[Path, ...]
    """The web configuration file, and the files that it names."""


def read_web_config(path: Path) -> WebConfigFile:
    """Return the content of a web configuration file, without opening the files that it names. Never raises."""
    try:
        reader = _Reader(path, compose(path))
        config = reader.config()
    except ConfigError as error:
        return WebConfigFile(WebConfig(), error.problems, (path,))
    except Exception as error:  # no file may end a running service
        return WebConfigFile(WebConfig(), [describe_unexpected(path, error)], (path,))
    problems = [f"{path}:{line}: {text}" for line, text in sorted(reader.problems)]
    return WebConfigFile(config, problems, (path, *reader.files))


class _Reader(TlsReader):
    """Reads a web configuration document."""

    def config(self) -> WebConfig:
        """Return the content of the document, and collect its problems."""
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
                f"{name}: needs the Python module bcrypt; {_install_bcrypt()}",
            )
        return users

    def _hash(self, node: yaml.Node, name: str) -> str:
        """Return a bcrypt hash. It is a secret, so no message shows it."""
        try:
            hashed = go_yaml.text(node)
            cost = bcrypt_cost(hashed)
        except ValueError:
            self._problem(line_of(node), f"{name}: is not a bcrypt hash; create one with htpasswd -nBC 10 NAME")
            return ""
        if not 4 <= cost <= MAX_BCRYPT_COST:
            text = f"{name}: is a bcrypt hash of cost {cost}; expected 4 to {MAX_BCRYPT_COST}: htpasswd -nBC 10 NAME"
            self._problem(line_of(node), text)
        return hashed

    def _rate_limit(self, node: yaml.Node, name: str) -> tuple[float, int]:
        values, lines = self._mapping(node, name, {"interval": self._duration, "burst": self._count})
        interval, burst = values.get("interval") or 0.0, values.get("burst") or 0
        if interval and not burst and "burst" not in self._keys_with_problems(lines):
            where = lines.get("burst", lines["interval"])
            text = "is missing or 0, so every request would be refused; expected 1 or more"
            self._problem(where, f"{name}.burst: {text}")
        return interval, burst


_HASH = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")


def bcrypt_cost(hashed: str) -> int:
    """Return the cost of a bcrypt hash (each step doubles the work); raise ValueError if it is not a bcrypt hash."""
    match = _HASH.fullmatch(hashed)
    if not match:
        raise ValueError("not a bcrypt hash")
    return int(match[1])


def _install_bcrypt() -> str:
    """Return the command that installs it where this program runs; pip refuses to change a Python of the system."""
    own = sys.prefix != sys.base_prefix
    return f"{sys.prefix}/bin/pip install bcrypt" if own else "apt install python3-bcrypt"
