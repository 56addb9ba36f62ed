"""The scrape job in the published prometheus.yml: its targets and its authentication.

Everybody can read the published files, so they contain the names of files with secrets, never a secret. The format:
https://prometheus.io/docs/prometheus/latest/configuration/configuration/#scrape_config.
"""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from genvd.common.host_names import LOCALHOST, LOOPBACK, is_localhost, resolved_localhost
from genvd.config.schema import TLS_KEYS
from genvd.config.web import WebConfig, read_web_config

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from genvd.config.schema import Config

_CLIENT_CERTIFICATE_MODES = ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")

_Pairs = tuple[tuple[str, object], ...]
"""Keys and values of the configuration. An empty value means that the key is not set."""

_LOOPBACK_HOSTS = ("127.0.0.1", "[::1]")

_HOST_NAMES = """\
  # The dashboard of genv itself joins the series of several machines by this label. One that a target has stays.
  relabel_configs:
  - source_labels: [hostname, instance]
    regex: ;(.+?)(:8000)?
    target_label: hostname
  - source_labels: [hostname, __address__]
    regex: ;(.+?)(:8000)?
    target_label: hostname
"""
"""Lines that give each machine the label hostname: its instance or address, without the default port."""

_LOCALHOST_LISTEN_ADDRESSES = (LOCALHOST, "127.0.0.1", "0.0.0.0", "::", "")
"""Listen addresses that localhost can reach. ``::1`` is not one: some /etc/hosts files map localhost only to IPv4."""


def scrape_job(config: Config, port: int, target: str | None = None) -> str:
    """Return the scrape job below its name, as lines of YAML.

    Args:
        config: the configuration, with the targets and credentials.
        port: the port that this monitor serves on.
        target: ``host:port`` of this monitor; None for the one in the configuration.
    """
    web = read_web_config(config.listen_web_config_file).config if config.listen_web_config_file else WebConfig()
    target = target or scrape_target(config.listen_address, port)
    targets = target_lines(config.publish_targets or (target,))
    return _auth_lines_for(target, config, web) + targets + (_HOST_NAMES if config.publish_targets else "")


def _auth_lines_for(target: str, config: Config, web: WebConfig) -> str:
    """Return :func:`auth_lines`, with localhost as the server name where the target is its numeric address."""
    as_localhost = target.rpartition(":")[0] in _LOOPBACK_HOSTS and (
        is_localhost(config.listen_address) or config.listen_address in _LOCALHOST_LISTEN_ADDRESSES
    )
    if as_localhost and _uses_tls(config, web) and not config.scrape_server_name and not config.publish_targets:
        config = replace(config, scrape_server_name=LOCALHOST)
    return auth_lines(config, web)


def scrape_target(address: str, port: int, served: Collection[str] = ()) -> str:
    """Return the ``host:port`` under which a Prometheus on this machine reaches a server on this address.

    It is localhost only if this server serves all addresses that localhost resolves to. On any other of them another
    user could listen and receive the scrapes with their passwords.

    Args:
        address: the address in the configuration.
        port: the port that is served.
        served: the numeric addresses that are served, or that nobody can serve; if empty, they follow from ``address``.
    """
    address = LOCALHOST if is_localhost(address) else address
    if address not in _LOCALHOST_LISTEN_ADDRESSES:
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    served = served or (LOOPBACK if is_localhost(address) else (address or "0.0.0.0",))
    # A Prometheus in a container has its own hosts file, so for localhost both loopback addresses must be served. If
    # localhost does not resolve here, no Prometheus on this machine can use it.
    resolved = resolved_localhost()
    required = {*resolved, *(LOOPBACK if address == LOCALHOST else ())}
    if resolved and all(ip_address(one).is_loopback and _is_served(one, served) for one in required):
        return f"{LOCALHOST}:{port}"
    return f"127.0.0.1:{port}" if {"127.0.0.1", "0.0.0.0"} & set(served) else f"[::1]:{port}"


def _is_served(address: str, served: Collection[str]) -> bool:
    return address in served or "::" in served or ("0.0.0.0" in served and ":" not in address)


def target_lines(targets: Iterable[str]) -> str:
    """Return the lines with the targets.

    Args:
        targets: ``host:port`` of machines, and absolute paths of file_sd files.
    """
    targets = tuple(targets)
    files = [target for target in targets if target.startswith("/")]
    machines = [target for target in targets if not target.startswith("/")]
    lines = ["static_configs:", "- targets:", *(f"  - {_quote(one)}" for one in machines)] if machines else []
    if files:
        lines += ["file_sd_configs:", "- files:", *(f"  - {_quote(one)}" for one in files)]
    return _indent(lines)


def auth_lines(config: Config, web: WebConfig) -> str:
    """Return the lines with the scheme, TLS settings and credentials.

    Args:
        config: the configuration.
        web: the web configuration of this monitor. Other machines are probably similar, so comments name the settings
            that it requires and that ``config`` does not have.
    """
    lines = ["scheme: https"] if _uses_tls(config, web) else []
    certificate: _Pairs = (("cert_file", config.scrape_cert_file), ("key_file", config.scrape_key_file))
    tls: _Pairs = (("ca_file", config.scrape_ca_file), ("server_name", config.scrape_server_name), *certificate)
    hints = {"ca_file": "the CA of the monitor's certificate"} if web.tls else {}
    if web.tls and web.tls.client_auth in _CLIENT_CERTIFICATE_MODES:
        hints |= {"cert_file": "a certificate that the monitor trusts", "key_file": "its key"}
    lines += _section("tls_config", tls, hints)
    login: _Pairs = (("username", config.scrape_username), ("password_file", config.scrape_password_file))
    hints = {"username": "one of the monitor's users", "password_file": "its password"}
    lines += _section("basic_auth", login, hints if web.users and not config.scrape_credentials_file else {})
    lines += _section("authorization", (("credentials_file", config.scrape_credentials_file),), {})
    return _indent(lines)


def _uses_tls(config: Config, web: WebConfig) -> bool:
    if config.scrape_scheme == "auto":
        return bool(web.tls or any(getattr(config, field) for field in TLS_KEYS))
    return config.scrape_scheme == "https"


def _section(name: str, pairs: _Pairs, hints: dict[str, str]) -> Iterator[str]:
    """Return the lines of a section: the keys that are set, and comments for the missing ones."""
    given = {key: _quote(str(value)) for key, value in pairs if value}
    if not given and not hints:
        return
    yield f"{name}:" if given else f"# {name}:"
    for key in dict(pairs):
        if key in given:
            yield f"  {key}: {given[key]}"
        elif key in hints:
            yield f"#   {key}: {hints[key]}"


def _quote(value: str) -> str:
    """Return printable text as YAML, which reads a JSON string the same way."""
    return json.dumps(value, ensure_ascii=False)


def _indent(lines: Iterable[str]) -> str:
    return "".join(f"  {line}\n" for line in lines)
