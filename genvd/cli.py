"""``genv monitor``, which is ``genv-monitor``: arguments, and what each command does with them."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genvd import __version__, logs
from genvd.command_line import FILE, PID, Parser, parse
from genvd.config import DEFAULT_FILE, LOG_LEVELS, Config, as_yaml
from genvd.config_file import ConfigError, load, parse_option
from genvd.exit_status import FAILED, OK, START_AGAIN, WRONG
from genvd.ledger.period import parse_moment
from genvd.signals import end_when_interrupted, hold_signals
from genvd.streams import OutputError, open_closed_ones, write_output

if TYPE_CHECKING:
    from collections.abc import Callable

    from genvd.model import Snapshot
    from genvd.monitor import Monitor

log = logging.getLogger(__name__)

_DEMO_DEVICES = 8
_MAX_DEMO_DEVICES = 1024
_DURATION = "DURATION"
"""Not seconds: ``1m30s`` is as good as ``90``."""
_REPORT_SPAN = timedelta(days=7)
_REFRESH = 2.0
"""Seconds from one look of ``top`` to the next."""
_ONCE_TIMEOUT = 60.0
"""Seconds. A driver without persistence takes some to wake up, and nobody waits for a second collection."""


def main(arguments: list[str] | None = None, program: str = "genv-monitor") -> int:
    """Run a command; return its exit status.

    Args:
        arguments: those after the program's name; None for those of this process.
        program: how the user calls this.
    """
    open_closed_ones()
    parser, commands = parsers(program)
    options = parse(parser, commands, sys.argv[1:] if arguments is None else arguments)
    if options.run_command is _run:
        hold_signals()  # at once: whoever asks it to stop while it starts gets what he asks for
    else:
        end_when_interrupted()
    if options.run_command == _reload:
        return _reload(parser, commands, options)
    try:
        config = _config(options)
    except ConfigError as error:
        _complain(error.problems, in_log=options.run_command is not _check)
        return WRONG
    logs.set_up(config.logging_level)
    command: Callable[[Config, argparse.Namespace], int] = options.run_command
    try:
        return command(config, options)
    except ConfigError as error:  # of the file that the configuration names
        _complain(error.problems, in_log=options.run_command is not _check)
        return WRONG
    except OutputError as error:
        log.error("%s", error)
        return FAILED


def _complain(problems: list[str], *, in_log: bool) -> None:
    """Say what is wrong: in the log of a service, else one line each, in the form that editors jump to."""
    if in_log:
        logs.set_up("info")
    for problem in problems:
        if in_log:
            log.error("%s", problem)
        else:
            print(problem, file=sys.stderr)


def _run(config: Config, options: argparse.Namespace) -> int:
    from genvd.daemon import Daemon
    from genvd.leaving import leave, start_again

    daemon = Daemon(lambda: _config(options), config, options.demo)
    status = daemon.run()
    if status == START_AGAIN and not daemon.supervised:
        start_again()
    leave(status)


def _check(config: Config, options: argparse.Namespace) -> int:
    from genvd.web.security import load as load_web_config

    if remark := load_web_config(config.listen_web_config_file).remark:
        print(remark, file=sys.stderr)
    write_output(as_yaml(config).encode())
    return OK


def _reload(parser: Parser, commands: dict[str, Parser], options: argparse.Namespace) -> int:
    """Check the configuration that a running monitor would read, with its command line, and have it read that.

    It is told of a broken one too: it refuses that by itself, and its metrics say so.
    """
    from genvd.running import NotRunningError, arguments_of, reload
    from genvd.web.security import load as load_web_config

    logs.set_up("info")
    if options.pid is None:
        log.error("reload needs the number of a process; give it, or use 'systemctl reload genv-monitor'")
        return WRONG
    status = OK
    try:
        theirs = parse(parser, commands, arguments_of(options.pid))
        if theirs.run_command is not _run:
            raise NotRunningError(f"process {options.pid}: is no monitor that serves; expected the number of one")
        try:
            load_web_config(_config(theirs).listen_web_config_file)
        except ConfigError as error:
            _complain(error.problems, in_log=True)
            status = WRONG
        reload(options.pid)
    except NotRunningError as error:
        log.error("%s", error)
        return FAILED
    return status


def _once(config: Config, options: argparse.Namespace) -> int:
    from genvd.monitor import Monitor
    from genvd.sources.assembly import make_sources

    patient = replace(config, collect_interval=_ONCE_TIMEOUT, collect_timeout=_ONCE_TIMEOUT)
    monitor = Monitor(patient, make_sources(patient, options.demo))
    write_output(_ONCE_FORMATS[options.format](monitor, monitor.look()))
    return OK


def _as_metrics(monitor: Monitor, snapshot: Snapshot) -> bytes:
    from genvd.metrics.exposition import TEXT, Families

    return TEXT.render(Families(monitor.exported(snapshot)))


def _as_table(_: Monitor, snapshot: Snapshot) -> bytes:
    from genvd.terminal.top import as_text

    return as_text(snapshot, snapshot.timestamp)


def _as_json(_: Monitor, snapshot: Snapshot) -> bytes:
    from genvd import snapshot_json

    return snapshot_json.dump(snapshot)


_ONCE_FORMATS: dict[str, Callable[[Monitor, Snapshot], bytes]] = {
    "metrics": _as_metrics,
    "table": _as_table,
    "json": _as_json,
}


def _top(config: Config, options: argparse.Namespace) -> int:
    from genvd.terminal.service import Access, ServiceError
    from genvd.terminal.top import Wanted, run

    try:
        if options.key_file and not options.cert_file:
            raise ServiceError("--key-file is of no use alone; --cert-file names its certificate")
        password = _password(options.password_file)
        access = Access(options.ca_file, options.cert_file, options.key_file, options.user, password)
        run(config, Wanted(options.url, access, options.refresh, options.demo))
    except ServiceError as error:
        log.error("%s", error)
        return FAILED
    return OK


def _password(file: Path | None) -> str:
    from genvd.terminal.service import ServiceError

    try:
        return "" if file is None else file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "it is no text"
        raise ServiceError(f"{file}: cannot be read: {reason}; --password-file names a file of one line") from None


def _publish(config: Config, options: argparse.Namespace) -> int:
    from genvd.publish import PublishError, publish_as_configured
    from genvd.web.web_config import read

    if config.listen_web_config_file and (problems := read(config.listen_web_config_file).problems):
        raise ConfigError(problems)
    if config.listen_port == 0:
        log.error("with port 0 nobody knows what to scrape before the monitor runs; give the port with --port")
        return WRONG
    try:
        directory = publish_as_configured(config, config.listen_port)
    except PublishError as error:
        log.error("%s", error)
        return FAILED
    write_output(f"{directory}\n".encode())
    return OK


def _report(config: Config, options: argparse.Namespace) -> int:
    from genvd.ledger.forms import FORMATS
    from genvd.ledger.place import FILE
    from genvd.ledger.report import ReportError, make
    from genvd.places import ledger_to_read

    if options.since >= options.until:
        log.error("--since is not before --until: there is no time in between; exchange them")
        return WRONG
    try:
        report = make(options.ledger or ledger_to_read(config) / FILE, options.since, options.until, options.by)
    except ReportError as error:
        log.error("%s", error)
        return FAILED
    write_output(FORMATS[options.format](report).encode())
    return OK


def parsers(program: str) -> tuple[Parser, dict[str, Parser]]:
    """Return the parser of the program, and those of the commands by name."""
    parser = Parser(
        prog=program,
        description="Monitors the GPUs, environments, processes and users of this machine for Prometheus and Grafana.",
        epilog="Without a command it runs, with the options above. Options stand before the command or after it;"
        " COMMAND --help has those of each. The exit status is 0 when it was asked to stop, 1 when it could not run,"
        " 2 when the command line or the configuration is wrong.",
    )
    _add_run_options(parser)
    parser.set_defaults(run_command=_run, demo=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)

    run = commands.add_parser("run", help="run in the foreground until Ctrl+C or SIGTERM (the default)")
    _add_run_options(run)
    run.set_defaults(run_command=_run)

    check = commands.add_parser("check", help="check a configuration file and print the effective configuration")
    check.add_argument(
        "file", nargs="?", type=Path, default=None, metavar=FILE, help=f"file to check (default: {DEFAULT_FILE})"
    )
    _add_settings(check)
    check.exclusive = {"--config": (FILE,)}
    check.set_defaults(run_command=_check)

    reload = commands.add_parser(
        "reload", help="check the configuration of a running monitor and have it applied; fails if it is broken"
    )
    reload.add_argument("--version", action="version", version=f"genv-monitor {__version__}")
    reload.add_argument(
        "pid",
        nargs="?",
        type=_pid,
        default=os.environ.get("MAINPID") or None,
        metavar=PID,
        help="number of its process (default: $MAINPID, which systemd sets)",
    )
    reload.set_defaults(run_command=_reload)

    once = commands.add_parser("once", help="collect once and print the metrics, fit for a textfile collector")
    _add_common_options(once)
    _add_demo_option(once)
    once.add_argument(
        "--format",
        choices=tuple(_ONCE_FORMATS),
        default="metrics",
        help="metrics as Prometheus reads them, a table for people, or the snapshot as json (default: metrics)",
    )
    once.set_defaults(run_command=_once)

    top = commands.add_parser(
        "top", help="show the machine in this terminal, again and again, until q or Ctrl+C; ? shows the keys"
    )
    _add_common_options(top)
    _add_top_options(top)
    _add_demo_option(top)
    top.exclusive = {
        "--url": ("--demo", "--address", "--port"),
        "--demo": ("--address", "--port", "--ca-file", "--cert-file", "--key-file", "--user", "--password-file"),
    }
    top.set_defaults(run_command=_top)

    publish = commands.add_parser("publish", help="write the Prometheus and Grafana files and exit")
    _add_common_options(publish)
    _add_publish_options(publish)
    publish.set_defaults(run_command=_publish)

    report = commands.add_parser("report", help="print who used how much, from what the service has counted")
    _add_common_options(report)
    _add_report_options(report)
    report.set_defaults(run_command=_report)
    return parser, commands.choices


def _add_run_options(parser: Parser) -> None:
    _add_settings(parser)
    _add_demo_option(parser)


def _add_settings(parser: Parser) -> None:
    _add_common_options(parser)
    _add_publish_options(parser)
    _add_setting(parser, ("-i", "--interval"), "collect_interval", _DURATION, "time between collections")


def _add_common_options(parser: Parser) -> None:
    parser.add_argument("--version", action="version", version=f"genv-monitor {__version__}")
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        help=f"configuration (default: {DEFAULT_FILE} where it exists)",
    )
    _add_setting(parser, ("--log-level",), "logging_level", "LEVEL", f"one of {', '.join(LOG_LEVELS)}")


def _add_publish_options(parser: Parser) -> None:
    parser.add_argument(
        "--config-dir",
        dest="publish_directory",
        type=_directory,
        metavar="DIR",
        help="where the Prometheus and Grafana files go (default: metrics/ below $STATE_DIRECTORY where systemd sets"
        " it, else below genv's state directory)",
    )
    _add_listen_options(parser, "to serve on")


def _add_listen_options(parser: Parser, purpose: str) -> None:
    _add_setting(parser, ("-a", "--address"), "listen_address", "ADDR", f"address {purpose}")
    _add_setting(parser, ("-p", "--port"), "listen_port", "N", f"port {purpose}")


def _add_report_options(parser: Parser) -> None:
    now = datetime.now(timezone.utc)

    def moment(text: str) -> datetime:
        try:
            return parse_moment(text, now)
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


def _add_top_options(parser: Parser) -> None:
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
        help=f"time from one look to the next (default: {_REFRESH:g}s)",
    )
    _add_listen_options(parser, "that the service of this machine has")
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


def _refresh(text: str) -> float:
    try:
        return float(parse_option("collect_interval", text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is wrong; {error}") from None


def _add_demo_option(parser: Parser) -> None:
    parser.add_argument(
        "--demo",
        nargs="?",
        type=_demo_devices,
        const=_DEMO_DEVICES,
        metavar="N",
        help=f"show a simulated machine with N devices (default: {_DEMO_DEVICES}) instead of this one; it publishes"
        " nothing unless --config-dir says where",
    )


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


def _config(options: argparse.Namespace) -> Config:
    return load(_file(options), _overrides(options))


def _file(options: argparse.Namespace) -> Path | None:
    given: Path | None = getattr(options, "file", None) or getattr(options, "config", None)
    return given or _default_file()


def _default_file() -> Path | None:
    try:
        DEFAULT_FILE.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        pass  # it may be there: reading it says what is wrong
    return DEFAULT_FILE


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(options).items() if name in Config.__dataclass_fields__}
