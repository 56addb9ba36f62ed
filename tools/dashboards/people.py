"""The people dashboard: attached GPUs, idle environments, usage, broken rules."""

from collections.abc import Sequence

from tools.dashboards import people_expressions as ask
from tools.dashboards import variables
from tools.dashboards.frame import Page, PanelBuilder, Row
from tools.dashboards.navigation import PEOPLE, TO_DEVICE, TO_ENVIRONMENT, TO_MACHINE, TO_USER
from tools.dashboards.panels import About, Scale, bars, lines, number, states
from tools.dashboards.promql import highest
from tools.dashboards.scales import (
    COUNT,
    GPU_HOURS,
    HOURS,
    IDLE,
    KEPT,
    MEAN_COUNT,
    NONE_IS_GOOD,
    PERCENT,
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
_OR_NO_POLICY = "Or metrics.policy is off in monitor.yaml"
_NO_LEDGER = "No GPU was attached in this time, it is too short for two scrapes, or the ledger is off"
_MOST = 20
_LIMIT = ((None, "blue"), (0.9, "orange"), (1, "red"))
"""Colours for memory as a share of the limit."""
_SECONDS_PER_HOUR = 3600
_JOULES_PER_KILOWATT_HOUR = 3.6e6


def page() -> Page:
    """Return the people dashboard."""
    return Page(
        PEOPLE,
        description="To whom GPUs are attached, who is idle, who used how much, who breaks a rule.",
        top=_numbers(),
        rows=[
            Row("Environments and GPUs", [_environments(), _devices()]),
            Row("Idle", _idle()),
            Row("Usage in the chosen time", [_used(), _hours(), *_used_over_time(), _capacity(), _environments_used()]),
            Row("Rules", [_rules(), _users(), _rules_over_time()]),
        ],
        choices=(variables.users(), variables.environments()),
        since="now-24h",
        refresh="1m",
    )


def _numbers() -> Sequence[PanelBuilder]:
    def about(title: str, description: str) -> About:
        return About(title, description, width=4, height=4, empty="Unknown: genv's files cannot be read")

    return [
        number(about("Users", "Chosen users with an active environment."), ask.people(), COUNT),
        number(
            about("Active environments", "Environments of the chosen users with a live process or Jupyter kernel."),
            ask.users_total("genv_user_environments_total", "genv_users_total"),
            COUNT,
        ),
        number(about("GPUs attached", "GPUs that are attached to their environments."), ask.attached_gpus(), COUNT),
        number(
            about(
                "GPUs idle",
                "Those of them that none of their environments has used for idle.grace; orange: at least one.",
            ),
            ask.idle_devices(),
            NONE_IS_GOOD,
        ),
        number(
            about("Broken rules", "Rules that their environments break now; orange: at least one."),
            ask.total("genv_environment_violation", "rule", known="genv_environments_total"),
            NONE_IS_GOOD,
        ),
        number(
            about("Processes outside", "Their processes that compute outside genv."),
            ask.users_total("genv_unmanaged_processes", "genv_processes_total"),
            NONE_IS_GOOD,
        ),
    ]


def _environments() -> PanelBuilder:
    return rows(
        About(
            "Environments",
            "What each environment asked for, has attached and uses. Idle for: time since it last used an attached"
            " GPU, or since the first was attached; in use until idle.grace has passed. The memory limit is for each"
            " GPU, so of the limit is about the GPU on which it uses the most. Utilisation is the mean over its GPUs."
            " (other) is the sum of environments over the monitor's limits.",
            width=24,
            height=12,
        ),
        [_MACHINE, _USER, _NAME, _ENVIRONMENT],
        [
            Value("GPUs", ask.environment("genv_environment_attached_devices_total")),
            Value("GPUs asked for", ask.environment("genv_environment_device_limit")),
            Value(
                "Memory, all GPUs",
                ask.environment_sum("genv_environment_used_gpu_memory_bytes", "device"),
                unit="bytes",
            ),
            Value("Most on a GPU", ask.most_on_a_gpu(), unit="bytes"),
            Value("Limit of each GPU", ask.environment("genv_environment_memory_limit_bytes"), unit="bytes"),
            Value("Of the limit", ask.most_of_limit(), "percentunit", _LIMIT, decimals=0, bar_to=1),
            Value(
                "Utilisation",
                ask.environment_mean("genv_environment_utilization_ratio", "device"),
                unit="percentunit",
            ),
            Value("Idle for", ask.idle_for(), "s", IDLE.steps, IDLE.words, decimals=1),
            Value("Processes", ask.environment("genv_environment_processes_total")),
            Value("Broken rules", ask.environment_sum("genv_environment_violation", "rule"), steps=NONE_IS_GOOD.steps),
            Value("Activated", ask.environment_created(), unit="dateTimeFromNow"),
        ],
        sort_by="Idle for",
        empty=_NO_ENVIRONMENTS,
    )


def _devices() -> PanelBuilder:
    return rows(
        About(
            "Environments by GPU",
            "What each environment uses of each GPU, attached or not, against its limit there (red: above it), and"
            " since when the GPU is attached to it. Peak"
            " memory: the highest value collected since it was activated or the monitor started; a good value for"
            " gpu-memory.",
            width=24,
            height=9,
        ),
        [_MACHINE, _DEVICE, _USER, _NAME, _ENVIRONMENT],
        [
            Value("Memory used", ask.environment("genv_environment_used_gpu_memory_bytes", "device"), unit="bytes"),
            Value("Limit", ask.limit_on_each(), unit="bytes"),
            Value("Of the limit", ask.used_of_limit(), "percentunit", _LIMIT, decimals=0, bar_to=1),
            Value("Peak memory", ask.environment("genv_environment_peak_gpu_memory_bytes", "device"), unit="bytes"),
            Value("SM share", ask.environment("genv_environment_utilization_ratio", "device"), unit="percentunit"),
            Value("Attached since", ask.attached_since(), unit="dateTimeFromNow"),
        ],
        sort_by="Memory used",
        empty=_NO_ENVIRONMENTS,
    )


def _idle() -> Sequence[PanelBuilder]:
    return [
        bars(
            About(
                "Idle for",
                f"The {_MOST} environments that have not used their attached GPUs for the longest time; orange from 30"
                " minutes on. In use: it computes, or did so within idle.grace, by default 10 minutes.",
                width=10,
                height=10,
                empty="No environment has an attached GPU",
            ),
            f"sort_desc({highest(_MOST, ask.idle_for())})",
            _LEGEND,
            IDLE,
        ),
        lines(
            About(
                "Idle over time",
                f"How long environments with attached GPUs were idle, 0 while in use; at each moment the {_MOST} that"
                " were idle the longest. Dashed: 30 minutes.",
                width=14,
                height=10,
                empty="No environment had an attached GPU",
            ),
            highest(_MOST, ask.idle_for()),
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
            "Usage of each user in the chosen time on the chosen machines. A GPU attached for an hour is one GPU-hour,"
            " used (active) or not (idle). Outside: used without being attached. Prometheus extrapolates;"
            " genv-monitor report has the exact sums.",
            width=12,
            height=10,
        ),
        [_USER],
        [
            Value("Attached", hours("genv_user_allocated_device_seconds_total"), GPU_HOURS, decimals=1),
            Value("Active", hours("genv_user_active_device_seconds_total"), GPU_HOURS, decimals=1),
            Value("Idle", hours("genv_user_idle_device_seconds_total"), GPU_HOURS, decimals=1),
            Value("Outside", hours("genv_user_outside_device_seconds_total"), GPU_HOURS, decimals=1),
            Value("Share active", ask.share_worked(), "percentunit", PERCENT.steps, decimals=0, bar_to=1),
            Value("Energy", ask.used("genv_user_energy_joules_total", _JOULES_PER_KILOWATT_HOUR), unit="kwatth"),
        ],
        sort_by="Attached",
        empty=_NO_LEDGER,
    )


def _hours() -> PanelBuilder:
    return bars(
        About(
            "Idle GPU-hours by user",
            f"GPU-hours in the chosen time for which a GPU was attached to the user but not used; the {_MOST} users"
            " with the most.",
            width=12,
            height=10,
            empty=_NO_LEDGER,
        ),
        f"sort_desc({highest(_MOST, ask.used('genv_user_idle_device_seconds_total', _SECONDS_PER_HOUR))})",
        "{{username}}",
        HOURS,
    )


def _used_over_time() -> Sequence[PanelBuilder]:
    def over_time(title: str, description: str, counter: str, scale: Scale) -> PanelBuilder:
        about = About(
            title, f"{description} At each moment the {_MOST} with the most.", width=8, height=8, empty=_NO_LEDGER
        )
        return lines(about, highest(_MOST, ask.used_at_a_time(counter)), "{{username}}", scale)

    return [
        over_time(
            "GPUs attached by user",
            "Average number of GPUs attached to each user.",
            "genv_user_allocated_device_seconds_total",
            MEAN_COUNT,
        ),
        over_time(
            "Idle GPUs by user",
            "Average number of GPUs attached to each user but not used.",
            "genv_user_idle_device_seconds_total",
            MEAN_COUNT,
        ),
        over_time(
            "Power by user",
            "Power attributed to each user; docs/ledger.md says how that of a shared GPU is divided.",
            "genv_user_energy_joules_total",
            WATTS,
        ),
    ]


def _capacity() -> PanelBuilder:
    return lines(
        About(
            "GPUs by state",
            "What became of the time of all GPUs of the chosen machines: in use (active) or not (idle) while attached,"
            " outside: used without being attached, free, down, unknown. docs/ledger.md has the exact meaning.",
            width=10,
            height=9,
            empty=_NO_LEDGER,
        ),
        ask.capacity(),
        "{{state}}",
        COUNT,
    )


def _environments_used() -> PanelBuilder:
    def hours(counter: str) -> str:
        return ask.environment_used(counter, _SECONDS_PER_HOUR)

    return rows(
        About(
            "Usage by environment",
            "What each active environment has used since it was activated or the monitor started, whichever is later."
            " genv-monitor report --by environment has those that ended too.",
            width=14,
            height=9,
        ),
        [_MACHINE, _USER, _NAME, _ENVIRONMENT],
        [
            Value("Attached", hours("genv_environment_allocated_device_seconds_total"), unit="h"),
            Value("Active", hours("genv_environment_active_device_seconds_total"), unit="h"),
            Value("Idle", hours("genv_environment_idle_device_seconds_total"), unit="h"),
            Value(
                "Energy",
                ask.environment_used("genv_environment_energy_joules_total", _JOULES_PER_KILOWATT_HOUR),
                unit="kwatth",
            ),
        ],
        sort_by="Attached",
        empty=_NO_ENVIRONMENTS,
    )


def _rules() -> PanelBuilder:
    return rows(
        About(
            "Rules broken now",
            "Rules that environments break now, and in which share of the chosen time they did. memory_limit: more"
            " memory on a GPU than its limit; unattached_device: computes on a GPU that is not attached; device_limit:"
            " more GPUs attached than it asked for.",
            width=14,
            height=10,
        ),
        [_MACHINE, _USER, _NAME, _ENVIRONMENT, Key("rule", "Rule")],
        [
            Value("Now", ask.broken(), words=KEPT),
            Value("Share of time", ask.broken_for(), unit="percentunit", decimals=0),
        ],
        sort_by="Share of time",
        empty=f"No rule is broken. {_OR_NO_POLICY}",
    )


def _users() -> PanelBuilder:
    return rows(
        About(
            "Users",
            "Totals of each user on the chosen machines. GPU memory includes processes outside genv.",
            width=10,
            height=10,
        ),
        [_USER],
        [
            Value("GPU memory", ask.user("genv_user_used_gpu_memory_bytes"), unit="bytes"),
            Value("Environments", ask.user("genv_user_environments_total")),
            Value("GPUs", ask.user("genv_user_attached_devices_total")),
            Value("Processes", ask.user("genv_user_processes_total")),
            Value("Outside", ask.user("genv_unmanaged_processes"), steps=NONE_IS_GOOD.steps),
        ],
        sort_by="Outside",
        empty="No users, or metrics.users is off in monitor.yaml",
    )


def _rules_over_time() -> PanelBuilder:
    return states(
        About(
            "Rules over time",
            "Environments that broke a rule in the chosen time: when they did (orange), when they kept all (green).",
            width=24,
            height=9,
            empty=f"No rule was broken. {_OR_NO_POLICY}",
        ),
        ask.broken_over_time(),
        _LEGEND,
        Scale("none", words=KEPT),
    )
