"""Keys of monitor.yaml that conflict with each other, or have no effect without another one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from genvd.config.schema import TLS_KEYS
from genvd.config.values import show_duration

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from genvd.config.schema import Config


_AT_MOST = (
    ("collect_timeout", "collect_interval", False),
    ("idle_grace", "alerts_idle_after", True),
    ("ledger_hourly_retention", "ledger_retention", True),
    ("notify_group_interval", "notify_repeat_interval", True),
)
"""Durations, each with the one that it may not exceed, and whether the default of that one gives way to it."""


def find_conflicts(config: Config, set_fields: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each field whose value conflicts with another field, with the problem and what was expected.

    Args:
        config: the complete configuration.
        set_fields: the fields that the file sets. A default value causes no conflict.
    """
    for field, other, _ in _AT_MOST:
        value, most = getattr(config, field), getattr(config, other)
        if {field, other} <= set(set_fields) and value > most:
            yield field, f"{show_duration(value)} is longer than {_key(other)}; expected at most {show_duration(most)}"
    yield from _incomplete_pairs(config)
    if config.scrape_username and config.scrape_credentials_file:
        yield "scrape_credentials_file", "cannot be combined with scrape.username; expected only one of them"
    if config.scrape_scheme == "http":
        for field in TLS_KEYS:
            if getattr(config, field):
                yield field, "is used only with TLS; expected scrape.scheme to be https or auto"
    yield from _messages(config)


def with_fitting_defaults(config: Config, set_fields: Collection[str]) -> Config:
    """Return the configuration with the defaults changed that contradict what is set.

    So nobody is told, for example, of an environment that the page shows as in use.

    Args:
        config: a configuration without conflicts.
        set_fields: the fields that the file or the command line sets.
    """
    changes = {}
    for field, other, gives_way in _AT_MOST:
        value, most = getattr(config, field), getattr(config, other)
        if value > most:
            changes.update({other: value} if gives_way and field in set_fields else {field: most})
    return dataclasses.replace(config, **changes)


_PAIRS = (
    ("scrape_cert_file", "scrape_key_file"),
    ("scrape_username", "scrape_password_file"),
    ("notify_auth_username", "notify_auth_password_file"),
    ("notify_alertmanager_username", "notify_alertmanager_password_file"),
)


def _incomplete_pairs(config: Config) -> Iterator[tuple[str, str]]:
    """Yield each field that is set although the field that it needs is not set."""
    for pair in _PAIRS:
        for field, other in (pair, pair[::-1]):
            if getattr(config, field) and not getattr(config, other):
                yield field, f"has no effect alone; expected {_key(other)} too"


def _key(field: str) -> str:
    return field.replace("_", ".", 1)


def _messages(config: Config) -> Iterator[tuple[str, str]]:
    """Yield the conflicts in the section ``notify``."""
    of_mail = ("notify_from", "notify_auth_username", "notify_ca_file", "notify_admins", "notify_user_address")
    if not config.notify_smarthost:
        for field in of_mail:
            if getattr(config, field):
                yield field, "has no effect alone; expected notify.smarthost too"
    elif not config.notify_from:
        yield "notify_smarthost", "needs a sender; expected notify.from too"
    if config.notify_smarthost and not notifies_admins(config):
        problem = "nobody would be told what is broken; expected notify.admins, notify.slack_url_file or a webhook too"
        yield "notify_smarthost", problem
    if notifies_admins(config) and not config.notify_alertmanagers:
        yield "notify_alertmanagers", "is empty, so nobody would be told; expected host:port, such as localhost:9093"
    if config.notify_webhook_url and config.notify_webhook_url_file:
        yield "notify_webhook_url_file", "cannot be combined with notify.webhook_url; expected only one of them"
    if config.notify_webhook_credentials_file and not (config.notify_webhook_url or config.notify_webhook_url_file):
        yield "notify_webhook_credentials_file", "has no effect alone; expected notify.webhook_url too"
    if notifies_admins(config) and not config.publish_enabled:
        yield "publish_enabled", "false publishes no messages either; expected true, or no receiver in section notify"


def notifies_admins(config: Config) -> bool:
    """Return whether somebody is configured who is told what is broken."""
    mail = config.notify_smarthost and config.notify_admins
    chat = config.notify_slack_url_file
    return bool(mail or chat or config.notify_webhook_url or config.notify_webhook_url_file)
