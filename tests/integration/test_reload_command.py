"""``genv-monitor reload``: it checks the configuration of the running monitor, and fails with the reason."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from genvd.service.running_monitor import split_command
from tests.integration.test_service import LAST_RELOAD, configure, service
from tests.support.manager import Manager
from tests.support.monitor import PROGRAM
from tests.support.waiting import wait_for


def reload(pid: object, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **environment}
    command: list[str | Path] = [PROGRAM, "reload", *([str(pid)] if pid else [])]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_reload_is_applied_or_fails_with_the_reason(manager: Manager, tmp_path: Path) -> None:
    file, web = tmp_path / "monitor.yaml", tmp_path / "web.yml"
    configure(file, 0)
    with service(manager, file, "--demo") as monitor:
        pid = monitor.process.pid
        done = reload(pid)
        assert (done.returncode, done.stderr) == (0, "")
        wait_for(lambda: "configuration reloaded" in monitor.log, "it is reloaded")

        broken = ("collect: {intervall: 1s}", f"listen: {{web_config_file: {web}}}", "\t", "[" * 5000)
        for content in broken:
            file.write_text(content)
            done = reload(None, MAINPID=str(pid))
            assert done.returncode == 2
            (line,) = done.stderr.splitlines()
            assert str(tmp_path) in line
            wait_for(lambda: monitor.metrics()[LAST_RELOAD] == 0, "the metric tells")
            configure(file, 0)
            assert reload(pid).returncode == 0
            wait_for(lambda: monitor.metrics()[LAST_RELOAD] == 1, "mended")
        assert monitor.process.poll() is None
        assert monitor.log.count("still using the previous configuration") == len(broken)
        assert "Traceback" not in monitor.log


@pytest.mark.parametrize("listens", [True, False], ids=["listening", "only bound"])
def test_a_taken_port_is_called_that_and_no_invalid_configuration(
    manager: Manager, tmp_path: Path, listens: bool
) -> None:
    file = tmp_path / "monitor.yaml"
    configure(file, 0)
    with service(manager, file, "--demo") as monitor, closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        if listens:
            other.listen()
        port = other.getsockname()[1]
        configure(file, port)
        done = reload(monitor.process.pid)
        said = f"cannot listen on 127.0.0.1 port {port}: another program uses it"
        assert done.returncode == 1 and said in done.stderr
        wait_for(lambda: manager.said(f"STATUS=.*configuration reload failed: {said}"), "the status tells")
        service_status = json.loads(monitor.get("/api/v1/snapshot").body)["service"]
        assert (service_status["config_reload_successful"], service_status["config_reload_problem"]) == (False, said)
        assert said.encode() in monitor.get("/page/table.html").body

        configure(file, 0)
        assert reload(monitor.process.pid).returncode == 0
        wait_for(lambda: monitor.metrics()[LAST_RELOAD] == 1, "mended")
        assert json.loads(monitor.get("/api/v1/snapshot").body)["service"]["config_reload_problem"] == ""


def test_other_processes_get_no_signal() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:  # which a SIGHUP would end
        done = reload(other.pid)
        assert done.returncode == 1
        assert f"process {other.pid}: is not a genv-monitor; expected the PID of one" in done.stderr
        assert other.poll() is None
        other.kill()
    done = reload(other.pid)
    assert done.returncode == 1
    assert f"process {other.pid}: " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    for wrong in ("0", "-1", "x", "1e3", "9" * 10):
        assert reload(wrong).returncode == 2


@pytest.mark.parametrize(
    ("command", "program", "arguments"),
    [
        ("python3 -I /usr/bin/genv-monitor -c a.yaml -p 1", "/usr/bin/genv-monitor", "-c a.yaml -p 1"),
        ("python3 /usr/bin/genv-monitor", "/usr/bin/genv-monitor", ""),
        ("python3 -W error -X dev -Im genvd run", "genvd", "run"),
        ("python3 -m genvd --demo 3", "genvd", "--demo 3"),
        ("python3 /usr/bin/genv monitor --demo", "/usr/bin/genv", "monitor --demo"),
        ("python3 -I", "python3", ""),
        ("", "", ""),
    ],
)
def test_split_command(command: str, program: str, arguments: str) -> None:
    assert split_command(command.split()) == (program, arguments.split())
