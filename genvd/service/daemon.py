"""The service from start to stop: its parts, signals, reload, and what systemd wants to know."""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from typing import TYPE_CHECKING

from genvd.collectors.registry import make_collectors
from genvd.common.error_log import ErrorLog
from genvd.common.output import EXIT_FAILED, EXIT_OK, EXIT_RESTART
from genvd.config.loader import ConfigError
from genvd.config.paths import state_directory
from genvd.config.values import show_duration
from genvd.config.yaml_reader import unexpected
from genvd.model.snapshot import ListenAddress
from genvd.publish.publisher import Publisher
from genvd.publish.scrape_config import scrape_target
from genvd.service import logging_setup, process
from genvd.service.monitor import Monitor
from genvd.service.signals import WAKE, hold_signals, next_signal, wake_main_thread
from genvd.service.systemd import ServiceManager, passed_sockets, status_line, watchdog_seconds
from genvd.service.timer import Timer
from genvd.web.connections import raise_descriptor_limit
from genvd.web.http_server import Server
from genvd.web.listening import ListenError, ListenSockets, listen, wrap_inherited
from genvd.web.security import Security
from genvd.web.security import load as load_web_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from genvd.config.schema import Config
    from genvd.web.security import LoadedWebConfig

log = logging.getLogger(__name__)

_LISTEN = "listen"
"""What can go wrong."""

_LAST_WRITE_SECONDS = 1.0
"""That a stop waits for a disk."""


class Daemon:
    """All parts of the running service. Its methods are called by the main thread, but for the tick."""

    def __init__(self, load: Callable[[], Config], config: Config, demo: int | None) -> None:
        """Make it ready to run.

        Args:
            load: reads the configuration anew.
            config: what it is now.
            demo: number of devices of the simulated machine; None for the real one.

        Raises:
            ConfigError: the web configuration that ``config`` names cannot be used.
        """
        self._security = Security(load_web_config(config.listen_web_config_file))
        self._load = load
        self._demo = demo is not None
        self._config = config
        self._manager = ServiceManager()
        collectors = make_collectors(config, demo)
        self._monitor = Monitor(config, collectors)
        self._restart_reason = collectors.restart_reason
        self._monitor.site.host_names.set_configured(_names(config))
        self._publisher = Publisher(self._monitor.published, demo=self._demo, wake=wake_main_thread)
        self._ready = False
        self._address_came = False
        self._errors = ErrorLog(log)  # of the main thread
        self._exit_status = EXIT_OK
        beat_interval = (watchdog_seconds() or math.inf) / 2
        self._timer = Timer(config.collect_interval, self._tick, self._manager.alive, beat_interval)
        self._passed = wrap_inherited(passed_sockets())
        self._server: Server
        self._target = ""

    @property
    def supervised(self) -> bool:
        """Whether a service manager starts it again."""
        return self._manager.supervised

    def run(self) -> int:
        """Serve until SIGINT or SIGTERM; return the exit status."""
        hold_signals()
        raise_descriptor_limit()
        process.tune_interpreter()
        try:
            self._take_up(self._serve(self._passed or listen(*_place(self._config))))
        except ListenError as error:
            log.error("%s", error)
            return EXIT_FAILED
        self._publish()
        if self._passed is None:  # else connections wait in the socket, so that a restart loses no scrape
            self._server.start()
        self._monitor.keep_ledger(self._config)
        self._timer.start()
        self._say_what_runs()
        self._say_why_it_stops(self._work_until_told_to_stop())
        self._manager.stopping()
        self._timer.stop()
        self._server.stop(accept_queued=self._passed is None)
        if not self._monitor.close_ledger(_LAST_WRITE_SECONDS):
            log.warning("the ledger could not be written in time; use of the last half minute may be lost")
        return self._exit_status

    def _serve(self, listening: ListenSockets) -> Server:
        return Server(self._monitor.site, self._security, listening)

    def _take_up(self, server: Server) -> None:
        self._server = server
        self._monitor.listening = _listen_addresses(server.listening)

    def _say_where_it_does_not_listen(self) -> None:
        listening = self._server.listening
        for address in listening.taken:
            log.warning(
                "%s port %d is held by another program, which may pretend to be this monitor, so %s is published as the"
                " target; stop that program, then reload",
                *(address, listening.port, self._target),
            )

    def _found_target(self) -> str:
        """Return the ``host:port`` under which a Prometheus on this machine reaches this server and nobody else."""
        listening = self._server.listening
        return scrape_target(listening.name, listening.port, (*listening.addresses, *listening.unavailable))

    def _work_until_told_to_stop(self) -> signal.Signals:
        while True:
            caught = next_signal(self._publisher.seconds_until_retry())
            if caught is None:
                self._publisher.retry_if_due(self._config, self._server.port, self._target)
            elif caught == signal.SIGHUP:
                self._reload()
            elif caught != WAKE:
                return caught
            elif self._address_came:
                self._listen_there_too()

    def _tick(self, skipped: int) -> None:
        started = time.monotonic()
        self._security.reload_if_changed()
        self._monitor.web_config_successful = self._security.successful
        self._monitor.certificate_ends = self._security.policy.certificate_ends
        if self._passed is None and self._server.listening.missing_address_available():
            self._address_came = True
            wake_main_thread()
        if self._ready:
            self._publisher.check_files()
        self._monitor.tick(skipped)
        seconds = time.monotonic() - started
        if (latest := self._monitor.site.latest) is None:
            return
        self._manager.status(status_line(latest.snapshot, seconds))
        if not self._ready:
            self._ready = True
            if not self._server.started:
                self._server.start()
            self._manager.ready()
        if reason := self._restart_reason(latest.snapshot.driver_state):
            self._start_again(reason)

    def _start_again(self, reason: str) -> None:
        log.warning("%s: starting again", reason)
        self._exit_status = EXIT_RESTART
        os.kill(os.getpid(), signal.SIGTERM)

    def _say_why_it_stops(self, caught: signal.Signals) -> None:
        if self._exit_status == EXIT_RESTART:  # the signal is this process's own
            log.info("stopping, for a new process to take over")
        else:
            log.info("%s: stopping", caught.name)

    def _reload(self) -> None:
        """Apply the configuration as it is now; a broken one changes nothing."""
        self._manager.reloading()
        try:
            config = self._load()
            web_config = load_web_config(config.listen_web_config_file)
            elsewhere = self._server_elsewhere(config)
        except Exception as error:  # whatever is in the files, the service goes on
            self._refuse(error)
        else:
            self._admit(config, web_config, elsewhere)
            try:
                self._apply(config)
            except Exception as error:
                log.error("%s", unexpected("the configuration", error))
                log.error("the configuration was applied in part only; restart the service to have all of it")
                self._monitor.reloaded(successful=False)
        self._timer.restart(self._config.collect_interval)  # so that the metrics tell at once
        self._manager.ready()

    def _refuse(self, error: Exception) -> None:
        """Say why a reload changed nothing."""
        expected = isinstance(error, ConfigError | ListenError)
        for line in str(error).splitlines() if expected else [unexpected("the configuration", error)]:
            log.error("%s", line)
        log.error("the configuration was not reloaded; everything goes on as before")
        self._monitor.reloaded(successful=False)

    def _apply(self, config: Config) -> None:
        logging_setup.set_up(config.logging_level)
        self._config = config
        self._monitor.reconfigure(config)
        self._monitor.keep_ledger(config)
        self._monitor.reloaded(successful=True)
        self._publish()
        log.info("the configuration was reloaded")
        self._say_what_runs()

    def _publish(self) -> None:
        if not self._demo:
            _tell_missing_state(self._config)  # first, as publishing may make the directory
        self._target = self._found_target()  # it may have to be asked for, so not at each attempt
        self._publisher.publish(self._config, self._server.port, self._target)

    def _server_elsewhere(self, config: Config) -> Server | None:
        """Return one on another address, not started, if the configuration says so; raises ListenError."""
        now, same = self._server.listening, _place(config) == _place(self._config)
        if self._passed is not None:
            if not same:
                log.warning("listen.address and listen.port do not count here: the socket unit decides; edit that one")
            return None
        if same and not now.taken and not now.unavailable:
            return None
        with now.allow_reuse():
            found = listen(config.listen_address, now.port if same else config.listen_port, now)
        if same and found.same_addresses(now):
            found.close()
            return None
        return self._serve(found)

    def _listen_there_too(self) -> None:
        """Serve on a loopback address that the machine did not have before; where another program was first, say so."""
        self._address_came = False
        try:
            more = self._server_elsewhere(self._config)
        except ListenError as error:
            self._errors.report(_LISTEN, str(error), level=logging.ERROR)
            return
        if more is not None:
            self._server.stop(accept_queued=True, successor=more)
            more.start()
            self._take_up(more)
            self._publish()
            self._say_what_runs()

    def _admit(self, config: Config, web_config: LoadedWebConfig, elsewhere: Server | None) -> None:
        """Serve where the configuration says, and whom it says.

        Neither address is ever served by the rules of the other one: these change when the old server is gone and the
        new one has not begun. Whoever connects meanwhile waits in the new socket.
        """
        if elsewhere:
            self._server.stop(accept_queued=True, successor=elsewhere)
        self._security.apply(web_config)
        self._monitor.site.host_names.set_configured(_names(config))
        if elsewhere:
            elsewhere.start()
            self._take_up(elsewhere)

    def _say_what_runs(self) -> None:
        self._say_where_it_does_not_listen()
        interval = show_duration(self._config.collect_interval)
        scheme = "https" if self._security.policy.tls else "http"
        log.info("serving metrics at %s://%s/metrics, collecting every %s", scheme, self._target, interval)


def _tell_missing_state(config: Config) -> None:
    """Say that there is no state of genv to read, where somebody has said where it is."""
    state = state_directory(config)
    if os.path.exists(state):
        return
    if config.genv_state_directory:
        log.warning("genv.state_directory: %s is not there, or hidden: the service sees nothing below /home", state)
    elif os.environ.get("GENV_TMPDIR"):
        log.info("GENV_TMPDIR: %s is not there: genv makes it at first use, or that of the users is another one", state)


def _names(config: Config) -> tuple[str, ...]:
    return config.listen_address, *config.listen_names


def _listen_addresses(listening: ListenSockets) -> tuple[ListenAddress, ...]:
    """Return what the metrics say of them."""
    served = [ListenAddress(address, served=True) for address in listening.addresses]
    return (*served, *(ListenAddress(address, served=False) for address in listening.taken))


def _place(config: Config) -> tuple[str, int]:
    return config.listen_address, config.listen_port
