"""The processes dashboard: every GPU process, its user, what it uses, what started it."""

from collections.abc import Sequence

from tools.dashboards import people_expressions as people
from tools.dashboards import process_expressions as ask
from tools.dashboards import variables
from tools.dashboards.frame import Page, PanelBuilder, Row
from tools.dashboards.navigation import PROCESSES, TO_DEVICE, TO_ENVIRONMENT, TO_MACHINE, TO_PROCESS, TO_USER
from tools.dashboards.panels import About, bars, lines, number
from tools.dashboards.promql import highest
from tools.dashboards.scales import BYTES, COUNT, NONE_IS_GOOD, RATIO, or_off
from tools.dashboards.tables import Key, Value, rows

_MOST = 20
_OFF = "No GPU processes, or metrics.processes is off in monitor.yaml"
_LEGEND = "{{instance}} {{username}} {{command}} {{pid}} GPU {{device}}"
_KEYS = (
    Key("instance", "Machine", [TO_MACHINE]),
    Key("pid", "PID", [TO_PROCESS]),
    Key("username", "User", [TO_USER]),
    Key("command", "Command"),
    Key("type", "Type"),
    Key("eid", "Environment", [TO_ENVIRONMENT]),
    Key("device", "GPU", [TO_DEVICE]),
    Key("cgroup_kind", "Started by"),
    Key("cgroup", "Container, job or session"),
)
_OUTSIDE_KEYS = tuple(Key("eid", key.title) if key.label == "eid" else key for key in _KEYS)
"""Like _KEYS, but without a link to the environment."""


def page() -> Page:
    """Return the processes dashboard."""
    return Page(
        PROCESSES,
        description="Every GPU process: its user, what it uses, and what started it.",
        top=_numbers(),
        rows=[
            Row("Processes", [_table()]),
            Row("Over time", _over_time()),
            Row("Outside genv", [_outside(), _outside_by_user()]),
            Row("Kinds of processes", _kinds()),
        ],
        choices=(variables.users(), variables.environments(), variables.devices(), variables.processes()),
    )


def _numbers() -> Sequence[PanelBuilder]:
    def about(title: str, description: str) -> About:
        return About(title, description, width=6, height=4, empty=_OFF)

    return [
        number(
            about("GPU processes", "Chosen processes on a GPU: compute and graphics."),
            ask.number(),
            COUNT,
        ),
        number(about("Users", "Users of these processes; one on several machines counts once."), ask.people(), COUNT),
        number(about("GPU memory", "Memory of the chosen processes on all GPUs together."), ask.total_memory(), BYTES),
        number(
            about("Outside genv", "Processes of the chosen users that compute outside genv."),
            people.users_total("genv_unmanaged_processes", "genv_processes_total"),
            NONE_IS_GOOD,
        ),
    ]


def _table() -> PanelBuilder:
    return rows(
        About(
            "Processes",
            "Each process on each of its GPUs. The command is the short name, which the process chooses itself."
            " A container is shown by the first twelve digits of its ID, as in docker ps. Environment (none): outside"
            " genv, or unknown. (other): the sum of processes over the monitor's limits."
            " Peak memory: the highest value collected since the process or the monitor was started.",
            width=24,
            height=14,
        ),
        _KEYS,
        [
            Value("Started", ask.started(), unit="dateTimeFromNow"),
            Value("Memory", ask.memory(), unit="bytes"),
            Value("Peak memory", ask.peak_memory(), unit="bytes"),
            Value("SM share", ask.utilisation(), unit="percentunit"),
            Value("Memory bandwidth", ask.share("memory_bandwidth"), unit="percentunit"),
            Value("Encoder", ask.share("encoder"), unit="percentunit"),
            Value("Decoder", ask.share("decoder"), unit="percentunit"),
            Value("GPUs of the process", ask.devices()),
        ],
        sort_by="Memory",
        empty=_OFF,
    )


def _over_time() -> Sequence[PanelBuilder]:
    return [
        lines(
            About(
                "Memory by process",
                f"Memory of each process on each of its GPUs; at each moment the {_MOST} with the most.",
                width=12,
                height=10,
                empty=_OFF,
            ),
            highest(_MOST, ask.memory()),
            _LEGEND,
            BYTES,
        ),
        lines(
            About(
                "SM share by process",
                "Share of the GPU's SM time that each process used, by the driver's samples; at each moment the"
                f" {_MOST} with the most.",
                width=12,
                height=10,
                empty=f"{or_off('metrics.processes')}; a GPU in MIG mode reports none",
            ),
            highest(_MOST, ask.utilisation()),
            _LEGEND,
            RATIO,
        ),
    ]


def _outside() -> PanelBuilder:
    return rows(
        About(
            "Processes outside genv",
            "Processes that compute on a GPU in no active environment. The choice of environments above does not"
            " apply.",
            width=16,
            height=9,
        ),
        _OUTSIDE_KEYS,
        [
            Value("Started", ask.outside_started(), unit="dateTimeFromNow"),
            Value("Memory", ask.outside_memory(), unit="bytes"),
            Value("SM share", ask.outside_utilisation(), unit="percentunit"),
        ],
        sort_by="Memory",
        empty="Every chosen process that computes is in an active environment",
    )


def _outside_by_user() -> PanelBuilder:
    return lines(
        About(
            "Processes outside genv by user",
            "Processes of each user that compute outside genv.",
            width=8,
            height=9,
            empty="No users, or metrics.policy is off in monitor.yaml",
        ),
        people.user("genv_unmanaged_processes"),
        "{{username}}",
        COUNT,
    )


def _kinds() -> Sequence[PanelBuilder]:
    def by(title: str, label: str, description: str) -> PanelBuilder:
        return bars(About(title, description, 8, 7, empty=_OFF), ask.number_by(label), f"{{{{{label}}}}}", COUNT)

    return [
        by(
            "By starter",
            "cgroup_kind",
            "Number of processes of containers, Slurm jobs, login sessions and services, by their control groups.",
        ),
        by("By type", "type", "Number of processes by type: compute, compute through MPS, graphics."),
        by("By user", "username", "Number of processes of each user."),
    ]
