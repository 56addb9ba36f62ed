"""Options before and after the command, and options that a command does not support."""

from __future__ import annotations

import pytest

from genvd.cli.arguments import build_parsers
from genvd.cli.commands import _COMMANDS
from genvd.cli.parser import FILE, parse

PARSER, COMMANDS = build_parsers("genv-monitor")
OPTIONS = {name: {action.option_strings[-1] for action in one.options} for name, one in COMMANDS.items()}

VALUES = {
    "--config": "x.yaml",
    "--log-level": "debug",
    "--config-dir": "/x",
    "--address": "::1",
    "--port": "9",
    "--interval": "1m30s",
    "--demo": "4",
    "--url": "http://gpu1:8000",
    "--ca-file": "/x",
    "--user": "run",
    "--login": "top",
    "--color": "never",
    "--wait": "10m",
    "--password-file": "/x",
    "--cert-file": "/x",
    "--key-file": "/x",
    "--since": "8d",
    "--until": "1d",
    "--by": "device",
    "--format": "json",
    "--ledger": "/x",
    "--prometheus": "http://localhost:9090",
}
"""A value of each option that takes one, for every command that has it."""

FLAGS = {"--help", "--version", "--me", "--once"}
"""The options without a value."""

EVERY_OPTION = set().union(*OPTIONS.values())


def parsed(*arguments: str) -> dict[str, object]:
    return vars(parse(PARSER, COMMANDS, arguments))


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the line with the error."""
    with pytest.raises(SystemExit) as ended:
        parse(PARSER, COMMANDS, arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert isinstance(line, str)
    return line


def test_every_option_has_an_example_value() -> None:
    assert set(VALUES) == EVERY_OPTION - FLAGS


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", VALUES)
def test_an_option_can_be_before_or_after_the_command(
    capsys: pytest.CaptureFixture[str], command: str, option: str
) -> None:
    for given in ([option, VALUES[option]], [f"{option}={VALUES[option]}"]):
        if option in OPTIONS[command]:
            assert parsed(*given, command) == parsed(command, *given) != parsed(command)
        else:
            for arguments in ([*given, command], [command, *given]):
                line = refused(capsys, *arguments)
                assert line == (
                    f"genv-monitor {command}: error: {command} does not support {option}; leave it out;"
                    f" see genv-monitor {command} --help"
                )


@pytest.mark.parametrize(("command", "flag"), [("top", "--me"), ("top", "--once"), ("free", "--wait")])
def test_a_flag_can_be_before_or_after_the_command(command: str, flag: str) -> None:
    assert parsed(flag, command) == parsed(command, flag) != parsed(command)


@pytest.mark.parametrize("option", VALUES)
def test_without_a_command_the_options_of_run_are_taken(capsys: pytest.CaptureFixture[str], option: str) -> None:
    if option in OPTIONS["run"]:
        assert parsed(option, VALUES[option]) == parsed("run", option, VALUES[option])
    else:
        assert f"run does not support {option}" in refused(capsys, option, VALUES[option])


@pytest.mark.parametrize("short", ["-p9", "-p"])
def test_short_options(capsys: pytest.CaptureFixture[str], short: str) -> None:
    given = [short] if len(short) > 2 else [short, "9"]
    assert parsed(*given, "publish")["listen_port"] == 9
    assert "once does not support --port" in refused(capsys, *given, "once")


@pytest.mark.parametrize("command", ["run", "once", "top"])
def test_demo_without_a_number_before_a_command(command: str) -> None:
    assert parsed("--demo", command)["demo"] == parsed(command, "--demo")["demo"] == 8
    assert parsed("--demo", "3", command)["demo"] == 3


def test_the_first_word_is_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert str(parsed("check", "once")["file"]) == "once"
    assert str(parsed("-c", "once", "top")["config"]) == "once"
    assert "invalid choice: 'serve'" in refused(capsys, "serve", "once", "-p", "80")
    assert "argument --demo: '-1' is wrong" in refused(capsys, "--demo", "-1", "top")
    assert "argument -p/--port: 'once' is wrong" in refused(capsys, "-p", "once")
    assert "argument -p/--port: expected one argument" in refused(capsys, "top", "-p")


EXCLUSIVE = [
    ("check", ["--config", "a", "b"], ["--config", "FILE"]),
    ("check", ["-c", "a", "--", "b"], ["--config", "FILE"]),
    ("check", ["b", "-ca"], ["--config", "FILE"]),
    ("top", ["--demo", "4", "--url", "x"], ["--url", "--demo"]),
    ("top", ["--url=x", "-p", "9"], ["--url", "--port"]),
    ("top", ["-a", "::1", "--url", "x"], ["--url", "--address"]),
    ("top", ["--demo", "--login", "me"], ["--demo", "--login"]),
    ("top", ["--user", "me", "--me"], ["--me", "--user"]),
    ("free", ["--demo", "--url", "x"], ["--url", "--demo"]),
]


@pytest.mark.parametrize(("command", "given", "named"), EXCLUSIVE)
def test_exclusive_options_are_refused(
    capsys: pytest.CaptureFixture[str], command: str, given: list[str], named: list[str]
) -> None:
    line = refused(capsys, command, *given)
    told = f"{' cannot be used with '.join(named)}; leave one of them out"
    assert line == f"genv-monitor {command}: error: {told}; see genv-monitor {command} --help"


def test_exclusive_options_exist() -> None:
    for parser in COMMANDS.values():
        known = {FILE, *(option.option_strings[-1] for option in parser.options)}
        assert {name for pair in parser.exclusive.items() for name in (pair[0], *pair[1])} <= known


def test_nothing_is_abbreviated(capsys: pytest.CaptureFixture[str]) -> None:
    assert "unrecognized arguments: --por" in refused(capsys, "--por=9")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_refers_to_the_help_of_the_command(capsys: pytest.CaptureFixture[str], command: str) -> None:
    expected = f"genv-monitor {command}: error: unrecognized arguments: --por=9; see genv-monitor {command} --help"
    assert refused(capsys, "--por=9", command) == refused(capsys, command, "--por=9") == expected


def test_each_command_has_a_function() -> None:
    assert COMMANDS.keys() - _COMMANDS.keys() == {"reload"}
    assert _COMMANDS.keys() < COMMANDS.keys()


@pytest.mark.parametrize("value", ["-x", "", "a b", "--by", "top"])
def test_values_may_be_anything(value: str) -> None:
    assert parsed(f"--user={value}", "top")["user"] == value


def test_the_help_is_that_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, shown in ((["--help"], "genv-monitor "), (["-h", "top"], "genv-monitor top ")):
        with pytest.raises(SystemExit) as ended:
            parsed(*arguments)
        assert ended.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: {shown}")
