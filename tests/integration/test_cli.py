"""The commands, their options and exit statuses, run as processes."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from genvd import __version__
from genvd.config.yaml_writer import sample
from tests.standin import Gpu, Scenario
from tests.support import debian
from tests.support.certificates import issue
from tests.support.interpreter import NOBODY, program_for_nobody
from tests.support.monitor import PROGRAM, Monitor, named, parse, series
from tests.support.needs import need, need_command, need_root, published_host
from tests.support.ports import free_port
from tests.support.waiting import wait_for

GENV = PROGRAM.with_name("genv")
STOP_SECONDS = 1.0

pytestmark = pytest.mark.usefixtures("state_directory")


def run(
    *arguments: str | Path, program: Sequence[str | Path] = (PROGRAM,), **settings: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, and check that it prints no traceback."""
    environment = {**os.environ, **settings.pop("environment", {})}
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
    command = [str(part) for part in (*program, *arguments)]
    result = subprocess.run(command, env=environment, text=True, timeout=30, check=False, **settings)
    assert "Traceback" not in (result.stderr or "")
    return result


def lines(result: subprocess.CompletedProcess[str]) -> list[str]:
    """Return standard error without the usage text of argparse."""
    kept = [line for line in result.stderr.splitlines() if not line.startswith("usage:")]
    return [line for line in kept if not line.startswith(" ")]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return tmp_path / "published"


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that another program uses on all addresses of localhost."""
    with closing(socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)) as listener:
        yield listener.getsockname()[1]


def config_file(directory: Path, text: str) -> Path:
    path = directory / "monitor.yaml"
    path.write_text(text)
    return path


# --- The command line ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", [[PROGRAM], [GENV, "monitor"], [sys.executable, "-m", "genvd"]], ids=len)
def test_genv_monitor_has_two_names(program: list[str | Path]) -> None:
    assert run("--version", program=program).stdout == f"genv-monitor {__version__}\n"
    result = run("once", "--demo", "2", program=program)
    assert result.returncode == 0
    assert len(named(parse(result.stdout), "genv_device_up")) == 2


@pytest.mark.parametrize("command", [[], ["run"], ["check"], ["once"], ["publish"]], ids=str)
def test_help(command: list[str]) -> None:
    result = run(*command, "-h")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(" ".join(["usage: genv-monitor", *command]))
    assert "SUPPRESS" not in result.stdout


def test_help_of_run_has_every_option() -> None:
    text = run("run", "--help").stdout
    for option in ("-c", "--config", "--config-dir", "-a", "--address", "-p", "--port", "-i", "--interval", "--demo"):
        assert option in text.replace(",", " ").split()
    assert "--log-level" in text


@pytest.mark.parametrize(
    ("options", "key", "expected"),
    [
        (["-a", "::1"], "listen.address", "::1"),
        (["--address", "0.0.0.0"], "listen.address", "0.0.0.0"),
        (["--address=h"], "listen.address", "h"),
        (["-p", "9000"], "listen.port", 9000),
        (["-p9000"], "listen.port", 9000),
        (["--port", "0"], "listen.port", 0),
        (["-i", "20"], "collect.interval", "20s"),
        (["--interval", "1m30s"], "collect.interval", "1m30s"),
        (["--config-dir", "/srv/a"], "publish.directory", "/srv/a"),
        (["--log-level", "debug"], "logging.level", "debug"),
        (["-p", "1", "-p", "2"], "listen.port", 2),
    ],
)
def test_options_take_precedence_over_the_file(tmp_path: Path, options: list[str], key: str, expected: object) -> None:
    file = config_file(tmp_path, sample())
    section, name = key.split(".")
    result = run(*options, "-c", file, "check")
    assert (result.returncode, result.stderr) == (0, "")
    assert yaml.safe_load(result.stdout)[section][name] == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ["--inter", "5"],
        ["--conf", "x"],
        ["run", "--por", "0"],
        ["once", "--dem"],
        ["publish", "--config-di", "/tmp"],
        ["--vers"],
        ["check", "a", "b"],
        ["serve"],
        ["--no-such-option"],
        ["-x"],
    ],
    ids=" ".join,
)
def test_unknown_arguments_are_refused(arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = lines(result)
    assert line.startswith("genv-monitor")
    assert ": error: " in line


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        *((["-i", value], "expected a duration") for value in ("0", "-1", "abc", "1e9", "")),
        *((["-p", value], "expected a whole number from 0 to 65535") for value in ("-1", "65536", "http")),
        *((["--demo", value], "expected a number of GPUs") for value in ("-1", "abc", "1025", "9" * 5000)),
        *((["-a", value], "expected a host name") for value in ("", "http://h")),
        (["--config-dir", ""], "expected a directory"),
        (["--log-level", "loud"], "expected one of debug, info, warning, error"),
    ],
    ids=lambda value: " ".join(value)[:20] if isinstance(value, list) else None,
)
def test_a_wrong_value_is_one_line(options: list[str], expected: str) -> None:
    result = run(*options)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = lines(result)
    assert line.startswith(f"genv-monitor: error: argument {options[0]}")
    assert f"{options[1][:10]}" in line
    assert expected in line


# --- The configuration file ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "once", "publish"])
@pytest.mark.parametrize("kind", ["missing", "directory", "wrong"])
def test_nothing_runs_with_an_invalid_configuration(tmp_path: Path, command: str, kind: str) -> None:
    file = {"missing": tmp_path / "none", "directory": tmp_path, "wrong": tmp_path / "wrong"}[kind]
    (tmp_path / "wrong").write_text("listen:\n  port: x\n")
    result = run(command, "-c", file)
    assert (result.returncode, result.stdout) == (2, "")
    assert len(lines(result)) == 1
    assert str(file) in result.stderr


def test_check_prints_all_problems_in_the_format_of_editors(tmp_path: Path) -> None:
    file = config_file(tmp_path, "listen:\n  port: x\n  adress: h\n")
    result = run("check", file)
    assert (result.returncode, result.stdout) == (2, "")
    first, second, verdict = result.stderr.splitlines()
    assert first.startswith(f"{file}:2: listen.port: ")
    assert second.startswith(f"{file}:3: listen.adress: ")
    assert verdict == "configuration invalid: 2 problems"


def test_check_accepts_its_own_output(tmp_path: Path) -> None:
    file = config_file(tmp_path, "collect:\n  interval: 2s\nlisten:\n  address: '::'\n")
    shown = run("check", file).stdout
    assert shown
    again = run("check", config_file(tmp_path, shown))
    assert (again.returncode, again.stdout, again.stderr) == (0, shown, "")
    assert shown.splitlines()[-1] == f"# configuration valid: {file}"


def test_check_tells_what_a_monitor_of_another_user_left_behind(state_directory: Path) -> None:
    need_root("gives a directory to another user")
    (state_directory / "metrics").mkdir()
    os.chown(state_directory / "metrics", NOBODY, NOBODY)
    result = run("check")
    assert (result.returncode, result.stderr.count("\n")) == (0, 1)
    assert f"{state_directory}/metrics: belongs to nobody and not to root" in result.stderr
    assert "# configuration valid, with 1 warning: " in result.stdout.splitlines()[-1]


def test_check_has_no_side_effects(tmp_path: Path, state_directory: Path, taken_port: int) -> None:
    file = config_file(tmp_path, f"listen:\n  port: {taken_port}\n")
    assert run("check", file).returncode == 0
    assert list(state_directory.iterdir()) == []


@contextmanager
def default_file(directory: Path, text: str, *, closed: bool = False) -> Iterator[list[str | Path]]:
    """Yield a command prefix that provides another /etc/genv/monitor.yaml without changing the real one."""
    need_root("puts a directory over /etc, for one process")
    unshare = need_command("unshare", "util-linux")
    need(subprocess.run([unshare, "-m", "true"], check=False).returncode == 0, "needs namespaces")
    config_file(directory, text)
    permissions = "chmod 0700 /etc/genv" if closed else ":"
    script = (
        f"mount -t tmpfs tmpfs /etc && mkdir /etc/genv && cp '{directory}/monitor.yaml' /etc/genv && {permissions}"
        ' && exec "$@"'
    )
    yield [unshare, "-m", "sh", "-c", script, "sh"]


def test_the_default_file_is_read_if_it_exists(tmp_path: Path) -> None:
    with default_file(tmp_path, "listen:\n  port: 9999\n") as inside:
        result = run("check", program=[*inside, PROGRAM])
        assert yaml.safe_load(result.stdout)["listen"]["port"] == 9999
        (tmp_path / "other").write_text("listen: {port: 1}")
        result = run("check", tmp_path / "other", program=[*inside, PROGRAM])
        assert yaml.safe_load(result.stdout)["listen"]["port"] == 1
    with default_file(tmp_path, "listen:\n  port: x\n") as inside:
        result = run("once", program=[*inside, PROGRAM])
        assert result.returncode == 2
        assert "/etc/genv/monitor.yaml:2: listen.port: " in result.stderr


def test_defaults_without_a_file() -> None:
    need(not Path("/etc/genv/monitor.yaml").exists(), "needs a machine without /etc/genv/monitor.yaml")
    result = run("check")
    assert (result.returncode, result.stderr) == (0, "")
    assert yaml.safe_load(result.stdout) == yaml.safe_load(sample())


def test_an_interval_on_the_command_line_works_with_the_shipped_file(tmp_path: Path, published: Path) -> None:
    file = config_file(tmp_path, sample())
    with Monitor(["-c", file, "-i", "0.2", "--demo", "--config-dir", published]) as monitor:
        monitor.next_metrics()


# --- As another user -----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def as_nobody(public_directory: Path) -> list[str | Path]:
    """The program as an unprivileged user."""
    need_root("becomes another user")
    return [*program_for_nobody(public_directory), "-m", "genvd"]


@pytest.fixture
def public(public_directory: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory of root that everybody can access."""
    directory = public_directory / f"cli-{request.node.name[:60]}"
    directory.mkdir()
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def own_directory(path: Path, owner: int = NOBODY) -> Path:
    path.mkdir()
    os.chown(path, owner, owner)
    return path


SYSTEM_PATH = {"PATH": "/usr/bin:/bin"}


def test_a_privileged_port(as_nobody: list[str | Path], public: Path) -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    need(first > 1, "needs ports that not everybody may take", optional=True)
    result = run("-p", str(first - 1), "--config-dir", public, program=as_nobody, environment=SYSTEM_PATH)
    assert result.returncode == 1
    (line,) = lines(result)
    assert f"port {first - 1}: not permitted to this user" in line
    assert "--port" in line


@pytest.mark.parametrize("command", ["check", "once"])
def test_an_unreadable_file(as_nobody: list[str | Path], public: Path, command: str) -> None:
    file = config_file(public, sample())
    file.chmod(0o600)
    option = [] if command == "check" else ["-c"]
    result = run(command, *option, file, program=as_nobody, environment=SYSTEM_PATH)
    assert (result.returncode, result.stdout) == (2, "")
    line, *verdict = lines(result)
    assert f"{file}: cannot be read: Permission denied" in line
    assert verdict == (["configuration invalid: 1 problem"] if command == "check" else [])


def test_check_reports_a_key_that_only_root_can_read(as_nobody: list[str | Path], public: Path) -> None:
    certificate = issue(public, "server")
    certificate.key.chmod(0o600)
    web = public / "web.yml"
    web.write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}")
    file = config_file(public, f"listen: {{web_config_file: {web}}}")
    assert run("check", file).returncode == 0  # as root

    result = run("check", file, program=as_nobody, environment=SYSTEM_PATH)
    assert result.returncode == 2
    line, verdict = lines(result)
    assert line.startswith(f"{web}:1: ")
    assert "Permission denied" in line
    assert verdict == "configuration invalid: 1 problem"

    capability = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]  # as after an upgrade from 0.1.0
    like_the_service = [as_nobody[0], *capability, *as_nobody[1:]]
    assert run("check", file, program=like_the_service, environment=SYSTEM_PATH).returncode == 0


def test_a_default_file_in_an_inaccessible_directory(as_nobody: list[str | Path], public: Path) -> None:
    with default_file(public, sample(), closed=True) as inside:
        result = run("check", program=[*inside, *as_nobody], environment=SYSTEM_PATH)
        assert (result.returncode, result.stdout) == (2, "")
        line, _ = lines(result)
        assert "/etc/genv/monitor.yaml: cannot be read: Permission denied" in line


def test_an_inaccessible_directory_in_path(as_nobody: list[str | Path], public: Path) -> None:
    closed = public / "bin"
    closed.mkdir(mode=0o700)
    path = {"PATH": f"{closed}:/usr/bin:/bin", "GENV_TMPDIR": str(public)}
    result = run("once", program=as_nobody, environment=path)
    assert parse(result.stdout)[series("genv_monitor_collector_success", collector="genv")] == 1


@pytest.mark.parametrize("kind", ["unwritable", "foreign", "file", "full"])
def test_it_runs_although_publishing_fails(as_nobody: list[str | Path], public: Path, kind: str) -> None:
    directory = public / "x"
    if kind == "foreign":
        directory.mkdir(mode=0o777)
    elif kind == "file":
        directory.touch()
    elif kind == "full":
        directory = Path("/proc/none")
    with Monitor(
        ["--demo", "-i", "0.1", "--config-dir", directory], command=as_nobody, environment=SYSTEM_PATH
    ) as monitor:
        monitor.next_metrics()
        (complaint,) = [line for line in monitor.output if " ERROR " in line]
        assert f"cannot publish {directory}" in complaint
        assert "--config-dir" in complaint
        assert "Traceback" not in monitor.log
        assert monitor.stop() == 0


@pytest.mark.parametrize("permissions", [0o500, 0o100, 0o000])
def test_a_state_directory_without_permission(as_nobody: list[str | Path], public: Path, permissions: int) -> None:
    state = own_directory(public / "genv")
    (state / "envs.json").write_text('{"envs": []}')
    state.chmod(permissions)
    environment = {**SYSTEM_PATH, "GENV_TMPDIR": str(state)}
    with Monitor(["-i", "0.1"], command=as_nobody, environment=environment) as monitor:
        metrics = monitor.next_metrics(3)
        readable = float(permissions != 0)
        assert metrics[series("genv_monitor_collector_success", collector="genv")] == readable
        assert len([line for line in monitor.output if "WARNING genv: " in line]) == 1 - readable
        assert len([line for line in monitor.output if "cannot publish" in line]) == 1
        assert "Traceback" not in monitor.log
        assert monitor.stop() == 0


# --- Publishing ----------------------------------------------------------------------------------------------


def test_publish_prints_the_directory(published: Path) -> None:
    result = run("publish", "--config-dir", published, "-a", "192.0.2.7", "-p", "9000")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{published}\n", "")
    document = yaml.safe_load((published / "prometheus" / "prometheus.yml").read_text())
    assert document["scrape_configs"][0]["static_configs"] == [{"targets": ["192.0.2.7:9000"]}]


def test_a_failed_publish_reports_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("publish", "--config-dir", tmp_path / "file")
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = lines(result)
    assert f"cannot publish {tmp_path}/file: is not a directory; remove it or choose another directory" in line


@pytest.mark.parametrize("name", [b"\xff", "ü".encode(), b"a b", b"$HOME", b"a\nb"])
@pytest.mark.parametrize("command", ["publish", "run"])
def test_any_directory_name_is_accepted_or_refused(tmp_path: Path, command: str, name: bytes) -> None:
    directory = os.fsdecode(bytes(tmp_path) + b"/" + name)
    if command == "publish":
        assert run("publish", "--config-dir", directory, errors="replace").returncode in (0, 1)
    else:
        with Monitor(["--demo", "--config-dir", directory]) as monitor:
            assert monitor.stop() == 0
            assert "Traceback" not in monitor.log


@pytest.mark.parametrize(
    ("options", "text", "environment", "expected"),
    [
        ([], "", {}, "genv/metrics"),
        ([], "", {"STATE_DIRECTORY": "{0}/own"}, "own/metrics"),
        ([], "", {"STATE_DIRECTORY": "{0}/own:{0}/second"}, "own/metrics"),
        ([], "", {"STATE_DIRECTORY": ""}, "genv/metrics"),
        ([], "genv: {{state_directory: {0}/state}}", {}, "state/metrics"),
        ([], "genv: {{state_directory: {0}/state}}", {"STATE_DIRECTORY": "{0}/own"}, "own/metrics"),
        ([], "publish: {{directory: {0}/file}}", {"STATE_DIRECTORY": "{0}/own"}, "file"),
        (["--config-dir", "{0}/option"], "publish: {{directory: {0}/file}}", {"STATE_DIRECTORY": "{0}/own"}, "option"),
        (["--config-dir", "relative"], "", {}, "relative"),
        (["--config-dir", "./a/../b"], "", {}, "a/../b"),
        ([], "", {"GENV_TMPDIR": "somewhere"}, "somewhere/metrics"),
    ],
)
def test_the_directory_for_publishing(
    tmp_path: Path, options: list[str], text: str, environment: dict[str, str], expected: str
) -> None:
    (tmp_path / "a").mkdir()
    file = config_file(tmp_path, text.format(tmp_path))
    given = {name: value.format(tmp_path) for name, value in environment.items()}
    filled = [option.format(tmp_path) for option in options]
    result = run("publish", "-c", file, *filled, environment=given, cwd=tmp_path)
    assert result.returncode == 0
    assert (tmp_path / expected / "prometheus" / "prometheus.yml").is_file()
    assert (tmp_path / result.stdout.rstrip("\n")).samefile(tmp_path / expected)


def test_run_publishes_its_port(published: Path) -> None:
    with Monitor(["--demo", "--config-dir", published]) as monitor:
        document = yaml.safe_load((published / "prometheus" / "prometheus.yml").read_text())
        assert document["scrape_configs"][0]["static_configs"] == [{"targets": [f"{published_host()}:{monitor.port}"]}]
        assert f"is published in {published}\n" in monitor.log


def test_a_relative_directory_is_below_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Monitor(["--demo", "--config-dir", "here/there"]):
        text = (tmp_path / "here/there/grafana/grafana.ini").read_text()
    assert f"provisioning = {tmp_path}/here/there/grafana/provisioning" in text


def test_publishing_can_be_switched_off(tmp_path: Path, published: Path, state_directory: Path) -> None:
    file = config_file(tmp_path, "publish: {enabled: false}")
    with Monitor(["--demo", "-c", file, "--config-dir", published]):
        assert not published.exists()
        assert list(state_directory.iterdir()) == []


def test_the_demo_publishes_only_into_a_given_directory(tmp_path: Path, state_directory: Path) -> None:
    assert run("publish", "-p", "9000").returncode == 0
    real = (state_directory / "metrics/prometheus/prometheus.yml").read_text()
    file = config_file(tmp_path, "")
    with Monitor(["--demo", "-c", file]) as monitor:
        (line,) = [line for line in monitor.output if "publish" in line]
        assert line.endswith("demo: no files are published; name a directory with --config-dir or publish.directory\n")
        assert not named(monitor.metrics(), "genv_monitor_publish_success")
        assert (state_directory / "metrics/prometheus/prometheus.yml").read_text() == real

        config_file(tmp_path, f"publish: {{directory: {tmp_path}/chosen}}")
        monitor.process.send_signal(signal.SIGHUP)
        wait_for(lambda: f"is published in {tmp_path}/chosen\n" in monitor.log, "published")
    assert f"{published_host()}:{monitor.port}" in (tmp_path / "chosen/prometheus/prometheus.yml").read_text()


@pytest.mark.parametrize("command", ["publish", "run"])
def test_publishing_first_creates_a_state_directory_for_all_users(tmp_path: Path, command: str) -> None:
    state = tmp_path / "fresh"
    environment = {"GENV_TMPDIR": str(state)}
    if command == "run":
        with Monitor(environment=environment):
            pass
    else:
        run("publish", environment=environment)
    # genv makes it for everybody; whoever comes first decides.
    assert stat.S_IMODE(state.stat().st_mode) == 0o777


@pytest.mark.parametrize("state", ["fresh", "./fresh", "link/fresh", "{0}/link/fresh", "{0}/real/../real/fresh"])
def test_genvs_state_directory_is_writable_for_everybody(tmp_path: Path, state: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    result = run("publish", environment={"GENV_TMPDIR": state.format(tmp_path)}, cwd=tmp_path)
    assert result.returncode == 0
    (made,) = tmp_path.rglob("fresh")
    assert stat.S_IMODE(made.stat().st_mode) == 0o777
    assert stat.S_IMODE((made / "metrics").stat().st_mode) == 0o755


# --- Running -------------------------------------------------------------------------------------------------


def test_run_is_the_default(published: Path) -> None:
    for command in ([], ["run"]):
        with Monitor([*command, "--demo", "2", "--config-dir", published]) as monitor:
            assert len(named(monitor.metrics(), "genv_device_up")) == 2
            assert monitor.stop() == 0


@pytest.mark.parametrize(("option", "devices"), [(["--demo"], 8), (["--demo", "0"], 0), (["--demo=20"], 20)])
def test_the_number_of_simulated_gpus(option: list[str], devices: int) -> None:
    metrics = parse(run("once", *option).stdout)
    assert len(named(metrics, "genv_device_up")) == devices


def test_the_demo_is_marked_as_simulated() -> None:
    def mode(result: subprocess.CompletedProcess[str]) -> str:
        ((_, labels),) = named(parse(result.stdout), "genv_monitor_build_info")
        return dict(labels)["mode"]

    demo, live = run("once", "--demo"), run("once")
    assert (mode(demo), mode(live)) == ("demo", "live")
    assert "everything shown is simulated" in demo.stderr
    assert "simulated," not in live.stderr


def test_a_taken_port(taken_port: int, published: Path) -> None:
    result = run("-p", str(taken_port), "--config-dir", published, "--demo", "--log-level", "error")
    assert result.returncode == 1
    (line,) = lines(result)
    assert f"cannot listen on localhost port {taken_port}: another program uses it; stop it, or" in line
    assert "--port" in line
    assert not published.exists()


@pytest.mark.parametrize(
    "address",
    ["192.0.2.1", "2001:db8::1", "no-such-host.invalid", "a..b", "...", "a" * 64, "1.2.3.4.5", "%", "127.0.0.1:80"],
)
def test_an_address_of_another_machine(address: str, published: Path) -> None:
    result = run("-a", address, "-p", "0", "--config-dir", published, "--demo", "--log-level", "error")
    assert result.returncode == 1
    (line,) = lines(result)
    assert f"cannot listen on {address} port 0: that is not an address of this machine" in line
    assert "--address" in line
    assert not published.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("interval", ["0.1", "1h"])
def test_it_stops_on_a_signal(published: Path, number: int, interval: str) -> None:
    with Monitor(["--demo", "-i", interval, "--config-dir", published]) as monitor:
        started = time.monotonic()
        assert monitor.stop(number) == 0
        assert time.monotonic() - started < STOP_SECONDS
        assert monitor.output[-1].endswith(f" INFO {signal.Signals(number).name}: stopping\n")


def test_it_stops_while_the_driver_hangs(scenario: Scenario, nvml_library: Path, published: Path) -> None:
    scenario.gpus = [Gpu("GPU-0")]
    scenario.hangs["*"] = 60_000
    scenario.write()
    with Monitor(["-i", "0.1", "--config-dir", published], environment=scenario.environment(nvml_library)) as monitor:
        started = time.monotonic()
        assert monitor.stop() == 0
        assert time.monotonic() - started < STOP_SECONDS


@contextmanager
def started_until(module: str, *arguments: str | Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start the program, and return when it has imported a module."""
    process = subprocess.Popen(
        # What a shell starts in the background ignores SIGINT, and so does all that it starts.
        ["env", "--default-signal=INT", PROGRAM, *arguments],
        env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1", **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    try:
        for line in process.stderr:
            if line.rstrip().endswith(f" {module}"):
                break
        else:
            raise AssertionError(f"it never imported {module}")
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("module", ["genvd.model.snapshot", "genvd.service.daemon"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_on_a_signal_during_the_start(published: Path, number: int, module: str) -> None:
    with started_until(module, "--demo", "-p", "0", "--config-dir", published) as process:
        process.send_signal(number)
        _, rest = process.communicate(timeout=10)
        assert "Traceback" not in rest
        assert process.returncode == 0


@pytest.mark.parametrize("module", ["genvd.model.snapshot", "pynvml"])
def test_once_is_interrupted_without_a_traceback(scenario: Scenario, nvml_library: Path, module: str) -> None:
    scenario.hangs["*"] = 60_000
    scenario.write()
    with started_until(module, "once", **scenario.environment(nvml_library)) as process:
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=10)
        assert "Traceback" not in rest
        assert process.returncode == -signal.SIGINT


def without_driver() -> None:
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return
    need(False, "needs a machine without the NVIDIA driver", optional=True)


def test_a_missing_driver_is_logged_once_and_waited_for(published: Path) -> None:
    without_driver()
    with Monitor(["-i", "0.1", "--config-dir", published]) as monitor:
        metrics = monitor.next_metrics(10)
        assert metrics[series("genv_monitor_collector_success", collector="nvml")] == 0
        assert not named(metrics, "genv_device")
        (line,) = [line for line in monitor.output if " nvml: " in line]
        assert "genv-monitor --demo" in line
        assert monitor.stop() == 0


@pytest.mark.parametrize("kind", ["missing", "file", "link", "fifo", "garbage", "empty", "directory"])
def test_it_runs_with_any_kind_of_state_directory(tmp_path: Path, published: Path, kind: str) -> None:
    state = tmp_path / "state"
    if kind not in ("missing", "file"):
        state.mkdir()
    make: dict[str, Callable[[], object]] = {
        "missing": lambda: None,
        "file": state.touch,
        "link": lambda: (state / "envs.json").symlink_to("/etc/passwd"),
        "fifo": lambda: os.mkfifo(state / "envs.json"),
        "garbage": lambda: (state / "devices.json").write_bytes(b"\xff\x00{"),
        "empty": lambda: (state / "envs.json").touch(),
        "directory": lambda: (state / "envs.json").mkdir(),
    }
    make[kind]()
    with Monitor(["-i", "0.1", "--config-dir", published], environment={"GENV_TMPDIR": str(state)}) as monitor:
        metrics = monitor.next_metrics()
        success = series("genv_monitor_collector_success", collector="genv")
        assert metrics[success] == float(kind == "missing")
        assert len([line for line in monitor.output if " genv: " in line]) == (kind != "missing")
        assert monitor.stop() == 0


# --- Output --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--demo", "3"]], ids=str)
def test_once_prints_metrics_for_a_textfile_collector(options: list[str]) -> None:
    result = run("once", *options)
    assert result.returncode == 0
    metrics = parse(result.stdout)
    assert series("genv_monitor_collector_success", collector="processes") in metrics
    assert {name.split("_")[0] for name, _ in metrics} == {"genv"}
    assert result.stdout.endswith("\n")


def test_promtool_reads_what_once_prints() -> None:
    promtool = debian.promtool()
    result = run("check", "metrics", program=[promtool], input=run("once", "--demo").stdout)
    assert result.returncode in (0, 3), result.stderr  # 3: names that it would have chosen otherwise


def test_once_publishes_nothing(state_directory: Path) -> None:
    run("once")
    assert list(state_directory.iterdir()) == []


@pytest.mark.parametrize("command", ["once", "check", "publish"])
def test_output_to_a_full_disk_is_a_failure(published: Path, command: str) -> None:
    options = {"once": ["--demo", "100"], "check": [], "publish": ["--config-dir", str(published)]}[command]
    with open("/dev/full", "wb") as full:
        result = run(command, *options, stdout=full)
    assert result.returncode == 1
    assert "No space left on device" in lines(result)[-1]


@pytest.mark.parametrize("command", ["once", "check", "publish"])
def test_output_to_a_closed_pipe_is_a_failure(published: Path, command: str) -> None:
    options = {"once": ["--demo", "100"], "check": [], "publish": ["--config-dir", str(published)]}[command]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = run(command, *options, stdout=writing)
    finally:
        os.close(writing)
    assert result.returncode != 0
    assert "Exception" not in result.stderr


CLOSED = {"stdin": "0<&-", "stdout": "1>&-", "stderr": "2>&-", "all": "0<&- 1>&- 2>&-"}


@pytest.mark.parametrize("what", ["stdin", "stdout"])
@pytest.mark.parametrize("command", ["once", "check", "publish"])
def test_closed_streams_cause_no_traceback(published: Path, command: str, what: str) -> None:
    options = {"once": ["--demo"], "check": [], "publish": ["--config-dir", str(published)]}[command]
    result = run(command, *options, program=["sh", "-c", f'exec "$@" {CLOSED[what]}', "sh", PROGRAM])
    if what == "stdin" or command != "publish":  # which has done its work
        assert result.returncode == int(what == "stdout")


def test_once_with_closed_stderr() -> None:
    script = f'exec "$@" {CLOSED["stderr"]}'
    for environment in ({}, {"JOURNAL_STREAM": "1:2"}):
        result = run("once", "--demo", program=["sh", "-c", script, "sh", PROGRAM], environment=environment)
        assert result.returncode == 0
        assert parse(result.stdout)


@pytest.mark.parametrize("what", CLOSED)
def test_it_serves_with_closed_streams(published: Path, what: str) -> None:
    monitor = Monitor()
    monitor.port = free_port()
    script = f'exec "$@" {CLOSED[what]}'
    options = ["--demo", "-p", str(monitor.port), "--config-dir", str(published)]
    monitor.process = subprocess.Popen(["sh", "-c", script, "sh", PROGRAM, *options], text=True)
    try:
        wait_for(lambda: monitor.get("/-/ready").status == 200, "ready")
        assert parse(monitor.get("/metrics").body.decode())
        assert monitor.stop() == 0
    finally:
        monitor.process.kill()
        monitor.process.wait()


def test_the_log_has_priorities_for_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w") as journal:
        status = os.fstat(journal.fileno())
        stream = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        run("once", "--demo", stderr=journal, environment=stream)
        run("publish", "--config-dir", journal.name, stderr=journal, environment=stream)
        run("once", "-c", tmp_path / "none", stderr=journal, environment=stream)
    warning, error, wrong = (tmp_path / "journal").read_text().splitlines()
    assert warning.startswith("<4>demo: ")
    assert error.startswith("<3>cannot publish ")
    assert wrong.startswith(f"<3>{tmp_path}/none: ")


def test_the_log_level(published: Path) -> None:
    assert run("publish", "--config-dir", published, "--log-level", "error").stderr == ""
    assert run("once", "--demo", "--log-level", "error").stderr == ""
