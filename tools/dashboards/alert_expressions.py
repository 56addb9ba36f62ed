"""PromQL expressions about alerts and XID errors, and their marks on curves."""

from collections.abc import Mapping

from tools.dashboards.promql import SELECTED, THE_ONE, on, per
from tools.dashboards.variables import DATA_SOURCE

_OURS = 'alertname=~"Genv.*", instance=~"$instance|", job=~"$job|"'
"""Also matches alerts that have no machine."""
_FIRING = f'ALERTS{{alertstate="firing", {_OURS}}}'


def firing() -> str:
    """Return the number of firing alerts."""
    return f"count({_FIRING}) or vector(0)"


def since() -> str:
    """Return since when each alert fires, in milliseconds since the epoch.

    The label page is where the monitor of the machine serves its pages: at the address that Prometheus scrapes, on port
    8000 if that has none, and with TLS if the monitor exports when its own certificate expires.
    """
    tls = per("genv_monitor_certificate_not_after_timestamp_seconds", where='certificate="server"')
    plain = _with_page(f"{_since()} unless {on()} {tls}", "http")
    return f"{plain} or {_with_page(f'{_since()} and {on()} {tls}', 'https')}"


def _with_page(expression: str, scheme: str) -> str:
    without_port = f'label_replace({expression}, "page", "{scheme}://$1:8000", "instance", "(.+)")'
    return f'label_replace({without_port}, "page", "{scheme}://$1", "instance", "(.+:[0-9]+)")'


def _since() -> str:
    both = f"ALERTS_FOR_STATE{{{_OURS}}} and ignoring (alertstate) {_FIRING}"
    return f"1000 * min by (alertname, severity, instance, index, username) ({both})"


def marks(alerts: str = _OURS, machines: str = SELECTED) -> tuple[Mapping[str, object], ...]:
    """Return the annotations: a mark at each XID error, and one for as long as a critical or warning alert fires.

    Args:
        alerts: the matchers for alerts.
        machines: the matchers for machines.
    """
    firing = {
        "expr": f'ALERTS{{alertstate="firing", severity=~"critical|warning", {alerts}}}',
        "titleFormat": "{{alertname}} {{instance}}",
        "textFormat": "GPU {{index}} {{username}}",
        "tagKeys": "severity",
        "step": "60s",
    }
    xids = {
        "expr": f"1000 * genv_device_xid_last_seen_timestamp_seconds{{{machines}}}",
        "titleFormat": "XID {{xid}}",
        "textFormat": "{{instance}} GPU {{index}}",
        "tagKeys": "xid",
        "step": "60s",
        "useValueForTime": "on",
    }
    return (_mark("Alerts", "red", firing), _mark("XID errors", "orange", xids))


def marks_of_the_machine() -> tuple[Mapping[str, object], ...]:
    """Return the annotations of the one chosen machine."""
    return marks(f'alertname=~"Genv.*", {THE_ONE}', THE_ONE)


def _mark(name: str, colour: str, fields: Mapping[str, str]) -> Mapping[str, object]:
    return {"name": name, "datasource": DATA_SOURCE, "enable": True, "iconColor": colour, **fields}
