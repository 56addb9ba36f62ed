"""prometheus-client by itself, with families that do not change: ``python -m tests.benchmarks.client_library FILE``.

The file has them in the text format.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from genvd.metrics.samples import Collector
from tests.benchmarks.orders import obey


class _Families(Collector):
    def __init__(self, text: str) -> None:
        self._families = list(text_string_to_metric_families(text))

    def collect(self) -> Iterable[Metric]:
        return self._families


def main(file: str) -> None:
    """Serve them, and render them when told to."""
    registry = CollectorRegistry()
    registry.register(_Families(Path(file).read_text(encoding="utf-8")))
    server, _ = start_http_server(0, "127.0.0.1", registry)

    def render(times: int) -> None:
        for _ in range(times):
            generate_latest(registry)

    obey({"render": render}, port=server.server_port)


if __name__ == "__main__":
    main(sys.argv[1])
