"""The scrape configuration: which machines the published Prometheus scrapes, and how it gets in.

Everybody may read what is published, so secrets are named by the files that they are in, never shown. The format:
https://prometheus.io/docs/prometheus/latest/configuration/configuration/#scrape_config.
"""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from genvd.common.host_names import LOCALHOST, LOOPBACK, is_localhost, resolved_localhost
from genvd.config.schema import TLS_KEYS
from genvd.config.web import WebConfig, read

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from genvd.config.schema import Config

_CERTIFICATE_WANTED = ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")

Said = tuple[tuple[str, object], ...]
"""Keys and values, as the configuration has them; a value that is empty is not there."""


def scrape_job(config: Config, port: int, target: str | None = None) -> str:
    """Return what the scrape job says below its name, as lines of YAML.

    Args:
        config: what is to be scraped, and how to get in.
        port: the port that this monitor serves.
        target: ``host:port`` of this monitor; None for what the configuration says.
    """
    web = read(config.listen_web_config_file).config if config.listen_web_config_file else WebConfig()
    target = target or target_for(config.listen_address, port)
    return _access_to(target, config, web) + targets(config.publish_targets or (target,))


def _access_to(target: str, config: Config, web: WebConfig) -> str:
    """Return how to get in. A certificate for localhost holds for the address that stands in the place of that name."""
    as_localhost = target.rpartition(":")[0] in _LOOPBACK_HOSTS and (
        is_localhost(config.listen_address) or config.listen_address in _REACHED_AS_LOCALHOST
    )
    if as_localhost and _with_tls(config, web) and not config.scrape_server_name and not config.publish_targets:
        config = replace(config, scrape_server_name=LOCALHOST)
    return access(config, web)


_LOOPBACK_HOSTS = ("127.0.0.1", "[::1]")
_REACHED_AS_LOCALHOST = (LOCALHOST, "127.0.0.1", "0.0.0.0", "::", "")
"""What a server may listen on that localhost leads to. ``::1`` is none: not every /etc/hosts has it so."""


def target_for(address: str, port: int, served: Collection[str] = ()) -> str:
    """Return ``host:port`` under which a Prometheus on this machine reaches a server on that address.

    That is localhost only if it resolves, and whatever it resolves to is served: any user could listen on the rest of
    it, and get the scrapes with their passwords.

    Args:
        address: as the configuration has it.
        port: that is served.
        served: numeric addresses that are served, or that nobody can serve; none for those that go with the address.
    """
    address = LOCALHOST if is_localhost(address) else address
    if address not in _REACHED_AS_LOCALHOST:
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    served = served or (LOOPBACK if is_localhost(address) else (address or "0.0.0.0",))
    # Both have to be served for localhost, as a Prometheus in a container has a hosts file of its own. Where the name
    # does not resolve at all, no Prometheus on this machine could follow it.
    resolved = resolved_localhost()
    wanted = {*resolved, *(LOOPBACK if address == LOCALHOST else ())}
    if resolved and all(ip_address(one).is_loopback and _is_served(one, served) for one in wanted):
        return f"{LOCALHOST}:{port}"
    return f"127.0.0.1:{port}" if {"127.0.0.1", "0.0.0.0"} & set(served) else f"[::1]:{port}"


def _is_served(address: str, served: Collection[str]) -> bool:
    return address in served or "::" in served or ("0.0.0.0" in served and ":" not in address)


def targets(given: Iterable[str]) -> str:
    """Return the lines that say what to scrape.

    Args:
        given: ``host:port`` of machines, and absolute paths of file_sd files.
    """
    given = tuple(given)
    files = [one for one in given if one.startswith("/")]
    machines = [one for one in given if not one.startswith("/")]
    lines = ["static_configs:", "- targets:", *(f"  - {_text(one)}" for one in machines)] if machines else []
    if files:
        lines += ["file_sd_configs:", "- files:", *(f"  - {_text(one)}" for one in files)]
    return _indented(lines)


def access(config: Config, web: WebConfig) -> str:
    """Return the lines that say how to get in.

    Args:
        config: the configuration.
        web: who may connect to this monitor. Other machines are likely to be alike, so what it wants and the
            configuration does not say is hinted at in comments.
    """
    lines = ["scheme: https"] if _with_tls(config, web) else []
    certificate: Said = (("cert_file", config.scrape_cert_file), ("key_file", config.scrape_key_file))
    tls: Said = (("ca_file", config.scrape_ca_file), ("server_name", config.scrape_server_name), *certificate)
    hints = {"ca_file": "the CA of the monitor's certificate"} if web.tls else {}
    if web.tls and web.tls.client_auth in _CERTIFICATE_WANTED:
        hints |= {"cert_file": "a certificate that the monitor trusts", "key_file": "its key"}
    lines += _section("tls_config", tls, hints)
    login: Said = (("username", config.scrape_username), ("password_file", config.scrape_password_file))
    told = {"username": "one of the monitor's users", "password_file": "its password"}
    lines += _section("basic_auth", login, told if web.users and not config.scrape_credentials_file else {})
    lines += _section("authorization", (("credentials_file", config.scrape_credentials_file),), {})
    return _indented(lines)


def _with_tls(config: Config, web: WebConfig) -> bool:
    if config.scrape_scheme == "auto":
        return bool(web.tls or any(getattr(config, field) for field in TLS_KEYS))
    return config.scrape_scheme == "https"


def _section(name: str, said: Said, hints: dict[str, str]) -> Iterator[str]:
    """Return the lines of a section with what is said, and in comments what else there should be."""
    given = {key: _text(str(value)) for key, value in said if value}
    if not given and not hints:
        return
    yield f"{name}:" if given else f"# {name}:"
    for key in dict(said):
        if key in given:
            yield f"  {key}: {given[key]}"
        elif key in hints:
            yield f"#   {key}: {hints[key]}"


def _text(value: str) -> str:
    """Return text as YAML: printable text in the quotes of JSON reads the same there."""
    return json.dumps(value, ensure_ascii=False)


def _indented(lines: Iterable[str]) -> str:
    return "".join(f"  {line}\n" for line in lines)
