"""The people: who holds what, who is idle, who used how much, who breaks a rule."""

from collections.abc import Sequence

from tools.dashboards import people_expressions as ask
from tools.dashboards import variables
from tools.dashboards.frame import Page, PanelBuilder, Row
from tools.dashboards.navigation import PEOPLE, TO_DEVICE, TO_ENVIRONMENT, TO_MACHINE, TO_USER
from tools.dashboards.panels import About, Scale, bars, lines, number, states
from tools.dashboards.scales import (
    COUNT,
    HOURS,
    IDLE,
    KEPT,
    NONE_IS_GOOD,
    WATTS,
)
from tools.dashboards.tables import Key, Value, rows

_MACHINE = Key("instance", "Machine", [TO_MACHINE])
_USER = Key("username", "User", [TO_USER])
_NAME = Key("name", "Name")
_ENVIRONMENT = Key("eid", "Environment", [TO_ENVIRONMENT])
_DEVICE = Key("device", "GPU", [TO_DEVICE])
_LEGEND = "{{instance}} {{username}} {{name}} {{eid}}"

_NO_ENVIRONMENTS = "No active environments, or metrics.environments is off in monitor.yaml"
_NO_POLICY = "No active environments, or metrics.policy is off in monitor.yaml"
_NO_LEDGER = "Nobody held a device in this time, or it is not long enough for two scrapes, or ledger is off"
_SECONDS_PER_HOUR = 3600
_JOULES_PER_KILOWATT_HOUR = 3.6e6


def page() -> Page:
    """Give the dashboard of the people."""
    return Page(
        PEOPLE,
        description="Who holds which devices, who is idle, who used how much, who breaks a rule.",
        top=_numbers(),
        rows=[
            Row("Who holds what", [_environments(), _devices()]),
            Row("Who is idle", _idle()),
            Row("Who used how much in the chosen time", [_used(), _hours(), *_used_over_time()]),
            Row("Who should be spoken to", [_rules(), _users(), _rules_over_time()]),
        ],
        choices=(variables.users(), variables.environments()),
        since="now-24h",
        refresh="1m",
    )


def _numbers() -> Sequence[PanelBuilder]:
    def about(title: str, description: str) -> About:
        return About(title, description, width=4, height=4, empty="It is not known who holds what")

    return [
        number(about("Users", "Chosen people with an active environment."), ask.people(), COUNT),
        number(
            about("Active environments", "Environments of the chosen users with a live process or Jupyter kernel."),
            ask.users_total("genv_user_environments_total", "genv_users_total"),
            COUNT,
        ),
        number(about("Devices held", "Different devices that they hold."), ask.held_devices(), COUNT),
        number(
            about(
                "Devices held idle",
                "Of these, devices whose every holder is idle, as idle.grace says; orange: there are some.",
            ),
            ask.idle_devices(),
            NONE_IS_GOOD,
        ),
        number(
            about("Broken rules", "Rules that their environments break just now; orange: there are some."),
            ask.total("genv_environment_violation", "rule", known="genv_environments_total"),
            NONE_IS_GOOD,
        ),
        number(
            about("Processes outside", "Their processes that compute outside any active environment."),
            ask.users_total("genv_unmanaged_processes", "genv_processes_total"),
            NONE_IS_GOOD,
        ),
    ]


def _environments() -> PanelBuilder:
    return rows(
        About(
            "Environments",
            "What each environment asked for, holds and does. Idle for: since it last worked on a device that it holds,"
            " or since it holds devices; 0 while it is in use, as idle.grace says. The limit of memory holds on each"
            " device. Utilisation is the mean over the devices on which it is. (other) is the sum of what is over the"
            " monitor's limits.",
            width=24,
            height=12,
        ),
        [_MACHINE, _USER, _NAME, _ENVIRONMENT],
        [
            Value("Devices", ask.environment("genv_environment_attached_devices_total")),
            Value("Devices asked", ask.environment("genv_environment_device_limit")),
            Value(
                "Memory used",
                ask.environment_sum("genv_environment_used_gpu_memory_bytes", "device"),
                unit="bytes",
            ),
            Value("Memory limit", ask.environment("genv_environment_memory_limit_bytes"), unit="bytes"),
            Value(
                "Utilisation",
                ask.environment_mean("genv_environment_utilization_ratio", "device"),
                unit="percentunit",
            ),
            Value("Idle for", ask.idle_for(), unit="s", steps=IDLE.steps),
            Value("Processes", ask.environment("genv_environment_processes_total")),
            Value("Broken rules", ask.environment_sum("genv_environment_violation", "rule"), steps=NONE_IS_GOOD.steps),
            Value("Activated", ask.environment_created(), unit="dateTimeFromNow"),
        ],
        sort_by="Devices",
        empty=_NO_ENVIRONMENTS,
    )


def _devices() -> PanelBuilder:
    return rows(
        About(
            "Environments by device",
            "What each environment takes of each device on which it is, whether it holds it or not, and since when it"
            " holds it. Most memory: the highest that was collected since it was activated or the monitor started; what"
            " gpu-memory should allow.",
            width=24,
            height=9,
        ),
        [_MACHINE, _DEVICE, _USER, _NAME, _ENVIRONMENT],
        [
            Value("Memory used", ask.environment("genv_environment_used_gpu_memory_bytes", "device"), unit="bytes"),
            Value("Most memory", ask.environment("genv_environment_peak_gpu_memory_bytes", "device"), unit="bytes"),
            Value("SM share", ask.environment("genv_environment_utilization_ratio", "device"), unit="percentunit"),
            Value("Held since", ask.held_since(), unit="dateTimeFromNow"),
        ],
        sort_by="Memory used",
        empty=_NO_ENVIRONMENTS,
    )


def _idle() -> Sequence[PanelBuilder]:
    return [
        bars(
            About(
                "Idle for",
                "How long each environment that holds devices has not worked on any; orange from 30 minutes on. 0 means"
                " that it is in use: it works, or has not worked for less than idle.grace, by default 10 minutes.",
                width=10,
                height=10,
                empty="No environment holds a device",
            ),
            f"sort_desc({ask.idle_for()})",
            _LEGEND,
            IDLE,
        ),
        lines(
            About(
                "Idle over time",
                "How long each environment that holds devices was idle, 0 while it was in use; dashed: 30 minutes.",
                width=14,
                height=10,
                empty="No environment held a device",
            ),
            ask.idle_for(),
            _LEGEND,
            IDLE,
        ),
    ]


def _used() -> PanelBuilder:
    def hours(counter: str) -> str:
        return ask.used(counter, _SECONDS_PER_HOUR)

    return rows(
        About(
            "GPU-hours by user",
            "What each user used in the chosen time, over the chosen machines: a device held for an hour is a GPU-hour,"
            " whether it works (active) or not (idle). Prometheus estimates the ends of the time; genv monitor report"
            " has the exact sums.",
            width=12,
            height=10,
        ),
        [_USER],
        [
            Value("Held", hours("genv_user_allocated_device_seconds_total"), unit="h"),
            Value("Active", hours("genv_user_active_device_seconds_total"), unit="h"),
            Value("Idle", hours("genv_user_idle_device_seconds_total"), unit="h"),
            Value("Share active", ask.share_worked(), unit="percentunit"),
            Value("Energy", ask.used("genv_user_energy_joules_total", _JOULES_PER_KILOWATT_HOUR), unit="kwatth"),
        ],
        sort_by="Held",
        empty=_NO_LEDGER,
    )


def _hours() -> PanelBuilder:
    return bars(
        About(
            "Idle GPU-hours by user",
            "GPU-hours that each user held in the chosen time without working on the device.",
            width=12,
            height=10,
            empty=_NO_LEDGER,
        ),
        f"sort_desc({ask.used('genv_user_idle_device_seconds_total', _SECONDS_PER_HOUR)})",
        "{{username}}",
        HOURS,
    )


def _used_over_time() -> Sequence[PanelBuilder]:
    def over_time(title: str, description: str, counter: str, scale: Scale) -> PanelBuilder:
        about = About(title, description, width=8, height=8, empty=_NO_LEDGER)
        return lines(about, ask.used_at_a_time(counter), "{{username}}", scale)

    return [
        over_time(
            "Devices held by user",
            "Devices that each user held at a time, on average.",
            "genv_user_allocated_device_seconds_total",
            COUNT,
        ),
        over_time(
            "Devices held idle by user",
            "Devices that each user held at a time without working on them, on average.",
            "genv_user_idle_device_seconds_total",
            COUNT,
        ),
        over_time(
            "Power by user",
            "Power of the devices that each user answers for; how it is shared is in docs/ledger.md.",
            "genv_user_energy_joules_total",
            WATTS,
        ),
    ]


def _rules() -> PanelBuilder:
    return rows(
        About(
            "Rules",
            "Whether each environment keeps to what it asked for. memory_limit: more memory on a device than asked for;"
            " unattached_device: computes on a device that it does not hold; device_limit: holds more devices.",
            width=14,
            height=10,
        ),
        [_MACHINE, _USER, _NAME, _ENVIRONMENT, Key("rule", "Rule")],
        [
            Value("Now", ask.environment("genv_environment_violation", "rule"), words=KEPT),
            Value("Broken for", ask.broken_for(), unit="percentunit"),
        ],
        sort_by="Now",
        empty=_NO_POLICY,
    )


def _users() -> PanelBuilder:
    return rows(
        About(
            "Users",
            "What each user has on the chosen machines together. GPU memory is that of all processes, within"
            " environments and outside.",
            width=10,
            height=10,
        ),
        [_USER],
        [
            Value("GPU memory", ask.user("genv_user_used_gpu_memory_bytes"), unit="bytes"),
            Value("Environments", ask.user("genv_user_environments_total")),
            Value("Devices", ask.user("genv_user_attached_devices_total")),
            Value("Processes", ask.user("genv_user_processes_total")),
            Value("Outside", ask.user("genv_unmanaged_processes"), steps=NONE_IS_GOOD.steps),
        ],
        sort_by="Outside",
        empty="Nobody is there, or metrics.users is off in monitor.yaml",
    )


def _rules_over_time() -> PanelBuilder:
    return states(
        About(
            "Rules over time",
            "When each environment broke one of its rules (orange) and when it kept them all (green).",
            width=24,
            height=9,
            empty=_NO_POLICY,
        ),
        ask.environment_most("genv_environment_violation", "rule"),
        _LEGEND,
        Scale("none", words=KEPT),
    )
