"""The fleet: many machines together, from what the recording rules have counted, so that it stays quick."""

from collections.abc import Sequence

from tools.dashboards import fleet_expressions as ask
from tools.dashboards.frame import Page, PanelBuilder, Row
from tools.dashboards.navigation import FLEET, TO_MACHINE, TO_USER
from tools.dashboards.panels import About, Line, Scale, bars, lines, number
from tools.dashboards.scales import (
    BYTES,
    CELSIUS,
    COUNT,
    FILLING,
    HOT,
    NONE_IS_GOOD,
    NONE_IS_VITAL,
    PERCENT,
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
    """Give the dashboard of the fleet."""
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
            _about("Machines down", "Chosen machines whose monitor does not answer; red: there are some."),
            ask.machines_down(),
            NONE_IS_VITAL,
        ),
        number(
            _about("Devices down", "Devices of machines that are up which do not answer; red: there are some."),
            ask.devices_down(),
            NONE_IS_VITAL,
        ),
        number(
            _about("Alerts", "Alerts that fire, of the chosen machines and of all together; orange: there are some."),
            ask.alerts_firing(),
            NONE_IS_GOOD,
        ),
        number(
            _about("XID errors", "XID errors of the last hour, on all chosen machines; orange: there are some."),
            ask.total("instance:genv_device_xid_errors:increase1h"),
            NONE_IS_GOOD,
        ),
        number(
            _about("Hottest device", "Highest temperature on any chosen machine; orange from 80 °C, red from 90 °C."),
            ask.greatest("instance:genv_device_temperature:max"),
            HOT,
        ),
    ]


def _use() -> Sequence[PanelBuilder]:
    return [
        number(
            _about("Devices held", "Devices that an active environment holds."),
            ask.total("instance:genv_attached_devices:sum"),
            COUNT,
        ),
        number(_about("Devices free", "Devices that answer and that nobody holds."), ask.free_devices(), COUNT),
        number(
            _about(
                "Devices held idle",
                "Devices whose every holder is idle, as each machine's idle.grace says; orange: there are some.",
            ),
            ask.total("instance:genv_idle_devices:count"),
            NONE_IS_GOOD,
        ),
        number(_about("Utilisation", "Mean over all devices of the chosen machines."), ask.utilisation(), PERCENT),
        number(_about("Memory", "Used device memory of all of them; orange from 90 %."), ask.memory_share(), FILLING),
        number(
            _about("Power", "Power that the devices draw together."),
            ask.total("instance:genv_device_power_watts:sum"),
            WATTS,
        ),
    ]


def _alerts() -> PanelBuilder:
    return rows(
        About(
            "Alerts firing",
            "Alerts of genv-monitor that fire just now, the newest first; docs/runbook.md says what to do about each.",
            width=24,
            height=7,
        ),
        [
            Key("alertname", "Alert"),
            Key("severity", "Severity"),
            _MACHINE,
            Key("index", "GPU"),
            _USER,
        ],
        [Value("Since", ask.alerts(), unit="dateTimeFromNow")],
        sort_by="Since",
        empty="No alert fires",
    )


def _machines() -> PanelBuilder:
    def value(title: str, record: str, unit: str = "none", scale: Scale = COUNT) -> Value:
        return Value(title, ask.recorded(record), unit, steps=scale.steps if len(scale.steps) > 1 else ())

    return rows(
        About(
            "Machines",
            "Each machine as it is just now; a click on its name shows its devices. Idle: devices held whose every"
            " holder is idle, as the machine's idle.grace says.",
            width=24,
            height=14,
        ),
        [_MACHINE],
        [
            Value("Answers", ask.up(), words=YES_GOOD),
            value("Devices", "instance:genv_device_up:count"),
            value("Up", "instance:genv_device_up:sum"),
            value("Utilisation", "instance:genv_device_utilization:avg", "percent"),
            value("Memory used", "instance:genv_device_memory_used_bytes:sum", "bytes"),
            value("Memory", "instance:genv_device_memory_total_bytes:sum", "bytes"),
            value("Hottest", "instance:genv_device_temperature:max", "celsius", HOT),
            value("Power", "instance:genv_device_power_watts:sum", "watt"),
            value("Held", "instance:genv_attached_devices:sum"),
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
                "Devices over time",
                "Devices that answer, those that an environment holds, and those held idle.",
                width=12,
                height=9,
                empty=_NO_RULES,
            ),
            ask.total("instance:genv_device_up:sum"),
            "answer",
            COUNT,
            Line(ask.total("instance:genv_attached_devices:sum"), "held"),
            Line(ask.total("instance:genv_idle_devices:count"), "held idle"),
        ),
        lines(
            About(
                "Utilisation over time",
                "Mean over the chosen machines, and how they differ: a tenth of them is below the lower dashed line, a"
                " tenth above the upper.",
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
    def value(title: str, record: str, unit: str = "none") -> Value:
        return Value(title, ask.of_top_users(record, _MOST_USERS), unit)

    return rows(
        About(
            "Users with the most devices",
            f"The {_MOST_USERS} users who held the most devices in the last 5 minutes, over the whole fleet and not"
            " only the chosen machines: devices on average, and the power and memory that goes with them.",
            width=14,
            height=10,
        ),
        [_USER],
        [
            value("Held", "username:genv_user_allocated_device_seconds:rate5m"),
            value("Active", "username:genv_user_active_device_seconds:rate5m"),
            value("Idle", "username:genv_user_idle_device_seconds:rate5m"),
            value("Power", "username:genv_user_energy_joules:rate5m", "watt"),
            value("GPU memory", "username:genv_user_used_gpu_memory_bytes:sum", "bytes"),
        ],
        sort_by="Held",
        empty=_NO_RULES,
    )


def _models() -> PanelBuilder:
    return rows(
        About("Models of GPU", "Devices of each model over the whole fleet, and how busy they are.", 10, 10),
        [Key("name", "Model")],
        [
            Value("Devices", ask.fleet("name:genv_device_up:count", "name")),
            Value("Utilisation", ask.fleet_mean("name:genv_device_utilization:avg", "name"), unit="percent"),
        ],
        sort_by="Devices",
        empty=_NO_RULES,
    )


def _users_here() -> PanelBuilder:
    return bars(
        About(
            "Devices held on the chosen machines",
            f"Devices that each user held on the chosen machines in the last 5 minutes, on average; the {_MOST_USERS}"
            " users with the most.",
            width=10,
            height=9,
            empty=_NO_RULES,
        ),
        ask.held_here(_MOST_USERS),
        "{{username}}",
        COUNT,
    )


def _users_over_time() -> PanelBuilder:
    return lines(
        About(
            "Devices held by user",
            f"Devices that each user held over the whole fleet, on average over 5 minutes; at each moment the"
            f" {_MOST_USERS} users with the most.",
            width=14,
            height=9,
            empty=_NO_RULES,
        ),
        ask.held_by_user(_MOST_USERS),
        "{{username}}",
        COUNT,
    )


def _each() -> Sequence[PanelBuilder]:
    def over_time(title: str, what: str, record: str, scale: Scale) -> PanelBuilder:
        description = f"{what} of each chosen machine; of many, at each moment the {_MOST_MACHINES} with the most."
        about = About(title, description, width=12, height=9, empty=_NO_RULES)
        return lines(about, ask.top(record, _MOST_MACHINES), "{{instance}}", scale)

    return [
        over_time("Utilisation by machine", "Mean over the devices", "instance:genv_device_utilization:avg", PERCENT),
        over_time("Hottest device by machine", "Highest temperature", "instance:genv_device_temperature:max", CELSIUS),
        over_time("Power by machine", "Power of the devices", "instance:genv_device_power_watts:sum", WATTS),
        over_time("Memory by machine", "Used memory", "instance:genv_device_memory_used_bytes:sum", BYTES),
    ]
