"""The configuration of Alertmanager, which sends the messages of the section ``notify``.

What a user can write reaches Alertmanager only as values of labels and annotations. Alertmanager inserts these into
templates and never reads them as templates; it encodes headers of mails itself. An address is made of a user name only
if a route has matched it as a whole: see :data:`SAFE_USERNAME`. The format:
https://prometheus.io/docs/alerting/latest/configuration/.
"""

from __future__ import annotations

import json
import re
import socket
import textwrap
from typing import TYPE_CHECKING, Any

import yaml

from genvd.config.conflicts import notifies_admins
from genvd.config.mail import USERNAME
from genvd.publish.alert_times import duration, in_words
from genvd.publish.scrape_config import target_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genvd.config.notify_files import NotifyFiles
    from genvd.config.schema import Config

PERSONAL = (
    "GenvEnvironmentHeldIdle",
    "GenvEnvironmentOverMemory",
    "GenvUnattachedDeviceUsed",
    "GenvEnvironmentOverDevices",
    "GenvUnmanagedProcesses",
)
"""The alerts of which a user is told. The label ``username`` is the user."""

ESCALATED = "GenvUserNotReacting"
"""The alert that tells the administrators of such a user."""

SAFE_USERNAME = "[A-Za-z0-9_]([A-Za-z0-9_-]|[.][A-Za-z0-9_-]){0,31}"
"""Matches the user names of which an address is made: parts of an address that need no quotes (RFC 5322, dot-atom)."""

NOBODY = "root|[0-9]+"
"""Matches those of these names that are no person: root, as in containers, and the uid of a user without an account."""

DIRECTORY = "alertmanager"
RULES = "prometheus/genv-alerts-notify.yml"
"""Not in ``rules/``, all of which Prometheus reads: it stays there when it is no longer published."""
TEMPLATES = f"{DIRECTORY}/templates/genv.tmpl"

_HEADER = "# Written by genv-monitor, which overwrites this file when it starts: copy it before you change it.\n"
_ADMIN_GROUP_SECONDS = 300.0
"""The longest time after which administrators are told of something new of the same kind."""

_REGULAR_EXPRESSION = re.compile(r"(?=[\x00-\x7f])(\W)")
"""Matches the characters that need a backslash in a regular expression of Go: ASCII, but no letter, digit or ``_``."""

_Json = dict[str, Any]


def notify_files(config: Config, files: NotifyFiles) -> dict[str, str]:
    """Return the content of the published files of Alertmanager that are made of the configuration, by path."""
    if not notifies_admins(config):
        return {}
    made = {
        "alertmanager.yml": _HEADER
        + yaml.safe_dump(_configuration(config, files), sort_keys=False, allow_unicode=True),
        "templates/settings.tmpl": "".join(_settings(config, files)),
    }
    if files.texts:
        made["templates/texts.tmpl"] = files.texts
    return {f"{DIRECTORY}/{name}": text for name, text in made.items()}


def static_files(config: Config) -> Iterator[str]:
    """Yield the paths of the files that are published as they are, if the configuration needs them."""
    if notifies_admins(config):
        yield TEMPLATES
    if escalates(config):
        yield RULES


def escalates(config: Config) -> bool:
    """Return whether the administrators are told of users who do not react."""
    return notifies_admins(config) and notifies_users(config) and bool(config.notify_escalate_after)


def notifies_users(config: Config) -> bool:
    """Return whether users get messages themselves."""
    return bool(config.notify_smarthost and config.notify_user_address)


def alerting_section(config: Config) -> str:
    """Return the section ``alerting`` of prometheus.yml; empty if nobody is notified."""
    if not notifies_admins(config):
        return ""
    lines = target_lines(config.notify_alertmanagers)
    if config.notify_alertmanager_username:
        lines += f"  basic_auth:\n    username: {_quoted(config.notify_alertmanager_username)}\n"
        lines += f"    password_file: {_quoted(str(config.notify_alertmanager_password_file))}\n"
    return f"\nalerting:\n  alertmanagers:\n  - {textwrap.indent(lines, '  ').removeprefix('    ')}"


def _configuration(config: Config, files: NotifyFiles) -> _Json:
    receivers = [{"name": "admins", **_admin_receivers(config)}]
    if notifies_users(config):
        receivers += [{"name": "users", **_user_receiver(config)}, {"name": "nobody"}]
    templates = ["templates/genv.tmpl", "templates/settings.tmpl"]
    return {
        **_global(config),
        "templates": [*templates, "templates/texts.tmpl"] if files.texts else templates,
        "route": _routes(config, files),
        "inhibit_rules": _inhibitions(),
        "receivers": receivers,
    }


def _global(config: Config) -> _Json:
    if not config.notify_smarthost:
        return {}
    login = {
        "smtp_auth_username": config.notify_auth_username,
        "smtp_auth_password_file": str(config.notify_auth_password_file or ""),
    }
    return {
        "global": {
            "smtp_smarthost": config.notify_smarthost,
            "smtp_from": config.notify_from,
            "smtp_require_tls": config.notify_require_tls,
            **(login if config.notify_auth_username else {}),
        }
    }


# --- Routes --------------------------------------------------------------------------------------------------


def _routes(config: Config, files: NotifyFiles) -> _Json:
    people = {"group_interval": duration(config.notify_group_interval)}
    to_users: list[_Json] = []
    if notifies_users(config):
        known, unknown = _usernames(files)
        to_users = [
            {
                "receiver": "users",
                "matchers": [_one_of("alertname", PERSONAL), *known],
                "group_by": ["alertname", "username"],
                **people,
            },
            # The administrators have been told at once of those who cannot be told.
            *({"receiver": "nobody", "matchers": [_one_of("alertname", [ESCALATED]), one]} for one in unknown),
        ]
    return {
        "receiver": "admins",
        "group_by": ["alertname"],
        "group_wait": duration(config.notify_group_wait),
        "group_interval": duration(min(config.notify_group_interval, _ADMIN_GROUP_SECONDS)),
        "repeat_interval": duration(config.notify_repeat_interval),
        "routes": [
            *to_users,
            {"receiver": "admins", "matchers": [_one_of("alertname", (*PERSONAL, ESCALATED))], **people},
        ],
    }


def _one_of(label: str, values: tuple[str, ...] | list[str]) -> str:
    return f'{label}=~"{"|".join(values)}"'


def _usernames(files: NotifyFiles) -> tuple[list[str], list[str]]:
    """Return matchers that all match a user who has an address, and those of which one matches any other user.

    Alertmanager matches the whole value.
    """
    if not files.addresses:
        matched, not_matched = f"username=~{_quoted(SAFE_USERNAME)}", f"username!~{_quoted(SAFE_USERNAME)}"
        return [matched, f"username!~{_quoted(NOBODY)}"], [not_matched, f"username=~{_quoted(NOBODY)}"]
    names = _quoted("|".join(_REGULAR_EXPRESSION.sub(r"\\\1", name) for name in files.addresses))
    return [f"username=~{names}"], [f"username!~{names}"]


def _inhibitions() -> list[_Json]:
    """Return which alerts silence others: the cause silences what follows from it."""
    # An expired certificate may be why a machine cannot be scraped.
    others = 'alertname!~"GenvMonitorDown|GenvMonitorStale|GenvCertificateEndsSoon"'
    people = f'alertname=~"GenvDevice.+|GenvOrphanMemory|{"|".join((*PERSONAL, ESCALATED))}"'
    return [
        _inhibition(['alertname=~"GenvMonitorDown|GenvMonitorStale"'], ['alertname=~"Genv.+"', others]),
        _inhibition(['alertname="GenvMonitorDown"'], ['alertname="GenvMonitorStale"']),
        _inhibition(['alertname="GenvDriverBroken"'], [people]),
        _inhibition(
            ['alertname="GenvDeviceLost"'],
            ['alertname=~"GenvDevice.+"', 'alertname!="GenvDeviceLost"', 'index!=""'],
            "index",
        ),
        _inhibition(
            ['alertname="GenvDeviceHot"', 'severity="critical"'],
            ['alertname=~"GenvDeviceHot|GenvDeviceThrottled"', 'severity="warning"'],
            "index",
        ),
    ]


def _inhibition(sources: list[str], targets: list[str], *equal: str) -> _Json:
    """Return the rule that an alert silences others on the same machine, for which these labels are the same too."""
    return {"source_matchers": sources, "target_matchers": targets, "equal": ["job", "instance", *equal]}


# --- Receivers -----------------------------------------------------------------------------------------------


def _admin_receivers(config: Config) -> _Json:
    receivers: _Json = {}
    if config.notify_smarthost and config.notify_admins:
        mail = _mail(config, ", ".join(config.notify_admins), "admin")
        receivers["email_configs"] = [{**mail, "send_resolved": True}]
    if config.notify_slack_url_file:
        receivers["slack_configs"] = [
            {
                "api_url_file": str(config.notify_slack_url_file),
                "send_resolved": True,
                "title": '{{ template "genv.chat.title" . }}',
                "title_link": "",
                "text": '{{ template "genv.chat.text" . }}',
                "fallback": '{{ template "genv.chat.title" . }}',
                "pretext": "",
            }
        ]
    if config.notify_webhook_url or config.notify_webhook_url_file:
        key = "url_file" if config.notify_webhook_url_file else "url"
        webhook: _Json = {key: str(config.notify_webhook_url_file or config.notify_webhook_url), "send_resolved": True}
        if config.notify_webhook_credentials_file:
            token = {"credentials_file": str(config.notify_webhook_credentials_file)}
            webhook["http_config"] = {"authorization": token}
        receivers["webhook_configs"] = [webhook]
    return receivers


def _user_receiver(config: Config) -> _Json:
    mail = _mail(config, '{{ template "genv.user.address" . }}', "user")
    if config.notify_admins:
        mail["headers"]["Reply-To"] = ", ".join(config.notify_admins)
    return {"email_configs": [{**mail, "send_resolved": False}]}


def _mail(config: Config, to: str, reader: str) -> _Json:
    """Return a mail of plain text: no HTML, in which names would have to be escaped."""
    tls = {"tls_config": {"ca_file": str(config.notify_ca_file)}} if config.notify_ca_file else {}
    return {
        "to": to,
        "headers": {
            "Subject": f'{{{{ template "genv.{reader}.subject" . }}}}',
            "Auto-Submitted": "auto-generated",  # so that nobody is away from the office (RFC 3834)
        },
        "html": "",
        "text": f'{{{{ template "genv.{reader}.text" . }}}}',
        **tls,
    }


# --- Settings for the templates ------------------------------------------------------------------------------


def _settings(config: Config, files: NotifyFiles) -> Iterator[str]:
    yield "{{/* Written by genv-monitor from the section notify of monitor.yaml. */}}\n"
    yield _define("genv.user.address", _address(config, files))
    contact = config.notify_contact or ", ".join(config.notify_admins) or "your administrators"
    yield _define("genv.contact", _literal(contact))
    yield _define("genv.this_machine", _literal(socket.gethostname()))
    yield _define("genv.repeat", _literal(in_words(config.notify_repeat_interval)))
    escalate = config.notify_escalate_after
    told = f"\nThe administrators are told too if nothing has changed after {in_words(escalate)}."
    yield _define("genv.escalation", told if escalate else "")


def _define(name: str, body: str) -> str:
    return f'{{{{ define "{name}" }}}}{body}{{{{ end }}}}\n'


def _address(config: Config, files: NotifyFiles) -> str:
    """Return the body of the template of a user's address. Only one of its conditions is true."""
    username = ".GroupLabels.username"
    if files.addresses:
        each = files.addresses.items()
        return "".join(f"{{{{ if eq {username} {_quoted(name)} }}}}{address}{{{{ end }}}}" for name, address in each)
    before, _, after = str(config.notify_user_address).partition(USERNAME)
    condition = f'and (match "^{SAFE_USERNAME}$" {username}) (not (match "^({NOBODY})$" {username}))'
    return f"{{{{ if {condition} }}}}{before}{{{{ {username} }}}}{after}{{{{ end }}}}"


def _literal(text: str) -> str:
    """Return a template that yields exactly this text."""
    return f"{{{{ {_quoted(text)} }}}}"


def _quoted(text: str) -> str:
    """Return printable text as a string of Go, which reads one of JSON the same way."""
    return json.dumps(text, ensure_ascii=False)
