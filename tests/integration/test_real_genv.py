"""Users of genv do not notice the ``genv`` command of this package, except ``genv monitor``."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.standin import Gpu, Scenario
from tests.support.genv import REQUIREMENTS, Shell, install_genv
from tests.support.parity import device_entry, environment_entry
from tests.support.virtualenvs import REPOSITORY, own_wheel, pip_install, virtual_environment

DEADLINE = 20
"""Seconds; a command that runs on for longer hands over to itself."""

REAL_GENV = """\
#!/usr/bin/python3
import json, os, sys
json.dump({"arguments": sys.argv[1:], "input": sys.stdin.read(), "pid": os.getpid(), "argv0": sys.argv[0]}, sys.stdout)
print("to stderr", file=sys.stderr)
sys.exit(7)
"""


@dataclass(frozen=True)
class Outcome:
    """The result of a command."""

    status: int
    output: str
    errors: str


@dataclass(frozen=True)
class Terminal:
    """Runs commands."""

    environment: dict[str, str]

    def with_path(self, *directories: Path) -> dict[str, str]:
        """Return the environment with these directories before those of the system on PATH."""
        return {**self.environment, "PATH": ":".join([*map(str, directories), self.environment["PATH"]])}

    def run(self, path: Sequence[Path], *command: str, stdin: str = "", deadline: float = DEADLINE) -> Outcome:
        """Run a command with these directories first on PATH. Where it is installed is left out of what it says."""
        environment = self.with_path(*path)
        result = subprocess.run(
            ["/usr/bin/env", *command],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=deadline,
            check=False,
        )
        prefix = str(path[0].parent)
        return Outcome(
            result.returncode, result.stdout.replace(prefix, "PREFIX"), result.stderr.replace(prefix, "PREFIX")
        )


@pytest.fixture(scope="module")
def wheel(public_directory: Path) -> Path:
    return own_wheel(public_directory / "wheel")


@pytest.fixture(scope="module")
def genv_alone(public_directory: Path) -> Path:
    return install_genv(public_directory)


@pytest.fixture(scope="module")
def ours_last(public_directory: Path, wheel: Path) -> Path:
    """Both in one environment, this package installed after genv."""
    directory = virtual_environment(public_directory / "ours-last")
    pip_install(directory, *REQUIREMENTS)
    pip_install(directory, wheel)
    return directory


@pytest.fixture(scope="module")
def genv_last(public_directory: Path, wheel: Path) -> Path:
    """Both in one environment, genv installed after this package."""
    directory = virtual_environment(public_directory / "genv-last")
    pip_install(directory, wheel)
    pip_install(directory, *REQUIREMENTS)
    return directory


@pytest.fixture(scope="module")
def ours_only(public_directory: Path, wheel: Path) -> Path:
    return _ours(public_directory / "ours-only", wheel)


@pytest.fixture(scope="module")
def ours_again(public_directory: Path, wheel: Path) -> Path:
    """A second copy of this package in another directory."""
    return _ours(public_directory / "ours-again", wheel)


def _ours(directory: Path, wheel: Path) -> Path:
    bin_directory = virtual_environment(directory)
    pip_install(bin_directory, "--no-deps", wheel)  # handing over needs nothing but the standard library
    return bin_directory


@pytest.fixture
def terminal(tmp_path: Path, nvml_library: Path, scenario: Scenario) -> Terminal:
    """A terminal on a machine with two GPUs and one environment."""
    scenario.gpus = [Gpu("GPU-0"), Gpu("GPU-1", temperature=50)]
    scenario.write()
    state = tmp_path / "state"
    state.mkdir()
    # This process is in the environment, so it is active.
    old = "01/02/2020 10:00:00"
    environment = environment_entry("4711", [os.getpid()], "somebody", creation=old)
    devices = [device_entry(0), device_entry(1, "4711")]
    devices[1]["attachments"][0]["time"] = old
    (state / "envs.json").write_text(json.dumps({"envs": [environment]}))
    (state / "devices.json").write_text(json.dumps({"devices": devices}))
    return Terminal(
        {
            **scenario.environment(nvml_library),
            "PATH": f"{nvml_library}:/usr/bin:/bin",
            "GENV_TMPDIR": str(state),
            "HOME": str(tmp_path),
            "USER": "somebody",
            "LC_ALL": "C.UTF-8",
            "COLUMNS": "100",
        }
    )


@pytest.fixture
def real_genv(tmp_path: Path) -> Path:
    """A directory with a genv command that prints its arguments."""
    return command_in(tmp_path / "real", REAL_GENV)


def command_in(directory: Path, content: str) -> Path:
    """Write a genv command into a new directory; return the directory."""
    directory.mkdir(parents=True)
    (directory / "genv").write_text(content)
    (directory / "genv").chmod(0o755)
    return directory


THIS_PROCESS = "(pid)"
"""Stands for the pid of the process that runs the test: the names of tests have to be the same in each run."""
SUBCOMMANDS = [
    [],
    ["--help"],
    ["-h"],
    ["devices"],
    ["devices", "attach", "--help"],
    ["devices", "detach", "--eid", "4711", "--all"],
    ["devices", "--no-such-option"],
    ["envs"],
    ["envs", "--help"],
    ["shell"],
    ["shell", "--init"],
    ["shell", "--deinit"],
    ["activate", "--gpus", "1"],
    ["activate", "--shell", THIS_PROCESS, "--eid", "17", "--gpus", "1", "--name", "two words"],
    ["deactivate"],
    ["attach"],
    ["status"],
    ["home"],
    ["version"],
    ["lock", "--help"],
    ["monitors"],
    ["--monitor"],
    ["--", "monitor", "--help"],
    ["no-such-subcommand"],
    ["no-such-subcommand", "", "a b", "*", "ü"],
]


@pytest.mark.parametrize("arguments", SUBCOMMANDS, ids=" ".join)
def test_genv_behaves_as_without_this_package(
    terminal: Terminal, genv_alone: Path, ours_last: Path, arguments: list[str]
) -> None:
    state = Path(terminal.environment["GENV_TMPDIR"])
    arguments = [str(os.getpid()) if argument == THIS_PROCESS else argument for argument in arguments]
    before = {path.name: path.read_text() for path in state.iterdir()}
    expected = terminal.run([genv_alone], "genv", *arguments)
    expected_state = {path.name: _without_times(path.read_text()) for path in state.iterdir()}
    for name, content in before.items():
        (state / name).write_text(content)

    assert terminal.run([ours_last], "genv", *arguments) == expected
    assert {path.name: _without_times(path.read_text()) for path in state.iterdir()} == expected_state


def _without_times(content: str) -> str:
    """Return the content of a state file without its timestamps."""
    return "\n".join(line for line in content.splitlines() if '"creation"' not in line and '"time"' not in line)


def test_the_subcommands_that_are_compared_work(terminal: Terminal, genv_alone: Path) -> None:
    """Otherwise two failures would be compared."""
    assert terminal.run([genv_alone], "genv", "version").output == "1.4.3\n"
    assert "4711" in terminal.run([genv_alone], "genv", "devices").output
    assert "somebody" in terminal.run([genv_alone], "genv", "envs").output
    assert "genv()" in terminal.run([genv_alone], "genv", "shell", "--init").output
    assert terminal.run([genv_alone], "genv", "no-such-subcommand").status == 2


def test_this_package_installed_last_provides_genv_monitor(terminal: Terminal, ours_last: Path) -> None:
    usage = terminal.run([ours_last], "genv", "monitor", "--help")
    assert (usage.status, usage.errors) == (0, "")
    assert "usage: genv monitor" in usage.output
    assert "--demo" in usage.output

    once = terminal.run([ours_last], "genv", "monitor", "once")
    assert once.status == 0
    assert "genv_is_installed 1.0" in once.output.splitlines()
    assert 'genv_device_temperature{index="1"} 50.0' in once.output.splitlines()
    assert "genv_environments_total 1.0" in once.output.splitlines()


def test_genv_installed_last_keeps_its_own_monitor(terminal: Terminal, genv_alone: Path, genv_last: Path) -> None:
    for arguments in (["monitor", "--help"], ["version"], ["devices"], ["envs"], ["no-such-subcommand"]):
        assert terminal.run([genv_last], "genv", *arguments) == terminal.run([genv_alone], "genv", *arguments)
    assert terminal.run([genv_last], "genv", "monitor", "check").status == 2  # so no reload follows it
    usage = terminal.run([genv_last], "genv-monitor", "--help")
    assert usage.status == 0
    assert "usage: genv-monitor" in usage.output
    assert "genv_is_installed 1.0" in terminal.run([genv_last], "genv-monitor", "once").output.splitlines()


# --- A genv elsewhere ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["devices"],
        ["config", "a  b", "", "*", "--", "-x=1", "Grüße", "line\nbreak", '"quoted"', "monitor"],
        ["--", "monitor"],
        [""],
        ["", "monitor"],
    ],
)
def test_arguments_input_output_and_status_reach_genv(
    terminal: Terminal, ours_only: Path, real_genv: Path, arguments: list[str]
) -> None:
    outcome = terminal.run([ours_only, real_genv], "genv", *arguments, stdin="a line\nand no end")

    told = json.loads(outcome.output)
    assert told["arguments"] == arguments
    assert told["input"] == "a line\nand no end"
    assert told["argv0"] == str(real_genv / "genv")
    assert (outcome.status, outcome.errors) == (7, "to stderr\n")


def test_genv_replaces_the_process_of_the_wrapper(terminal: Terminal, ours_only: Path, real_genv: Path) -> None:
    """The process stays the same, so signals reach genv and its parent is the caller."""
    with subprocess.Popen(
        [ours_only / "genv", "devices"],
        env=terminal.with_path(ours_only, real_genv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        output, _ = process.communicate(timeout=DEADLINE)

    assert json.loads(output)["pid"] == process.pid


def test_a_command_that_is_not_executable_is_skipped(
    terminal: Terminal, ours_only: Path, real_genv: Path, tmp_path: Path
) -> None:
    not_executable = command_in(tmp_path / "not-executable", "#!/bin/sh\nexit 3\n")
    (not_executable / "genv").chmod(0o644)
    (tmp_path / "is-directory" / "genv").mkdir(parents=True)
    path = [ours_only, tmp_path / "missing", not_executable, tmp_path / "is-directory", real_genv]

    assert terminal.run(path, "genv", "devices").status == 7


def test_genv_monitor_with_genv_in_another_directory(terminal: Terminal, ours_last: Path, real_genv: Path) -> None:
    assert "usage: genv monitor" in terminal.run([ours_last, real_genv], "genv", "monitor", "--help").output


def test_a_link_first_on_path_makes_genv_monitor_this_program(
    terminal: Terminal, genv_alone: Path, ours_last: Path, tmp_path: Path
) -> None:
    """docs/moving.md has it for machines where genv itself comes before this package on PATH."""
    first = tmp_path / "first"
    first.mkdir()
    (first / "genv").symlink_to(ours_last / "genv")
    without, with_link = [genv_alone, ours_last], [first, genv_alone, ours_last]
    assert "--demo" not in terminal.run(without, "genv", "monitor", "--help").output
    assert "--demo" in terminal.run(with_link, "genv", "monitor", "--help").output
    assert terminal.run(with_link, "genv", "version").output == "1.4.3\n"


def test_without_genv_one_line_explains_it(terminal: Terminal, ours_only: Path) -> None:
    refused(terminal.run([ours_only], "genv", "devices"))
    refused(terminal.run([ours_only], "genv"))


def test_two_copies_of_the_wrapper_do_not_call_each_other(
    terminal: Terminal, ours_only: Path, ours_again: Path, tmp_path: Path
) -> None:
    refused(terminal.run([ours_only, ours_again], "genv", "devices"))
    refused(terminal.run([ours_again, ours_only, ours_again], "genv", "devices"))

    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "genv").symlink_to(ours_again / "genv")
    refused(terminal.run([linked, ours_only], "genv", "devices"))


def test_two_copies_of_the_wrapper_find_genv(
    terminal: Terminal, ours_only: Path, ours_again: Path, real_genv: Path
) -> None:
    assert terminal.run([ours_only, ours_again, real_genv], "genv", "devices").status == 7


def refused(outcome: Outcome) -> None:
    assert (outcome.status, outcome.output) == (2, "")
    (line,) = outcome.errors.splitlines()
    assert line.startswith("genv: ")
    assert "pip install genv" in line


# --- Somebody who works with genv -----------------------------------------------------------------------------


@pytest.fixture(params=["both in one place", "genv elsewhere"])
def work_path(request: pytest.FixtureRequest) -> list[Path]:
    if request.param == "both in one place":
        return [request.getfixturevalue("ours_last")]
    return [request.getfixturevalue("ours_only"), request.getfixturevalue("genv_alone")]


@pytest.fixture
def shell(terminal: Terminal, work_path: list[Path]) -> Iterator[Shell]:
    shell = Shell(terminal.with_path(*work_path))
    yield shell
    shell.close()


def test_an_environment_from_activation_to_deactivation(shell: Shell, terminal: Terminal) -> None:
    environments = Path(terminal.environment["GENV_TMPDIR"]) / "envs.json"
    shell.run('eval "$(genv shell --init)"')
    path = shell.run("echo $PATH")
    assert "you are all set" in shell.run("genv shell")

    shell.run("genv activate --gpus 1 --gpu-memory 4g --name round-trip")
    assert shell.eid == str(shell.pid)
    assert shell.devices == [0]
    entry = next(entry for entry in json.loads(environments.read_text())["envs"] if entry["eid"] == shell.eid)
    assert entry["pids"] == [shell.pid]
    assert entry["config"] == {"name": "round-trip", "gpu_memory": "4g", "gpus": 1}
    assert "round-trip" in shell.run("genv status")
    assert shell.run("echo through the lock | genv lock cat") == "through the lock\n"
    with pytest.raises(RuntimeError, match="exit status 1"):
        shell.run("genv lock false")

    shell.run("genv config gpus 2; genv attach -o")
    assert shell.devices == [0, 1]
    shell.run("genv deactivate")
    assert shell.eid == ""
    assert shell.run("echo $PATH") == path
    assert [entry["eid"] for entry in json.loads(environments.read_text())["envs"]] == ["4711"]


# --- Known defects --------------------------------------------------------------------------------------------


def test_a_shim_for_the_wrapper_is_not_used_as_genv(terminal: Terminal, ours_only: Path, tmp_path: Path) -> None:
    """Such as the shims of pyenv, and scripts of users."""
    wrapper = command_in(tmp_path / "shims", f'#!/bin/sh\nPATH="{ours_only}:$PATH" exec "{ours_only}/genv" "$@"\n')

    refused(terminal.run([wrapper], "genv", "devices", deadline=4))


def test_genv_in_a_directory_named_genvd(terminal: Terminal, ours_only: Path, tmp_path: Path) -> None:
    python = tmp_path / "genvd" / "python3"
    python.parent.mkdir()
    python.symlink_to("/usr/bin/python3")
    real = command_in(tmp_path / "real", REAL_GENV.replace("/usr/bin/python3", str(python)))

    assert terminal.run([ours_only, real], "genv", "devices").status == 7


@pytest.mark.parametrize("content", ["#!/nonexistent/python\n", "\x7fno program at all\n"])
def test_a_genv_that_cannot_run_is_reported_in_one_line(
    terminal: Terminal, ours_only: Path, tmp_path: Path, content: str
) -> None:
    broken = command_in(tmp_path / "broken", content)
    outcome = terminal.run([ours_only, broken], "genv", "devices")

    assert len(outcome.errors.splitlines()) == 1
    assert str(broken / "genv") in outcome.errors


def test_the_wheel_contains_the_documents(wheel: Path) -> None:
    with ZipFile(wheel) as installed:
        documents = {name for name in installed.namelist() if name.startswith("genvd/web/docs/")}
        runbook = installed.read("genvd/web/docs/runbook.html").decode()
    assert documents == {f"genvd/web/docs/{file.stem}.html" for file in (REPOSITORY / "docs").glob("*.md")}
    assert '<h2 id="genvdriverbroken">' in runbook
