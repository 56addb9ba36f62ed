"""The commands of ``genv-monitor``, which is also ``genv monitor``: one function for each."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from genvd.cli.arguments import build_parsers
from genvd.cli.parser import parse
from genvd.common import files
from genvd.common.output import (
    EXIT_FAILED,
    EXIT_NOT_KNOWN,
    EXIT_OK,
    EXIT_RESTART,
    EXIT_USAGE,
    CommandError,
    open_closed_standard_streams,
    write_output,
)
from genvd.common.text import clean
from genvd.config.loader import ConfigError, load
from genvd.config.notify_files import read_notify_files
from genvd.config.schema import DEFAULT_FILE, Config
from genvd.config.yaml_writer import as_yaml
from genvd.service import logging_setup
from genvd.service.process import exit_process, re_execute
from genvd.service.signals import block_signals, exit_on_ctrl_c

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from genvd.model.snapshot import Snapshot
    from genvd.service.monitor import Monitor
    from genvd.service.separation import Separation
    from genvd.terminal.http_client import Access
    from genvd.terminal.source import SourceOptions

log = logging.getLogger(__name__)

_MAX_PASSWORD_BYTES = 4096

_ONCE_TIMEOUT_SECONDS = 60.0
"""This is long, because a driver without persistence mode takes seconds to start, and ``once`` collects only once."""


def main(arguments: list[str] | None = None, program: str = "genv-monitor") -> NoReturn:
    """Run a command, and end the process with its exit status.

    Args:
        arguments: the arguments after the program name; None for those of this process.
        program: the program name for the help texts.
    """
    status = EXIT_FAILED
    try:
        status = _execute(arguments, program)
    except Exception:  # print it as usual, but do not wait for calls that hang
        sys.excepthook(*sys.exc_info())
    exit_process(status)


def _execute(arguments: list[str] | None, program: str) -> int:
    """Parse the command line and run the command; return the exit status."""
    open_closed_standard_streams()
    options = parse(*build_parsers(program), sys.argv[1:] if arguments is None else arguments)
    if options.command == "run":
        block_signals()  # first of all, so that a signal during the start is not lost
    else:
        exit_on_ctrl_c()
    try:
        if options.command == "reload":
            return _reload(options)
        separation = _separation(options)
        config = _config(options)
        logging_setup.set_up(config.logging_level)
        if separation:
            separation.give_up_privileges(config, _file(options))
        return _COMMANDS[options.command](config, options) or EXIT_OK
    except ConfigError as error:  # in the configuration, or in a file that it names
        _report_problems(error.problems, in_log=options.command != "check")
        if options.command == "check":
            print(f"configuration invalid: {_count(error.problems, 'problem')}", file=sys.stderr)
        return EXIT_USAGE
    except CommandError as error:
        log.error("%s", error)
        return EXIT_USAGE if isinstance(error, _UsageError) else EXIT_FAILED


def _separation(options: argparse.Namespace) -> Separation | None:
    """Start the helper for a command that reads processes, before anything else is read; None if it needs none."""
    if options.command not in ("run", "once") or options.demo is not None:
        return None
    from genvd.service.separation import Separation

    separation = Separation()
    separation.start_helper()
    return separation


class _UsageError(CommandError):
    """The options contradict each other, or one is missing."""


def _report_problems(problems: list[str], *, in_log: bool) -> None:
    """Log the problems of a configuration, or print one line each in the format that editors understand."""
    if in_log:
        logging_setup.set_up("info")
    for problem in problems:
        if in_log:
            log.error("%s", problem)
        else:
            print(problem, file=sys.stderr)


def _run(config: Config, options: argparse.Namespace) -> int:
    from genvd.service.daemon import Daemon

    daemon = Daemon(lambda: _config(options), config, options.demo)
    status = daemon.run()
    if status == EXIT_RESTART and not daemon.supervised:
        re_execute()
    return status


def _check(config: Config, options: argparse.Namespace) -> None:
    from genvd.publish.service_directory import find_obstacle
    from genvd.web.security import load_web_config

    loaded = load_web_config(config.listen_web_config_file)
    read_notify_files(config)
    found = (loaded.warning, *loaded.invalid_certificates().values(), find_obstacle(config))
    warnings = [warning for warning in found if warning]
    for warning in warnings:
        print(warning, file=sys.stderr)
    source = clean(str(_file(options) or f"there is no {DEFAULT_FILE}, so all values are defaults"))
    warned = f", with {_count(warnings, 'warning')}" if warnings else ""
    write_output(f"{as_yaml(config)}# configuration valid{warned}: {source}\n".encode())


def _count(items: Sequence[str], noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def _reload(options: argparse.Namespace) -> int:
    """Check the configuration of a running monitor with its command line and its listen address, and reload it.

    The reload is sent even if the configuration is invalid. The monitor rejects it too, and its metrics show that.
    """
    from genvd.service.running_monitor import NotRunningError, read_arguments, reload
    from genvd.web.listen_check import find_listen_problem
    from genvd.web.security import load_web_config

    logging_setup.set_up("info")
    if options.pid is None:
        raise _UsageError("reload needs the PID of a monitor; give it, or use 'systemctl reload genv-monitor'")
    status = EXIT_OK
    monitor_options = parse(*build_parsers("genv-monitor"), read_arguments(options.pid))
    if monitor_options.command != "run":
        raise NotRunningError(f"process {options.pid}: is not a running service; expected the PID of one")
    try:
        config = _config(monitor_options)
        for invalid in load_web_config(config.listen_web_config_file).invalid_certificates().values():
            log.warning("%s", invalid)
        read_notify_files(config)
        if reason := find_listen_problem(options.pid, config.listen_address, config.listen_port):
            log.error("%s", reason)
            status = EXIT_FAILED  # the file is valid, and EXIT_USAGE would say that it is not
    except ConfigError as error:
        _report_problems(error.problems, in_log=True)
        status = EXIT_USAGE
    reload(options.pid)
    return status


def _once(config: Config, options: argparse.Namespace) -> None:
    from genvd.collectors.registry import make_collectors
    from genvd.service.monitor import Monitor

    once_config = replace(config, collect_interval=_ONCE_TIMEOUT_SECONDS, collect_timeout=_ONCE_TIMEOUT_SECONDS)
    monitor = Monitor(once_config, make_collectors(once_config, options.demo))
    monitor.restore_from_service(config)
    write_output(_ONCE_FORMATS[options.format](monitor, monitor.collect(), options))


def _as_metrics(monitor: Monitor, snapshot: Snapshot, _: argparse.Namespace) -> bytes:
    from genvd.metrics.exposition import TEXT, render

    return render(TEXT, monitor.metric_families(snapshot))


def _as_table(_: Monitor, snapshot: Snapshot, options: argparse.Namespace) -> bytes:
    from genvd.terminal.client import TimedSnapshot
    from genvd.terminal.top import as_text

    return as_text(TimedSnapshot(snapshot, snapshot.timestamp), color=options.color)


def _as_json(_: Monitor, snapshot: Snapshot, __: argparse.Namespace) -> bytes:
    from genvd.model import snapshot_json

    return snapshot_json.dump(snapshot)


_ONCE_FORMATS: dict[str, Callable[[Monitor, Snapshot, argparse.Namespace], bytes]] = {
    "metrics": _as_metrics,
    "table": _as_table,
    "json": _as_json,
}


def _top(config: Config, options: argparse.Namespace) -> None:
    from genvd.terminal.top import TopOptions, run

    user = _own_name() if options.me else options.user
    if options.login is None and options.password_file:
        user = None  # it is the login
    run(config, TopOptions(_source(options), options.color, user, once=options.once))


def _own_name() -> str:
    import pwd

    try:
        return clean(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:
        raise CommandError(f"--me: uid {os.getuid()} has no account here; use --user NAME") from None


def _free(config: Config, options: argparse.Namespace) -> int:
    from genvd.terminal.free import NotKnownError, run

    try:
        any_free = run(config, _source(options), options.wait)
    except NotKnownError as error:
        log.error("%s", error)
        return EXIT_NOT_KNOWN
    if not any_free and sys.stderr.isatty():
        print("no GPU is free", file=sys.stderr)
    return EXIT_OK if any_free else EXIT_FAILED


def _source(options: argparse.Namespace) -> SourceOptions:
    from genvd.terminal.source import SourceOptions

    login = options.login
    if login is None and options.password_file:
        login = getattr(options, "user", None)  # as before there was --login
    return SourceOptions(options.url, _access(options, login), options.refresh, options.demo)


def _access(options: argparse.Namespace, login: str | None) -> Access:
    from genvd.terminal.http_client import Access

    if options.key_file and not options.cert_file:
        raise CommandError("--key-file needs --cert-file, the certificate of the key")
    password = _read_password(options.password_file)
    return Access(options.ca_file, options.cert_file, options.key_file, login, password)


def _read_password(file: Path | None) -> str:
    if file is None:
        return ""
    advice = "--password-file needs a file with one line"
    try:
        return files.read_file(file, _MAX_PASSWORD_BYTES).decode().rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "it is not text"
        raise CommandError(f"{file}: cannot be read: {reason}; {advice}") from None
    except files.UnsuitableFileError as error:
        raise CommandError(f"{file}: {error}; {advice}") from None


def _publish(config: Config, options: argparse.Namespace) -> None:
    from genvd.config.paths import SERVICE_METRICS
    from genvd.config.web import read_web_config
    from genvd.publish.publication import publication_for
    from genvd.publish.service_directory import find_leftover, is_for_service
    from genvd.service.separation import become_service_user

    if config.listen_web_config_file and (problems := read_web_config(config.listen_web_config_file).problems):
        raise ConfigError(problems)
    read_notify_files(config)
    if config.listen_port == 0:
        raise _UsageError("port 0 is chosen when the monitor starts, so it cannot be published; give one with --port")
    if is_for_service(config):
        if leftover := find_leftover(config):
            log.warning("%s", leftover)
        config = replace(config, publish_directory=SERVICE_METRICS)
    publication = publication_for(config, config.listen_port)
    if publication.directory == SERVICE_METRICS:
        become_service_user("publish")
    publication.write()
    write_output(f"{publication.directory}\n".encode())


def _report(config: Config, options: argparse.Namespace) -> None:
    from genvd.terminal.report import ReportOptions, as_text, make

    if options.since >= options.until:
        raise _UsageError("--since is not before --until; swap them")
    if options.by == "machine" and not options.prometheus:
        raise _UsageError("--by machine needs --prometheus, with the machines that it scrapes")
    if options.by == "device" and options.prometheus:
        raise _UsageError("--by device is not in Prometheus; leave out --prometheus, or use --by machine")
    if options.password_file and options.login is None:
        raise _UsageError("--password-file needs --login, whose password it has")
    user = _own_name() if options.me else options.user
    own = _own_name() if config.usage_visible == "own" and os.geteuid() != 0 else None
    wanted = ReportOptions(options.since, options.until, options.by, user, own)
    access = _access(options, options.login)
    report = make(config, wanted, options.ledger, options.demo, options.url, options.prometheus, access)
    if report.note and options.format != "table":
        log.warning("%s", report.note)
    write_output(as_text(report, options.format))


_COMMANDS: dict[str, Callable[[Config, argparse.Namespace], int | None]] = {
    "run": _run,
    "check": _check,
    "once": _once,
    "top": _top,
    "free": _free,
    "publish": _publish,
    "report": _report,
}
"""All commands except ``reload``, which has no configuration of its own."""


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
        pass  # it may exist: reading it reports the error
    return DEFAULT_FILE


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(options).items() if name in Config.__dataclass_fields__}
