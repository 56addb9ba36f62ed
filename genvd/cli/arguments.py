"""The command line: which commands and options there are, and what they may be."""

from __future__ import annotations

import argparse
import os
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from genvd import __version__
from genvd.cli.parser import FILE, PID, Parser
from genvd.config.loader import parse_option
from genvd.config.schema import DEFAULT_FILE, LOG_LEVELS, Config
from genvd.ledger.period import parse_time

_DEMO_DEVICES = 8
_MAX_DEMO_DEVICES = 1024
_DURATION = "DURATION"
"""Not seconds: ``1m30s`` is as good as ``90``."""
_REPORT_SPAN = timedelta(days=7)
_REFRESH = 2.0
"""Seconds between two updates of ``top``."""


def parsers(program: str) -> tuple[Parser, dict[str, Parser]]:
    """Return the parser of the program, and those of the commands by name; ``command`` of what they give is the name.

    Args:
        program: how the user calls it.
    """
    version, common, demo = _version_option(), _common_options(), _demo_option()
    publish = [version, common, _publish_options(), _listen_options("to serve on")]
    settings = [*publish, _interval_option()]
    parser = Parser(
        prog=program,
        parents=[*settings, demo],
        description="Monitors the GPUs, environments, processes and users of this machine for Prometheus and Grafana.",
        epilog="Without a command it runs, with the options above. Options stand before the command or after it;"
        " COMMAND --help has those of each. The exit status is 0 when it was asked to stop, 1 when it could not run,"
        " 2 when the command line or the configuration is wrong.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", parser_class=Parser)
    parser.set_defaults(command="run", demo=None)
    commands.add_parser(
        "run", parents=[*settings, demo], help="run in the foreground until Ctrl+C or SIGTERM (the default)"
    )
    check = commands.add_parser(
        "check", parents=settings, help="check a configuration file and print the effective configuration"
    )
    check.add_argument(
        "file", nargs="?", type=Path, default=None, metavar=FILE, help=f"file to check (default: {DEFAULT_FILE})"
    )
    check.exclusive = {"--config": (FILE,)}
    reload = commands.add_parser(
        "reload",
        parents=[version],
        help="check the configuration of a running monitor and have it applied; fails if it is broken",
    )
    reload.add_argument(
        "pid",
        nargs="?",
        type=_pid,
        default=os.environ.get("MAINPID") or None,
        metavar=PID,
        help="number of its process (default: $MAINPID, which systemd sets)",
    )
    commands.add_parser(
        "once",
        parents=[version, common, demo, _once_options()],
        help="collect once and print the metrics, fit for a textfile collector",
    )
    top = commands.add_parser(
        "top",
        parents=[version, common, _top_options(), _listen_options("that the service of this machine has"), demo],
        help="show the machine in this terminal, again and again, until q or Ctrl+C; ? shows the keys",
    )
    top.exclusive = {
        "--url": ("--demo", "--address", "--port"),
        "--demo": ("--address", "--port", "--ca-file", "--cert-file", "--key-file", "--user", "--password-file"),
    }
    commands.add_parser("publish", parents=publish, help="write the Prometheus and Grafana files and exit")
    commands.add_parser(
        "report",
        parents=[version, common, _report_options()],
        help="print who used how much, from what the service has counted",
    )
    return parser, commands.choices


def _options() -> Parser:
    """Return a parser for options that several commands share: it is passed to theirs as a parent."""
    return Parser(add_help=False)


def _version_option() -> Parser:
    parser = _options()
    parser.add_argument("--version", action="version", version=f"genv-monitor {__version__}")
    return parser


def _common_options() -> Parser:
    parser = _options()
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        help=f"configuration (default: {DEFAULT_FILE} where it exists)",
    )
    _add_setting(parser, ("--log-level",), "logging_level", "LEVEL", f"one of {', '.join(LOG_LEVELS)}")
    return parser


def _publish_options() -> Parser:
    parser = _options()
    parser.add_argument(
        "--config-dir",
        dest="publish_directory",
        type=_directory,
        metavar="DIR",
        help="where the Prometheus and Grafana files go (default: metrics/ below $STATE_DIRECTORY where systemd sets"
        " it, else below genv's state directory)",
    )
    return parser


def _listen_options(purpose: str) -> Parser:
    parser = _options()
    _add_setting(parser, ("-a", "--address"), "listen_address", "ADDR", f"address {purpose}")
    _add_setting(parser, ("-p", "--port"), "listen_port", "N", f"port {purpose}")
    return parser


def _interval_option() -> Parser:
    parser = _options()
    _add_setting(parser, ("-i", "--interval"), "collect_interval", _DURATION, "time between collections")
    return parser


def _demo_option() -> Parser:
    parser = _options()
    parser.add_argument(
        "--demo",
        nargs="?",
        type=_demo_devices,
        const=_DEMO_DEVICES,
        metavar="N",
        help=f"show a simulated machine with N devices (default: {_DEMO_DEVICES}) instead of this one; it publishes"
        " nothing unless --config-dir says where",
    )
    return parser


def _once_options() -> Parser:
    parser = _options()
    parser.add_argument(
        "--format",
        choices=("metrics", "table", "json"),
        default="metrics",
        help="metrics as Prometheus reads them, a table for people, or the snapshot as json (default: metrics)",
    )
    return parser


def _report_options() -> Parser:
    parser = _options()
    now = datetime.now(timezone.utc)

    def moment(text: str) -> datetime:
        try:
            return parse_time(text, now)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is wrong; {error}") from None

    parser.add_argument(
        "--since",
        type=moment,
        default=now - _REPORT_SPAN,
        metavar="WHEN",
        help="how long ago (12h, 7d, 4w), a day (today, yesterday, 2026-11-23) or a time (2026-11-23T08:00), in local"
        " time unless it has a zone (default: 7d)",
    )
    parser.add_argument("--until", type=moment, default=now, metavar="WHEN", help="likewise (default: now)")
    parser.add_argument(
        "--by", choices=("user", "environment", "device"), default="user", help="what is summed up (default: user)"
    )
    parser.add_argument(
        "--format",
        choices=("table", "csv", "json"),
        default="table",
        help="table has GPU-hours or less for people, the others have seconds and joules (default: table)",
    )
    parser.add_argument(
        "--ledger",
        type=_path,
        default=None,
        metavar="FILE",
        help="the file to read, such as a backup (default: ledger.db where the service keeps it)",
    )
    return parser


def _top_options() -> Parser:
    parser = _options()
    parser.add_argument(
        "--url",
        default=None,
        metavar="URL",
        help="the monitor to ask, such as http://gpu1:8000 (default: that of this machine, or none if it does not run)",
    )
    parser.add_argument(
        "-i",
        "--interval",
        dest="refresh",
        type=_refresh,
        default=_REFRESH,
        metavar=_DURATION,
        help=f"time between two updates (default: {_REFRESH:g}s)",
    )
    parser.add_argument(
        "--ca-file", type=_path, default=None, metavar="FILE", help="the CA of its certificate (default: the system's)"
    )
    parser.add_argument(
        "--cert-file", type=_path, default=None, metavar="FILE", help="the certificate to show, where it asks for one"
    )
    parser.add_argument(
        "--key-file", type=_path, default=None, metavar="FILE", help="its key (default: in the file of --cert-file)"
    )
    parser.add_argument("--user", default=None, metavar="NAME", help="the user to be, where it wants passwords")
    parser.add_argument(
        "--password-file", type=_path, default=None, metavar="FILE", help="a file with the password of --user"
    )
    return parser


def _refresh(text: str) -> float:
    try:
        return float(parse_option("collect_interval", text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is wrong; {error}") from None


def _add_setting(parser: Parser, flags: tuple[str, ...], field: str, metavar: str, description: str) -> None:
    def parse(text: str) -> Any:
        try:
            return parse_option(field, text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is wrong; {error}") from None

    kind = Config.__dataclass_fields__[field]
    default = kind.metadata["kind"].show(kind.default)
    parser.add_argument(
        *flags,
        dest=field,
        type=parse,
        metavar=metavar,
        help=f"{description} (default: {default})".replace("%", "%%"),
    )


def _demo_devices(text: str) -> int:
    if not re.fullmatch("[0-9]{1,4}", text) or int(text) > _MAX_DEMO_DEVICES:
        raise argparse.ArgumentTypeError(f"{text!r} is wrong; expected a number of devices up to {_MAX_DEMO_DEVICES}")
    return int(text)


def _pid(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is wrong; expected the number of a process")
    return int(text)


def _directory(text: str) -> Path:
    return _path(text, "a directory")


def _path(text: str, expected: str = "a file") -> Path:
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is wrong; expected {expected}")
    return Path(text).absolute()
