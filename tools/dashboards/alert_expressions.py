"""PromQL expressions about alerts and XID errors, and their marks on curves."""

from collections.abc import Mapping

from tools.dashboards.promql import SELECTED, THE_ONE, on, per, replaced
from tools.dashboards.scales import OTHER_SEVERITY, SEVERITIES
from tools.dashboards.variables import DATA_SOURCE

_OURS = 'alertname=~"Genv.*", instance=~"$instance|", job=~"$job|"'
"""Also matches alerts that have no machine."""
_LABELS = "alertname, instance, index, username"


def firing() -> str:
    """Return the number of firing alerts."""
    return f"count({_firing()}) or vector(0)"


def severity() -> str:
    """Return the severity of each alert that fires, as a key of SEVERITIES in scales.py."""
    ranks = {number: f'severity="{name}"' for number, (name, _) in SEVERITIES.items() if name != OTHER_SEVERITY}
    others = f'severity!~"{"|".join(name for name, _ in SEVERITIES.values())}"'
    each = [f"{number} * {_firing(where)}" for number, where in (*ranks.items(), (len(ranks), others))]
    return _with_page(f"min by ({_LABELS}) ({' or '.join(each)})")


def since() -> str:
    """Return since when each alert fires, in milliseconds since the epoch."""
    both = f"ALERTS_FOR_STATE{{{_OURS}}} and ignoring (alertstate) {_firing()}"
    return _with_page(f"1000 * min by ({_LABELS}) ({both})")


def _with_page(expression: str) -> str:
    """Add the label page to an expression by alert: where the monitor of its machine serves its pages.

    That is the address that Prometheus scrapes, with port 8000 if it has none, and with TLS if the monitor exports when
    its own certificate expires.
    """
    tls = per("genv_monitor_certificate_not_after_timestamp_seconds", where='certificate="server"')
    plain = _at(f"{expression} unless {on()} {tls}", "http")
    return f"{plain} or {_at(f'{expression} and {on()} {tls}', 'https')}"


def _at(expression: str, scheme: str) -> str:
    without_port = replaced(expression, "page", f"{scheme}://$1:8000", "instance", "(.+)")
    return replaced(without_port, "page", f"{scheme}://$1", "instance", "(.+:[0-9]+)")


def _firing(where: str = "") -> str:
    return f'ALERTS{{alertstate="firing", {_OURS}{", " if where else ""}{where}}}'


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
