"""``genv-monitor report`` without the ledger's file: from the running service, and of a simulated machine."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import bcrypt
import pytest

from tests.support.monitor import Monitor

DEMO = ("--demo", "2", "--interval", "1h")
ME = pwd.getpwuid(os.geteuid()).pw_name


def report(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "genvd", "report", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def configured(tmp_path: Path, visible: str) -> Path:
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    web = tmp_path / "web.yml"
    web.write_text(f"basic_auth_users: {{alice: '{hashed}'}}\n" if visible == "login" else "")
    file = tmp_path / "monitor.yaml"
    own = "all" if visible == "all" else "own"
    file.write_text(f"listen: {{web_config_file: {web}}}\nusage: {{visible: {own}}}\npublish: {{enabled: false}}\n")
    return file


@pytest.mark.parametrize("visible", ["all", "own", "login"])
def test_the_running_service_is_asked(tmp_path: Path, visible: str) -> None:
    login: tuple[str | Path, ...] = ()
    headers = {}
    if visible == "login":
        (tmp_path / "password").write_text("secret\n")
        login = ("--login", "alice", "--password-file", tmp_path / "password")
        headers = {"Authorization": "Basic YWxpY2U6c2VjcmV0"}
    with Monitor(["-c", configured(tmp_path, visible), *DEMO], headers=headers) as running:
        url = f"http://localhost:{running.port}"
        done = report("--url", url, "--format", "json", *login)
        assert done.returncode == 0, done.stderr
        names = [row["username"] for row in json.loads(done.stdout)["rows"]]
        assert set(names) >= {"all": {"alice", "bob"}, "own": set(), "login": {"alice"}}[visible]
        assert visible == "all" or len(names) <= 1
        table = report("--url", url, *login)
        assert ("Usage is private here" in table.stdout) == (visible == "own")
        assert (("alice" in table.stdout), "Of " in table.stdout) == (visible != "own", True)
        mine = report("--url", url, "--me", *login)
        if visible == "all":
            assert mine.stdout.startswith(f"{ME}, ")
        else:
            assert (mine.returncode, "log in as the user" in mine.stderr) == (1, True)
        ledger = running.snapshot()["ledger"]
        assert (bool(ledger["users"]), bool(ledger["environments"])) == (visible == "all", visible == "all")


def test_the_service_of_this_machine_is_asked_if_the_ledger_cannot_be_read(tmp_path: Path) -> None:
    file = configured(tmp_path, "all")
    file.write_text(file.read_text() + f"ledger: {{directory: {tmp_path / 'nowhere'}}}\n")
    with Monitor([*DEMO]) as running:
        done = report("-c", file, "--port", str(running.port))
        assert (done.returncode, "alice" in done.stdout) == (0, True), done.stderr
    gone = report("-c", file, "--port", str(running.port))
    assert (gone.returncode, "there is no ledger" in gone.stderr) == (1, True)


def test_a_demo_has_a_past() -> None:
    done = report("--demo", "--since", "30d", "--format", "json")
    document = json.loads(done.stdout)
    assert len(document["days"]) in (30, 31, 32)
    assert {"alice", "bob"} <= {row["username"] for row in document["rows"]}
    assert sum(row["outside_device_seconds"] for row in document["rows"]) > 0
    assert document["capacity_device_seconds"]["free"] > 0
