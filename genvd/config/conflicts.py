"""Finds keys of monitor.yaml that conflict with each other, or have no effect without another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genvd.config.schema import TLS_KEYS
from genvd.config.values import show_duration

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from genvd.config.schema import Config


def find_conflicts(config: Config, set_fields: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each field whose value conflicts with another field, with the problem and what was expected.

    Args:
        config: the complete configuration.
        set_fields: the fields that the file sets. A default value causes no conflict.
    """
    if {"collect_timeout", "collect_interval"} <= set(set_fields) and config.collect_timeout > config.collect_interval:
        timeout, interval = map(show_duration, (config.collect_timeout, config.collect_interval))
        yield "collect_timeout", f"{timeout} is longer than collect.interval; expected at most {interval}"
    hourly, retention = config.ledger_hourly_retention, config.ledger_retention
    if {"ledger_hourly_retention", "ledger_retention"} <= set(set_fields) and hourly > retention:
        shown, most = map(show_duration, (hourly, retention))
        yield "ledger_hourly_retention", f"{shown} is longer than ledger.retention; expected at most {most}"
    yield from _incomplete_pairs(config)
    if config.scrape_username and config.scrape_credentials_file:
        yield "scrape_credentials_file", "cannot be combined with scrape.username; expected only one of them"
    if config.scrape_scheme == "http":
        for field in TLS_KEYS:
            if getattr(config, field):
                yield field, "is used only with TLS; expected scrape.scheme to be https or auto"


def _incomplete_pairs(config: Config) -> Iterator[tuple[str, str]]:
    """Yield each field that is set although the field that it needs is not set."""
    for pair in (("scrape_cert_file", "scrape_key_file"), ("scrape_username", "scrape_password_file")):
        for field, other in (pair, pair[::-1]):
            if getattr(config, field) and not getattr(config, other):
                yield field, f"has no effect alone; expected {other.replace('_', '.', 1)} too"
