"""The running service: start, main loop, reload and stop, with the notifications to systemd."""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from typing import TYPE_CHECKING

from genvd.collectors.registry import make_collectors
from genvd.common.clock import watchdog_seconds
from genvd.common.descriptors import passed_descriptors
from genvd.common.error_log import ErrorLog
from genvd.common.output import EXIT_OK, EXIT_RESTART
from genvd.config.loader import ConfigError
from genvd.config.notify_files import read_notify_files
from genvd.config.paths import SERVICE_STATE, own_state_directory, state_directory
from genvd.config.values import show_duration
from genvd.config.yaml_reader import describe_unexpected
from genvd.model.snapshot import ListenAddress
from genvd.publish.publisher import Publisher
from genvd.publish.scrape_config import scrape_target
from genvd.publish.service_directory import find_leftover
from genvd.service import logging_setup, process
from genvd.service.monitor import Monitor
from genvd.service.signals import WAKE, block_signals, wait_for_signal, wake_main_thread
from genvd.service.socket_store import SocketStore
from genvd.service.systemd import SystemdNotifier, status_line
from genvd.service.timer import Timer
from genvd.web.connections import raise_descriptor_limit
from genvd.web.http_server import Server
from genvd.web.listening import ListenError, ListenSockets, listen, wrap_inherited
from genvd.web.security import Security, load_web_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from genvd.config.schema import Config
    from genvd.web.security import LoadedWebConfig

log = logging.getLogger(__name__)

_LISTEN = "listen"
"""Key of the error log."""

_LEDGER_CLOSE_SECONDS = 1.0
"""How long a stop waits until the ledger is written."""


class Daemon:
    """All parts of the running service. The timer thread calls :meth:`_tick`, the main thread all other methods."""

    def __init__(self, load: Callable[[], Config], config: Config, demo: int | None) -> None:
        """Create the service.

        Args:
            load: reads the configuration again, for a reload.
            config: the current configuration.
            demo: number of GPUs of the simulated machine; None for the real machine.

        Raises:
            ConfigError: the web configuration that ``config`` names is invalid.
        """
        self._security = Security(load_web_config(config.listen_web_config_file))
        self._load = load
        self._demo = demo is not None
        self._config = config
        self._systemd = SystemdNotifier()
        collectors = make_collectors(config, demo)
        self._monitor = Monitor(config, collectors)
        self._restart_reason = collectors.restart_reason
        self._monitor.site.host_names.set_configured(_host_names(config))
        self._publisher = Publisher(self._monitor.record_publish, demo=self._demo, wake=wake_main_thread)
        self._ready = False
        self._new_address_available = False
        self._errors = ErrorLog(log)  # for the main thread
        self._exit_status = EXIT_OK
        heartbeat_interval = (watchdog_seconds() or math.inf) / 2
        self._timer = Timer(config.collect_interval, self._tick, self._systemd.ping_watchdog, heartbeat_interval)
        passed = passed_descriptors()
        self._inherited = wrap_inherited(passed)
        self._store = SocketStore(self._systemd, passed)
        self._server: Server
        self._target = ""
        """See :meth:`_scrape_target`; set when the files are published."""

    @property
    def supervised(self) -> bool:
        """Whether systemd started this process and restarts it."""
        return self._systemd.active

    def run(self) -> int:
        """Serve until SIGINT or SIGTERM; return the exit status.

        Raises:
            ListenError: the address of the configuration cannot be used.
        """
        block_signals()
        raise_descriptor_limit()
        process.tune_interpreter()
        server = self._create_server(self._inherited or self._store.listen(*_listen_address(self._config)))
        self._keep_sockets(server)
        self._use_server(server)
        self._publish()
        if self._inherited is None and not self._store.holds_clients:
            self._server.start()  # else clients wait in the socket until the first collection, and no scrape fails
        self._monitor.configure_ledger(self._config)
        self._timer.start()
        self._log_serving()
        self._log_stop(self._run_main_loop())
        self._systemd.notify_stopping()
        self._timer.stop()
        self._server.stop(accept_queued=self._inherited is None)
        if not self._monitor.close_ledger(_LEDGER_CLOSE_SECONDS):
            log.warning("the ledger could not be written in time; usage of the last half minute may be lost")
        return self._exit_status

    def _create_server(self, listening: ListenSockets) -> Server:
        return Server(self._monitor.site, self._security, listening)

    def _keep_sockets(self, server: Server) -> None:
        """Let systemd keep the sockets of this server open while the service restarts, and no others."""
        if self._inherited is None:
            self._store.keep(server.listening.sockets)

    def _use_server(self, server: Server) -> None:
        self._server = server
        self._monitor.listening = _listen_states(server.listening)

    def _scrape_target(self) -> str:
        """Return the ``host:port`` under which a Prometheus on this machine reaches this server, and no other."""
        listening = self._server.listening
        return scrape_target(listening.name, listening.port, (*listening.addresses, *listening.unavailable))

    def _run_main_loop(self) -> signal.Signals:
        """Handle reloads and retries until a signal asks to stop; return that signal."""
        while True:
            caught = wait_for_signal(self._publisher.seconds_until_retry())
            if caught is None:
                self._publisher.retry_if_due(self._config, self._server.port, self._target)
            elif caught == signal.SIGHUP:
                self._reload()
            elif caught != WAKE:
                return caught
            elif self._new_address_available:
                self._add_listen_address()

    def _tick(self, skipped: int) -> None:
        """Run one tick, reload changed web files, and notify systemd. The first tick completes the start."""
        started = time.monotonic()
        self._security.reload_if_changed()
        self._monitor.web_config_successful = self._security.successful
        self._monitor.certificate_ends = self._security.policy.certificate_ends
        if self._inherited is None and self._server.listening.missing_address_available():
            self._new_address_available = True
            wake_main_thread()
        if self._ready:
            self._publisher.check_files()
        self._monitor.tick(skipped)
        seconds = time.monotonic() - started
        if (latest := self._monitor.site.latest) is None:
            return
        self._systemd.notify_status(status_line(latest.snapshot, seconds))
        if not self._ready:
            self._ready = True
            if not self._server.started:
                self._server.start()
            self._systemd.notify_ready()
        if reason := self._restart_reason(latest.snapshot.driver_state):
            self._request_restart(reason)

    def _request_restart(self, reason: str) -> None:
        log.warning("%s: restarting", reason)
        self._exit_status = EXIT_RESTART
        os.kill(os.getpid(), signal.SIGTERM)

    def _log_stop(self, caught: signal.Signals) -> None:
        if self._exit_status == EXIT_RESTART:  # the signal is from :meth:`_request_restart`
            log.info("stopping for a restart")
        else:
            log.info("%s: stopping", caught.name)

    def _reload(self) -> None:
        """Read the configuration again and apply it. An invalid one changes nothing."""
        self._systemd.notify_reloading()
        try:
            config = self._load()
            web_config = load_web_config(config.listen_web_config_file)
            read_notify_files(config)
            new_server = self._server_for(config)
        except Exception as error:  # no content of a file may end the running service
            self._reject_reload(error)
        else:
            self._apply_web_config(config, web_config, new_server)
            try:
                self._apply(config)
            except Exception as error:
                log.error("%s", describe_unexpected("the configuration", error))
                log.error("the configuration was only partly applied; restart the service to apply all of it")
                self._monitor.record_reload(successful=False)
        self._timer.restart(self._config.collect_interval)  # so that the metrics show the result at once
        self._systemd.notify_ready()

    def _reject_reload(self, error: Exception) -> None:
        """Log why a reload changed nothing."""
        expected = isinstance(error, ConfigError | ListenError)
        for line in str(error).splitlines() if expected else [describe_unexpected("the configuration", error)]:
            log.error("%s", line)
        log.error("configuration reload failed; still using the previous configuration")
        self._monitor.record_reload(successful=False, problem=error.reason if isinstance(error, ListenError) else "")

    def _apply(self, config: Config) -> None:
        logging_setup.set_up(config.logging_level)
        self._config = config
        self._monitor.reconfigure(config)
        self._monitor.configure_ledger(config)
        self._monitor.record_reload(successful=True)
        self._publish()
        log.info("configuration reloaded")
        self._log_serving()

    def _publish(self) -> None:
        if not self._demo:
            _log_missing_state_directory(self._config)  # before publishing, which may create it
        if own_state_directory() == SERVICE_STATE and (leftover := find_leftover(self._config)):
            log.warning("%s", leftover)
        self._target = self._scrape_target()  # once, not at each retry: it resolves localhost
        self._publisher.publish(self._config, self._server.port, self._target)

    def _server_for(self, config: Config) -> Server | None:
        """Return a server that is not started, if the configuration needs other sockets; else None.

        Raises:
            ListenError: the address of the configuration cannot be used.
        """
        current, same = self._server.listening, _listen_address(config) == _listen_address(self._config)
        if self._inherited is not None:
            if not same:
                log.warning("listen.address and listen.port have no effect: the socket unit sets them; edit that unit")
            return None
        if same and not current.taken and not current.unavailable:
            return None
        with current.allow_reuse():
            sockets = listen(config.listen_address, current.port if same else config.listen_port, current)
        if same and sockets.same_addresses(current):
            sockets.close()
            return None
        return self._create_server(sockets)

    def _add_listen_address(self) -> None:
        """Also serve on a loopback address that the machine did not have before."""
        self._new_address_available = False
        try:
            new_server = self._server_for(self._config)
        except ListenError as error:
            self._errors.report(_LISTEN, str(error), level=logging.ERROR)
            return
        if new_server is not None:
            self._keep_sockets(new_server)
            self._server.stop(accept_queued=True, successor=new_server)
            new_server.start()
            self._use_server(new_server)
            self._publish()
            self._log_serving()

    def _apply_web_config(self, config: Config, web_config: LoadedWebConfig, new_server: Server | None) -> None:
        """Apply the access rules and, if there is a new server, replace the old one.

        The rules change after the old server has stopped and before the new one starts, so neither address is ever
        served with the rules of the other. Clients that connect in between wait in the new socket.
        """
        if new_server:
            self._keep_sockets(new_server)
            self._server.stop(accept_queued=True, successor=new_server)
        self._security.apply(web_config)
        self._monitor.site.host_names.set_configured(_host_names(config))
        if new_server:
            new_server.start()
            self._use_server(new_server)

    def _log_serving(self) -> None:
        listening = self._server.listening
        for address in listening.taken:
            log.warning(
                "%s port %d is held by another program, which could pretend to be this monitor, so %s is published as"
                " the target; stop that program, then reload",
                address,
                listening.port,
                self._target,
            )
        interval = show_duration(self._config.collect_interval)
        scheme = "https" if self._security.policy.tls else "http"
        log.info("serving metrics at %s://%s/metrics, collecting every %s", scheme, self._target, interval)


def _log_missing_state_directory(config: Config) -> None:
    """Log that genv's state directory does not exist, if somebody has chosen it."""
    state = state_directory(config)
    if os.path.exists(state):
        return
    if config.genv_state_directory:
        log.warning("genv.state_directory: %s does not exist, or is below /home, which the service cannot see", state)
    elif os.environ.get("GENV_TMPDIR"):
        log.info("GENV_TMPDIR: %s does not exist: genv creates it at first use, or its users have another one", state)


def _host_names(config: Config) -> tuple[str, ...]:
    return config.listen_address, *config.listen_names


def _listen_states(listening: ListenSockets) -> tuple[ListenAddress, ...]:
    served = [ListenAddress(address, served=True) for address in listening.addresses]
    return (*served, *(ListenAddress(address, served=False) for address in listening.taken))


def _listen_address(config: Config) -> tuple[str, int]:
    return config.listen_address, config.listen_port
