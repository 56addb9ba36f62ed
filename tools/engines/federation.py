"""Prometheus servers of two sites, and a central one that federates what the fleet dashboard needs."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.prometheus import Prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tools.engines.stage import Stage

SITE = "site"
"""The label that says which site a series is of."""

MATCH = (
    '{__name__=~"(instance|instance_username|username|name):.+"}',
    '{__name__=~"ALERTS|ALERTS_FOR_STATE", alertname=~"Genv.*"}',
    "genv_is_installed",
    'genv_monitor_certificate_not_after_timestamp_seconds{certificate="server"}',
)
"""What is federated: recorded series, alerts, the machines to choose from, and which of them use TLS."""


def job(targets: Sequence[str]) -> dict[str, Any]:
    """Return the scrape job of the central Prometheus, as in docs/scaling.md."""
    return {
        "job_name": "federate",
        "honor_labels": True,
        "honor_timestamps": False,
        "metrics_path": "/federate",
        "params": {"match[]": list(MATCH)},
        "static_configs": [{"targets": list(targets)}],
    }


@contextmanager
def federation(stage: Stage) -> Iterator[Prometheus]:
    """Start a Prometheus for each half of the machines, and yield one that federates both."""
    half = stage.machines // 2
    sites = (
        stage.site("site-a", range(half), with_monitor=False),
        stage.site("site-b", range(half, stage.machines), with_monitor=True),
    )
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                Prometheus(
                    site.configuration(stage.interval, {"global": {"external_labels": {SITE: site.directory.name}}}),
                    site.directory / "data",
                )
            )
            for site in sites
        ]
        config = stage.directory / "central.yml"
        central = {
            "global": {"scrape_interval": f"{stage.interval}s"},
            "scrape_configs": [job([f"127.0.0.1:{one.port}" for one in running])],
        }
        config.write_text(yaml.safe_dump(central), encoding="utf-8")
        yield stack.enter_context(Prometheus(config, stage.directory / "central"))
