"""The monitor as a subject: looks, ticks, and serves what the last tick left.

``python -m tests.benchmarks.own DIRECTORY [KEY=VALUE ...]``, with keys of the configuration.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

from genvd.collectors.registry import make_collectors
from genvd.config.schema import Config
from genvd.metrics.exposition import OPENMETRICS, TEXT, Exposition, Format
from genvd.service import logging_setup, process
from genvd.service.monitor import Monitor
from genvd.web.http_server import Server
from genvd.web.listening import listen
from genvd.web.security import Security, load_web_config
from tests.benchmarks.orders import obey


def main(directory: str, *settings: str) -> None:
    """Serve, and tick when told to."""
    logging_setup.set_up("error")
    values = {key: ast.literal_eval(value) for key, _, value in (setting.partition("=") for setting in settings)}
    config = Config(ledger_directory=Path(directory), **values)
    monitor = Monitor(config, make_collectors(config, None))
    monitor.configure_ledger(config)
    server = Server(monitor.site, Security(load_web_config(None)), listen("127.0.0.1", 0))
    server.start()
    process.tune_interpreter()
    rendered = _count_renderings()

    def look(times: int) -> None:
        for _ in range(times):
            monitor.collect()

    def tick(times: int, *formats: Format) -> dict[str, Any]:
        before = len(rendered)
        for _ in range(times):
            if monitor.site.latest:
                for format_ in formats:
                    monitor.site.latest.exposition.cached_body((format_, False))
            monitor.tick(0)
        return {"rendered": len(rendered) - before}

    def moved(_: int) -> dict[str, Any]:
        tick(1)
        before = lines()
        tick(1)
        after = lines()
        return {"share": len(after - before) / len(after)}

    def lines() -> set[bytes]:
        assert monitor.site.latest
        body = monitor.site.latest.exposition.body((TEXT, False))
        return {line for line in body.splitlines() if not line.startswith(b"#")}

    def series(_: int) -> dict[str, Any]:
        assert monitor.site.latest
        return {"series": len(lines())}

    orders = {
        "look": look,
        "tick": lambda times: tick(times, TEXT),
        "tick-unscraped": tick,
        "tick-two-formats": lambda times: tick(times, TEXT, OPENMETRICS),
        "series": series,
        "moved": moved,
    }
    obey(orders, port=server.port)


def _count_renderings() -> list[Format]:
    """Return a list that gets longer by one with each rendering."""
    rendered: list[Format] = []
    render = Exposition._render_all

    def counted(exposition: Exposition, format_: Format, before: Any) -> Any:
        rendered.append(format_)
        return render(exposition, format_, before)

    Exposition._render_all = counted  # type: ignore[assignment,method-assign]
    return rendered


if __name__ == "__main__":
    main(*sys.argv[1:])
