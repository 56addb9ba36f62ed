"""Alertmanager on the published files: mail over TLS with a password, a chat, a webhook with a token."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.support.alertmanager import Alertmanager, MailServer
from tests.support.certificates import issue
from tests.support.monitor import PROGRAM
from tests.support.ports import free_port
from tests.support.waiting import wait_for

ADMIN, SENDER = "admins@example.org", "gpus@example.org"
PASSWORD = "pa$$ {{ word }}"
LOST = {"alertname": "GenvDeviceLost", "severity": "critical", "job": "genv", "instance": "gpu1:8000", "index": "0"}
TEXTS = {
    "summary": "GPU 0 of gpu1; attached to <!channel> & @here [click](http://evil.example)\n@all",
    "description": "It fell off the bus.",
    "runbook_url": "http://gpu1:8000/page/docs/runbook.html#genvdevicelost",
}


def publish(directory: Path, notify: Mapping[str, object]) -> Path:
    """Publish the files for a configuration; return the configuration of Alertmanager."""
    config = directory / "monitor.yaml"
    config.write_text(yaml.safe_dump({"notify": {"group_wait": "0s", "group_interval": "1s", **notify}}))
    published = directory / "published"
    subprocess.run([PROGRAM, "publish", "-c", config, "--config-dir", published], check=True, capture_output=True)
    return published / "alertmanager/alertmanager.yml"


def test_mail_goes_over_tls_with_a_password_that_is_not_published(tmp_path: Path) -> None:
    certificate = issue(tmp_path, "mail")
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)

    def log_in(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"gpus", PASSWORD.encode())
        return AuthResult(success=right)

    # Its LOGIN asks for "User Name", which Alertmanager does not know.
    login = {"authenticator": log_in, "auth_required": True, "auth_exclude_mechanism": ["LOGIN"]}
    with MailServer(tls_context=context, require_starttls=True, **login) as server:
        notify = {
            "smarthost": f"127.0.0.1:{server.port}",
            "from": SENDER,
            "ca_file": str(certificate.certificate),
            "auth_username": "gpus",
            "auth_password_file": str(password),
            "admins": [ADMIN, "b@example.org"],
        }
        config = publish(tmp_path, notify)
        with Alertmanager(config, tmp_path / "data", free_port()) as alertmanager:
            alertmanager.send(LOST, TEXTS)
            (mail,) = wait_for(lambda: server.mails, "the administrators are told")
            assert (mail.recipients, mail.subject) == ((ADMIN, "b@example.org"), "GenvDeviceLost on gpu1")
            assert alertmanager.failures == []
    files = [path for path in config.parents[1].rglob("*") if path.is_file()]
    assert [path for path in files if b"pa$$" in path.read_bytes()] == []


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[str, str | None, Any]]]]:
    """An HTTP server; yields its URL, and the paths, tokens and documents that it gets."""
    received: list[tuple[str, str | None, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, self.headers["Authorization"], json.loads(body)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")  # as Slack answers

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_chat_mentions_nobody_and_a_webhook_gets_its_token(tmp_path: Path) -> None:
    with receiver() as (url, received):
        for name, content in (("chat", f"{url}/secret-chat"), ("token", "secret-token")):
            (tmp_path / name).write_text(content)
        notify = {
            "slack_url_file": str(tmp_path / "chat"),
            "webhook_url": f"{url}/hook?a=b&c=$d",
            "webhook_credentials_file": str(tmp_path / "token"),
        }
        config = publish(tmp_path, notify)
        assert "secret" not in config.read_text()
        with Alertmanager(config, tmp_path / "data", free_port()) as alertmanager:
            alertmanager.send(LOST, TEXTS)
            wait_for(lambda: len(received) == 2, "both are told")
            assert alertmanager.failures == []
    by_path = {path: (token, document) for path, token, document in received}
    token, document = by_path["/hook?a=b&c=$d"]
    assert token == "Bearer secret-token"
    assert [one["labels"]["alertname"] for one in document["alerts"]] == ["GenvDeviceLost"]
    _, document = by_path["/secret-chat"]
    (attachment,) = document["attachments"]
    assert attachment["title"] == "GenvDeviceLost on gpu1"
    text = attachment["text"]
    said = "attached to &lt;!channel&gt; &amp; @\u200bhere [click]\u200b(http://evil.example) @\u200ball (critical)"
    assert text.startswith(f"• GPU 0 of gpu1; {said}")
    assert text.rstrip().endswith(TEXTS["runbook_url"])


@pytest.mark.parametrize("addresses", [3, 10_000])
def test_many_users_are_found_among_their_addresses(tmp_path: Path, addresses: int) -> None:
    file = tmp_path / "addresses"
    file.write_text("".join(f"user{number}: u{number}@example.org\n" for number in range(addresses)))
    with MailServer() as server:
        mail = {"smarthost": f"127.0.0.1:{server.port}", "from": SENDER, "require_tls": False, "admins": [ADMIN]}
        config = publish(tmp_path, {**mail, "user_address": str(file)})
        with Alertmanager(config, tmp_path / "data", free_port()) as alertmanager:
            labels = {**LOST, "alertname": "GenvUnmanagedProcesses"}
            alertmanager.send({**labels, "username": f"user{addresses - 1}"}, TEXTS)
            (got,) = wait_for(lambda: server.mails, "the last one is told", 120)
            assert got.recipients == (f"u{addresses - 1}@example.org",)
