"""The fleet dashboard: many machines together. It reads recording rules, so it stays fast."""

from collections.abc import Sequence

from tools.dashboards import alert_expressions as alerts
from tools.dashboards import fleet_expressions as ask
from tools.dashboards.frame import Page, PanelBuilder, Row
from tools.dashboards.navigation import FLEET, TO_MACHINE, TO_RUNBOOK, TO_USER
from tools.dashboards.panels import About, Line, Scale, bars, lines, number
from tools.dashboards.scales import (
    BYTES,
    CELSIUS,
    COUNT,
    FILLING,
    GOOD_COUNT,
    HOT,
    MEAN_COUNT,
    NONE_IS_GOOD,
    NONE_IS_VITAL,
    PERCENT,
    SEVERITIES,
    WATTS,
    YES_GOOD,
)
from tools.dashboards.tables import Key, Value, rows

_NO_RULES = "The recording rules have no answer yet: does Prometheus load rules/*.yml?"
_MACHINE = Key("instance", "Machine", [TO_MACHINE])
_USER = Key("username", "User", [TO_USER])
_MOST_USERS = 20
_MOST_MACHINES = 20


def page() -> Page:
    """Return the fleet dashboard."""
    return Page(
        FLEET,
        description="Many machines together, from the recording rules.",
        top=[*_state(), *_use()],
        rows=[
            Row("Alerts and machines", [_alerts(), _machines()]),
            Row("Over time", _over_time()),
            Row("Users and models", [_users(), _models(), _users_over_time(), _users_here()]),
            Row("Each machine over time", _each(), closed=True),
        ],
        since="now-6h",
        refresh="1m",
    )


def _about(title: str, description: str) -> About:
    return About(title, description, width=4, height=4, empty=_NO_RULES)


def _state() -> Sequence[PanelBuilder]:
    return [
        number(_about("Machines up", "Chosen machines whose monitor answers."), ask.machines_up(), COUNT),
        number(
            _about("Machines down", "Chosen machines whose monitor does not answer; red: at least one."),
            ask.machines_down(),
            NONE_IS_VITAL,
        ),
        number(
            _about("GPUs down", "GPUs that do not answer or are not listed, on machines that do; red: at least one."),
            ask.devices_down(),
            NONE_IS_VITAL,
        ),
        number(
            _about("Alerts", "Firing alerts of the chosen machines and of the fleet; orange: at least one."),
            alerts.firing(),
            NONE_IS_GOOD,
        ),
        number(
            _about("XID errors", "XID errors of the last hour on the chosen machines; orange: at least one."),
            ask.total("instance:genv_device_xid_errors:increase1h"),
            NONE_IS_GOOD,
        ),
        number(
            _about("Hottest GPU", "Highest temperature on any chosen machine; orange from 80 °C, red from 90 °C."),
            ask.greatest("instance:genv_device_temperature:max"),
            HOT,
        ),
    ]


def _use() -> Sequence[PanelBuilder]:
    return [
        number(
            _about("GPUs attached", "GPUs that are attached to an active environment."),
            ask.total("instance:genv_attached_devices:sum"),
            COUNT,
        ),
        number(
            _about("GPUs free", "GPUs that are attached to no environment and used by no process, as far as known."),
            ask.total("instance:genv_device_free:sum"),
            GOOD_COUNT,
        ),
        number(
            _about(
                "GPUs idle",
                "Attached GPUs that none of their environments has used for idle.grace of the machine; orange: at least"
                " one.",
            ),
            ask.total("instance:genv_idle_devices:count"),
            NONE_IS_GOOD,
        ),
        number(_about("Utilisation", "Mean over all GPUs of the chosen machines."), ask.utilisation(), PERCENT),
        number(
            _about("Memory", "Used GPU memory of the chosen machines; orange from 90 %."), ask.memory_share(), FILLING
        ),
        number(
            _about("Power", "Power draw of all GPUs."),
            ask.total("instance:genv_device_power_watts:sum"),
            WATTS,
        ),
    ]


def _alerts() -> PanelBuilder:
    return rows(
        About(
            "Alerts firing",
            "Alerts of genv-monitor that fire now, the most severe first. A click on one opens what to do about it, as"
            " the monitor of that machine serves it.",
            width=24,
            height=7,
        ),
        [
            Key("alertname", "Alert", [TO_RUNBOOK]),
            _MACHINE,
            Key("index", "GPU"),
            _USER,
            Key("page", "Page", concealed=True),
        ],
        [
            Value("Severity", alerts.severity(), words=SEVERITIES),
            Value("Since", alerts.since(), unit="dateTimeFromNow"),
        ],
        sort_by="Severity",
        least_first=True,
        then_by=["Since"],
        first=["Severity"],
        empty="No alert fires",
    )


def _machines() -> PanelBuilder:
    def value(title: str, record: str, unit: str = "none", scale: Scale = COUNT) -> Value:
        return Value(title, ask.recorded(record), unit, steps=scale.steps if len(scale.steps) > 1 else ())

    return rows(
        About(
            "Machines",
            "Each machine now; a click on its name shows its GPUs. Idle: attached GPUs that none of their environments"
            " has used for idle.grace of the machine.",
            width=24,
            height=14,
        ),
        [_MACHINE],
        [
            Value("Answers", ask.up(), words=YES_GOOD),
            value("GPUs", "instance:genv_device_up:count"),
            value("Up", "instance:genv_device_up:sum"),
            value("Utilisation", "instance:genv_device_utilization:avg", "percent"),
            value("Memory used", "instance:genv_device_memory_used_bytes:sum", "bytes"),
            value("Memory", "instance:genv_device_memory_total_bytes:sum", "bytes"),
            value("Hottest", "instance:genv_device_temperature:max", "celsius", HOT),
            value("Power", "instance:genv_device_power_watts:sum", "watt"),
            value("Free", "instance:genv_device_free:sum"),
            value("Attached", "instance:genv_attached_devices:sum"),
            value("Idle", "instance:genv_idle_devices:count", scale=NONE_IS_GOOD),
            value("Environments", "instance:genv_environments:sum"),
            value("Users", "instance:genv_users:sum"),
            value("Processes", "instance:genv_processes:sum"),
            value("Outside", "instance:genv_unmanaged_processes:sum", scale=NONE_IS_GOOD),
            value("Broken rules", "instance:genv_environment_violation:sum", scale=NONE_IS_GOOD),
            value("Orphan memory", "instance:genv_device_orphan_memory_bytes:sum", "bytes"),
        ],
        sort_by="Utilisation",
        empty=_NO_RULES,
    )


def _over_time() -> Sequence[PanelBuilder]:
    utilisation = "instance:genv_device_utilization:avg"
    return [
        lines(
            About(
                "GPUs over time",
                "GPUs that answer, attached GPUs, attached GPUs that are idle, and free GPUs.",
                width=12,
                height=9,
                empty=_NO_RULES,
            ),
            ask.total("instance:genv_device_up:sum"),
            "answer",
            COUNT,
            Line(ask.total("instance:genv_attached_devices:sum"), "attached"),
            Line(ask.total("instance:genv_idle_devices:count"), "idle"),
            Line(ask.total("instance:genv_device_free:sum"), "free"),
        ),
        lines(
            About(
                "Utilisation over time",
                "Mean over the chosen machines and their spread: a tenth of them is below the lower dashed line, a"
                " tenth above the upper one.",
                width=12,
                height=9,
                empty=_NO_RULES,
            ),
            ask.mean(utilisation),
            "mean",
            PERCENT,
            Line(ask.quantile(utilisation, 0.1), "a tenth of the machines below", dashed=True),
            Line(ask.quantile(utilisation, 0.5), "half of the machines below"),
            Line(ask.quantile(utilisation, 0.9), "a tenth of the machines above", dashed=True),
        ),
    ]


def _users() -> PanelBuilder:
    def value(title: str, record: str, unit: str = "none", decimals: int | None = None) -> Value:
        return Value(title, ask.of_top_users(record, _MOST_USERS), unit, decimals=decimals)

    return rows(
        About(
            "Users with the most GPUs",
            f"The {_MOST_USERS} users with the most GPUs in the whole fleet, not only on the chosen machines, attached"
            " or used outside genv: average number of GPUs over the last 5 minutes, with their power and memory.",
            width=14,
            height=10,
        ),
        [_USER],
        [
            value("Attached", "username:genv_user_allocated_device_seconds:rate5m", decimals=1),
            value("Active", "username:genv_user_active_device_seconds:rate5m", decimals=1),
            value("Idle", "username:genv_user_idle_device_seconds:rate5m", decimals=1),
            value("Outside", "username:genv_user_outside_device_seconds:rate5m", decimals=1),
            value("Power", "username:genv_user_energy_joules:rate5m", "watt"),
            value("GPU memory", "username:genv_user_used_gpu_memory_bytes:sum", "bytes"),
        ],
        sort_by="Attached",
        empty=_NO_RULES,
    )


def _models() -> PanelBuilder:
    number = "name:genv_device_up:count"
    return rows(
        About("Models of GPU", "Number and utilisation of the GPUs of each model in the whole fleet.", 10, 10),
        [Key("name", "Model")],
        [
            Value("GPUs", ask.fleet(number, "name")),
            Value(
                "Utilisation",
                ask.fleet_mean("name:genv_device_utilization:avg", "name:genv_device_up:count", "name"),
                unit="percent",
            ),
        ],
        sort_by="GPUs",
        empty=_NO_RULES,
    )


def _users_here() -> PanelBuilder:
    return bars(
        About(
            "GPUs attached on the chosen machines",
            f"GPUs attached to each user on the chosen machines, average of the last 5 minutes; the {_MOST_USERS} users"
            " with the most.",
            width=10,
            height=9,
            empty=_NO_RULES,
        ),
        ask.attached_here(_MOST_USERS),
        "{{username}}",
        MEAN_COUNT,
    )


def _users_over_time() -> PanelBuilder:
    return lines(
        About(
            "GPUs attached by user",
            f"GPUs attached to each user in the whole fleet, average over 5 minutes; at each moment the {_MOST_USERS}"
            " users with the most.",
            width=14,
            height=9,
            empty=_NO_RULES,
        ),
        ask.attached_by_user(_MOST_USERS),
        "{{username}}",
        MEAN_COUNT,
    )


def _each() -> Sequence[PanelBuilder]:
    def over_time(title: str, what: str, record: str, scale: Scale) -> PanelBuilder:
        description = f"{what} of each chosen machine; at each moment the {_MOST_MACHINES} machines with the most."
        about = About(title, description, width=12, height=9, empty=_NO_RULES)
        return lines(about, ask.top(record, _MOST_MACHINES), "{{instance}}", scale)

    return [
        over_time("Utilisation by machine", "Mean over the GPUs", "instance:genv_device_utilization:avg", PERCENT),
        over_time("Hottest GPU by machine", "Highest temperature", "instance:genv_device_temperature:max", CELSIUS),
        over_time("Power by machine", "Power draw of the GPUs", "instance:genv_device_power_watts:sum", WATTS),
        over_time("Memory by machine", "Used memory", "instance:genv_device_memory_used_bytes:sum", BYTES),
    ]
