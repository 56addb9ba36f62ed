"""``genv-monitor top`` in a real terminal, and the table of ``once``."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from genvd.model import snapshot_json
from genvd.model.facts import Context, ProcessOwner
from genvd.model.snapshot import CollectorStatus, Snapshot
from genvd.web.security import Security, load_web_config
from tests.standin import Scenario
from tests.support.answering import answering, http
from tests.support.certificates import issue
from tests.support.gpus import gpu
from tests.support.monitor import PROGRAM, Monitor
from tests.support.needs import need_localhost
from tests.support.ports import free_port
from tests.support.shown import GIB, Demo, Shown, device, environment, inhabited, machine, serving
from tests.support.terminal import ENTER, LEAVE, Terminal
from tests.support.waiting import wait_for

ESCAPE = "\x1b"
NO_GPUS = "There are no GPUs"


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
        terminal.wait_until_shown("genv-monitor gpu1", "1x NVIDIA H200", "1 of 1 GPU is free: 0", "11%", served.origin)
        served.show(machine(devices=(device(0, utilization_percent=22), device(1))))
        terminal.wait_until_shown("2 of 2 GPUs are free: 0, 1", "22%")
        assert "11%" not in terminal.text
        assert terminal.display[0].startswith("genv-monitor gpu1")


def left(terminal: Terminal) -> None:
    """Check that the terminal is as it was before: the other screen, its cursor, the mouse, the settings."""
    after = terminal.raw.rpartition(ENTER)[2]
    assert LEAVE in after
    for switched_off, switched_on in (("\x1b[?25l", "\x1b[?25h"), ("\x1b[?1000h", "\x1b[?1000l")):
        off, on = after.rfind(switched_off), after.rfind(switched_on)
        assert (off < on) if switched_off.endswith("l") else off <= on or switched_off not in after
    assert "\x1b[?1000h" not in after.partition(LEAVE)[2]
    assert terminal.settings_now() == terminal.settings


@pytest.mark.parametrize("way", ["q", "\x03", "TERM", "HUP"])
def test_it_leaves_the_terminal_as_it_was(served: Shown, way: str) -> None:
    served.show(machine())
    with Terminal(of(served)) as terminal:
        terminal.wait_until_shown("There are no GPUs")
        assert terminal.settings_now() != terminal.settings
        assert ENTER in terminal.raw
        if len(way) == 1:
            terminal.type(way)
        else:
            terminal.process.send_signal(getattr(signal, f"SIG{way}"))
        assert terminal.end() == 0
        left(terminal)
        assert terminal.raw.count(LEAVE) == 1
        assert "Traceback" not in terminal.raw


@pytest.mark.parametrize("redirection", ["</dev/null", "<&-"], ids=["empty", "closed"])
def test_without_a_keyboard_it_shows_the_machine(served: Shown, redirection: str) -> None:
    served.show(machine())
    command = " ".join(map(str, of(served)))
    with Terminal(["/bin/sh", "-c", f"exec {command} {redirection}"]) as terminal:
        terminal.wait_until_shown("There are no GPUs")
        served.show(machine(devices=(device(0),)))
        terminal.wait_until_shown("1 of 1 GPU is free: 0")
        terminal.type("\x03")
        assert terminal.end() == 0
        left(terminal)


def test_other_keys_do_nothing(served: Shown) -> None:
    served.show(machine())
    with Terminal(of(served)) as terminal:
        terminal.wait_until_shown("There are no GPUs")
        terminal.type("x\x1b[1;5A\x1b[3~\xe9 ")
        served.show(machine(devices=(device(0),)))
        terminal.wait_until_shown("1 of 1 GPU is free: 0")
        assert "x" not in terminal.display[-1]


def test_the_five_questions_are_answered_on_a_small_screen(served: Shown) -> None:
    snapshot, past = Demo().hour()
    served.show(snapshot, past)
    with Terminal(of(served), columns=80, lines=24) as terminal:
        terminal.wait_until_shown("GPUs", "free", "people", "? keys")
        rows = [line for line in terminal.display if re.match(r"^ +\d  ", line)]
        assert len(rows) == 8
        states = " ".join(rows)
        assert all(state in states for state in ("in use", "free"))
        assert "more lines below" in terminal.display[-1]


def test_keys_bring_into_sight_what_does_not_fit(served: Shown) -> None:
    served.show(*Demo().hour())
    with Terminal(of(served), columns=80, lines=24) as terminal:
        terminal.wait_until_shown("more lines below", "GPU  USER")
        assert "Xorg" not in terminal.text
        terminal.type("G")
        terminal.wait_until_shown("Xorg", "genv-monitor", "USER   COMMAND")
        wait_for(lambda: "below" not in terminal.display[-1], "at the end")
        terminal.type("\x1b[1~")
        terminal.wait_until_shown("GPU  USER", "more lines below")
        terminal.type("?")
        terminal.wait_until_shown("sort by memory", "Esc back")
        terminal.type("q")
        assert terminal.end() == 0


def test_it_fits_whatever_size_the_terminal_gets(served: Shown) -> None:
    served.show(*Demo().hour())
    with Terminal(top("--url", served.origin, "-i", "1h"), columns=150, lines=50) as terminal:
        terminal.wait_until_shown("ENVIRONMENT", "OUTSIDE", "PID", "LAST HOUR", "█")
        for columns, lines, first in ((60, 20, "genv-monitor"), (20, 5, "genv-monitor"), (1, 1, "")):
            terminal.resize(columns, lines)
            terminal.process.send_signal(signal.SIGWINCH)  # as the terminal does, once it has been resized
            wait_for(lambda: terminal.display[0].startswith(first), f"drawn in {columns} columns")  # noqa: B023
        terminal.resize(200, 60)
        terminal.wait_until_shown("ENVIRONMENT", "PID", "█", "GiB, LAST HOUR")
        terminal.resize(60, 24)
        terminal.wait_until_shown("more lines")
        assert max(map(len, terminal.display)) <= 60


@pytest.mark.parametrize("variables", [{}, {"COLUMNS": "150"}])
def test_a_terminal_that_does_not_know_its_size_has_the_usual_one(served: Shown, variables: dict[str, str]) -> None:
    served.show(machine(devices=(device(0),)))
    terminal = Terminal(of(served), columns=0, lines=0, environment=variables)
    with terminal:
        wait_for(lambda: b"quit" in terminal.sent, "shown")
        terminal.type("q")
        assert terminal.end() == 0
        assert (served.origin in terminal.raw) == bool(variables)  # there is no room for it in 80 columns


def test_it_lets_go_of_the_terminal_while_it_is_stopped(served: Shown) -> None:
    served.show(machine())
    with Terminal(of(served)) as terminal:
        terminal.wait_until_shown("There are no GPUs")
        os.kill(terminal.process.pid, signal.SIGTSTP)
        wait_for(lambda: terminal.state == "T", "stopped")
        wait_for(lambda: LEAVE in terminal.raw, "let go")
        left(terminal)
        served.show(machine(devices=(device(0),)))
        os.kill(terminal.process.pid, signal.SIGCONT)
        terminal.wait_until_shown("1 of 1 GPU is free: 0")
        assert terminal.raw.count(ENTER) == 2
        assert terminal.settings_now() != terminal.settings
        terminal.type("q")
        assert terminal.end() == 0


def test_a_service_that_goes_away_is_said_to_be_gone_and_picked_up_again(tmp_path: Path) -> None:
    options: list[str | Path] = ["--demo", "-i", "0.2", "--config-dir", tmp_path]
    with Monitor(options) as monitor:
        command = top("--url", f"http://127.0.0.1:{monitor.port}", "-i", "0.2")
        terminal = Terminal(command)
        with terminal:
            terminal.wait_until_shown("of 8 GPUs")
            monitor.stop()
            terminal.wait_until_shown("! http://127.0.0.1:", "Connection refused", "of 8 GPUs")
            with Monitor([*options, "-p", str(monitor.port)]):
                wait_for(lambda: "refused" not in terminal.text, "picked up")


def test_while_a_look_hangs_it_draws_and_obeys(tmp_path: Path) -> None:
    with Monitor(["--demo", "-i", "0.2", "--config-dir", tmp_path]) as monitor:
        with Terminal(top("--url", f"http://127.0.0.1:{monitor.port}", "-i", "0.1")) as terminal:
            terminal.wait_until_shown("of 8 GPUs")
            os.kill(monitor.process.pid, signal.SIGSTOP)
            terminal.wait_until_shown("! http://127.0.0.1:", "timed out", "of 8 GPUs")
            terminal.type("q")
            assert terminal.end() == 0
        os.kill(monitor.process.pid, signal.SIGCONT)


def test_facts_that_are_old_are_said_to_be(served: Shown) -> None:
    served.show(machine()._replace(timestamp=machine().timestamp - 600))
    with Terminal(of(served)) as terminal:
        terminal.wait_until_shown("as of 10 min ago", "! The data is old")


def test_it_says_what_is_wrong_and_what_to_do(served: Shown) -> None:
    told = CollectorStatus("nvml", False, 0.1, "NVML says no", "not_loaded")
    served.show(machine(collectors=(told,), driver_state="not_loaded")._replace(devices=None, processes=None))
    with Terminal(of(served)) as terminal:
        terminal.wait_until_shown(
            "driver not loaded",
            "It is not known which GPUs are free",
            "! The NVIDIA driver is not loaded.",
            "modprobe nvidia",
        )
        row = next(n for n, text in enumerate(terminal.display) if text.startswith("! The NVIDIA driver is not"))
        assert terminal.cell[row][0].fg == "red"


def test_a_driver_without_devices_is_said_where_to_look(served: Shown) -> None:
    served.show(machine())
    assert (
        "! The NVIDIA driver works but lists no GPU.\n  See 'nvidia-smi -L'"
        in run("top", "--url", served.origin).stdout
    )
    told = CollectorStatus("nvml", False, 0.1, "NVML says no", "not_loaded")
    served.show(machine(collectors=(told,), driver_state="not_loaded")._replace(devices=None, processes=None))
    assert "lists no GPU" not in run("top", "--url", served.origin).stdout


COLOR = re.compile(r"\x1b\[(?:[0-9;]*;)?[34][0-8](?:;[0-9;]*)?m")


@pytest.mark.parametrize(
    ("variables", "options", "expected"),
    [
        ({}, [], True),
        ({"NO_COLOR": "1"}, [], False),
        ({"NO_COLOR": "1"}, ["--color", "always"], True),
        ({}, ["--color=never"], False),
        ({"TERM": "vt100"}, [], False),
    ],
    ids=["by default", "NO_COLOR", "always", "never", "a terminal without colours"],
)
def test_colours_are_a_matter_of_taste(
    served: Shown, variables: dict[str, str], options: list[str], expected: bool
) -> None:
    served.show(machine(driver_state="failed"))
    with Terminal(of(served, *options), environment=variables) as terminal:
        terminal.wait_until_shown("driver failed")
        assert bool(COLOR.search(terminal.raw)) == expected


@pytest.mark.parametrize(("color", "expected"), [("always", True), ("auto", False), ("never", False)])
def test_colours_without_a_terminal(served: Shown, color: str, expected: bool) -> None:
    served.show(machine(devices=(device(0),)))
    for command in (("top", "--url", served.origin), ("once", "--demo", "1", "--format", "table")):
        assert bool(COLOR.search(run(*command, "--color", color).stdout)) == expected


def test_a_dumb_terminal_gets_it_once(served: Shown) -> None:
    served.show(machine())
    with Terminal(of(served), environment={"TERM": "dumb"}) as terminal:
        assert terminal.end() == 0
        assert ESCAPE not in terminal.raw
        assert NO_GPUS in terminal.raw


@pytest.mark.parametrize(
    "variables",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["by PYTHONIOENCODING", "by the locale"],
)
def test_a_terminal_without_blocks_has_no_bars(served: Shown, variables: dict[str, str]) -> None:
    served.show(machine(devices=(device(0, name="H200 \xc4"),)))
    with Terminal(of(served), environment=variables, columns=150) as terminal:
        terminal.wait_until_shown("H200 ?", "50%")
        assert terminal.raw.isascii()


@pytest.mark.parametrize("name", ["linux", "screen", "tmux-256color", "xterm", "vt100", "not-known-here"])
def test_other_terminals_are_used_as_their_description_says(served: Shown, name: str) -> None:
    served.show(machine(devices=(device(0), device(1))))
    with Terminal(of(served), environment={"TERM": name}) as terminal:
        terminal.wait_until_shown("2 of 2 GPUs are free: 0, 1", "? keys")
        terminal.type("j\x1b[B\n")
        terminal.wait_until_shown("UUID", "GPU 1", "Esc back")
        terminal.type("q")
        assert terminal.end() == 0
        assert terminal.settings_now() == terminal.settings


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
        inhabited(
            (device(0, name=name),),
            (environment("1", (0,), name=name, username=name, gpus=0, pids=(7,)),),
            (Context(7, 0, 3 * GIB),),
            {7: ProcessOwner(1001, "1", name)},
        )._replace(
            collectors=(CollectorStatus("genv", False, 0.1, name),),
        )
    )
    with Terminal(of(served), columns=100) as terminal:
        terminal.wait_until_shown("GPU", "device limit", "quit")
        drawn = re.sub(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\(B|[=>])|[\r\n\b\u2068\u2069]", "", terminal.raw)
        assert all(character.isprintable() for character in drawn), sorted(set(drawn))
        assert "pwned" not in drawn or "\\x1b]0;pwned" in drawn
        assert terminal.display[0].startswith("genv-monitor gpu1")
        # What stands behind the name is in its column all the same.
        heading = next(number for number, line in enumerate(terminal.display) if "VIOLATIONS" in line)
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
        # Colours may be between the two.
        wait_for(lambda: re.sub(r"\x1b[\[(][0-9;]*[mB]", "", terminal.raw).count(isolated) >= 5, "drawn")
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
    assert "of 8 GPUs" in done.stdout
    assert {row.split()[0] for row in re.findall(r"^ +\d  .*80\.0", done.stdout, re.MULTILINE)} == set("01234567")
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
        terminal.wait_until_shown("collected by this command", "2 of 2 GPUs")
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
        assert "of 3 GPUs" in shown
        assert f":{monitor.port}" in shown.splitlines()[0]


@pytest.mark.parametrize("before", [True, False])
def test_the_service_of_this_machine_is_found_by_its_address_and_port(tmp_path: Path, before: bool) -> None:
    with Monitor(["-a", "127.0.0.9", "--demo", "3", "--config-dir", tmp_path], host="127.0.0.9") as monitor:
        where = ("-a", "127.0.0.9", "-p", str(monitor.port))
        assert "of 3 GPUs" in run(*(("--log-level", "error", *where, "top") if before else ("top", *where))).stdout


def test_a_simulated_machine_is_never_that_of_the_service(served: Shown) -> None:
    served.show(machine())
    done = run("top", "--demo", "2")
    assert "simulated machine" in done.stdout
    assert "of 2 GPUs" in done.stdout


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
        for login in ("--login", "--user"):
            done = run("top", *trusted, login, "alice", "--password-file", password)
            assert NO_GPUS in done.stdout, done.stderr
            assert "only alice" not in done.stdout
        done = run("top", *trusted, "--login", "alice", "--password-file", password, "--user", "bob")
        assert "only bob" in done.stdout
        assert "the certificate is not trusted" in failure(*url)
        assert "--ca-file" in failure(*url)
        assert "user and password are required: --login" in failure(*trusted)
        assert "user or the password is wrong" in failure(*trusted, "--user", "alice", "--password-file", wrong)
        assert "This port speaks HTTPS" in failure("--url", f"http://127.0.0.1:{shown.port}")
        need_localhost()  # where a service without an address is asked
        config = tmp_path / "monitor.yaml"
        config.write_text(f"listen: {{port: {shown.port}, web_config_file: {web}}}\n")
        options = ("--ca-file", certificate.certificate, "--user", "alice", "--password-file", password)
        assert NO_GPUS in run("top", "-c", config, *options).stdout


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
            assert NO_GPUS in done.stdout, done.stderr
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
        assert NO_GPUS in run("top", "--url", url).stdout


def test_a_monitor_without_a_date_is_understood() -> None:
    with answering(http("200 OK", snapshot_json.dump(machine()))) as url:
        assert NO_GPUS in run("top", "--url", url).stdout


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
    assert re.findall(r"^  (\d)  .*80\.0", done.stdout, re.MULTILINE) == ["0", "1", "2"]
    assert ESCAPE not in done.stdout


def test_once_prints_the_snapshot() -> None:
    document = run("once", "--demo", "3", "--format", "json").stdout
    assert len(snapshot_json.load(document.encode()).devices or ()) == 3


def test_once_in_a_terminal_is_in_colours() -> None:
    with Terminal([PROGRAM, "once", "--demo", "--format", "table"]) as terminal:
        assert terminal.end() == 0
        assert "\x1b[1mgenv-monitor" in terminal.raw
