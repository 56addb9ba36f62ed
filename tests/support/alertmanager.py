"""A real Alertmanager as a process of its own, and a real mail server that keeps what it gets."""

from __future__ import annotations

import email
import json
import os
import subprocess
import threading
import urllib.request
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller

from tests.support import debian
from tests.support.needs import need_user_namespaces
from tests.support.ports import free_port
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiosmtpd.smtp import SMTP, Envelope, Session

_HOST = "127.0.0.1"
_PACKAGE = "prometheus-alertmanager"


@dataclass
class Alertmanager:
    """A running Alertmanager. Its output is kept."""

    config: Path
    data: Path
    """Directory for what it keeps; made if it is missing."""
    port: int
    output: list[str] = field(default_factory=list)

    def __enter__(self) -> Alertmanager:
        command = (
            *_program(),
            f"--config.file={self.config}",
            f"--storage.path={self.data}",
            f"--web.listen-address={_HOST}:{self.port}",
            "--cluster.listen-address=",
            "--log.level=debug",
        )
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._keep_output, daemon=True)
        self._reader.start()
        try:
            wait_for(
                lambda: self._get("/-/ready") or self.process.poll() is not None, "Alertmanager is ready, or ended"
            )
            assert self.process.poll() is None, "Alertmanager ended"
        except AssertionError as error:
            self.__exit__()
            raise AssertionError(f"{error}:\n{''.join(self.output)}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        if self.process.stderr:
            self.process.stderr.close()

    @property
    def failures(self) -> list[str]:
        """What it could not send."""
        return [line for line in self.output if "level=error" in line or "level=ERROR" in line or "level=warn" in line]

    def alerts(self) -> list[dict[str, str]]:
        """Return the labels of the alerts that fire."""
        return [one["labels"] for one in json.loads(self._get("/api/v2/alerts?active=true"))]

    def send(self, labels: Mapping[str, str], annotations: Mapping[str, str]) -> None:
        """Send an alert, as Prometheus does."""
        body = json.dumps([{"labels": labels, "annotations": annotations}]).encode()
        url = f"http://{_HOST}:{self.port}/api/v2/alerts"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as response:
            assert response.status == 200

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://{_HOST}:{self.port}{path}", timeout=20) as response:
            content: bytes = response.read()
            return content

    def _keep_output(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.output.append(line)


def _program() -> tuple[str, ...]:
    """Return the command of Alertmanager. Debian's reads a file in /usr/share, which the unpacked package has."""
    program = debian.program(_PACKAGE, _PACKAGE)
    share = Path(program).parents[1] / "share"
    if share == Path("/usr/share"):
        return (program,)
    root: tuple[str, ...] = ()
    if os.geteuid() != 0:
        need_user_namespaces()
        root = ("--map-root-user",)
    return ("unshare", "--mount", *root, "sh", "-c", 'mount --bind "$0" /usr/share && exec "$@"', str(share), program)


def amtool(*arguments: str | Path) -> str:
    """Run amtool, which must succeed, and return its output."""
    command = (debian.program("amtool", _PACKAGE), *map(str, arguments))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Mail:
    """A mail as the server got it."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage

    @property
    def subject(self) -> str:
        """The decoded subject."""
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        """The decoded text; the mail has no other part."""
        (part,) = [part for part in self.message.walk() if not part.is_multipart()]
        assert isinstance(part, EmailMessage) and part.get_content_type() == "text/plain"
        return str(part.get_content()).replace("\r\n", "\n")


class MailServer:
    """A mail server on a free port, with its mails."""

    def __init__(self, **options: Any) -> None:
        """Create a server.

        Args:
            options: those of :class:`aiosmtpd.smtp.SMTP`, such as a certificate and who may send.
        """
        self.mails: list[Mail] = []
        self.port = free_port()
        self._controller = Controller(self, hostname=_HOST, port=self.port, **options)

    def __enter__(self) -> MailServer:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep a mail; aiosmtpd calls this."""
        assert isinstance(envelope.content, bytes)
        message: Any = email.message_from_bytes(envelope.content, policy=default)
        self.mails.append(Mail(str(envelope.mail_from), tuple(envelope.rcpt_tos), message))
        return "250 OK"

    def to(self, address: str) -> list[Mail]:
        """Return the mails to an address, in their order."""
        return [mail for mail in self.mails if address in mail.recipients]
