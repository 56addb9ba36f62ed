"""What is written by hand beside the code and would drift away from it: manual page, completion, vendored module."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import genvd
from genvd.cli.arguments import build_parsers
from genvd.cli.parser import Parser
from genvd.config import schema
from genvd.config.loader import load
from genvd.service.separation import HELPER_MEMORY
from tests.support.needs import need, need_command

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
VENDORED = PACKAGING / "vendor" / "pynvml"

MANUAL = (PACKAGING / "man" / "genv-monitor.8").read_text()
COMPLETION = (PACKAGING / "bash-completion" / "genv-monitor").read_text()


def _commands() -> dict[str, Parser]:
    """Return the parser of each command; that of the program has no name."""
    parser, commands = build_parsers("genv-monitor")
    return {"": parser, **commands}


def _options(parser: Parser) -> set[str]:
    return {name for option in parser.options for name in option.option_strings}


def test_the_manual_has_all_commands_and_options_and_no_others() -> None:
    commands = _commands()
    plain = re.sub(r"\\f.|\\-|\"", lambda match: "-" if match[0] == r"\-" else "", MANUAL)
    _, _, section = plain.partition(".SH OPTIONS")
    section, _, _ = section.partition(".SH EXIT")
    headings = " ".join(re.findall(r"^\.TP\n(.*)$", section, re.MULTILINE))

    assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", headings)) == {
        option for parser in commands.values() for option in _options(parser)
    }
    _, _, section = plain.partition(".SH COMMANDS")
    section, _, _ = section.partition(".SH OPTIONS")
    assert set(re.findall(r"^\.TP\n\.BR? (\w+)", section, re.MULTILINE)) == set(commands) - {""}


@pytest.mark.parametrize("name", [name for name, parser in _commands().items() if "-i" in _options(parser)])
def test_what_takes_a_duration_is_not_said_to_take_seconds(name: str) -> None:
    parser = _commands()[name]
    assert parser.parse_args(["-i", "1m30s"])
    assert next(option for option in parser.options if "-i" in option.option_strings).metavar == "DURATION"
    assert r"\fB\-i\fP \fIDURATION\fP, \fB\-\-interval\fP \fIDURATION\fP" in MANUAL


@pytest.mark.parametrize("command", _commands())
def test_long_options_are_completed(command: str) -> None:
    line = f"genv-monitor {command} --".replace("  ", " ")
    offered = _complete(line)
    expected = {option for option in _options(_commands()[command]) if option.startswith("--")}

    assert offered == expected
    assert _complete(line.replace("genv-monitor", "genv monitor", 1)) == expected


def test_commands_and_levels_are_completed() -> None:
    assert set(_commands()) - {""} <= _complete("genv-monitor ")
    assert _complete("genv-monitor run --log-level ") == set(schema.LOG_LEVELS)


def test_what_an_option_can_be_is_completed() -> None:
    choices = {
        f"genv-monitor {command} {action.option_strings[-1]} ": set(action.choices)
        for command, parser in _commands().items()
        for action in parser._actions
        if action.option_strings and action.choices
    }
    assert len(choices) >= 3
    for line, expected in choices.items():
        assert _complete(line) == expected


def test_a_completion_of_genv_that_is_there_is_left_alone() -> None:
    script = f"complete -W 'activate attach' genv; . {PACKAGING}/bash-completion/genv; complete -p genv"
    assert _bash(script) == "complete -W 'activate attach' genv\n"


def _complete(line: str) -> set[str]:
    """Return what bash offers at the end of the line."""
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    function = "_genv_with_monitor" if words[0] == "genv" else "_genv_monitor"
    script = (
        f". {PACKAGING}/bash-completion/genv; compopt() {{ :; }}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1};"
        f' {function}; echo "${{COMPREPLY[*]}}"'
    )
    return set(_bash(script).split())


def _bash(script: str) -> str:
    command = ["/bin/bash", "--norc", "--noprofile", "-euc", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_manual_of_the_configuration_has_every_setting() -> None:
    command = [sys.executable, str(PACKAGING / "man" / "monitor_yaml.py"), "1.2.3", "2026-11-23"]
    page = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout

    for setting in schema.settings():
        assert f".TP\n.B {setting.section}.{setting.key}\n" in page
    assert [line for line in page.splitlines() if line.startswith("'")] == []


def test_the_conffile_is_almost_empty() -> None:
    conffile = (PACKAGING / "monitor.yaml").read_text()
    assert all(line.startswith("#") for line in conffile.splitlines())
    assert load(PACKAGING / "monitor.yaml") == schema.Config()


def test_versions_agree() -> None:
    newest = (ROOT / "debian" / "changelog").read_text().splitlines()[0]
    assert newest.startswith(f"genv-monitor ({genvd.__version__}-")


def test_the_vendored_module_is_what_was_released() -> None:
    sums = {
        name: expected
        for expected, name in re.findall(r"^([0-9a-f]{64})  (.+)$", (VENDORED / "SHA256SUMS").read_text(), re.MULTILINE)
    }
    files = {path for path in VENDORED.rglob("*") if path.is_file() and path.suffix != ".pyc"}

    assert {VENDORED / name for name in sums} == files - {VENDORED / "SHA256SUMS"}
    for name, expected in sums.items():
        assert hashlib.sha256((VENDORED / name).read_bytes()).hexdigest() == expected, (
            f"run {VENDORED.parent / 'update'}"
        )


@pytest.mark.parametrize("name", ["bin/genv", "bin/genv-monitor", "libexec/genv-monitor-processes"])
def test_launchers_are_isolated_and_known_as_ours(name: str) -> None:
    """The genv wrapper knows our launchers by the letters; -I keeps out what lies around."""
    text = (PACKAGING / name).read_text()
    assert text.startswith("#!/usr/bin/python3 -I\n")
    assert "genvd" in text


@pytest.mark.parametrize(
    ("unit", "limit"), [("genv-monitor", 1.3), ("genv-monitor-sealed", 0.9), ("genv-monitor-processes", 1.0)]
)
def test_systemd_finds_little_exposed_in_the_units(unit: str, limit: float) -> None:
    """Of each release of Debian: tests/system/test_units.py."""
    command = [need_command("systemd-analyze", "systemd"), "security", "--offline=true", "--no-pager"]
    report = subprocess.run(
        [*command, str(ROOT / "systemd" / f"{unit}.service")], capture_output=True, text=True, check=False
    )
    match = re.search(r"Overall exposure level for \S+: ([\d.]+)", report.stdout)
    need(match is not None or "unrecognized option" not in report.stderr, "needs systemd 251")
    assert match and float(match[1]) <= limit, report.stdout + report.stderr


def test_both_units_have_the_same_sandbox() -> None:
    """They differ only in the network, the socket unit, and what systemd keeps and counts from start to start."""
    different = {"Description", "After", "Requires", "Conflicts", "FileDescriptorStoreMax", "Also", "PrivateNetwork"}
    different |= {"StartLimitIntervalSec", "StartLimitBurst"}
    different |= {"IPAddressDeny", "IPAddressAllow", "RestrictAddressFamilies", "SocketBindDeny", "SocketBindAllow"}
    settings = [
        [line for line in (ROOT / "systemd" / f"{name}.service").read_text().splitlines() if re.match(r"\w+=", line)]
        for name in ("genv-monitor", "genv-monitor-sealed")
    ]
    first, second = ([line for line in lines if line.split("=")[0] not in different] for lines in settings)
    assert first == second


def test_the_helper_has_the_same_memory_settings_everywhere() -> None:
    unit = (ROOT / "systemd" / "genv-monitor-processes.service").read_text()
    assert f"\nEnvironment={' '.join(f'{name}={value}' for name, value in HELPER_MEMORY.items())}\n" in unit
