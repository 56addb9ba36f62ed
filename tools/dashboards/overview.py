"""The overview dashboard: what the machines do, and for whom."""

from collections.abc import Sequence

from tools.dashboards import expressions as ask
from tools.dashboards.frame import Page, PanelBuilder, Row
from tools.dashboards.navigation import OVERVIEW, TO_ENVIRONMENT, TO_MACHINE, TO_PROCESS, TO_USER
from tools.dashboards.panels import NEUTRAL, About, Scale, dial, lines, number
from tools.dashboards.tables import Key, Value, rows

_COUNT = Scale("none")
_PERCENT = Scale("percent", least=0, greatest=100)
_INSTALLED = Scale("percent", least=0, greatest=100, steps=((None, "orange"), (100, "green")))
_FILLING = Scale("percent", least=0, greatest=100, steps=((None, NEUTRAL), (90, "orange")))
_CELSIUS = Scale("celsius", least=0, greatest=100, steps=((None, "green"), (80, "orange"), (90, "red")))

_DEVICE = "{{instance}} GPU {{index}}"
_MACHINE = Key("instance", "Machine", [TO_MACHINE])
_ENVIRONMENT = Key("eid", "Environment", [TO_ENVIRONMENT])


def page() -> Page:
    """Return the overview dashboard."""
    return Page(
        OVERVIEW,
        description="Shared GPU machines: their GPUs, and the environments, users and processes on them.",
        top=_numbers(),
        rows=[
            Row("GPUs", _devices()),
            Row("Environments and users", [_environments(), _users()]),
            Row("Processes", [_processes()]),
        ],
    )


def _numbers() -> Sequence[PanelBuilder]:
    def about(title: str, description: str) -> About:
        return About(title, description, width=4, height=4)

    return [
        number(
            about("Genv installed", "Share of the answering machines that have genv installed."),
            ask.machines_with_genv(),
            _INSTALLED,
        ),
        number(
            about("Environments", "Active environments: those with a live process or Jupyter kernel."),
            ask.environments(),
            _COUNT,
        ),
        number(
            about("Users", "Users with an active environment; one on several machines counts once."),
            ask.users(),
            _COUNT,
        ),
        number(
            about("Attached GPUs", "Share of all GPUs that are attached to an active environment."),
            ask.attached_devices(),
            _FILLING,
        ),
        number(
            about("GPU processes", "Processes that compute on a GPU, inside environments and outside genv."),
            ask.processes(),
            _COUNT,
        ),
        number(
            about("In environments", "Share of all GPU processes that run inside an active environment."),
            ask.processes_in_environments(),
            _PERCENT,
        ),
    ]


def _devices() -> Sequence[PanelBuilder]:
    return [
        *_average_and_each(
            "Compute utilisation",
            "share of time in which the GPU was busy; a GPU in MIG mode reports none.",
            ask.device_utilisation(),
            _PERCENT,
        ),
        *_average_and_each(
            "Memory",
            "used memory in percent of the GPU's memory.",
            ask.device_memory_used(),
            _FILLING,
        ),
        *_average_and_each(
            "Temperature",
            "temperature of the GPU core; most GPUs slow down somewhere between 80 and 95 °C.",
            ask.device_temperature(),
            _CELSIUS,
        ),
    ]


def _average_and_each(what: str, meaning: str, expression: str, scale: Scale) -> Sequence[PanelBuilder]:
    """Return two panels: the average over all GPUs, and each GPU over time."""
    average = About(f"{what}, average", f"Average over all GPUs: {meaning}", width=4, height=8)
    each = About(f"{what} by GPU", f"Each GPU: {meaning}", width=20, height=8)
    return [dial(average, f"avg({expression})", scale), lines(each, expression, _DEVICE, scale)]


def _environments() -> PanelBuilder:
    return rows(
        About(
            "Environments", "Attached GPUs, processes and GPU memory of each active environment.", width=12, height=9
        ),
        [_MACHINE, _ENVIRONMENT],
        [
            Value("GPUs", ask.environment_devices()),
            Value("Processes", ask.environment_processes()),
            Value("GPU memory", ask.environment_memory(), unit="bytes"),
        ],
        sort_by="GPUs",
        empty="No active environments",
    )


def _users() -> PanelBuilder:
    return rows(
        About("Users", "Active environments of each user, their attached GPUs and processes.", width=12, height=9),
        [_MACHINE, Key("username", "User", [TO_USER])],
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
            width=24,
            height=10,
        ),
        [_MACHINE, Key("pid", "PID", [TO_PROCESS]), _ENVIRONMENT, Key("device", "GPU")],
        [
            Value("GPUs of the process", ask.process_devices()),
            Value("Memory on this GPU", ask.process_memory(), unit="bytes"),
        ],
        sort_by="Memory on this GPU",
        empty="No GPU processes",
    )
