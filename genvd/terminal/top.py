"""``genv monitor top``: shows the machine in the terminal and refreshes it in place."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from genvd.common.output import write_output
from genvd.overview import overview
from genvd.publish.scrape_config import scrape_target
from genvd.terminal.client import Access, NotListeningError, NotReadyError, ServiceClient, TimedSnapshot
from genvd.terminal.pager import Key, Pager
from genvd.terminal.poller import Poller, SnapshotSource
from genvd.terminal.screen import terminal_size
from genvd.terminal.sections import BLOCKS
from genvd.terminal.style import ISOLATES, can_encode, has_cursor, render_line, use_colors
from genvd.terminal.view import Frame, build_view

if TYPE_CHECKING:
    from genvd.config.schema import Config
    from genvd.model.snapshot import Snapshot
    from genvd.terminal.screen import Screen


@dataclass(frozen=True, slots=True)
class TopOptions:
    """The command-line options of ``top``."""

    url: str | None
    access: Access
    interval: float
    """Seconds between two refreshes."""
    demo: int | None
    """Number of GPUs of the simulated machine; None for the real machine."""


_REDRAW_SECONDS = 1.0
"""The age of the data is redrawn this often."""

_RETRY_SECONDS = 0.2
"""Pause between two requests while the service has no data yet."""

_TIMEOUTS = 2
"""How long to wait for the first collection of the service, in multiples of ``collect.timeout``."""


def run(config: Config, options: TopOptions) -> None:
    """Show the machine until the user quits; show it once if standard output is not a terminal.

    Raises:
        ServiceError: there is no data.
        OutputError: standard output cannot be written.
    """
    source, note, first = _connect(config, options)
    if not has_cursor(sys.stdout):
        write_output(as_text(first.snapshot, first.now, note))
        return
    from genvd.terminal.screen import Screen

    logging.disable(logging.CRITICAL)  # log lines would overwrite the screen, which shows the same problems
    screen = Screen(colors=use_colors(sys.stdout))
    with screen.drawn():
        poller = Poller(source, first, screen.wake)
        _refresh(screen, poller, Frame(0, note=note, blocks=can_encode(sys.stdout.encoding, BLOCKS)), options.interval)


def as_text(snapshot: Snapshot, now: float, note: str | None = None) -> bytes:
    """Return the view as text for standard output, with its colours and width if that is a terminal.

    Args:
        snapshot: the data.
        now: Unix time in seconds, by the clock of the monitored machine.
        note: where the data comes from, for the title line; None if that needs no mention.
    """
    encoding = (sys.stdout and sys.stdout.encoding) or "utf-8"
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    columns = terminal_size()[0] if is_terminal else None
    view = build_view(overview(snapshot), Frame(now, columns, note=note, blocks=can_encode(encoding, BLOCKS)))
    colors, isolates = use_colors(sys.stdout), is_terminal and can_encode(encoding, ISOLATES)
    lines = (render_line(line, columns, colors=colors, isolates=isolates).rstrip() for line in view.lines)
    return "".join(f"{line}\n" for line in lines).encode(encoding, "replace")


def _connect(config: Config, options: TopOptions) -> tuple[SnapshotSource, str | None, TimedSnapshot]:
    """Return the source of Snapshots, a note about it for the title line, and the first Snapshot."""
    if options.demo is None:
        client = ServiceClient(options.url or _local_url(config), options.access)
        try:
            return client, client.url, _first_snapshot(client, _TIMEOUTS * config.collect_timeout)
        except NotListeningError:
            if options.url:
                raise
    source = _LocalSource(config, options)
    note = None if options.demo is not None else "no service runs: collected by this command"
    return source, note, source.fetch()


def _first_snapshot(client: ServiceClient, seconds: float) -> TimedSnapshot:
    """Return the first Snapshot; a service that has just been started gets this long to produce it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return client.fetch()
        except NotReadyError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_SECONDS)


def _local_url(config: Config) -> str:
    from genvd.config.web import read_web_config

    tls = config.listen_web_config_file and read_web_config(config.listen_web_config_file).config.tls
    return f"{'https' if tls else 'http'}://{scrape_target(config.listen_address, config.listen_port)}"


class _LocalSource:
    """Collects in this process, where no service runs."""

    def __init__(self, config: Config, options: TopOptions) -> None:
        from genvd.collectors.registry import make_collectors
        from genvd.service.monitor import Monitor
        from genvd.service.separation import Separation

        if options.demo is None:
            separation = Separation()
            separation.start_helper()
            separation.give_up_privileges(config, None)
        # A short refresh interval must not shorten the time that collectors get.
        local_config = replace(config, collect_interval=max(options.interval, config.collect_timeout))
        self._monitor = Monitor(local_config, make_collectors(local_config, options.demo))
        self._monitor.restore_from_service(config)

    def fetch(self) -> TimedSnapshot:
        return TimedSnapshot(self._monitor.collect(), time.time())


def _refresh(screen: Screen, poller: Poller, frame: Frame, interval: float) -> None:
    """Draw the screen again and again, and handle keys, until the user quits."""
    next_fetch, pager = time.monotonic() + interval, Pager()
    while True:
        state, (columns, lines) = poller.latest, terminal_size()
        current = replace(frame, now=state.now, columns=columns, lines=lines, failure=state.failure)
        screen.show(pager.visible_lines(build_view(overview(state.snapshot.snapshot), current), lines))
        for key in screen.wait(min(_REDRAW_SECONDS, max(0.0, next_fetch - time.monotonic()))):
            if key is Key.QUIT:
                return
            pager.press(key)
        if time.monotonic() >= next_fetch:
            poller.start_fetch()
            next_fetch = max(next_fetch + interval, time.monotonic())
