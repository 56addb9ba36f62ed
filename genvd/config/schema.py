"""The configuration: one frozen object, whose fields are the schema of monitor.yaml as well.

The keys, their kinds, defaults and descriptions are written once, here. The checks, the commented sample, the
JSON Schema and the reference all come from them.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genvd.config import values as kinds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_PLAIN = re.compile(r"[A-Za-z0-9/][A-Za-z0-9._/-]*(?::/{2}[A-Za-z0-9._/:-]*[A-Za-z0-9/])?")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
"""Plain text that YAML takes for something else."""

DEFAULT_FILE = Path("/etc/genv/monitor.yaml")

DEFAULT_PROMETHEUS_URL = "http://localhost:9090"

LOG_LEVELS = ("debug", "info", "warning", "error")


def _setting(default: Any, kind: kinds.Kind, description: str) -> Any:
    return dataclasses.field(default=default, metadata={"kind": kind, "description": description})


_LIMIT = kinds.integer(0, 1_000_000)


@dataclass(frozen=True, slots=True)
class Config:
    """What the monitor is told to do.

    A field ``section_key`` is the key ``key`` of the section ``section`` of monitor.yaml.
    """

    listen_address: str = _setting(
        "localhost",
        kinds.text("a host name or an address", r"[0-9A-Za-z.:_%-]{1,253}"),
        'Address to serve on: localhost for this machine only, by 127.0.0.1 and ::1; 0.0.0.0 or "::" for all networks.',
    )
    listen_port: int = _setting(
        8000, kinds.integer(0, 65535), "TCP port to serve on. 0 takes one that is free and logs which."
    )
    listen_web_config_file: Path | None = _setting(
        None,
        kinds.absolute_path(),
        "File that says who may connect: TLS, client certificates, passwords, in the form of Prometheus' exporters."
        " Empty: everybody, without encryption.",
    )
    listen_names: tuple[str, ...] = _setting(
        (),
        kinds.host_names(),
        "Further names by which browsers may ask for the page and the JSON, separated by commas. Addresses, localhost"
        " and this machine's own name always do. Scrapers may use any name.",
    )
    collect_interval: float = _setting(10.0, kinds.duration(0.1, 3600), "Time from one collection to the next.")
    collect_timeout: float = _setting(
        5.0,
        kinds.duration(0.05, 20),
        "Time after which a collection goes on without a collector that does not answer, such as a stuck driver; never"
        " more than the interval.",
    )
    genv_state_directory: Path | None = _setting(
        None,
        kinds.absolute_path(),
        "Directory in which genv keeps its state. Empty: $GENV_TMPDIR, else /var/tmp/genv.",
    )
    idle_grace: float = _setting(
        600.0,
        kinds.duration(0, 86400),
        "Time without work after which an environment is shown as idle: on the page, in top and on the dashboards."
        " Until then it is in use. Alerts have times of their own.",
    )
    metrics_device_details: bool = _setting(
        True,
        kinds.boolean(),
        "How each device is doing: power, energy, clocks, throttling, fans, temperatures, engines, PCI Express link.",
    )
    metrics_memory_health: bool = _setting(
        True, kinds.boolean(), "Errors of device memory (ECC), remapped rows and retired pages."
    )
    metrics_nvlink: bool = _setting(
        True, kinds.boolean(), "Bytes and errors of each NVLink, the fabric, and the links to the CPU (NVLink-C2C)."
    )
    metrics_mig: bool = _setting(True, kinds.boolean(), "MIG devices, with their profile and memory.")
    metrics_xid: bool = _setting(True, kinds.boolean(), "XID errors, which the driver reports of a device.")
    metrics_pcie_throughput: bool = _setting(
        False,
        kinds.boolean(),
        "Throughput of PCI Express. The driver measures for 40 ms on each device, beside the collections.",
    )
    metrics_gpm: bool = _setting(
        True,
        kinds.boolean(),
        "What SMs, tensor cores and memory of each device do, by its own counters (GPM: Hopper and later).",
    )
    metrics_processes: bool = _setting(
        True, kinds.boolean(), "Name, type, origin, start and share of SM time of each GPU process."
    )
    metrics_environments: bool = _setting(
        True, kinds.boolean(), "What each environment asked for, holds and uses, and for how long it is idle."
    )
    metrics_users: bool = _setting(True, kinds.boolean(), "GPU memory of each user.")
    metrics_policy: bool = _setting(
        True,
        kinds.boolean(),
        "Broken rules, processes outside any environment, memory of nobody, devices promised twice.",
    )
    publish_enabled: bool = _setting(
        True, kinds.boolean(), "Whether to write the Prometheus and Grafana configuration files."
    )
    publish_directory: Path | None = _setting(
        None,
        kinds.absolute_path(),
        "Directory for these files. Empty: metrics/ below $STATE_DIRECTORY where systemd sets it, else below genv's"
        " state directory; for --demo, nothing is published then.",
    )
    publish_prometheus_url: str = _setting(
        DEFAULT_PROMETHEUS_URL,
        kinds.text("a URL that starts with http:// or https://", r"https?://[^\s\"'<>\x00-\x1f\x7f]{1,2000}"),
        "Where Grafana reaches Prometheus.",
    )
    publish_targets: tuple[str, ...] = _setting(
        (),
        kinds.targets(),
        "Machines that the published Prometheus scrapes instead of this one: a list of host:port, and of absolute"
        " paths of file_sd files (.json, .yml or .yaml), which Prometheus follows. Empty: this machine.",
    )
    scrape_scheme: str = _setting(
        "auto",
        kinds.choice("auto", "http", "https"),
        "Whether with TLS: http, https, or auto: with it if this monitor has it or a key for it is here.",
    )
    scrape_ca_file: Path | None = _setting(
        None,
        kinds.absolute_path(),
        "Certificate of the CA that signed those of the machines. Empty: the CAs that the system trusts.",
    )
    scrape_server_name: str = _setting(
        "",
        kinds.text("a host name or an address, or nothing", r"(?:[0-9A-Za-z_][0-9A-Za-z_.:-]{0,252})?"),
        "Name in the certificates of the machines. Empty: that by which each is scraped.",
    )
    scrape_cert_file: Path | None = _setting(
        None, kinds.absolute_path(), "Certificate that Prometheus shows, where the machines want one."
    )
    scrape_key_file: Path | None = _setting(None, kinds.absolute_path(), "Key of that certificate.")
    scrape_username: str = _setting(
        "",
        kinds.text("a name of at most 200 characters without a colon", r"[^:\x00-\x1f\x7f]{0,200}"),
        "User as whom Prometheus logs in, where the machines want a password.",
    )
    scrape_password_file: Path | None = _setting(None, kinds.absolute_path(), "File that holds the password.")
    scrape_credentials_file: Path | None = _setting(
        None, kinds.absolute_path(), "File that holds a bearer token, for a proxy that wants one."
    )
    ledger_enabled: bool = _setting(True, kinds.boolean(), "Whether to count who used how much.")
    ledger_directory: Path | None = _setting(
        None,
        kinds.absolute_path(),
        "Directory for ledger.db, which keeps it across restarts. Empty: $STATE_DIRECTORY where systemd sets it, else"
        " it is kept in memory only.",
    )
    ledger_write_interval: float = _setting(
        30.0,
        kinds.duration(0.1, 60),
        "Time from one write to the next; what was counted since is lost in a crash.",
    )
    ledger_hourly_retention: float = _setting(
        35 * 86400.0,
        kinds.duration(86400, 3650 * 86400),
        "How long it is kept by the hour. After that it is kept by the day.",
    )
    ledger_retention: float = _setting(
        400 * 86400.0, kinds.duration(86400, 3650 * 86400), "How long it is kept at all."
    )
    limits_environments: int = _setting(
        1000, _LIMIT, "Environments with series of their own; those over it are summed into one, named (other)."
    )
    limits_users: int = _setting(1000, _LIMIT, "Users with series of their own.")
    limits_processes: int = _setting(2000, _LIMIT, "GPU processes with series of their own.")
    logging_level: str = _setting("info", kinds.choice(*LOG_LEVELS), "The least severe messages that are logged.")


SECTIONS = {
    "listen": "Where metrics are served.",
    "collect": "How often the machine is looked at.",
    "genv": "Where genv keeps its state. It is only read.",
    "idle": "When somebody who holds a GPU without working on it is called idle.",
    "metrics": "Groups of metrics that can be switched off. What is always there is in docs/metrics.md.",
    "publish": "The Prometheus and Grafana configuration that goes with the metrics.",
    "scrape": "How the published Prometheus gets in. Files are only named here: Prometheus reads them, as its user.",
    "ledger": "Who used how much: GPU time and energy by user, environment and device, for 'genv monitor report'.",
    "limits": "How many series there are at most, whatever people do. Nobody's are pushed out by those of others.",
    "logging": "What is logged, to standard error or the journal.",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of monitor.yaml."""

    section: str
    key: str
    field: str
    """Name of the field of :class:`Config`."""
    kind: kinds.Kind
    default: Any
    description: str

    @property
    def expected(self) -> str:
        """What the value has to be, in words."""
        try:
            self.kind.parse("\0")
        except ValueError as error:
            return str(error).removeprefix("expected ")
        raise AssertionError(f"{self.field} takes anything")

    @property
    def default_text(self) -> str:
        """The default as people write it; empty where there is none."""
        return "" if self.default is None else self.kind.show(self.default)


def settings() -> Iterator[Setting]:
    """Return the keys of monitor.yaml, in their order."""
    for field in dataclasses.fields(Config):
        section, _, key = field.name.partition("_")
        yield Setting(section, key, field.name, field.metadata["kind"], field.default, field.metadata["description"])


def find_conflicts(config: Config, given: Collection[str]) -> Iterator[tuple[str, str]]:
    """Return fields whose values do not go together with others, each with what is wrong and what is expected.

    Args:
        config: the whole configuration.
        given: the fields that the file sets; a default gives way and contradicts nothing.
    """
    if {"collect_timeout", "collect_interval"} <= set(given) and config.collect_timeout > config.collect_interval:
        timeout, interval = map(kinds.show_duration, (config.collect_timeout, config.collect_interval))
        yield "collect_timeout", f"{timeout} is longer than collect.interval; expected at most {interval}"
    hourly, retention = config.ledger_hourly_retention, config.ledger_retention
    if {"ledger_hourly_retention", "ledger_retention"} <= set(given) and hourly > retention:
        shown, most = map(kinds.show_duration, (hourly, retention))
        yield "ledger_hourly_retention", f"{shown} is longer than ledger.retention; expected at most {most}"
    yield from _incomplete_pairs(config)
    if config.scrape_username and config.scrape_credentials_file:
        yield "scrape_credentials_file", "is one way to get in, and scrape.username another; expected one of them"
    if config.scrape_scheme == "http":
        for field in TLS_KEYS:
            if getattr(config, field):
                yield field, "is of use with TLS only; expected scrape.scheme to be https or auto"


TLS_KEYS = ("scrape_ca_file", "scrape_server_name", "scrape_cert_file", "scrape_key_file")
"""Fields that mean nothing without TLS."""


def _incomplete_pairs(config: Config) -> Iterator[tuple[str, str]]:
    """Return of two fields that need each other the one that is given, where the other one is not."""
    for pair in (("scrape_cert_file", "scrape_key_file"), ("scrape_username", "scrape_password_file")):
        for field, other in (pair, pair[::-1]):
            if getattr(config, field) and not getattr(config, other):
                yield field, f"is of no use alone; expected {other.replace('_', '.', 1)} beside it"


def as_yaml(config: Config) -> str:
    """Return the configuration as a monitor.yaml that says everything, without comments."""
    return _lines(config, comments=False)


def sample() -> str:
    """Return the commented monitor.yaml as it is shipped; it says what holds without it."""
    header = (
        "# Configuration of genv-monitor. Every key is optional; what is here is what holds without it.\n"
        "# Durations: 10s, 1m30s, 500ms; a plain number is seconds.\n"
        "# 'genv monitor check' checks this file, 'systemctl reload genv-monitor' applies it.\n"
    )
    return header + "\n" + _lines(Config(), comments=True)


def _lines(config: Config, *, comments: bool) -> str:
    text, section = "", ""
    for setting in settings():
        if setting.section != section:
            text += "\n" if section and comments else ""
            section = setting.section
            text += f"# {SECTIONS[section]}\n" if comments else ""
            text += f"{section}:\n"
        if comments:
            text += f"  # {setting.description}\n"
        text += f"  {setting.key}: {_shown(setting.kind, getattr(config, setting.field))}\n"
    return text


def _shown(kind: kinds.Kind, value: Any) -> str:
    """Return a value as YAML on one line."""
    if kind.item:
        return json.dumps(value, ensure_ascii=False)
    shown = kind.show(value)
    return shown if isinstance(value, bool | int | float) else _quoted(shown)


def _quoted(text: str) -> str:
    """Return text as a YAML scalar, quoted where it could be taken for something else."""
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)
