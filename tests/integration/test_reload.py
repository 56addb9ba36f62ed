"""The effect of each configuration key on a running service after a reload."""

from __future__ import annotations

import os
import pwd
import re
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from genvd.config.schema import settings
from genvd.metrics import GROUPS
from tests.standin import Mig, NvLink, Process, Scenario
from tests.support.genv_state import write_state
from tests.support.gpus import MIB, gpu
from tests.support.manager import Manager
from tests.support.monitor import Monitor, series
from tests.support.ports import free_port
from tests.support.waiting import wait_for

LAST_WRITE = series("genv_monitor_ledger_last_write_timestamp_seconds")
SLOW_MILLISECONDS = 600


@dataclass
class Service:
    """A monitor whose configuration is changed."""

    monitor: Monitor
    manager: Manager
    directory: Path
    base: dict[str, Any]
    scenario: Scenario
    lines: int = 0
    """Of its log, until the last reload."""
    writes: set[float] = field(default_factory=set)
    """Of the ledger, that were seen since then."""

    def reload(self, **changes: Any) -> None:
        """Have it read the base with these changes."""
        configure(self.directory / "monitor.yaml", {**self.base, **changes})
        self.lines = len(self.monitor.output)
        self.manager.reload(self.monitor.process)
        self.writes.clear()

    @property
    def log(self) -> str:
        """What it said since the last reload."""
        return "".join(self.monitor.output[self.lines :])

    def published(self, name: str) -> str:
        """Return a published file."""
        return (self.directory / "published" / name).read_text()


def configure(path: Path, values: Mapping[str, Any]) -> None:
    """Write fields of the configuration as a monitor.yaml."""
    document: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, _, key = name.partition("_")
        document.setdefault(section, {})[key] = str(value) if isinstance(value, Path) else value
    path.write_text(yaml.safe_dump(document))


@pytest.fixture(scope="module")
def service(public_directory: Path, nvml_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("service")
    with ExitStack() as stack:
        environment = {**os.environ, "GENV_ENVIRONMENT_ID": "17"}
        inside = stack.enter_context(subprocess.Popen(["sleep", "infinity"], env=environment))
        stack.callback(inside.kill)
        me = pwd.getpwuid(os.getuid()).pw_name
        write_state(directory / "state", {"17": (inside.pid, me)}, {0: ["17"]})
        write_state(directory / "other-state", {"18": (inside.pid, me)}, {})
        (directory / "texts.tmpl").write_text('{{ define "genv.user.subject" }}instead{{ end }}')
        password = bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode()
        (directory / "web.yml").write_text(f"basic_auth_users: {{a: '{password}'}}")
        scenario = machine(public_directory / f"scenario-reload-{os.getpid()}", inside.pid)
        stack.callback(scenario.path.unlink)
        base = {
            "listen_port": free_port(),
            "collect_interval": "200ms",
            "genv_state_directory": directory / "state",
            "publish_directory": directory / "published",
            "ledger_directory": directory / "ledger",
            "ledger_write_interval": "60s",
        }
        configure(directory / "monitor.yaml", base)
        manager = Manager(directory)
        stack.callback(manager.close)
        variables = {**scenario.environment(nvml_library), **manager.environment}
        arguments: list[str | Path] = ["-c", directory / "monitor.yaml"]
        monitor = stack.enter_context(Monitor(arguments, environment=variables, any_port=False))
        yield Service(monitor, manager, directory, base, scenario)
        assert "Traceback" not in monitor.log


def machine(path: Path, pid: int) -> Scenario:
    """Return a scenario with values for each group of metrics."""
    told = {"power": 1, "clock_sm": 1, "event_types": 8, "ecc_corrected_volatile": 0, "remapped_rows": (0, 0, 0, 0)}
    links = {"nvlinks": {0: NvLink(errors={0: 0})}, "pcie_receive": 1000, "pcie_transmit": 2000}
    scenario = Scenario(path)
    scenario.gpus = [
        gpu(0, **told, **links, gpm={2: 50}, processes=[Process(pid, MIB)]),
        gpu(1, migs={0: Mig("MIG-0")}),
    ]
    scenario.write()
    return scenario


# --- What to look at -----------------------------------------------------------------------------------------------

Look = Callable[[Service], object]


def shows(group: str) -> Look:
    """Return a function that checks whether the metrics of a group are present."""
    names = {metric.name for metric in GROUPS[group]}
    return lambda service: any(name in names for name, _ in service.monitor.metrics())


def dropped(kind: str) -> Look:
    return lambda service: service.monitor.metrics()[series("genv_monitor_series_dropped", kind=kind)] > 0


def is_published(text: str, name: str = "prometheus/prometheus.yml") -> Look:
    return lambda service: text in service.published(name)


def has_time(key: str) -> Look:
    """Return a function that checks whether the published rules have 7777 seconds for a key of the section alerts."""
    time = re.compile(rf"\b(7777|2h9m37s)  # alerts\.{key}$", re.MULTILINE)
    directory = "published/prometheus/rules"
    return lambda service: any(time.search(path.read_text()) for path in (service.directory / directory).iterdir())


def is_in_alertmanager(text: str, name: str = "alertmanager.yml") -> Look:
    path = f"published/alertmanager/{name}"
    return lambda service: (service.directory / path).exists() and text in (service.directory / path).read_text()


def answers(service: Service, address: str) -> bool:
    try:
        socket.create_connection((address, service.monitor.port), timeout=10).close()
    except ConnectionRefusedError:
        return False
    return True


def eids(service: Service) -> list[str]:
    return [environment["eid"] for environment in service.monitor.snapshot()["environments"]]


def is_up(service: Service) -> object:
    """Return whether the first device is, as far as a collection tells that came after the reload."""
    snapshot = service.monitor.snapshot()
    return snapshot["devices"][0]["up"] if snapshot["service"]["interval_seconds"] == 20 else None


def is_written_often(service: Service) -> bool:
    written = service.monitor.metrics().get(LAST_WRITE)
    if written is not None:  # it is absent until the first write
        service.writes.add(written)
    return len(service.writes) > 3  # the first one or two may be from before the reload


def is_read_often(group: str) -> Look:
    """Return a function that checks whether a group of the first GPU was read more than three times while it looked."""
    read = set()
    name = series("genv_monitor_device_last_read_timestamp_seconds", index=0, group=group)

    def look(service: Service) -> bool:
        read.add(service.monitor.metrics()[name])
        return len(read) > 3

    return look


@dataclass
class Row:
    """What is seen of a key."""

    value: Any
    """That it is given; a path is one in the directory of the service."""
    look: Look
    before: object = False
    after: object = True
    also: dict[str, Any] = field(default_factory=dict)
    """Given besides with that value."""
    all_the_time: dict[str, Any] = field(default_factory=dict)
    """Given besides, before too."""
    slow: bool = False
    """Whether the driver takes its time for the first device."""


DATA_SOURCE = "grafana/provisioning/datasources/default.yml"
TLS = {"scrape_scheme": "https"}
KEY = {"scrape_key_file": Path("key.pem")}
TIMEOUT = {"collect_interval": "20s", "collect_timeout": "20s"}

MAIL = {"notify_smarthost": "mail.example.org:25", "notify_from": "a@example.org", "notify_admins": ["b@example.org"]}
LOGIN = {"notify_auth_username": "gpus", "notify_auth_password_file": Path("smtp-password")}
AT_ALERTMANAGER = {"notify_alertmanager_username": "us", "notify_alertmanager_password_file": Path("am-password")}
HOOK = {"notify_webhook_url": "http://hook.example.org/"}
SETTINGS = "templates/settings.tmpl"

NOTIFY = {
    "smarthost": Row("other.example.org:26", is_in_alertmanager("smtp_smarthost: other.example.org:26")),
    "from": Row("c@example.org", is_in_alertmanager("smtp_from: c@example.org")),
    "auth_username": Row("gpus", is_in_alertmanager("smtp_auth_username: gpus"), also=LOGIN),
    "auth_password_file": Row(Path("smtp-password"), is_in_alertmanager("/smtp-password"), also=LOGIN),
    "require_tls": Row(False, is_in_alertmanager("smtp_require_tls: false")),
    "ca_file": Row(Path("mail-ca.pem"), is_in_alertmanager("/mail-ca.pem")),
    "admins": Row(["d@example.org"], is_in_alertmanager("to: d@example.org")),
    "user_address": Row("{{username}}@example.org", is_in_alertmanager("@example.org{{ end }}", SETTINGS)),
    "contact": Row("room 12", is_in_alertmanager('"room 12"', SETTINGS)),
    "slack_url_file": Row(Path("slack"), is_in_alertmanager("/slack")),
    "webhook_url": Row("http://hook.example.org/", is_in_alertmanager("url: http://hook.example.org/")),
    "webhook_url_file": Row(Path("hook"), is_in_alertmanager("/hook")),
    "webhook_credentials_file": Row(Path("hook-token"), is_in_alertmanager("/hook-token"), also=HOOK),
    "escalate_after": Row("7777s", is_in_alertmanager("after 2 hours, 9 minutes and 37 seconds", SETTINGS)),
    "repeat_interval": Row("7777s", is_in_alertmanager("repeat_interval: 2h9m37s")),
    "group_wait": Row("7777s", is_in_alertmanager("group_wait: 2h9m37s")),
    "group_interval": Row("7777s", is_in_alertmanager("group_interval: 2h9m37s")),
    "texts_file": Row(Path("texts.tmpl"), is_in_alertmanager("instead", "templates/texts.tmpl")),
    "alertmanagers": Row(["alertmanager.example.org:9093"], is_published("alertmanager.example.org:9093")),
    "alertmanager_username": Row("us", is_published('username: "us"'), also=AT_ALERTMANAGER),
    "alertmanager_password_file": Row(Path("am-password"), is_published("/am-password"), also=AT_ALERTMANAGER),
}

SEEN = {
    "listen_address": Row("0.0.0.0", lambda s: answers(s, "127.0.0.2")),
    "listen_port": Row(0, lambda s: s.monitor.port != s.base["listen_port"]),
    "listen_web_config_file": Row(Path("web.yml"), lambda s: s.monitor.get("/-/ready").status, 200, 401),
    "listen_names": Row("gpu.example.org", lambda s: s.monitor.get("/", {"Host": "gpu.example.org"}).status, 421, 200),
    "collect_interval": Row("300ms", lambda s: s.monitor.snapshot()["service"]["interval_seconds"], 0.2, 0.3),
    "collect_timeout": Row("50ms", is_up, True, False, all_the_time=TIMEOUT, slow=True),
    **{
        f"collect_{group}_interval": Row("0s", is_read_often(group))
        for group in ("device_details", "memory_health", "nvlink")
    },
    "genv_state_directory": Row(Path("other-state"), eids, ["17"], ["18"]),
    "idle_grace": Row("1m", lambda s: s.monitor.metrics()[series("genv_monitor_idle_grace_seconds")], 600, 60),
    **{f"metrics_{group}": Row(False, shows(group), True, False) for group in GROUPS},
    "metrics_pcie_throughput": Row(True, shows("pcie_throughput")),
    "publish_enabled": Row(False, lambda s: s.monitor.snapshot()["service"]["publish_success"], True, None),
    "publish_directory": Row(
        Path("elsewhere"), lambda s: (s.directory / "elsewhere/prometheus/prometheus.yml").exists()
    ),
    "publish_prometheus_url": Row(
        "http://prometheus.example.org:9",
        is_published("prometheus.example.org:9", DATA_SOURCE),
    ),
    "publish_targets": Row(["gpu9.example.org:8000"], is_published("gpu9.example.org:8000")),
    "scrape_scheme": Row("https", is_published("scheme: https")),
    "scrape_ca_file": Row(Path("ca.pem"), is_published("ca.pem")),
    "scrape_server_name": Row("gpu.example.org", is_published("gpu.example.org"), also=TLS),
    "scrape_cert_file": Row(Path("cert.pem"), is_published("cert.pem"), also=KEY),
    "scrape_key_file": Row(Path("key.pem"), is_published("key.pem"), also={"scrape_cert_file": Path("cert.pem")}),
    "scrape_username": Row("scraper", is_published("scraper"), also={"scrape_password_file": Path("password")}),
    "scrape_password_file": Row(Path("password"), is_published("/password"), also={"scrape_username": "scraper"}),
    "scrape_credentials_file": Row(Path("token"), is_published("/token")),
    **{f"notify_{key}": replace(row, all_the_time=MAIL) for key, row in NOTIFY.items()},
    **{setting.field: Row("7777s", has_time(setting.key)) for setting in settings() if setting.section == "alerts"},
    "usage_visible": Row("own", lambda s: s.monitor.get("/api/v1/usage?user=alice").status, 200, 403),
    "ledger_enabled": Row(False, lambda s: s.monitor.snapshot()["ledger"] is None),
    "ledger_directory": Row(Path("other-ledger"), lambda s: (s.directory / "other-ledger/ledger.db").exists()),
    "ledger_write_interval": Row("100ms", is_written_often),
    "limits_environments": Row(0, dropped("environment")),
    "limits_users": Row(0, dropped("user")),
    "limits_processes": Row(0, dropped("process")),
    "logging_level": Row("debug", lambda s: s.monitor.get("/-/ready") and "DEBUG" in s.log),
}

RETENTION_TEST = "tests/unit/test_ledger_retention.py::test_a_running_ledger_uses_a_changed_configuration"
HOURLY = f"old data is deleted once an hour; {RETENTION_TEST}"
NOT_SEEN = {"ledger_hourly_retention": HOURLY, "ledger_retention": HOURLY}
"""Keys that change nothing that could be waited for, with the reason."""


def test_every_key_has_an_example() -> None:
    assert {setting.field for setting in settings()} == {*SEEN, *NOT_SEEN}
    assert not set(SEEN) & set(NOT_SEEN)


@pytest.mark.parametrize("key", SEEN)
def test_a_reload_changes(service: Service, key: str) -> None:
    row = SEEN[key]
    service.scenario.gpus[0].hangs = {"nvmlDeviceGetTemperature*": SLOW_MILLISECONDS} if row.slow else {}
    service.scenario.write()
    service.reload(**row.all_the_time)
    wait_for(lambda: row.look(service) == row.before, f"{row.before!r} before")
    changes = {**row.all_the_time, **row.also, key: row.value}
    placed = {key: service.directory / value if isinstance(value, Path) else value for key, value in changes.items()}
    service.reload(**placed)
    wait_for(lambda: row.look(service) == row.after, f"{row.after!r} after")
