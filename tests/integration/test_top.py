"""``genv monitor top`` in a real terminal, and the table of ``once``."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import bcrypt
import pytest

from genvd.model import snapshot_json
from genvd.model.facts import Context, ProcessOwner
from genvd.model.snapshot import CollectorStatus, Snapshot
from genvd.web.security import Security, load_web_config
from tests.standin import Scenario
from tests.support.certificates import issue
from tests.support.gpus import gpu
from tests.support.monitor import PROGRAM, Monitor
from tests.support.needs import need_localhost
from tests.support.ports import free_port
from tests.support.shown import GIB, Demo, Shown, device, environment, inhabited, machine, serving
from tests.support.terminal import ENTER, LEAVE, Terminal
from tests.support.waiting import wait_for

ESCAPE = "\x1b"


@pytest.fixture(scope="module")
def served() -> Iterator[Shown]:
    with serving() as shown:
        yield shown


def top(*arguments: str | Path) -> list[str | Path]:
    return [PROGRAM, "top", *arguments]


def of(shown: Shown, *arguments: str) -> list[str | Path]:
    return top("--url", shown.origin, "-i", "0.1", *arguments)


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it without a terminal."""
    command = [str(one) for one in (PROGRAM, *arguments)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=30, check=False
    )
    assert "Traceback" not in done.stderr
    return done


def failure(*arguments: str | Path) -> str:
    """Return the one line with which it fails."""
    done = run("top", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    return line


# --- In a terminal ---------------------------------------------------------------------------------------------


def test_it_shows_what_the_service_shows_and_keeps_up(served: Shown) -> None:
    served.show(machine(devices=(device(0, utilization_percent=11),)))
    with Terminal(of(served)) as terminal:
        terminal.wait_until_shown("genv-monitor gpu1", "1 GPU ", "11%", served.origin)
        served.show(machine(devices=(device(0, utilization_percent=22), device(1))))
        terminal.wait_until_shown("2 GPUs", "22%")
        assert "11%" not in terminal.text
        assert terminal.display[0].startswith("genv-monitor gpu1")


@pytest.mark.parametrize("way", ["q", "\x03", "TERM", "HUP"])
def test_it_leaves_the_terminal_as_it_was(served: Shown, way: str) -> None:
    served.show(machine())
    with Terminal(of(served)) as terminal:
        terminal.wait_until_shown("0 GPUs")
        assert terminal.settings_now() != terminal.settings
        assert ENTER in terminal.raw
        if len(way) == 1:
            terminal.type(way)
        else:
            terminal.process.send_signal(getattr(signal, f"SIG{way}"))
        assert terminal.end() == 0
        assert terminal.raw.endswith(LEAVE)
        assert terminal.settings_now() == terminal.settings
        assert "Traceback" not in terminal.raw


def test_other_keys_do_nothing(served: Shown) -> None:
    served.show(machine())
    with Terminal(of(served)) as terminal:
        terminal.wait_until_shown("0 GPUs")
        terminal.type("x\x1b[A ")
        served.show(machine(devices=(device(0),)))
        terminal.wait_until_shown("1 GPU ")
        assert "x" not in terminal.display[-1]


def test_keys_bring_into_sight_what_does_not_fit(served: Shown) -> None:
    served.show(*Demo().hour())
    with Terminal(of(served), columns=80, lines=24) as terminal:
        terminal.wait_until_shown("more lines (? shows the keys)")
        shown = terminal.text
        assert len(re.findall(r"^ +\d  Sim", shown, re.MULTILINE)) == 8
        assert "Xorg" not in shown
        terminal.type("G")
        terminal.wait_until_shown("Xorg", "0 below", "genv-monitor", "OUTSIDE")
        terminal.type("\x1b[1~?")
        terminal.wait_until_shown("GPU  NAME", "q quits")
        terminal.type("q")
        assert terminal.end() == 0


def test_it_fits_whatever_size_the_terminal_gets(served: Shown) -> None:
    served.show(*Demo().hour())
    with Terminal(top("--url", served.origin, "-i", "1h"), columns=150, lines=50) as terminal:
        terminal.wait_until_shown("ENVIRONMENT", "OUTSIDE", "PID", "Simulated GPU 80GB", "█")
        for columns, lines, first in ((60, 20, "genv-monitor"), (20, 5, "genv-monitor"), (1, 1, "…")):
            terminal.resize(columns, lines)
            wait_for(lambda: terminal.display[0].startswith(first), f"drawn in {columns} columns")  # noqa: B023
        terminal.resize(200, 60)
        terminal.wait_until_shown("ENVIRONMENT", "PID", "█")
        terminal.resize(60, 24)
        terminal.wait_until_shown("more lines")
        assert max(map(len, terminal.display)) <= 60


@pytest.mark.parametrize("variables", [{}, {"COLUMNS": "150"}])
def test_a_terminal_that_does_not_know_its_size_has_the_usual_one(served: Shown, variables: dict[str, str]) -> None:
    served.show(machine(devices=(device(0),)))
    terminal = Terminal(of(served), columns=0, lines=0, environment=variables)
    with terminal:
        wait_for(lambda: b"NVIDIA H200" in terminal.sent, "shown")
        terminal.type("q")
        assert terminal.end() == 0
        assert ("█" in terminal.raw) == bool(variables)


def test_it_lets_go_of_the_terminal_while_it_is_stopped(served: Shown) -> None:
    served.show(machine())
    with Terminal(of(served)) as terminal:
        terminal.wait_until_shown("0 GPUs")
        os.kill(terminal.process.pid, signal.SIGTSTP)
        wait_for(lambda: terminal.state == "T", "stopped")
        wait_for(lambda: terminal.raw.endswith(LEAVE), "let go")
        assert terminal.settings_now() == terminal.settings
        served.show(machine(devices=(device(0),)))
        os.kill(terminal.process.pid, signal.SIGCONT)
        terminal.wait_until_shown("1 GPU ")
        assert terminal.raw.count(ENTER) == 2
        terminal.type("q")
        assert terminal.end() == 0


def test_a_service_that_goes_away_is_said_to_be_gone_and_picked_up_again(tmp_path: Path) -> None:
    options: list[str | Path] = ["--demo", "-i", "0.2", "--config-dir", tmp_path]
    with Monitor(options) as monitor:
        command = top("--url", f"http://127.0.0.1:{monitor.port}", "-i", "0.2")
        terminal = Terminal(command)
        with terminal:
            terminal.wait_until_shown("8 GPUs")
            monitor.stop()
            terminal.wait_until_shown("! http://127.0.0.1:", "Connection refused", "8 GPUs")
            with Monitor([*options, "-p", str(monitor.port)]):
                wait_for(lambda: "refused" not in terminal.text, "picked up")


def test_while_a_look_hangs_it_draws_and_obeys(tmp_path: Path) -> None:
    with Monitor(["--demo", "-i", "0.2", "--config-dir", tmp_path]) as monitor:
        with Terminal(top("--url", f"http://127.0.0.1:{monitor.port}", "-i", "0.1")) as terminal:
            terminal.wait_until_shown("8 GPUs")
            os.kill(monitor.process.pid, signal.SIGSTOP)
            terminal.wait_until_shown("! http://127.0.0.1:", "timed out", "8 GPUs")
            terminal.type("q")
            assert terminal.end() == 0
        os.kill(monitor.process.pid, signal.SIGCONT)


def test_facts_that_are_old_are_said_to_be(served: Shown) -> None:
    served.show(replace(machine(), timestamp=machine().timestamp - 600))
    with Terminal(of(served)) as terminal:
        terminal.wait_until_shown("as of 10m ago", "! The data is old")


def test_it_says_what_is_wrong_and_what_to_do(served: Shown) -> None:
    told = CollectorStatus("nvml", False, 0.1, "NVML says no", "not_loaded")
    served.show(replace(machine(collectors=(told,), driver_state="not_loaded"), devices=None, processes=None))
    with Terminal(of(served)) as terminal:
        terminal.wait_until_shown(
            "driver not loaded", "GPUs unknown", "! The NVIDIA driver is not loaded.", "modprobe nvidia"
        )
        row = terminal.display.index("! The NVIDIA driver is not loaded.")
        assert terminal.cell[row][0].fg == "red"


def test_a_driver_without_devices_is_said_where_to_look(served: Shown) -> None:
    served.show(machine())
    assert (
        "! The NVIDIA driver works but lists no GPU.\n  See 'nvidia-smi -L'"
        in run("top", "--url", served.origin).stdout
    )
    told = CollectorStatus("nvml", False, 0.1, "NVML says no", "not_loaded")
    served.show(replace(machine(collectors=(told,), driver_state="not_loaded"), devices=None, processes=None))
    assert "lists no GPU" not in run("top", "--url", served.origin).stdout


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {}])
def test_colours_are_a_matter_of_taste(served: Shown, variable: dict[str, str]) -> None:
    served.show(machine(driver_state="failed"))
    with Terminal(of(served), environment=variable) as terminal:
        terminal.wait_until_shown("driver failed")
        coloured = re.search(r"\x1b\[[0-9;]*m", terminal.raw)
        assert bool(coloured) == (not variable)


def test_a_dumb_terminal_gets_it_once(served: Shown) -> None:
    served.show(machine())
    with Terminal(of(served), environment={"TERM": "dumb"}) as terminal:
        assert terminal.end() == 0
        assert ESCAPE not in terminal.raw
        assert "0 GPUs" in terminal.raw


def test_a_terminal_without_blocks_has_no_bars(served: Shown) -> None:
    served.show(machine(devices=(device(0, name="H200 Ä"),)))
    with Terminal(of(served), environment={"PYTHONIOENCODING": "latin-1"}, columns=150) as terminal:
        wait_for(lambda: b"H200 \xc4" in terminal.sent, "shown")
        assert b"50%  " in terminal.sent


# --- Names that people choose ----------------------------------------------------------------------------------

HOSTILE = {
    "title": "\x1b]0;pwned\x07",
    "clear": "\x1b[2J\x1b[H",
    "c1": "\x9b31m",
    "lines": "a\r\nb\tc",
    "bidi": "\N{RIGHT-TO-LEFT OVERRIDE}evil",
    "wide": "\N{CJK UNIFIED IDEOGRAPH-6771}" * 150,
    "hebrew": "\N{HEBREW LETTER SHIN}" * 200,
    "marks": "e" + "\N{COMBINING ACUTE ACCENT}" * 200,
    "emoji": "\N{GRINNING FACE}\N{ZERO WIDTH JOINER}" * 50,
    "surrogate": "\ud800",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_names_only_show(served: Shown, kind: str) -> None:
    name = HOSTILE[kind]
    served.show(
        replace(
            inhabited(
                (device(0, name=name),),
                (environment("1", (0,), name=name, username=name, gpus=0, pids=(7,)),),
                (Context(7, 0, 3 * GIB),),
                {7: ProcessOwner(1001, "1", name)},
            ),
            collectors=(CollectorStatus("genv", False, 0.1, name),),
        )
    )
    with Terminal(of(served), columns=100) as terminal:
        terminal.wait_until_shown("GPU", "PID", "device limit")
        drawn = re.sub(r"\x1b\[(?:\d+;1H|\d*K|J|[0-9;]*m|2J|\?(?:1049|25|7)[hl])|[\u2068\u2069]", "", terminal.raw)
        assert all(character.isprintable() for character in drawn), sorted(set(drawn))
        assert terminal.display[0].startswith("genv-monitor gpu1")
        # What stands behind the name is in its column all the same.
        heading = next(number for number, line in enumerate(terminal.display) if line.startswith("ENVIRONMENT"))
        if kind not in ("wide", "emoji", "marks", "hebrew"):  # pyte has ways of its own with these
            column = terminal.display[heading].index("VIOLATIONS")
            assert terminal.display[heading + 1][column:] == "device limit"


def named(name: str) -> Snapshot:
    """Return a machine on which everything is called so."""
    return machine(
        devices=(device(0, name=name),), environments=(environment("1", (0,), name=name, username=name, gpus=1),)
    )


def test_what_is_drawn_once_fits_the_terminal_and_is_whole_elsewhere(served: Shown) -> None:
    served.show(named("n" * 200))
    with Terminal(of(served), environment={"TERM": "dumb"}, columns=40) as terminal:
        assert terminal.end() == 0
        assert max(map(len, terminal.raw.splitlines())) == 40
        assert "nnn…" in terminal.raw
    assert "n" * 200 in run("top", "--url", served.origin).stdout


def test_names_from_right_to_left_are_isolated_in_terminals(served: Shown) -> None:
    served.show(named(name := "\N{HEBREW LETTER SHIN}" * 4))
    isolated = f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}"
    with Terminal(of(served)) as terminal:
        wait_for(lambda: terminal.sent.count(isolated.encode()) >= 3, "drawn")
    with Terminal(of(served), environment={"TERM": "dumb"}) as terminal:
        assert terminal.end() == 0
        assert isolated in terminal.raw
    shown = run("top", "--url", served.origin, PYTHONIOENCODING="utf-8").stdout
    assert name in shown
    assert isolated not in shown


# --- Without a terminal ----------------------------------------------------------------------------------------


def test_what_is_no_terminal_gets_it_once_and_whole(served: Shown) -> None:
    served.show(*Demo().hour())
    done = run("top", "--url", served.origin)
    assert done.returncode == 0
    assert ESCAPE not in done.stdout
    assert "8 GPUs" in done.stdout
    assert len(re.findall(r"^ +\d  \S", done.stdout, re.MULTILINE)) == 8
    assert "more lines" not in done.stdout


def test_without_a_service_it_looks_by_itself(tmp_path: Path) -> None:
    need_localhost()  # where a service without an address is asked
    port = free_port()
    config = tmp_path / "monitor.yaml"
    config.write_text(f"listen: {{port: {port}}}\n")
    with Terminal(top("-c", config, "-i", "0.2")) as terminal:
        terminal.wait_until_shown("no service runs: collected by this command", "driver")
        assert "WARNING" not in terminal.text
        terminal.type("q")
        assert terminal.end() == 0
    assert "no service runs: collected by this command" in run("top", "-c", config).stdout


def test_by_itself_at_a_driver_that_hangs_it_draws_and_ends(
    nvml_library: Path, scenario: Scenario, tmp_path: Path
) -> None:
    need_localhost()  # where a service without an address is asked
    port = free_port()
    config = tmp_path / "monitor.yaml"
    config.write_text(f"listen: {{port: {port}}}\ncollect: {{timeout: 1s}}\n")
    scenario.gpus = [gpu(0), gpu(1)]
    scenario.write()
    command = top("-c", config, "-i", "0.2")
    with Terminal(command, environment=scenario.environment(nvml_library)) as terminal:
        terminal.wait_until_shown("collected by this command", "2 GPUs")
        scenario.hangs["*"] = 600_000
        scenario.write()
        terminal.wait_until_shown("driver hung", "! The NVIDIA driver does not answer.")
        terminal.type("q")
        assert terminal.end() == 0


@pytest.mark.parametrize("output", ["/dev/null", "/dev/full"])
def test_without_a_terminal_at_a_driver_that_hangs_it_ends(
    nvml_library: Path, scenario: Scenario, tmp_path: Path, output: str
) -> None:
    need_localhost()  # where a service without an address is asked
    config = tmp_path / "monitor.yaml"
    config.write_text(f"listen: {{port: {free_port()}}}\ncollect: {{timeout: 1s}}\n")
    scenario.gpus = [gpu(0)]
    scenario.hangs["*"] = 600_000
    scenario.write()
    with open(output, "w") as file:
        done = subprocess.run(
            top("-c", config),
            env={**os.environ, **scenario.environment(nvml_library)},
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert "does not answer in time" in done.stderr
    assert done.returncode == (0 if output == "/dev/null" else 1)


def test_the_service_of_this_machine_is_found_by_its_configuration(tmp_path: Path) -> None:
    need_localhost()  # where a service without an address is asked
    with Monitor(["--demo", "3", "-i", "1h", "--config-dir", tmp_path]) as monitor:
        config = tmp_path / "monitor.yaml"
        config.write_text(f"listen: {{port: {monitor.port}}}\n")
        shown = run("top", "-c", config).stdout
        assert "3 GPUs" in shown
        assert shown.splitlines()[0].endswith(f":{monitor.port}")


@pytest.mark.parametrize("before", [True, False])
def test_the_service_of_this_machine_is_found_by_its_address_and_port(tmp_path: Path, before: bool) -> None:
    with Monitor(["-a", "127.0.0.9", "--demo", "3", "--config-dir", tmp_path], host="127.0.0.9") as monitor:
        where = ("-a", "127.0.0.9", "-p", str(monitor.port))
        assert "3 GPUs" in run(*(("--log-level", "error", *where, "top") if before else ("top", *where))).stdout


def test_a_simulated_machine_is_never_that_of_the_service(served: Shown) -> None:
    served.show(machine())
    done = run("top", "--demo", "2")
    assert "simulated machine" in done.stdout
    assert "2 GPUs" in done.stdout


# --- Getting in ------------------------------------------------------------------------------------------------


def test_it_gets_in_with_a_password_through_tls(tmp_path: Path) -> None:
    certificate = issue(tmp_path, "gpu1")
    digest = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    web = tmp_path / "web.yml"
    web.write_text(
        f"tls_server_config: {{cert_file: gpu1.pem, key_file: gpu1.key}}\nbasic_auth_users: {{alice: {digest}}}\n"
    )
    password = tmp_path / "password"
    password.write_text("secret\n")
    wrong = tmp_path / "wrong"
    wrong.write_text("guessed\n")
    with serving(Security(load_web_config(web))) as shown:
        shown.show(machine())
        url = ["--url", f"https://127.0.0.1:{shown.port}"]
        trusted = [*url, "--ca-file", str(certificate.certificate)]
        done = run("top", *trusted, "--user", "alice", "--password-file", password)
        assert "0 GPUs" in done.stdout, done.stderr
        assert "the certificate is not trusted" in failure(*url)
        assert "--ca-file" in failure(*url)
        assert "user and password are required: --user" in failure(*trusted)
        assert "user and password are required" in failure(*trusted, "--user", "alice", "--password-file", wrong)
        assert "This port speaks HTTPS" in failure("--url", f"http://127.0.0.1:{shown.port}")
        need_localhost()  # where a service without an address is asked
        config = tmp_path / "monitor.yaml"
        config.write_text(f"listen: {{port: {shown.port}, web_config_file: {web}}}\n")
        options = ("--ca-file", certificate.certificate, "--user", "alice", "--password-file", password)
        assert "0 GPUs" in run("top", "-c", config, *options).stdout


def test_it_shows_a_certificate_where_one_is_asked_for(tmp_path: Path) -> None:
    ca = issue(tmp_path, "ca", sans="DNS:ca")
    server, client = issue(tmp_path, "gpu1"), issue(tmp_path, "me", sans="DNS:me", ca=ca)
    stranger = issue(tmp_path, "stranger")
    both = tmp_path / "both.pem"
    both.write_text(client.pem + client.key.read_text())
    web = tmp_path / "web.yml"
    web.write_text(
        "tls_server_config: {cert_file: gpu1.pem, key_file: gpu1.key,"
        " client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}\n"
    )
    with serving(Security(load_web_config(web))) as shown:
        shown.show(machine())
        url = ("--url", f"https://127.0.0.1:{shown.port}", "--ca-file", str(server.certificate))
        for options in (("--cert-file", client.certificate, "--key-file", client.key), ("--cert-file", both)):
            done = run("top", *url, *options)
            assert "0 GPUs" in done.stdout, done.stderr
        assert "--cert-file and --key-file" in failure(*url)
        mismatched = ("--cert-file", str(client.certificate), "--key-file", str(stranger.key))
        assert "cannot be used: key values mismatch" in failure(*url, *mismatched)
        others = ("--cert-file", str(stranger.certificate), "--key-file", str(stranger.key))
        assert "--cert-file and --key-file" in failure(*url, *others)
        for path in (tmp_path / "none", tmp_path, Path("/dev/zero")):
            for options in (("--cert-file", path), ("--cert-file", client.certificate, "--key-file", path)):
                done = run("top", *url, *options)
                assert done.returncode == 1
                (line,) = done.stderr.splitlines()
                assert f"{path}: " in line
        assert "--key-file needs --cert-file" in failure(*url, "--key-file", str(client.key))


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """Be a server that gives those who ask these answers in turn, and the last one ever after."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            for number in count():
                with suppress(OSError), closing(listener.accept()[0]) as client:
                    client.recv(65536)
                    client.sendall(answers[min(number, len(answers) - 1)])
                if stopped.is_set():
                    return

        stopped = threading.Event()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        stopped.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def http(status: str, body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", "Remote end closed connection"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP"),
        (http("404 Not Found", b"no"), "not a genv-monitor: HTTP status 404"),
        (http("302 Found", b"", "Location: http://192.0.2.1/\r\n"), "status 302"),
        (http("200 OK", b"<html>"), "not a genv-monitor, or an incompatible version: Expecting value"),
        (http("200 OK", b"{}"), "the document has no timestamp"),
        (http("421 Misdirected Request", b"This name \x1b[31m"), r"This name \x1b[31m"),
        (http("503 Service Unavailable", b"Not yet."), "Not yet."),
        (http("304 Not Modified", b""), "status 304"),
    ],
)
def test_what_is_no_monitor_is_said_in_a_line(answer: bytes, expected: str, tmp_path: Path) -> None:
    config = tmp_path / "monitor.yaml"
    config.write_text("collect: {timeout: 50ms}\n")
    with answering(answer) as url:
        line = failure("--url", url, "-c", config)
        assert expected in line
        assert url in line


def test_the_first_collection_is_waited_for() -> None:
    not_yet = http("503 Service Unavailable", b"The first collection is not complete yet.")
    with answering(not_yet, not_yet, http("200 OK", snapshot_json.dump(machine()))) as url:
        assert "0 GPUs" in run("top", "--url", url).stdout


def test_a_monitor_without_a_date_is_understood() -> None:
    with answering(http("200 OK", snapshot_json.dump(machine()))) as url:
        assert "0 GPUs" in run("top", "--url", url).stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--url", "http://127.0.0.1:1"], "http://127.0.0.1:1: Connection refused; see 'systemctl status"),
        (["--url", "ftp://x"], "ftp://x: not the URL of a monitor; an example is http://gpu1:8000"),
        (["--url", "http://"], "not the URL"),
        (["--url", "http://x:port"], "not the URL"),
        (["--url", "http://no-such-host.invalid"], "no-such-host.invalid: "),
        (["--url", "https://x", "--ca-file", "/nothing"], "/nothing: cannot be read: No such file"),
        (["--url", "https://x", "--ca-file", "/dev/null"], "/dev/null: is not a regular file; --ca-file"),
        (["--password-file", "/nothing"], "/nothing: cannot be read: No such file"),
        (["--password-file", "/dev/zero"], "/dev/zero: is not a regular file; --password-file"),
    ],
)
def test_what_the_user_got_wrong_is_said_in_a_line(arguments: list[str], expected: str) -> None:
    assert expected in failure(*arguments)


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe, empty = tmp_path / "pipe", tmp_path / "empty"
    os.mkfifo(pipe)
    empty.touch()
    assert f"{pipe}: is not a regular file; --ca-file" in failure("--url", "https://x", "--ca-file", str(pipe))
    assert f"{pipe}: is not a regular file; --password-file" in failure("--password-file", str(pipe))
    assert f"{empty}: contains no certificate;" in failure("--url", "https://x", "--ca-file", str(empty))


def test_a_connection_that_ends_before_tls_is_told_without_lines_of_source() -> None:
    with answering(b"") as url:
        said = failure("--url", url.replace("http:", "https:"))
    assert "(--cert-file and --key-file)" in said
    assert ".c:" not in said
    assert "ssl.c" not in said


# --- Once ------------------------------------------------------------------------------------------------------


def test_once_prints_a_table_for_people() -> None:
    done = run("once", "--demo", "3", "--format", "table")
    assert done.returncode == 0
    assert "simulated machine" in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines() if "Simulated GPU" in line] == ["0", "1", "2"]
    assert ESCAPE not in done.stdout


def test_once_prints_the_snapshot() -> None:
    document = run("once", "--demo", "3", "--format", "json").stdout
    assert len(snapshot_json.load(document.encode()).devices or ()) == 3


def test_once_in_a_terminal_is_in_colours() -> None:
    with Terminal([PROGRAM, "once", "--demo", "--format", "table"]) as terminal:
        assert terminal.end() == 0
        assert "\x1b[1mgenv-monitor" in terminal.raw
