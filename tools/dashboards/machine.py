"""The machine dashboard: all GPUs of one machine in detail. Only what everybody asks is open."""

from collections.abc import Sequence

from tools.dashboards import alert_expressions as alerts
from tools.dashboards import machine_expressions as ask
from tools.dashboards import variables
from tools.dashboards.frame import Page, PanelBuilder, Row
from tools.dashboards.machine_boards import boards
from tools.dashboards.machine_clocks import clocks
from tools.dashboards.machine_engines import engines
from tools.dashboards.machine_health import health
from tools.dashboards.machine_links import links
from tools.dashboards.machine_power import memory_and_power
from tools.dashboards.navigation import MACHINE, TO_ENVIRONMENT, TO_USER
from tools.dashboards.panels import About, Line, Scale, lines, number, word
from tools.dashboards.scales import (
    BYTES,
    CELSIUS,
    DETAILS,
    GPU_DOES_NOT,
    HOT,
    IDLE,
    KNOWN,
    PERCENT,
    RECOVERY_ACTIONS,
    STATES,
    WATTS,
    YES_BAD,
)
from tools.dashboards.tables import Key, Value, rows

_GPU = "GPU {{index}}"
_DEVICE = Key("index", "GPU")


def page() -> Page:
    """Return the machine dashboard."""
    return Page(
        MACHINE,
        description="All GPUs of one machine in detail, and to whom they are attached.",
        top=[*_numbers(), _devices(), _attached(), *_over_time()],
        rows=[
            Row("Memory, temperature and power", memory_and_power(), closed=True),
            Row("Clocks and throttling", clocks(), closed=True),
            Row("Recovery, memory health and XID errors", health(), closed=True),
            Row("PCI Express, NVLink and fabric", links(), closed=True),
            Row("Engines, SM activity, fans and MIG devices", engines(), closed=True),
            Row("Boards and modes", boards(), closed=True),
        ],
        machines=variables.machine,
        choices=(variables.devices_of_the_machine(),),
        annotations=alerts.marks_of_the_machine(),
    )


def _numbers() -> Sequence[PanelBuilder]:
    def about(title: str, description: str, empty: str = GPU_DOES_NOT) -> About:
        return About(title, description, width=6, height=4, empty=empty)

    up = ask.device("genv_device_up")
    return [
        word(
            about(
                "Driver", "State of the NVIDIA driver; green: ok, red: anything else.", "The monitor does not answer"
            ),
            ask.driver_state(),
            "{{state}}",
            Scale("none", steps=((None, "red"), (1, "green"))),
        ),
        number(
            about("GPUs that answer", "Share of the chosen GPUs that answer; red: at least one does not.", "No GPUs"),
            f"100 * avg({up})",
            Scale("percent", least=0, greatest=100, steps=((None, "red"), (100, "green"))),
        ),
        number(
            about("Hottest GPU", "Highest temperature of the chosen GPUs; orange from 80 °C, red from 90 °C."),
            f"max({ask.device('genv_device_temperature')})",
            HOT,
        ),
        number(
            about("Power", "Power draw of the chosen GPUs together.", DETAILS),
            f"sum({ask.device('genv_device_power_watts')})",
            WATTS,
        ),
    ]


def _devices() -> PanelBuilder:
    def value(title: str, metric: str, unit: str = "none") -> Value:
        return Value(title, ask.named(ask.device(metric)), unit)

    return rows(
        About(
            "GPUs",
            "Each GPU now. Attached to: number of active environments. Oversubscribed: the environments asked for more"
            " memory than it has. Orphan: memory in use that no live process accounts for. Recovery action: what the"
            " driver recommends to repair it.",
            width=24,
            height=10,
        ),
        [_DEVICE, Key("name", "Model")],
        [
            Value("State", ask.named(ask.state()), words=STATES, filled=True),
            Value("Recovery action", ask.named(ask.recovery_action()), words=RECOVERY_ACTIONS),
            value("Utilisation", "genv_device_utilization", "percent"),
            value("Memory used", "genv_device_memory_used_bytes", "bytes"),
            value("Memory", "genv_device_memory_total_bytes", "bytes"),
            value("Free", "genv_device_memory_free_bytes", "bytes"),
            value("Reserved", "genv_device_memory_reserved_bytes", "bytes"),
            value("Orphan", "genv_device_orphan_memory_bytes", "bytes"),
            Value("Temperature", ask.named(ask.device("genv_device_temperature")), "celsius", steps=HOT.steps),
            value("Power", "genv_device_power_watts", "watt"),
            Value("Attached to", ask.named(ask.environments_of_gpu())),
            Value("Attachments", ask.named(ask.device("genv_device_holders_known")), words=KNOWN),
            Value("Oversubscribed", ask.named(ask.device("genv_device_oversubscribed")), words=YES_BAD),
        ],
        sort_by="GPU",
        least_first=True,
        hidden=("instance",),
        empty="No GPUs: is the driver loaded?",
    )


def _attached() -> PanelBuilder:
    return rows(
        About(
            "Attached GPUs",
            "Each environment on each GPU that is attached to it. Idle for: time since the environment last used this"
            " GPU; it is in use until idle.grace has passed.",
            width=24,
            height=9,
        ),
        [
            _DEVICE,
            Key("username", "User", [TO_USER]),
            Key("name", "Name"),
            Key("eid", "Environment", [TO_ENVIRONMENT]),
            Key("instance", "Machine"),
        ],
        [
            Value("Environments of the GPU", ask.attachments()),
            Value("Memory used", ask.attached_memory(), unit="bytes"),
            Value("SM share", ask.attached_utilisation(), unit="percentunit"),
            Value("Idle for", ask.attached_idle(), "s", IDLE.steps, IDLE.words, decimals=1),
        ],
        sort_by="GPU",
        least_first=True,
        empty="No attached GPU, or metrics.environments is off in monitor.yaml",
    )


def _over_time() -> Sequence[PanelBuilder]:
    threshold = "genv_device_temperature_threshold_celsius"
    core = ask.device(threshold, "threshold", where='threshold!="memory_max"')
    return [
        lines(
            About(
                "Compute utilisation",
                "Share of time in which the GPU was busy.",
                12,
                8,
                empty=f"{GPU_DOES_NOT}; one in MIG mode never does",
            ),
            ask.device("genv_device_utilization"),
            _GPU,
            PERCENT,
        ),
        lines(
            About(
                "Memory used", "Memory in use on each GPU; dashed: the size of the largest.", 12, 8, empty=GPU_DOES_NOT
            ),
            ask.device("genv_device_memory_used_bytes"),
            _GPU,
            BYTES,
            Line(f"max({ask.device('genv_device_memory_total_bytes')})", "size", dashed=True),
        ),
        lines(
            About(
                "Temperature",
                "Temperature of the GPU core; dashed: the lowest thresholds of the chosen GPUs: maximum operating"
                " temperature, slowdown, shutdown.",
                width=12,
                height=8,
                empty=GPU_DOES_NOT,
            ),
            ask.device("genv_device_temperature"),
            _GPU,
            CELSIUS,
            Line(f"min by (threshold) ({core})", "{{threshold}}", dashed=True),
        ),
        lines(
            About("Power by GPU", "Power draw of each board.", 12, 8, empty=DETAILS),
            ask.device("genv_device_power_watts"),
            _GPU,
            WATTS,
        ),
    ]
