"""Symptoms in docs/operations.md that no other test reproduces."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.standin import Process, Scenario
from tests.support.gpus import MIB, gpu
from tests.support.monitor import PROGRAM, Labels, Monitor, series
from tests.support.needs import need_command, need_root
from tests.support.waiting import wait_for

NOBODY = 65534


def test_without_capabilities_environments_of_other_users_are_unknown(
    nvml_library: Path, scenario: Scenario, state_directory: Path, tmp_path: Path
) -> None:
    need_root("runs processes of several users")
    without = [need_command("setpriv", "util-linux"), "--bounding-set=-sys_ptrace,-dac_read_search,-dac_override"]
    with subprocess.Popen(["sleep", "600"], env={"GENV_ENVIRONMENT_ID": "4711"}, user=NOBODY) as process:
        wait_for(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n", "the process runs")
        scenario.gpus = [gpu(0, processes=[Process(process.pid, 5 * MIB)])]
        scenario.write()
        options: list[str | Path] = ["-i", "0.2", "--config-dir", tmp_path / "published"]
        for privileges, eid in (([], "4711"), (without, "")):
            used = series("genv_process_used_gpu_memory_bytes", pid=process.pid, eid=eid, device=0)
            command = [*privileges, str(PROGRAM)]
            with Monitor(options, environment=scenario.environment(nvml_library), command=command) as monitor:
                wait_for(partial(_is, monitor, used, 5 * MIB), f"its environment is {eid!r}")
        process.kill()


def _is(monitor: Monitor, key: tuple[str, Labels], value: float) -> bool:
    return monitor.metrics().get(key) == value


@pytest.mark.parametrize("by", ["genv.state_directory", "GENV_TMPDIR"])
@pytest.mark.parametrize("published", ["below it", "elsewhere"])
def test_a_missing_state_directory_is_logged(tmp_path: Path, by: str, published: str) -> None:
    state = tmp_path / "none"
    file = tmp_path / "monitor.yaml"
    in_file = by == "genv.state_directory"
    file.write_text(f"genv: {{state_directory: {state}}}\n" if in_file else "")
    environment = {} if in_file else {"GENV_TMPDIR": str(state)}
    elsewhere: list[str | Path] = ["--config-dir", tmp_path / "published"] if published == "elsewhere" else []
    with Monitor(["-c", file, *elsewhere], environment) as monitor:
        (line,) = [line for line in monitor.output if f"{state} does not exist" in line]
        assert line.split(" ", 2)[2].startswith(f"WARNING {by}: " if in_file else f"INFO {by}: ")
    with Monitor(["-c", file, "--demo"], environment) as monitor:
        assert "does not exist" not in monitor.log  # nor looked for
    state.mkdir(exist_ok=True)
    with Monitor(["-c", file, *elsewhere], environment) as monitor:
        assert "does not exist" not in monitor.log
