"""The overview dashboard, the home: what is free, who is on which GPU, what is broken, who used how much."""

from collections.abc import Sequence

from tools.dashboards import alert_expressions as alerts
from tools.dashboards import expressions as ask
from tools.dashboards import gpu_expressions as gpus
from tools.dashboards.frame import Page, PanelBuilder, Row
from tools.dashboards.navigation import (
    OVERVIEW,
    TO_DEVICE,
    TO_ENVIRONMENT,
    TO_ENVIRONMENT_OF_ROW,
    TO_MACHINE,
    TO_PROCESS,
    TO_RUNBOOK,
    TO_USER,
)
from tools.dashboards.panels import NEUTRAL, About, Line, Scale, dial, lines, number, trend
from tools.dashboards.promql import highest
from tools.dashboards.scales import (
    COUNT,
    FILLING,
    GOOD_COUNT,
    GPU_HOURS,
    HOT,
    IDLE,
    NONE_IS_GOOD,
    NONE_IS_VITAL,
    PERCENT,
    SEVERITIES,
    STATES,
)
from tools.dashboards.tables import Key, Value, rows

_INSTALLED = Scale("percent", least=0, greatest=100, steps=((None, "orange"), (100, "green")))

_DEVICE = "{{instance}} GPU {{index}}"
_MOST_LINES = 20
_MACHINE = Key("instance", "Machine", [TO_MACHINE])
_USER = Key("username", "User", [TO_USER])
_UNKNOWN = "–"  # noqa: RUF001


def page() -> Page:
    """Return the overview dashboard."""
    return Page(
        OVERVIEW,
        description="Shared GPU machines: which GPUs are free, who uses the others, what is broken, who used how much.",
        top=[*_numbers(), _gpus(), _holders(), _alerts(), _usage()],
        rows=[
            Row("GPUs over time", _devices()),
            Row("Environments, users and processes", [*_shares(), _users(), _processes()]),
        ],
        annotations=alerts.marks(),
        since="now-6h",
        refresh="30s",
    )


def _numbers() -> Sequence[PanelBuilder]:
    def about(title: str, description: str) -> About:
        return About(title, description, width=3, height=3, empty=_UNKNOWN)

    return [
        trend(
            about("Alerts", "Firing alerts of the chosen machines; orange: at least one."),
            alerts.firing(),
            NONE_IS_GOOD,
        ),
        trend(
            about("GPUs down", "GPUs that do not answer or are not listed, on machines that do; red: at least one."),
            gpus.down(),
            NONE_IS_VITAL,
        ),
        trend(
            about("GPUs free", "GPUs that are attached to no environment and used by no process, as far as known."),
            gpus.free(),
            GOOD_COUNT,
        ),
        trend(
            about("GPUs attached", "GPUs that are attached to an active environment."),
            ask.number_attached(),
            COUNT,
        ),
        trend(
            about(
                "GPUs idle",
                "Attached GPUs that none of their environments has used for idle.grace; orange: at least one.",
            ),
            gpus.number_idle(),
            NONE_IS_GOOD,
        ),
        trend(
            about("GPUs outside genv", "GPUs on which processes outside genv compute; orange: at least one."),
            gpus.number_outside(),
            NONE_IS_GOOD,
        ),
        trend(
            about("Hottest GPU", "Highest temperature of all GPUs; orange from 80 °C, red from 90 °C."),
            f"max({ask.device_temperature()})",
            HOT,
        ),
        trend(
            about("Users", "Users with an active environment; one on several machines counts once."),
            ask.users(),
            COUNT,
        ),
    ]


def _gpus() -> PanelBuilder:
    return rows(
        About(
            "GPUs",
            "Each GPU with each user and environment on it, first those that are down, free and idle. Free: attached to"
            " no environment and used by no process. Idle: attached, but not used by its environments for idle.grace."
            " Outside genv: attached to nobody, but a process outside genv computes there.",
            width=14,
            height=11,
        ),
        [
            Key("instance", "Machine", [TO_MACHINE], width=100),
            Key("index", "GPU", [TO_DEVICE], width=44),
            Key("username", "User", [TO_USER], width=76),
            Key("name", "Environment", width=108),
        ],
        [
            Value("State", gpus.on_each(gpus.states()), words=STATES, filled=True, width=104),
            Value("Busy", gpus.on_each(ask.device_utilisation()), "percent", PERCENT.steps, decimals=0, bar_to=100),
            Value("Memory", gpus.on_each(ask.device_memory_used()), "percent", FILLING.steps, decimals=0, bar_to=100),
            Value("°C", gpus.on_each(ask.device_temperature()), steps=HOT.steps, width=44),
        ],
        sort_by="State",
        least_first=True,
        then_by=["Machine", "GPU"],
        first=["Machine", "GPU", "State"],
        empty="No GPUs",
    )


def _holders() -> PanelBuilder:
    return rows(
        About(
            "Who holds GPUs",
            "Each active environment, the longest idle first. Idle for: the longest time for which it has not used one"
            " of its GPUs, even if it works on others; in use until idle.grace has passed.",
            width=10,
            height=11,
        ),
        [
            Key("username", "User", [TO_USER], width=72),
            Key("name", "Environment", [TO_ENVIRONMENT_OF_ROW], width=108),
            Key("instance", "Machine", [TO_MACHINE], width=96),
            Key("eid", "ID", concealed=True),
        ],
        [
            Value("GPUs", ask.environment_devices(), width=50),
            Value("Idle for", ask.environment_idle(), "s", IDLE.steps, IDLE.words, decimals=1, width=88),
            Value("Memory", ask.environment_memory(), "bytes", decimals=0),
        ],
        sort_by="Idle for",
        empty="No active environments",
    )


def _alerts() -> PanelBuilder:
    return rows(
        About(
            "Alerts firing",
            "Alerts that fire now, the most severe first. A click on one opens what to do about it, as the monitor of"
            " that machine serves it.",
            width=14,
            height=6,
        ),
        [
            Key("alertname", "Alert", [TO_RUNBOOK]),
            Key("instance", "Machine", [TO_MACHINE], width=120),
            Key("index", "GPU", width=44),
            Key("username", "User", [TO_USER], width=84),
            Key("page", "Page", concealed=True),
        ],
        [
            Value("Severity", alerts.severity(), words=SEVERITIES, width=84),
            Value("Since", alerts.since(), unit="dateTimeFromNow", width=120),
        ],
        sort_by="Severity",
        least_first=True,
        then_by=["Since"],
        first=["Severity"],
        empty="No alert fires",
    )


def _usage() -> PanelBuilder:
    return rows(
        About(
            "GPU-hours of the last 24 hours",
            "A GPU attached to a user for an hour is one GPU-hour, used or not. Outside: used without being attached."
            " genv-monitor report has the exact sums.",
            width=10,
            height=6,
            only_since="24h",
        ),
        [_USER],
        [
            Value("Attached", ask.gpu_hours("allocated"), GPU_HOURS, decimals=1, width=90),
            Value("Not used", ask.gpu_hours("idle"), GPU_HOURS, decimals=1, width=90),
            Value("Outside", ask.gpu_hours("outside"), GPU_HOURS, decimals=1, width=90),
            Value("Used", ask.share_used(), "percentunit", PERCENT.steps, decimals=0, bar_to=1),
        ],
        sort_by="Attached",
        empty="No GPU was attached, or the ledger is off",
    )


def _devices() -> Sequence[PanelBuilder]:
    return [
        *_average_and_each(
            "Compute utilisation",
            "share of time in which the GPU was busy; a GPU in MIG mode reports none.",
            ask.device_utilisation(),
            PERCENT,
        ),
        *_average_and_each(
            "Memory",
            "used memory in percent of the GPU's memory.",
            ask.device_memory_used(),
            FILLING,
        ),
        *_average_and_each(
            "Temperature",
            "temperature of the GPU core; most GPUs slow down somewhere between 80 and 95 °C.",
            ask.device_temperature(),
            HOT,
        ),
    ]


def _average_and_each(what: str, meaning: str, expression: str, scale: Scale) -> Sequence[PanelBuilder]:
    """Return two panels: the average over all GPUs, and the GPUs over time."""
    average = About(f"{what}, average", f"Average over all GPUs: {meaning}", width=4, height=8)
    each = About(
        f"{what} by GPU",
        f"At each moment the {_MOST_LINES} GPUs with the most, and the average of all (dashed): {meaning}",
        width=20,
        height=8,
    )
    mean = f"avg({expression})"
    return [
        dial(average, mean, scale),
        lines(each, highest(_MOST_LINES, expression), _DEVICE, scale, Line(mean, "average", dashed=True)),
    ]


def _shares() -> Sequence[PanelBuilder]:
    def about(title: str, description: str, width: int = 5) -> About:
        return About(title, description, width=width, height=4)

    return [
        number(
            about("Genv installed", "Share of the answering machines that have genv installed.", 4),
            ask.machines_with_genv(),
            _INSTALLED,
        ),
        number(
            about("Environments", "Active environments: those with a live process or Jupyter kernel."),
            ask.environments(),
            COUNT,
        ),
        number(
            about("Attached GPUs", "Share of all GPUs that are attached to an active environment."),
            ask.attached_devices(),
            Scale("percent", least=0, greatest=100, steps=((None, NEUTRAL),)),
        ),
        number(
            about("GPU processes", "Processes that compute on a GPU, inside environments and outside genv."),
            ask.processes(),
            COUNT,
        ),
        number(
            about("In environments", "Share of all GPU processes that run inside an active environment."),
            ask.processes_in_environments(),
            PERCENT,
        ),
    ]


def _users() -> PanelBuilder:
    return rows(
        About("Users of each machine", "Active environments of each user, their attached GPUs and processes.", 9, 10),
        [_MACHINE, _USER],
        [
            Value("Environments", ask.user_environments()),
            Value("GPUs", ask.user_devices()),
            Value("Processes", ask.user_processes()),
        ],
        sort_by="GPUs",
        empty="No active users",
    )


def _processes() -> PanelBuilder:
    return rows(
        About(
            "Processes",
            "Each GPU process on each of its GPUs. Environment (none): outside genv.",
            width=15,
            height=10,
        ),
        [
            _MACHINE,
            Key("pid", "PID", [TO_PROCESS]),
            _USER,
            Key("command", "Command"),
            Key("eid", "Environment", [TO_ENVIRONMENT]),
            Key("device", "GPU"),
        ],
        [
            Value("GPUs of the process", ask.process_devices()),
            Value("Memory on this GPU", ask.process_memory(), unit="bytes"),
        ],
        sort_by="Memory on this GPU",
        empty="No GPU processes",
    )
