"""The commands and options of the command line, with their help texts."""

from __future__ import annotations

import argparse
import math
import os
import re
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from genvd import __version__
from genvd.cli.parser import FILE, PID, Parser
from genvd.config.loader import parse_option
from genvd.config.schema import DEFAULT_FILE, LOG_LEVELS, Config
from genvd.config.values import duration
from genvd.ledger.period import parse_time

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_ACCESS = ("--ca-file", "--cert-file", "--key-file", "--login", "--password-file")
_DEMO_GPUS = 8
_MAX_DEMO_GPUS = 1024
_DURATION = "DURATION"
_REPORT_SPAN = timedelta(days=7)
_TOP_INTERVAL_SECONDS = 2.0
_MAX_WAIT_SECONDS = 366 * 86400


def build_parsers(program: str) -> tuple[Parser, dict[str, Parser]]:
    """Return the parser of the program and the parsers of its commands, by command name.

    Args:
        program: the program name for the help texts: ``genv-monitor`` or ``genv monitor``.
    """
    version, common = _version_option(), _common_options()
    publish = [version, common, _publish_options(), _listen_options("to serve on")]
    settings = [*publish, _interval_option()]
    run = [*settings, _demo_option("; publishes no files unless a directory is set")]
    parser = Parser(
        prog=program,
        parents=run,
        description="Monitors the GPUs, environments, processes and users of this machine for Prometheus and Grafana.",
        epilog="Without a command, it runs in the foreground. Options can be given before or after the command; see"
        " COMMAND --help. Exit status: 0 if it is done or was asked to stop, 1 if it could not run, 2 if the command"
        " line or the configuration is invalid; for free, 1 also if no GPU is free, 3 if that is not known.",
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", parser_class=Parser)
    parser.set_defaults(command="run", demo=None)

    def add_command(name: str, parents: list[Parser], text: str) -> Parser:
        command: Parser = subparsers.add_parser(
            name, parents=parents, help=text, description=f"{text[0].upper()}{text[1:]}."
        )
        return command

    add_command("run", run, "run in the foreground until Ctrl+C or SIGTERM (default)")
    check = add_command("check", settings, "check a configuration file and print the effective configuration")
    check.add_argument(
        "file", nargs="?", type=Path, default=None, metavar=FILE, help=f"file to check (default: {DEFAULT_FILE})"
    )
    check.exclusive = {"--config": (FILE,)}
    reload = add_command("reload", [version], "check the configuration of a running monitor and reload it")
    reload.add_argument(
        "pid",
        nargs="?",
        type=_parse_pid,
        default=os.environ.get("MAINPID") or None,
        metavar=PID,
        help="process ID of the monitor (default: $MAINPID, which systemd sets)",
    )
    once = [version, common, _demo_option(), _once_options(), _color_option()]
    add_command("once", once, "collect once and print the metrics")
    source = [version, common, _listen_options("of the service on this machine"), _demo_option(), _access_options()]
    top = add_command(
        "top",
        [*source, _refresh_option("updates"), _top_options(), _color_option()],
        "show the machine in the terminal until q or Ctrl+C; press ? for the keys",
    )
    top.exclusive = {**_SOURCE_EXCLUSIVE, "--me": ("--user",)}
    free = add_command(
        "free",
        [*source, _refresh_option("requests of --wait"), _free_options()],
        "print which GPUs are free, such as 6,7; exit status 1 if none is, 3 if it is not known",
    )
    free.exclusive = _SOURCE_EXCLUSIVE
    add_command("publish", publish, "write the Prometheus and Grafana files and exit")
    report = add_command(
        "report",
        [*source, _report_options()],
        "print who used how much GPU time and energy",
    )
    report.exclusive = {
        "--ledger": ("--url", "--demo", "--prometheus", "--address", "--port", *_ACCESS),
        "--demo": ("--url", "--prometheus", "--address", "--port", *_ACCESS),
        "--prometheus": ("--address", "--port"),
        "--url": ("--prometheus", "--address", "--port"),
        "--me": ("--user",),
    }
    return parser, subparsers.choices


_SOURCE_EXCLUSIVE = {
    "--url": ("--demo", "--address", "--port"),
    "--demo": ("--address", "--port", *_ACCESS),
}
"""For the options that say where the data comes from, those that cannot be used with them."""


def _version_option() -> Parser:
    parser = Parser(add_help=False)
    parser.add_argument("--version", action="version", version=f"genv-monitor {__version__}")
    return parser


def _common_options() -> Parser:
    parser = Parser(add_help=False)
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        help=f"configuration file (default: {DEFAULT_FILE} if it exists)",
    )
    _add_setting(parser, ("--log-level",), "logging_level", "LEVEL", f"minimum log level: {', '.join(LOG_LEVELS)}")
    return parser


def _publish_options() -> Parser:
    parser = Parser(add_help=False)
    parser.add_argument(
        "--config-dir",
        dest="publish_directory",
        type=_parse_directory,
        metavar="DIR",
        help="directory for the Prometheus and Grafana files (default: metrics/ in $STATE_DIRECTORY if systemd sets"
        " it, else in genv's state directory)",
    )
    return parser


def _listen_options(purpose: str) -> Parser:
    parser = Parser(add_help=False)
    _add_setting(parser, ("-a", "--address"), "listen_address", "ADDR", f"address {purpose}")
    _add_setting(parser, ("-p", "--port"), "listen_port", "N", f"port {purpose}")
    return parser


def _interval_option() -> Parser:
    parser = Parser(add_help=False)
    _add_setting(parser, ("-i", "--interval"), "collect_interval", _DURATION, "time between collections")
    return parser


def _demo_option(remark: str = "") -> Parser:
    parser = Parser(add_help=False)
    parser.add_argument(
        "--demo",
        nargs="?",
        type=_parse_demo_gpus,
        const=_DEMO_GPUS,
        metavar="N",
        help=f"simulate a machine with N GPUs (default: {_DEMO_GPUS}){remark}",
    )
    return parser


def _once_options() -> Parser:
    parser = Parser(add_help=False)
    parser.add_argument(
        "--format",
        choices=("metrics", "table", "json"),
        default="metrics",
        help="metrics for Prometheus or a textfile collector, a table, or the snapshot as JSON (default: metrics)",
    )
    return parser


def _report_options() -> Parser:
    parser = Parser(add_help=False)
    now = datetime.now(timezone.utc)
    parse_when = _argument_type(lambda text: parse_time(text, now))
    parser.add_argument(
        "--since",
        type=parse_when,
        default=now - _REPORT_SPAN,
        metavar="WHEN",
        help="start: an age (12h, 7d, 4w), a day (today, yesterday, 2026-11-23) or a local time (2026-11-23T08:00)"
        " (default: 7d)",
    )
    parser.add_argument(
        "--until", type=parse_when, default=now, metavar="WHEN", help="end, like --since (default: now)"
    )
    parser.add_argument(
        "--by",
        choices=("user", "environment", "device", "machine"),
        default="user",
        help="one row for each (default: user); machine only with --prometheus",
    )
    parser.add_argument(
        "--user",
        default=None,
        metavar="NAME",
        help="only the usage of this user",
    )
    parser.add_argument(
        "--me",
        action="store_true",
        default=False,
        help="only your own usage (default for users other than root if usage is private: usage.visible)",
    )
    parser.add_argument(
        "--prometheus",
        default=None,
        metavar="URL",
        help="report on all machines that this Prometheus scrapes, such as http://localhost:9090",
    )
    parser.add_argument(
        "--format",
        choices=("table", "csv", "json"),
        default="table",
        help="a table with readable units, or csv and json in seconds and joules (default: table)",
    )
    parser.add_argument(
        "--ledger",
        type=_parse_file,
        default=None,
        metavar="FILE",
        help="ledger to read, such as a backup (default: the ledger of the service, or else the running service)",
    )
    return parser


def _top_options() -> Parser:
    parser = Parser(add_help=False)
    parser.add_argument(
        "--user",
        default=None,
        metavar="NAME",
        help="show only what this user has; with --password-file and without --login, it is the login",
    )
    parser.add_argument("--me", action="store_true", default=False, help="show only what you have")
    parser.add_argument(
        "--once", action="store_true", default=False, help="print everything once, as if to a file, and exit"
    )
    return parser


def _free_options() -> Parser:
    parser = Parser(add_help=False)
    parser.add_argument(
        "--wait",
        nargs="?",
        type=_argument_type(duration(0, _MAX_WAIT_SECONDS).parse),
        const=math.inf,
        default=None,
        metavar=_DURATION,
        help="wait until a GPU is free, at most this long (default: without an end)",
    )
    return parser


def _color_option() -> Parser:
    parser = Parser(add_help=False)
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="colours: auto is in terminals, unless NO_COLOR is set (default: auto)",
    )
    return parser


def _refresh_option(repeated: str) -> Parser:
    """Return the option of the commands that ask a service again and again.

    Args:
        repeated: what happens at the interval.
    """
    parser = Parser(add_help=False)
    parser.add_argument(
        "-i",
        "--interval",
        dest="refresh",
        type=_argument_type(partial(parse_option, "collect_interval")),
        default=_TOP_INTERVAL_SECONDS,
        metavar=_DURATION,
        help=f"time between {repeated} (default: {_TOP_INTERVAL_SECONDS:g}s)",
    )
    return parser


def _access_options() -> Parser:
    """Return the options of the commands that ask a service."""
    parser = Parser(add_help=False)
    parser.add_argument(
        "--url",
        default=None,
        metavar="URL",
        help="URL of the monitor, such as http://gpu1:8000 (default: the service on this machine, if it runs)",
    )
    parser.add_argument("--login", default=None, metavar="NAME", help="login, if the monitor requires a password")
    for flag, text in (
        ("--password-file", "file with the password of --login"),
        ("--ca-file", "CA certificates to trust (default: those of the system)"),
        ("--cert-file", "client certificate, if the monitor requires one"),
        ("--key-file", "key of the client certificate (default: the same file)"),
    ):
        parser.add_argument(flag, type=_parse_file, default=None, metavar="FILE", help=text)
    return parser


def _add_setting(parser: Parser, flags: tuple[str, ...], field: str, metavar: str, description: str) -> None:
    """Add an option that overrides a key of the configuration file."""
    kind = Config.__dataclass_fields__[field]
    default = kind.metadata["kind"].show(kind.default)
    parser.add_argument(
        *flags,
        dest=field,
        type=_argument_type(partial(parse_option, field)),
        metavar=metavar,
        help=f"{description} (default: {default})".replace("%", "%%"),
    )


def _argument_type(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return the parser of a value with its ValueError as an error message of argparse."""

    def parse_argument(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is wrong; {error}") from None

    return parse_argument


@_argument_type
def _parse_demo_gpus(text: str) -> int:
    if not re.fullmatch("[0-9]{1,4}", text) or int(text) > _MAX_DEMO_GPUS:
        raise ValueError(f"expected a number of GPUs up to {_MAX_DEMO_GPUS}")
    return int(text)


@_argument_type
def _parse_pid(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise ValueError("expected a process ID")
    return int(text)


def _parse_path(expected: str, text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError(f"expected {expected}")
    return Path(text).absolute()


_parse_file = _argument_type(partial(_parse_path, "a file"))
_parse_directory = _argument_type(partial(_parse_path, "a directory"))
