"""``genv monitor top``: the machine at a glance, again and again in the same place."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from genvd.common.output import write_output
from genvd.overview import overview
from genvd.publish.scraping import target_for
from genvd.terminal.client import Access, NobodyThereError, NotYetError, Seen, Service
from genvd.terminal.pager import Key, Window
from genvd.terminal.poller import Looks, Source
from genvd.terminal.screen import terminal_size
from genvd.terminal.sections import BLOCKS
from genvd.terminal.style import ISOLATES, has_cursor, painted, takes, wants_colors
from genvd.terminal.view import Frame, picture

if TYPE_CHECKING:
    from genvd.config.schema import Config
    from genvd.model.snapshot import Snapshot
    from genvd.terminal.screen import Screen


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked for."""

    url: str | None
    access: Access
    interval: float
    """Seconds from one look to the next."""
    demo: int | None
    """Number of devices of a simulated machine."""


_REDRAW_SECONDS = 1.0
"""After which the age of what is shown is another one."""

_AGAIN_SECONDS = 0.2
"""After which a service that has nothing to show yet is asked again."""

_TIMEOUTS = 2
"""Of a collection, for which the first one is waited for: one collector may not answer, and there are others."""


def run(config: Config, wanted: Wanted) -> None:
    """Show the machine until the user has seen enough; once where it is no terminal.

    Raises:
        ServiceError: there is nothing to show.
        OutputError: it cannot be written.
    """
    source, note, seen = _begin(config, wanted)
    if not has_cursor(sys.stdout):
        write_output(as_text(seen.snapshot, seen.now, note))
        return
    from genvd.terminal.screen import Screen

    logging.disable(logging.CRITICAL)  # what the log would say is in the picture
    screen = Screen(colors=wants_colors(sys.stdout))
    with screen.drawn():
        looks = Looks(source, seen, screen.wake)
        _refresh(screen, looks, Frame(0, note=note, blocks=takes(sys.stdout.encoding, BLOCKS)), wanted.interval)


def as_text(snapshot: Snapshot, now: float, note: str | None = None) -> bytes:
    """Return the machine at a glance as text for standard output, in its colours and columns if that is a terminal.

    Args:
        snapshot: what is shown.
        now: Unix time in seconds, by the clock of the machine.
        note: where it comes from, if that is worth a word.
    """
    encoding = (sys.stdout and sys.stdout.encoding) or "utf-8"
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    columns = terminal_size()[0] if is_terminal else None
    whole = picture(overview(snapshot), Frame(now, columns, note=note, blocks=takes(encoding, BLOCKS)))
    colors, isolates = wants_colors(sys.stdout), is_terminal and takes(encoding, ISOLATES)
    lines = (painted(one, columns, colors=colors, isolates=isolates).rstrip() for one in whole.lines)
    return "".join(f"{one}\n" for one in lines).encode(encoding, "replace")


def _begin(config: Config, wanted: Wanted) -> tuple[Source, str | None, Seen]:
    """Return whom to ask, a word about it, and the first answer."""
    if wanted.demo is None:
        service = Service(wanted.url or _own_url(config), wanted.access)
        try:
            return service, service.url, _first(service, _TIMEOUTS * config.collect_timeout)
        except NobodyThereError:
            if wanted.url:
                raise
    own = _OwnLook(config, wanted)
    note = None if wanted.demo is not None else "no service runs: seen by this command"
    return own, note, own.look()


def _first(service: Service, seconds: float) -> Seen:
    """Return the first answer, waiting so long at most for a service that has only just been started."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return service.look()
        except NotYetError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_AGAIN_SECONDS)


def _own_url(config: Config) -> str:
    from genvd.config.web import read

    tls = config.listen_web_config_file and read(config.listen_web_config_file).config.tls
    return f"{'https' if tls else 'http'}://{target_for(config.listen_address, config.listen_port)}"


class _OwnLook:
    """Collects by itself."""

    def __init__(self, config: Config, wanted: Wanted) -> None:
        from genvd.collectors.registry import make_collectors
        from genvd.service.monitor import Monitor

        # Collectors have the time that the service would give them, however often somebody wants to look.
        own = replace(config, collect_interval=max(wanted.interval, config.collect_timeout))
        self._monitor = Monitor(own, make_collectors(own, wanted.demo))
        self._monitor.recall_from_service(config)

    def look(self) -> Seen:
        """Return what there is now."""
        return Seen(self._monitor.look(), time.time())


def _refresh(screen: Screen, looks: Looks, frame: Frame, interval: float) -> None:
    next_look, window = time.monotonic() + interval, Window()
    while True:
        view, (columns, lines) = looks.latest, terminal_size()
        shown = replace(frame, now=view.now, columns=columns, lines=lines, failure=view.failure)
        screen.show(window.lines(picture(overview(view.seen.snapshot), shown), lines))
        for key in screen.wait(min(_REDRAW_SECONDS, max(0.0, next_look - time.monotonic()))):
            if key is Key.QUIT:
                return
            window.press(key)
        if time.monotonic() >= next_look:
            looks.begin()
            next_look = max(next_look + interval, time.monotonic())
