"""The keys of monitor.yaml, with their types, defaults and descriptions, as the fields of one frozen dataclass.

The checks, the commented sample, the JSON Schema and docs/configuration.md are all made from them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from genvd.config import mail
from genvd.config import values as kinds

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_FILE = Path("/etc/genv/monitor.yaml")

DEFAULT_PROMETHEUS_URL = "http://localhost:9090"

TLS_KEYS = ("scrape_ca_file", "scrape_server_name", "scrape_cert_file", "scrape_key_file")
"""Fields that have no effect without TLS."""

LOG_LEVELS = ("debug", "info", "warning", "error")


def _setting(default: Any, kind: kinds.Kind, description: str) -> Any:
    return dataclasses.field(default=default, metadata={"kind": kind, "description": description})


_LIMIT = kinds.integer(0, 1_000_000)
_TEXT = kinds.text("printable text without braces", r"[^{}\x00-\x1f\x7f]{0,200}")


def _after(seconds: float, what: str) -> Any:
    """Return a key for the time after which an alert fires."""
    article = "an" if what.startswith("e") else "a"
    description = f"Time after which {article} {what} raises an alert."
    return _setting(float(seconds), kinds.duration(1, 30 * 86400), description)


def _file(description: str) -> Any:
    return _setting(None, kinds.absolute_path(), description)


_GROUP_INTERVAL = kinds.duration(0, 3600)


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration. The field ``section_key`` is the key ``key`` in the section ``section`` of monitor.yaml."""

    listen_address: str = _setting(
        "localhost",
        kinds.text("a host name or an address", r"[0-9A-Za-z.:_%-]{1,253}"),
        'Address to listen on. localhost is this machine only (127.0.0.1 and ::1); 0.0.0.0 or "::" is all networks.',
    )
    listen_port: int = _setting(
        8000, kinds.integer(0, 65535), "TCP port to listen on. 0 chooses a free port and logs it."
    )
    listen_web_config_file: Path | None = _setting(
        None,
        kinds.absolute_path(),
        "Web configuration file in the format of Prometheus exporters: TLS, client certificates, passwords."
        " Empty: no encryption, no authentication.",
    )
    listen_names: tuple[str, ...] = _setting(
        (),
        kinds.host_names(),
        "Additional host names under which browsers may open the page and the JSON, separated by commas."
        " Addresses, localhost and this machine's own name are always allowed. Scrapers may use any name.",
    )
    collect_interval: float = _setting(10.0, kinds.duration(0.1, 3600), "Time between collections.")
    collect_timeout: float = _setting(
        5.0,
        kinds.duration(0.05, 20),
        "Maximum time that a collection waits for a collector, such as one that is blocked by a stuck driver."
        " Never longer than the interval.",
    )
    collect_device_details_interval: float = _setting(
        60.0,
        _GROUP_INTERVAL,
        "Time between readings of those details of a GPU that hardly change: limits, modes, the recommended recovery,"
        " PCI Express errors. The others are read in each collection. Rounded down to a multiple of collect.interval;"
        " 0 is in each collection.",
    )
    collect_memory_health_interval: float = _setting(
        60.0,
        _GROUP_INTERVAL,
        "The same for memory errors (ECC), remapped rows and retired pages.",
    )
    collect_nvlink_interval: float = _setting(
        60.0,
        _GROUP_INTERVAL,
        "The same for state, bandwidth and errors of NVLinks, for NVLink-C2C, and for the NVLink fabric. The bytes of"
        " NVLinks are read in each collection.",
    )
    genv_state_directory: Path | None = _setting(
        None,
        kinds.absolute_path(),
        "Directory where genv keeps its state. Empty: $GENV_TMPDIR, or /var/tmp/genv if that is not set.",
    )
    idle_grace: float = _setting(
        600.0,
        kinds.duration(0, 86400),
        "Time without GPU work after which the page, top and the dashboards show an environment, or a GPU that it has"
        " attached, as idle. Until then it is shown as in use. Never longer than alerts.idle_after.",
    )
    metrics_device_details: bool = _setting(
        True,
        kinds.boolean(),
        "Details of each GPU: power, energy, clocks, throttling, fans, temperatures, engines, PCI Express link.",
    )
    metrics_memory_health: bool = _setting(
        True, kinds.boolean(), "GPU memory errors (ECC), remapped rows and retired pages."
    )
    metrics_nvlink: bool = _setting(
        True,
        kinds.boolean(),
        "Bytes and errors of each NVLink, the NVLink fabric, and the links to the CPU (NVLink-C2C).",
    )
    metrics_mig: bool = _setting(True, kinds.boolean(), "MIG devices, with their profile and memory.")
    metrics_xid: bool = _setting(True, kinds.boolean(), "XID errors that the driver reports for each GPU.")
    metrics_pcie_throughput: bool = _setting(
        False,
        kinds.boolean(),
        "PCI Express throughput. The driver measures for 40 ms on each GPU, in parallel with the collections.",
    )
    metrics_gpm: bool = _setting(
        True,
        kinds.boolean(),
        "Activity of SMs, tensor cores and memory from the GPU's own counters (GPM: Hopper and later).",
    )
    metrics_processes: bool = _setting(
        True, kinds.boolean(), "Name, type, origin, start time and share of SM time of each GPU process."
    )
    metrics_environments: bool = _setting(
        True,
        kinds.boolean(),
        "What each environment requested, what is attached to it, what it uses, and how long it has been idle.",
    )
    metrics_users: bool = _setting(True, kinds.boolean(), "GPU memory of each user.")
    metrics_policy: bool = _setting(
        True,
        kinds.boolean(),
        "Policy violations, processes outside genv, memory without an owner, oversubscribed GPUs.",
    )
    publish_enabled: bool = _setting(
        True, kinds.boolean(), "Whether to write the Prometheus and Grafana configuration files."
    )
    publish_directory: Path | None = _setting(
        None,
        kinds.absolute_path(),
        "Directory for these files. Empty: metrics/ in $STATE_DIRECTORY if systemd sets it, otherwise in genv's"
        " state directory. With --demo and an empty value, nothing is published.",
    )
    publish_prometheus_url: str = _setting(
        DEFAULT_PROMETHEUS_URL,
        kinds.text("a URL that starts with http:// or https://", r"https?://[^\s\"'<>\x00-\x1f\x7f]{1,2000}"),
        "URL at which Grafana reaches Prometheus.",
    )
    publish_targets: tuple[str, ...] = _setting(
        (),
        kinds.targets(),
        "Machines that the published Prometheus scrapes instead of this one: a list of host:port, and of absolute"
        " paths of file_sd files (.json, .yml or .yaml), which Prometheus watches. Empty: this machine.",
    )
    scrape_scheme: str = _setting(
        "auto",
        kinds.choice("auto", "http", "https"),
        "http, https or auto. auto uses https if this monitor uses TLS or if a TLS key is set in this section.",
    )
    scrape_ca_file: Path | None = _setting(
        None,
        kinds.absolute_path(),
        "CA certificate that signed the certificates of the machines. Empty: the CAs that the system trusts.",
    )
    scrape_server_name: str = _setting(
        "",
        kinds.text("a host name or an address, or nothing", r"(?:[0-9A-Za-z_][0-9A-Za-z_.:-]{0,252})?"),
        "Name in the certificates of the machines. Empty: the name in the scrape target.",
    )
    scrape_cert_file: Path | None = _setting(
        None, kinds.absolute_path(), "Client certificate that Prometheus presents, if the machines require one."
    )
    scrape_key_file: Path | None = _setting(None, kinds.absolute_path(), "Private key of the client certificate.")
    scrape_username: str = _setting(
        "",
        kinds.text("a name of at most 200 characters without a colon", r"[^:\x00-\x1f\x7f]{0,200}"),
        "User name with which Prometheus logs in, if the machines require a password.",
    )
    scrape_password_file: Path | None = _setting(None, kinds.absolute_path(), "File that contains the password.")
    scrape_credentials_file: Path | None = _setting(
        None, kinds.absolute_path(), "File that contains a bearer token, for a proxy that requires one."
    )
    notify_smarthost: str = _setting(
        "", mail.smarthost(), "Mail server, host:port. Empty: no mail. Port 465 is TLS from the start."
    )
    notify_from: str = _setting("", mail.address(), "Sender of the mails.")
    notify_auth_username: str = _setting("", _TEXT, "User name for the mail server, if it requires a password.")
    notify_auth_password_file: Path | None = _file(
        "File that contains the password. Alertmanager reads it, as its own user."
    )
    notify_require_tls: bool = _setting(
        True, kinds.boolean(), "Whether to send mail only over TLS. Without it, TLS is used if the server offers it."
    )
    notify_ca_file: Path | None = _file(
        "CA certificate that signed that of the mail server. Alertmanager reads it. Empty: the CAs that the system"
        " trusts.",
    )
    notify_admins: tuple[str, ...] = _setting(
        (),
        mail.addresses(),
        "Mail addresses that are told what is broken, what is repaired, and which users do not react.",
    )
    notify_user_address: str | Path = _setting(
        "",
        mail.user_address(),
        "Mail address of a user: a template, or a file that has the address of each. The administrators get messages"
        " for users without an address, and all messages if this is empty.",
    )
    notify_contact: str = _setting(
        "",
        _TEXT,
        "Whom users should ask, as it is written in their mails. Empty: the addresses of the administrators.",
    )
    notify_slack_url_file: Path | None = _file(
        "File that contains the URL of an incoming webhook of Slack, Mattermost or Rocket.Chat, which gets what"
        " administrators get. Alertmanager reads it.",
    )
    notify_webhook_url: str = _setting(
        "",
        kinds.text(
            "a URL that starts with http:// or https:// and has no password",
            r"(?:https?://(?![^/?#]*@)[^\s\"'<>{}\x00-\x1f\x7f]{1,2000})?",
        ),
        "URL that gets what administrators get, as JSON of Alertmanager. Everybody can read the published files, so it"
        " must not contain a secret.",
    )
    notify_webhook_url_file: Path | None = _file(
        "File that contains this URL, if it is secret. Needs Alertmanager 0.26; Debian 12 has 0.25."
    )
    notify_webhook_credentials_file: Path | None = _file(
        "File that contains a bearer token for the webhook. Alertmanager reads it."
    )
    notify_escalate_after: float = _setting(
        86400.0,
        kinds.duration(0, 30 * 86400),
        "How long after a user the administrators are told too, if the user does not react. 0 is never.",
    )
    notify_repeat_interval: float = _setting(
        86400.0, kinds.duration(1, 5 * 86400), "Time after which a message is repeated while nothing has changed."
    )
    notify_group_wait: float = _setting(
        60.0, kinds.duration(0, 86400), "How long a first message waits for others of the same kind, to be one message."
    )
    notify_group_interval: float = _setting(
        3600.0,
        kinds.duration(1, 86400),
        "Time after which a user gets the next message of the same kind if there is something new. Administrators wait"
        " at most 5 minutes for what is broken.",
    )
    notify_texts_file: Path | None = _file(
        "File with templates of Alertmanager that replace texts of the messages. docs/notifications.md lists them.",
    )
    notify_alertmanagers: tuple[str, ...] = _setting(
        ("localhost:9093",), kinds.targets(), "Where the published Prometheus reaches Alertmanager, as publish.targets."
    )
    notify_alertmanager_username: str = _setting(
        "", _TEXT, "User name with which Prometheus logs in at Alertmanager, if that requires a password."
    )
    notify_alertmanager_password_file: Path | None = _file("File that contains the password. Prometheus reads it.")
    alerts_idle_after: float = _after(2 * 3600, "environment that does not use a GPU that it has attached")
    alerts_over_memory_after: float = _after(600, "environment that uses more memory of a GPU than its limit")
    alerts_over_devices_after: float = _after(600, "environment that has more GPUs attached than it asked for")
    alerts_unattached_after: float = _after(300, "environment that computes on a GPU that is not attached to it")
    alerts_outside_genv_after: float = _after(900, "user who computes outside genv")
    alerts_orphan_memory_after: float = _after(900, "GPU with memory that no live process accounts for")
    alerts_monitor_down_after: float = _after(300, "machine that cannot be scraped")
    alerts_monitor_stale_after: float = _after(300, "monitor that serves old values")
    alerts_collector_failing_after: float = _after(600, "collector that fails")
    alerts_driver_broken_after: float = _after(300, "driver that does not work")
    alerts_device_lost_after: float = _after(120, "GPU that does not answer")
    alerts_device_missing_after: float = _after(900, "GPU that the driver no longer lists")
    alerts_device_hot_after: float = _after(600, "GPU, or its memory, that is too hot")
    alerts_device_throttled_after: float = _after(300, "GPU that is throttled for more than half of the time")
    alerts_device_memory_bad_after: float = _after(300, "GPU that has to be reset or replaced because of its memory")
    alerts_nvlink_down_after: float = _after(300, "GPU that has lost NVLinks")
    alerts_certificate_expires_within: float = _setting(
        14 * 86400.0, kinds.duration(3600, 365 * 86400), "How long before it expires a certificate raises an alert."
    )
    ledger_enabled: bool = _setting(True, kinds.boolean(), "Whether to record who used how much.")
    ledger_directory: Path | None = _setting(
        None,
        kinds.absolute_path(),
        "Directory for ledger.db, which survives restarts. Empty: $STATE_DIRECTORY if systemd sets it, otherwise"
        " the ledger is kept in memory only.",
    )
    ledger_write_interval: float = _setting(
        30.0,
        kinds.duration(0.1, 60),
        "Time between writes to disk. A crash loses what was recorded since the last write.",
    )
    ledger_hourly_retention: float = _setting(
        35 * 86400.0,
        kinds.duration(86400, 3650 * 86400),
        "How long hourly values are kept. After that they are merged into daily values.",
    )
    ledger_retention: float = _setting(
        400 * 86400.0, kinds.duration(86400, 3650 * 86400), "How long daily values are kept."
    )
    usage_visible: str = _setting(
        "all",
        kinds.choice("all", "own"),
        "Whose usage the page, /api/v1/usage and 'genv-monitor report' show: all, or own for only that of the user who"
        " has logged in, and sums without a login. The counters in /metrics are not affected.",
    )
    limits_environments: int = _setting(
        1000,
        _LIMIT,
        "Maximum number of environments with their own series. All others are summed into one environment named"
        " (other).",
    )
    limits_users: int = _setting(1000, _LIMIT, "Maximum number of users with their own series.")
    limits_processes: int = _setting(2000, _LIMIT, "Maximum number of GPU processes with their own series.")
    logging_level: str = _setting("info", kinds.choice(*LOG_LEVELS), "Minimum log level.")


SECTIONS = {
    "listen": "Where metrics are served.",
    "collect": "How often data is collected.",
    "genv": "Where genv keeps its state. The monitor only reads it.",
    "idle": "When environments and their attached GPUs count as idle.",
    "metrics": "Groups of metrics that can be switched off. docs/metrics.md lists those that are always exported.",
    "publish": "The Prometheus and Grafana configuration files that belong to the metrics.",
    "scrape": "How the published Prometheus authenticates. Files are only named here: Prometheus reads them, as its own"
    " user.",
    "notify": "Who is told about alerts. The configuration of Alertmanager is published if this section has a mail"
    " server, Slack or a webhook.",
    "alerts": "Times of the published alert rules. docs/runbook.md explains each alert.",
    "ledger": "Who used how much: GPU time and energy by user, environment and GPU, for 'genv-monitor report'.",
    "usage": "Who may see who used how much.",
    "limits": "Maximum number of series. Users share it evenly, so nobody can displace the series of others.",
    "logging": "What is logged, to standard error or the journal.",
}


class Setting(NamedTuple):
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
        """The expected value, in words."""
        try:
            self.kind.parse("\0")  # no type accepts it, so the error says what is expected
        except ValueError as error:
            return str(error).removeprefix("expected ")
        raise AssertionError(f"{self.field} takes anything")

    @property
    def default_text(self) -> str:
        """The default as it is written in the file; empty if there is none."""
        return "" if self.default is None else self.kind.show(self.default)


def settings() -> Iterator[Setting]:
    """Yield the keys of monitor.yaml in their order."""
    for field in dataclasses.fields(Config):
        section, _, key = field.name.partition("_")
        yield Setting(section, key, field.name, field.metadata["kind"], field.default, field.metadata["description"])
