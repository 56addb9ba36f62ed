"""The machine dashboard: all GPUs of one machine in detail."""

from collections.abc import Sequence

from tools.dashboards import machine_expressions as ask
from tools.dashboards import variables
from tools.dashboards.frame import Page, PanelBuilder, Row
from tools.dashboards.machine_activity import activity, migs
from tools.dashboards.machine_clocks import clocks, engines_and_fans
from tools.dashboards.machine_health import health
from tools.dashboards.machine_links import links
from tools.dashboards.machine_monitor import driver, monitor
from tools.dashboards.navigation import MACHINE, TO_ENVIRONMENT, TO_USER
from tools.dashboards.panels import About, Line, Scale, bars, dial, lines, number, word
from tools.dashboards.scales import (
    ANSWERS,
    BYTES,
    CELSIUS,
    COUNT,
    DETAILS,
    FILLING,
    GPU_DOES_NOT,
    HOT,
    IDLE,
    KILOWATT_HOURS,
    KNOWN,
    PERCENT,
    RATIO,
    RECOVERY_ACTIONS,
    WATTS,
    YES_BAD,
)
from tools.dashboards.tables import Key, Value, rows

_GPU = "GPU {{index}}"
_DEVICE = Key("index", "GPU")
_MODEL = Key("name", "Model")
_MIG = f"{GPU_DOES_NOT}; one in MIG mode never does"
_THIS_MACHINE = ("instance",)


def page() -> Page:
    """Return the machine dashboard."""
    return Page(
        MACHINE,
        description="All GPUs of one machine in detail, to whom they are attached, and the health of the monitor.",
        top=_numbers(),
        rows=[
            Row("GPUs", [_devices(), _attached()]),
            Row("Utilisation", _utilisation()),
            Row("Memory", _memory()),
            Row("Temperature", _temperature()),
            Row("Power", _power()),
            Row("Clocks and throttling", clocks()),
            Row("Recovery, memory health and XID errors", health()),
            Row("Video engines, other clocks and power, fans", engines_and_fans(), closed=True),
            Row("PCI Express, NVLink and fabric", links(), closed=True),
            Row("SM activity (GPM)", activity(), closed=True),
            Row("MIG devices", migs(), closed=True),
            Row("Driver and modes", driver(), closed=True),
            Row("The monitor itself", monitor(), closed=True),
        ],
        machines=variables.machine,
        choices=(variables.devices_of_the_machine(),),
    )


def _numbers() -> Sequence[PanelBuilder]:
    def about(title: str, description: str, empty: str = GPU_DOES_NOT) -> About:
        return About(title, description, width=4, height=4, empty=empty)

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
        dial(
            about("Utilisation", "Mean compute utilisation of the chosen GPUs.", _MIG),
            f"avg({ask.device('genv_device_utilization')})",
            PERCENT,
        ),
        dial(
            about("Memory", "Used memory of the chosen GPUs together; orange from 90 %."),
            ask.memory_share(),
            FILLING,
        ),
        dial(
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
            height=9,
        ),
        [_DEVICE, _MODEL],
        [
            Value("State", ask.named(ask.device("genv_device_up")), words=ANSWERS),
            Value("Recovery action", ask.named(ask.recovery_action()), words=RECOVERY_ACTIONS),
            value("Utilisation", "genv_device_utilization", "percent"),
            value("Memory used", "genv_device_memory_used_bytes", "bytes"),
            value("Memory", "genv_device_memory_total_bytes", "bytes"),
            value("Orphan", "genv_device_orphan_memory_bytes", "bytes"),
            Value("Temperature", ask.named(ask.device("genv_device_temperature")), "celsius", steps=HOT.steps),
            value("Power", "genv_device_power_watts", "watt"),
            Value("Attached to", ask.named(ask.environments_of_gpu())),
            Value("Attachments", ask.named(ask.device("genv_device_holders_known")), words=KNOWN),
            Value("Oversubscribed", ask.named(ask.device("genv_device_oversubscribed")), words=YES_BAD),
        ],
        sort_by="GPU",
        least_first=True,
        hidden=_THIS_MACHINE,
        empty="No GPUs: is the driver loaded?",
    )


def _attached() -> PanelBuilder:
    return rows(
        About(
            "Attached GPUs",
            "Each environment on each GPU that is attached to it. Idle for: time since the environment last used one of"
            " its attached GPUs; 0 while it is in use, which is until idle.grace has passed.",
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
            Value("Idle for", ask.attached_idle(), unit="s", steps=IDLE.steps, words=IDLE.words),
        ],
        sort_by="GPU",
        least_first=True,
        empty="No attached GPU, or metrics.environments is off in monitor.yaml",
    )


def _utilisation() -> Sequence[PanelBuilder]:
    return [
        lines(
            About("Compute utilisation", "Share of time in which the GPU was busy.", 12, 8, empty=_MIG),
            ask.device("genv_device_utilization"),
            _GPU,
            PERCENT,
        ),
        lines(
            About("Memory bandwidth", "Share of time in which GPU memory was read or written.", 12, 8, empty=_MIG),
            ask.device("genv_device_memory_bandwidth_utilization_ratio"),
            _GPU,
            RATIO,
        ),
    ]


def _memory() -> Sequence[PanelBuilder]:
    def over_time(title: str, description: str, metric: str, why: str = GPU_DOES_NOT) -> PanelBuilder:
        about = About(title, description, width=12, height=8, empty=why)
        return lines(about, ask.device(metric), _GPU, BYTES)

    return [
        lines(
            About(
                "Memory used", "Memory in use on each GPU; dashed: the size of the largest.", 12, 8, empty=GPU_DOES_NOT
            ),
            ask.device("genv_device_memory_used_bytes"),
            _GPU,
            BYTES,
            Line(f"max({ask.device('genv_device_memory_total_bytes')})", "size", dashed=True),
        ),
        over_time("Memory free", "Memory that is neither in use nor reserved.", "genv_device_memory_free_bytes"),
        over_time(
            "Memory reserved",
            "Memory that driver and firmware reserve.",
            "genv_device_memory_reserved_bytes",
            f"{GPU_DOES_NOT}, or the driver is older than 510",
        ),
        over_time(
            "Orphan memory",
            "Memory in use that no live process accounts for: usually left behind by a process that ended badly. A"
            " little is the driver's own; look into more than 512 MiB that stays for minutes.",
            "genv_device_orphan_memory_bytes",
            "Unknown, as a process or the driver's reserve is unknown; or metrics.policy is off",
        ),
        over_time(
            "Memory of unseen processes",
            "Memory in use that no listed process has and no process left behind: most likely of a container with a"
            " pid namespace of its own.",
            "genv_device_unseen_memory_bytes",
            "All memory in use belongs to processes that the driver lists",
        ),
        lines(
            About(
                "Host memory",
                "Host memory in use by programs, GPUs and everything else; dashed: its size. Only for GPUs without"
                " memory of their own, which use host memory.",
                width=12,
                height=8,
                empty="Each GPU has memory of its own",
            ),
            f"{ask.machine('genv_host_memory_total_bytes')} - {ask.machine('genv_host_memory_available_bytes')}",
            "in use",
            BYTES,
            Line(ask.machine("genv_host_memory_total_bytes"), "size", dashed=True),
        ),
        lines(
            About(
                "GPUs that use host memory",
                "1 for each GPU that has no memory of its own.",
                width=24,
                height=8,
                empty="Each GPU has memory of its own",
            ),
            ask.device("genv_device_shares_host_memory"),
            _GPU,
            COUNT,
        ),
    ]


def _temperature() -> Sequence[PanelBuilder]:
    threshold = "genv_device_temperature_threshold_celsius"
    core = ask.device(threshold, "threshold", where='threshold!="memory_max"')
    memory = ask.device(threshold, "threshold", where='threshold="memory_max"')
    return [
        lines(
            About(
                "Temperature",
                "Temperature of the GPU core; dashed: the lowest thresholds of the chosen GPUs: maximum operating"
                " temperature, slowdown, shutdown.",
                width=9,
                height=9,
                empty=GPU_DOES_NOT,
            ),
            ask.device("genv_device_temperature"),
            _GPU,
            CELSIUS,
            Line(f"min by (threshold) ({core})", "{{threshold}}", dashed=True),
        ),
        lines(
            About(
                "Memory temperature",
                "Temperature of the GPU memory; dashed: its maximum operating temperature.",
                width=8,
                height=9,
                empty=DETAILS,
            ),
            ask.device("genv_device_memory_temperature_celsius"),
            _GPU,
            CELSIUS,
            Line(f"min by (threshold) ({memory})", "{{threshold}}", dashed=True),
        ),
        bars(
            About(
                "Degrees below slowdown",
                "How much hotter each GPU can get before it slows down: the margin that it reports, or else the"
                " difference to its threshold; orange below 10, red at 0.",
                width=7,
                height=9,
                empty=DETAILS,
            ),
            ask.below_slowdown(),
            _GPU,
            Scale("celsius", least=0, greatest=60, steps=((None, "red"), (0.1, "orange"), (10, "green"))),
        ),
    ]


def _power() -> Sequence[PanelBuilder]:
    def limit(title: str, metric: str) -> Value:
        return Value(title, ask.named(ask.device(metric)), unit="watt")

    return [
        lines(
            About("Power by GPU", "Power draw of each board.", 12, 8, empty=DETAILS),
            ask.device("genv_device_power_watts"),
            _GPU,
            WATTS,
        ),
        lines(
            About(
                "Power against limit",
                "Power as a share of the enforced limit; at 100 % the GPU slows down.",
                width=12,
                height=8,
                empty=DETAILS,
            ),
            ask.power_share(),
            _GPU,
            Scale("percentunit", least=0, steps=((None, "green"), (1, "orange"))),
        ),
        rows(
            About("Power limits", "The enforced limit, the default, and the range that can be set.", 14, 8),
            [_DEVICE, _MODEL],
            [
                limit("Limit", "genv_device_power_limit_watts"),
                limit("Default", "genv_device_power_limit_default_watts"),
                limit("Lowest", "genv_device_power_limit_min_watts"),
                limit("Highest", "genv_device_power_limit_max_watts"),
            ],
            sort_by="GPU",
            least_first=True,
            hidden=_THIS_MACHINE,
            empty=DETAILS,
        ),
        bars(
            About(
                "Energy in the chosen time", "Energy that each GPU consumed in the chosen time.", 10, 8, empty=DETAILS
            ),
            f"{ask.device_increase('genv_device_energy_joules_total')} / 3.6e6",
            _GPU,
            KILOWATT_HOURS,
        ),
    ]
