"""Who is told about alerts: the published files on a real Prometheus, a real Alertmanager and a real mail server."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from genvd.publish.alertmanager import ESCALATED, PERSONAL
from tests.standin import Process, Sample, Scenario
from tests.support import debian, rules
from tests.support.alertmanager import Alertmanager, MailServer, amtool
from tests.support.gpus import MIB, Start, gpu
from tests.support.monitor import PROGRAM
from tests.support.needs import need_root
from tests.support.parity import device_entry, environment_entry
from tests.support.ports import free_port
from tests.support.prometheus import Prometheus, each_second
from tests.support.users import temporary_users
from tests.support.waiting import wait_for

ADMIN, SENDER = "admins@example.org", "gpus@example.org"

HOSTILE = [
    "x@evil.example,ceo",
    "x;ceo@evil.example",
    "x%0d%0aBcc: evil@evil.example",
    '"><script>alert(1)</script>',
    "=?utf-8?q?=0d=0aBcc:_evil@evil.example?=",
    "alice\r\nBcc: evil@evil.example",
    '{{ template "genv.contact" . }}',
    "alice@evil.example",
    "alice..b",
    ".alice",
    "-oX/tmp/x",
    "<evil@evil.example>",
    '"alice"',
    "alïce",
    "a" * 65,
    "(other)",
    "61234",  # a uid without an account
    "root",  # as in a container
    "",
]
"""User names of which no address may be made."""

BAD_NAME = (
    '"}}{{ .ExternalURL }}{{ template "x" }}\r\nBcc: evil@evil.example\r\n\r\n<b>&amp;</b> <!channel> [a](http://e)'
)
"""A name of an environment."""


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as running:
        yield running


def settings(server: MailServer, **notify: object) -> dict[str, object]:
    return {
        "smarthost": f"127.0.0.1:{server.port}",
        "from": SENDER,
        "require_tls": False,
        "admins": [ADMIN],
        "user_address": "{{username}}@example.org",
        "group_wait": "0s",
        "group_interval": "1s",
        **notify,
    }


def publish(directory: Path, notify: dict[str, object], **sections: object) -> Path:
    """Publish the files for a configuration; return the directory."""
    config = directory / "monitor.yaml"
    config.write_text(yaml.safe_dump({"notify": notify, **sections}))
    published = directory / "published"
    subprocess.run([PROGRAM, "publish", "-c", config, "--config-dir", published], check=True, capture_output=True)
    return published


# --- The whole way -------------------------------------------------------------------------------------------


def environment(state: Path, eid: str, pid: int, username: str, uid: int, index: int) -> tuple[Any, Any]:
    now = time.strftime("%d/%m/%Y %H:%M:%S")
    entry = environment_entry(eid, [pid], username, uid=uid, creation=now)
    entry["config"]["name"] = BAD_NAME
    device = device_entry(index, eid)
    device["attachments"][0]["time"] = now
    return entry, device


def test_an_idle_gpu_is_one_mail_then_one_to_the_administrators_and_work_ends_it(
    start: Start, scenario: Scenario, state_directory: Path, tmp_path: Path, server: MailServer
) -> None:
    need_root("runs processes of several users")
    port, stranger = free_port(), 61_234
    config = tmp_path / "monitor.yaml"
    notify = settings(server, alertmanagers=[f"127.0.0.1:{port}"], escalate_after="6s")
    config.write_text(yaml.safe_dump({"notify": notify, "alerts": {"idle_after": "6s"}}))
    with ExitStack() as stack:
        (alice,) = stack.enter_context(temporary_users(1))
        pids = []
        for eid, uid in (("17", alice.uid), ("18", stranger)):
            variables = {"GENV_ENVIRONMENT_ID": eid}
            process = stack.enter_context(
                subprocess.Popen(["/usr/bin/sleep", "infinity"], user=uid, cwd="/", env=variables)
            )
            stack.callback(process.kill)
            pids.append(process.pid)
        evil = "ceo@evil.example,ceo"
        environments, devices = zip(
            environment(state_directory, "17", pids[0], alice.name, alice.uid, 0),
            environment(state_directory, "18", pids[1], evil, stranger, 1),
            strict=True,
        )
        (state_directory / "envs.json").write_text(json.dumps({"envs": environments}))
        # Alice works on GPU 2 in the same environment: she is told of GPU 0 only.
        used = [gpu(2, processes=[Process(pids[0], MIB)], samples=[Sample(pids[0], 50)])]
        attached = [*devices, {**devices[0], "index": 2}]
        (state_directory / "devices.json").write_text(json.dumps({"devices": attached}))
        idle = [gpu(0, processes=[Process(pids[0], MIB)], samples=[]), gpu(1, processes=[], samples=[])]
        scenario.gpus = idle + used
        scenario.write()
        monitor = start("--config", str(config))
        published = tmp_path / "published"
        alertmanager = stack.enter_context(
            Alertmanager(published / "alertmanager/alertmanager.yml", tmp_path / "alertmanager", port)
        )
        target = f"127.0.0.1:{monitor.port}"
        stack.enter_context(
            Prometheus(each_second(published / "prometheus/prometheus.yml", [target]), tmp_path / "data")
        )

        to_alice = f"{alice.name}@example.org"
        (mail,) = wait_for(lambda: server.to(to_alice), "alice is told")
        assert mail.recipients == (to_alice,)
        assert (mail.sender, mail.subject) == (SENDER, f"You have GPUs on {socket.gethostname()} that you do not use")
        assert mail.message["Reply-To"] == ADMIN
        assert mail.message["Bcc"] is None
        text = mail.text
        assert text.startswith(f"Hello {alice.name},\n")
        (line,) = [line for line in text.splitlines() if line.startswith("* ")]
        assert line.startswith(
            f"* {socket.gethostname()}"
            ': GPU 0, environment ""}}{{ .ExternalURL }}{{ template "x" }}\\x0d\\x0aBcc: '
        )
        assert "not used since 20" in text
        assert "genv detach --index N" in text
        assert f"Ask {ADMIN}." in text
        assert f"http://{target}/#user={alice.name}\n" in text

        # Nobody makes an address of the other's name: the administrators are told.
        held = f"GenvEnvironmentHeldIdle on {socket.gethostname()}"
        (about_evil,) = wait_for(
            lambda: [one for one in server.to(ADMIN) if one.subject == held],
            "the administrators are told of the stranger",
        )
        assert about_evil.recipients == (ADMIN,)
        assert evil in about_evil.text

        escalated = wait_for(lambda: [one for one in server.to(ADMIN) if ESCALATED in one.subject], "it escalates")
        assert alice.name in escalated[0].text and evil not in escalated[0].text
        assert "; GPUs: 0\n" in escalated[0].text
        assert f"http://{target}/page/docs/runbook.html#genvusernotreacting" in escalated[0].text

        scenario.gpus[0].samples = [Sample(pids[0], 50)]
        scenario.write()
        wait_for(
            lambda: [one for one in server.to(ADMIN) if one.subject.startswith(f"Resolved: {ESCALATED}")],
            "work ends it",
        )
        wait_for(
            lambda: not [one for one in alertmanager.alerts() if one["username"] == alice.name], "no alert is left"
        )
        assert len(server.to(to_alice)) == 1
        assert {address for one in server.mails for address in one.recipients} == {to_alice, ADMIN}
        assert alertmanager.failures == []


def test_a_reload_publishes_other_times_and_other_people(start: Start, state_directory: Path, tmp_path: Path) -> None:
    config = tmp_path / "monitor.yaml"
    mail = {"smarthost": "mail.example.org:25", "from": SENDER, "admins": [ADMIN]}
    addresses = tmp_path / "addresses"
    config.write_text(yaml.safe_dump({"alerts": {"idle_after": "3h"}}))
    monitor = start("--demo", "1", "--config", str(config))
    published = tmp_path / "published"
    rule = published / "prometheus/rules/genv-alerts-people.yml"
    wait_for(lambda: "genv_environment_device_idle_seconds > 10800 " in rule.read_text(), "the time is published")
    assert "for at least 3 hours." in rule.read_text()
    assert not (published / "alertmanager").exists()
    assert "alerting" not in yaml.safe_load((published / "prometheus/prometheus.yml").read_text())

    notify = {**mail, "user_address": str(addresses)}
    config.write_text(yaml.safe_dump({"alerts": {"idle_after": "90m"}, "notify": notify}))
    addresses.write_text("alice: nobody\n")
    monitor.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "configuration reload failed" in monitor.log, "the file is refused")
    assert f"{addresses}:1: alice: 'nobody' is no mail address" in monitor.log
    assert "> 10800 " in rule.read_text()

    addresses.write_text("alice: a.smith@example.org\n")
    monitor.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "genv_environment_device_idle_seconds > 5400 " in rule.read_text(), "the new time is published")
    wait_for(lambda: monitor.log.count("is published in") == 2, "all of it is published")
    assert "a.smith@example.org" in (published / "alertmanager/templates/settings.tmpl").read_text()
    targets = {"static_configs": [{"targets": ["localhost:9093"]}]}
    assert yaml.safe_load((published / "prometheus/prometheus.yml").read_text())["alerting"] == {
        "alertmanagers": [targets]
    }


# --- Alertmanager --------------------------------------------------------------------------------------------


def alert(name: str, username: str, **labels: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the labels and annotations of an alert about an environment."""
    runbook = f"http://gpu1:8000/page/docs/runbook.html#{name.lower()}"
    machine = {"alertname": name, "job": "genv", "instance": "gpu1:8000", "severity": "info"}
    texts = {"summary": f"{username} and {BAD_NAME}", "description": "Text.", "devices": "0, 3", "runbook_url": runbook}
    return {**machine, "username": username, "eid": "17", "name": BAD_NAME, **labels}, texts


def test_no_user_name_makes_another_address(tmp_path: Path, server: MailServer) -> None:
    config = publish(tmp_path, settings(server)) / "alertmanager/alertmanager.yml"
    with Alertmanager(config, tmp_path / "data", free_port()) as alertmanager:
        for number, name in enumerate(HOSTILE):
            alertmanager.send(*alert("GenvEnvironmentHeldIdle", name, eid=str(number)))
            alertmanager.send(*alert(ESCALATED, name, eid=str(number), problem="GenvEnvironmentHeldIdle"))
        alertmanager.send(*alert("GenvEnvironmentHeldIdle", "alice.b-c_d"))
        (mail,) = wait_for(lambda: server.to("alice.b-c_d@example.org"), "a name that is one is told")

        def all_told() -> bool:
            text = "\n".join(one.text for one in server.to(ADMIN))
            return text.count("since 20") >= len(HOSTILE)

        wait_for(all_told, "the administrators are told of all others")
        assert {address for one in server.mails for address in one.recipients} == {"alice.b-c_d@example.org", ADMIN}
        headers = {"From", "To", "Subject", "Reply-To", "Auto-Submitted", "Message-Id", "Date", "Content-Type"}
        for one in server.mails:
            assert (
                set(one.message.keys()) - {"MIME-Version", "Mime-Version", "X-Peer", "X-MailFrom", "X-RcptTo"}
                <= headers
            )
            assert "evil" not in one.subject
            # Of each alert one line, so nobody adds lines of their own.
            assert [line for line in one.text.splitlines() if line.startswith(("Bcc", "<b>"))] == []
        assert not any(ESCALATED in one.subject for one in server.mails), "they were told of these already"
        assert alertmanager.failures == []
    assert '* gpu1: GPUs 0, 3, environment ""}}{{ .ExternalURL }}' in mail.text


def test_addresses_from_a_file_are_of_these_users_only(tmp_path: Path, server: MailServer) -> None:
    addresses = tmp_path / "addresses"
    addresses.write_text("# people\nalice: a.smith@example.org\nEX\\b.ob+|(x: bob@example.org\n")
    texts = tmp_path / "texts.tmpl"
    texts.write_text(
        '{{ define "genv.user.text" }}Dear {{ .GroupLabels.username }}:'
        '{{ range .Alerts }} {{ template "genv.page" . }}{{ end }}{{ end }}'
    )
    notify = settings(server, user_address=str(addresses), texts_file=str(texts))
    config = publish(tmp_path, notify) / "alertmanager/alertmanager.yml"
    with Alertmanager(config, tmp_path / "data", free_port()) as alertmanager:
        for name in ("alice", "EX\\b.ob+|(x", "EX\\bxob+|(x", "mallory", "alic", "alice2"):
            alertmanager.send(*alert("GenvUnmanagedProcesses", name))
        wait_for(lambda: len({address for one in server.mails for address in one.recipients}) == 3, "all are told")
        assert [one.text.strip() for one in server.to("a.smith@example.org")] == [
            "Dear alice: http://gpu1:8000/#user=alice"
        ]
        assert [one.text.strip() for one in server.to("bob@example.org")] == [
            "Dear EX\\b.ob+|(x: http://gpu1:8000/#user=EX%5Cb.ob%2B%7C%28x"
        ]
        wait_for(lambda: "alice2" in "".join(one.text for one in server.to(ADMIN)), "the administrators get the others")
        assert alertmanager.failures == []


def test_a_user_is_told_again_if_nothing_changes(tmp_path: Path, server: MailServer) -> None:
    config = publish(tmp_path, settings(server, repeat_interval="4s")) / "alertmanager/alertmanager.yml"
    with Alertmanager(config, tmp_path / "data", free_port()) as alertmanager:
        alertmanager.send(*alert("GenvEnvironmentHeldIdle", "alice"))
        wait_for(lambda: server.mails, "alice is told")
        first = time.monotonic()
        wait_for(lambda: len(server.mails) == 2, "alice is told again")
        assert time.monotonic() - first > 2


def test_a_machine_that_is_down_silences_what_is_on_it(tmp_path: Path, server: MailServer) -> None:
    config = publish(tmp_path, settings(server, group_wait="1s")) / "alertmanager/alertmanager.yml"
    with Alertmanager(config, tmp_path / "data", free_port()) as alertmanager:
        for name in ("GenvMonitorDown", "GenvEnvironmentHeldIdle", "GenvDeviceLost", "GenvCertificateEndsSoon"):
            alertmanager.send(*alert(name, "alice", index="0"))
        alertmanager.send(*alert("GenvDeviceLost", "bob", index="1", instance="gpu2:8000"))
        alertmanager.send(*alert("GenvDeviceHot", "bob", index="1", instance="gpu2:8000"))
        alertmanager.send(*alert("GenvDeviceHot", "bob", index="2", instance="gpu2:8000"))
        expected = {
            "GenvMonitorDown on gpu1",
            "GenvCertificateEndsSoon on gpu1",
            "GenvDeviceLost on gpu2",
            "GenvDeviceHot on gpu2",
        }
        wait_for(lambda: {one.subject for one in server.mails} == expected, "only the causes are told")


# --- The published configuration -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    notify: dict[str, object] = {
        "smarthost": "mail.example.org:587",
        "from": SENDER,
        "auth_username": "gpus",
        "auth_password_file": "/etc/prometheus/password",
        "ca_file": "/etc/ssl/ca.pem",
        "admins": [ADMIN, "b@example.org"],
        "user_address": "{{ username }}@example.org",
        "contact": 'the "desk" \\ in room 12',
        "slack_url_file": "/etc/prometheus/slack",
        "webhook_url": "https://hooks.example.org/x?a=b&c=$d",
        "webhook_credentials_file": "/etc/prometheus/token",
        "alertmanager_username": "prometheus",
        "alertmanager_password_file": "/etc/prometheus/alertmanager-password",
    }
    return publish(tmp_path_factory.mktemp("notify"), notify)


def test_amtool_accepts_the_configuration(published: Path) -> None:
    said = amtool("check-config", published / "alertmanager/alertmanager.yml")
    assert "SUCCESS" in said and "2 templates" in said
    assert yaml.safe_load((published / "alertmanager/alertmanager.yml").read_text())["route"]["repeat_interval"] == "1d"


def test_promtool_accepts_the_configuration(published: Path) -> None:
    command = (debian.promtool(), "check", "config", "--syntax-only", str(published / "prometheus/prometheus.yml"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


ALERTS = sorted({alert["alert"] for alert in rules.rules("alert")})


@pytest.mark.parametrize("name", ALERTS)
def test_the_route_of_each_alert(published: Path, name: str) -> None:
    def receivers(username: str) -> str:
        labels = (f"alertname={name}", "job=genv", "instance=gpu1:8000", f"username={username}")
        config = f"--config.file={published / 'alertmanager/alertmanager.yml'}"
        return amtool("config", "routes", "test", config, *labels).strip()

    assert receivers("alice") == ("users" if name in PERSONAL else "admins")
    assert receivers("ceo@evil") == ("nobody" if name == ESCALATED else "admins")


def test_users_are_told_of_alerts_that_have_their_name() -> None:
    by_name = {alert["alert"]: alert for alert in rules.rules("alert")}
    with_username = {name for name, alert in by_name.items() if "name, username" in alert["expr"]}
    assert set(PERSONAL) == (with_username | {"GenvUnmanagedProcesses"}) - {ESCALATED}
    (notify,) = [path for path in rules.files() if path.name == "genv-alerts-notify.yml"]
    assert all(name in notify.read_text() for name in PERSONAL)
