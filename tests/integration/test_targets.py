"""One published Prometheus that scrapes several machines, with TLS and passwords."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bcrypt
import pytest
import yaml

from tests.support.certificates import Certificate, issue, trusting
from tests.support.genv import install_genv
from tests.support.monitor import PROGRAM, Monitor
from tests.support.needs import need, need_localhost
from tests.support.prometheus import Prometheus, each_second
from tests.support.waiting import wait_for

USER, PASSWORD = "prometheus", 'a "secret" $HOME: #'
SERVER_NAME = "gpu.example.org"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a web configuration and the credentials for Prometheus."""
    directory = tmp_path_factory.mktemp("targets")
    ca = issue(directory, "ca")
    issue(directory, "server", sans=f"DNS:{SERVER_NAME}", ca=ca)
    issue(directory, "client", ca=ca)
    (directory / "password").write_text(PASSWORD)
    tls = {
        "cert_file": "server.pem",
        "key_file": "server.key",
        "client_auth_type": "RequireAndVerifyClientCert",
        "client_ca_file": "ca.pem",
    }
    users = {USER: bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}
    web = {"tls_server_config": tls, "basic_auth_users": users}
    (directory / "web.yml").write_text(yaml.safe_dump(web))
    return directory


@pytest.fixture(scope="module")
def machines(place: Path) -> Iterator[list[Monitor]]:
    """Two machines that require a client certificate, a password and their own name."""
    config = place / "machine.yaml"
    config.write_text(yaml.safe_dump({"listen": {"web_config_file": str(place / "web.yml")}}))
    client = Certificate(place / "client.pem", place / "client.key")
    tls = trusting(Certificate(place / "ca.pem", place / "ca.key"), client)
    headers = {"Authorization": f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"}
    with ExitStack() as stack:
        arguments = ("--demo", "2", "-i", "1", "-c", config, "--config-dir", place / "not-used")
        yield [stack.enter_context(Monitor(arguments, tls=tls, headers=headers)) for _ in range(2)]


def publish(targets: list[str] | str, place: Path, directory: Path) -> Path:
    """Publish the configuration to scrape these targets; return the prometheus.yml."""
    files = {"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "client.key", "password_file": "password"}
    scrape = {**{key: str(place / name) for key, name in files.items()}, "server_name": SERVER_NAME, "username": USER}
    config = directory / "monitor.yaml"
    config.write_text(yaml.safe_dump({"publish": {"targets": targets}, "scrape": scrape}))
    published = directory / "published"
    subprocess.run([PROGRAM, "publish", "-c", config, "--config-dir", published], check=True, capture_output=True)
    return published / "prometheus/prometheus.yml"


def target(machine: Monitor) -> str:
    return f"127.0.0.1:{machine.port}"


def up(running: Prometheus) -> dict[str, float]:
    return {dict(labels)["instance"]: value for labels, value in running.query("up").items()}


def test_machines_with_tls_certificates_and_passwords_are_scraped(
    place: Path, machines: list[Monitor], tmp_path: Path
) -> None:
    published = publish([target(one) for one in machines], place, tmp_path)
    assert PASSWORD not in published.read_text()
    with Prometheus(each_second(published), tmp_path / "data") as running:
        wait_for(lambda: up(running) == {target(one): 1 for one in machines}, "all are up")
        assert len(running.query("genv_device_up")) == 2 * 2


def test_changes_of_a_target_file_are_followed(place: Path, machines: list[Monitor], tmp_path: Path) -> None:
    file, first, second = tmp_path / "machines of $HOME.json", *map(target, machines)
    write(file, [{"targets": [first]}])
    published = publish(str(file), place, tmp_path)
    with Prometheus(each_second(published), tmp_path / "data") as running:
        wait_for(lambda: up(running) == {first: 1}, "all are up")
        write(file, [{"targets": [second], "labels": {"instance": "gpu2", "rack": "b"}}])
        wait_for(lambda: [one["labels"].get("rack") for one in running.targets()] == ["b"], "it follows")
        wait_for(lambda: up(running) == {"gpu2": 1}, "all are up")


def test_the_dashboard_of_genv_itself_tells_machines_apart(
    place: Path, machines: list[Monitor], public_directory: Path, tmp_path: Path
) -> None:
    """It joins on the label hostname, which only the published configuration of several machines adds."""
    library = install_genv(public_directory).parent / "lib"
    (dashboard,) = library.glob("python*/site-packages/genv/metrics/export/grafana/dashboards/overview.json")
    panels = json.loads(dashboard.read_text())["panels"]
    expressions = [one["expr"] for panel in panels for one in panel["targets"]]
    assert len(expressions) == 13 and sum("hostname" in one for one in expressions) == 3

    file = tmp_path / "machines.json"
    write(file, [{"targets": [target(machines[1])], "labels": {"instance": "gpu2:8000"}}])
    published = publish([target(machines[0]), str(file)], place, tmp_path)
    with Prometheus(each_second(published), tmp_path / "data") as running:
        wait_for(lambda: len(running.query("genv_device_up")) == 2 * 2, "both are scraped")
        names = {dict(labels)["instance"]: dict(labels)["hostname"] for labels in running.query("up")}
        assert names == {target(machines[0]): target(machines[0]), "gpu2:8000": "gpu2"}
        assert [one for one in expressions if not running.query(one)] == []
        memory = next(one for one in expressions if one.startswith("genv_device_memory_used_bytes / on(hostname"))
        assert len(running.query(memory)) == 2 * 2

        write(file, [{"targets": [target(machines[1])], "labels": {"hostname": "mine"}}])
        wait_for(lambda: running.query('up{hostname="mine"}'), "the name of its own stays")


def write(file: Path, groups: list[dict[str, Any]]) -> None:
    """Replace a file of targets in one step, as Prometheus' documentation asks for."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(groups))
    new.rename(file)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.9", "0.0.0.0", "::1", "::"])
def test_the_target_and_the_url_reach_each_listen_address(tmp_path: Path, address: str) -> None:
    need(":" not in address or Path("/proc/net/if_inet6").exists(), "needs IPv6", optional=True)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    with Monitor(("-a", address, "--demo", "3", "--config-dir", tmp_path), host=host) as monitor:
        document = yaml.safe_load((tmp_path / "prometheus/prometheus.yml").read_text())
        ((named,),) = (one["targets"] for one in document["scrape_configs"][0]["static_configs"])
        assert f"serving metrics at http://{named}/metrics" in monitor.log
        parts = urlsplit(f"http://{named}")
        if parts.hostname == "localhost":
            need_localhost()
        assert parts.port == monitor.port
        with closing(socket.create_connection((parts.hostname, monitor.port), 5)):
            pass

        config = tmp_path / "monitor.yaml"
        config.write_text(f'listen: {{address: "{address}", port: {monitor.port}}}\n')
        shown = subprocess.run([PROGRAM, "top", "-c", config], capture_output=True, text=True, check=True).stdout
        assert "3 GPUs" in shown  # those of the service


def test_a_reload_publishes_the_new_targets(tmp_path: Path) -> None:
    config, published = tmp_path / "monitor.yaml", tmp_path / "published/prometheus/prometheus.yml"

    def jobs() -> Any:
        (job,) = yaml.safe_load(published.read_text())["scrape_configs"]
        return job

    config.write_text("publish: {targets: [gpu1:8000]}\n")
    with Monitor(("--demo", "-c", config, "--config-dir", tmp_path / "published")) as monitor:
        assert jobs()["job_name"] == "genv"
        assert jobs()["static_configs"] == [{"targets": ["gpu1:8000"]}]

        config.write_text("publish: {targets: [gpu1:8000, /m.yml]}\nscrape: {credentials_file: /token}\n")
        monitor.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "file_sd_configs" in jobs(), "the reload is published")
        assert jobs()["static_configs"] == [{"targets": ["gpu1:8000"]}]
        assert jobs()["authorization"] == {"credentials_file": "/token"}

        config.write_text("publish:\n  targets:\n  - gpu1\n  - gpu2:70000\n")
        monitor.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "configuration reload failed" in monitor.log, "it is refused")
        assert f"{config}:3: publish.targets: 'gpu1' is wrong; expected host:port" in monitor.log
        assert f"{config}:4: publish.targets: 'gpu2:70000' is wrong; expected host:port" in monitor.log
        assert "file_sd_configs" in jobs()
