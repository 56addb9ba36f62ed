"""Panels of the machine dashboard: memory, temperature, power, and their limits."""

from collections.abc import Sequence

from tools.dashboards import machine_expressions as ask
from tools.dashboards.frame import PanelBuilder
from tools.dashboards.panels import About, Line, Scale, bars, lines
from tools.dashboards.scales import BYTES, CELSIUS, DETAILS, GPU_DOES_NOT, RATIO, WATTS
from tools.dashboards.tables import Key, Value, rows

_GPU = "GPU {{index}}"


def memory_and_power() -> Sequence[PanelBuilder]:
    """Return the panels about memory, temperature, power and their limits."""
    return [
        _bandwidth(),
        _without_process(),
        _host_memory(),
        _memory_temperature(),
        _below_slowdown(),
        _other_power(),
        _limits(),
    ]


def _bandwidth() -> PanelBuilder:
    return lines(
        About(
            "Memory bandwidth",
            "Share of time in which GPU memory was read or written.",
            width=8,
            height=8,
            empty=f"{GPU_DOES_NOT}; one in MIG mode never does",
        ),
        ask.device("genv_device_memory_bandwidth_utilization_ratio"),
        _GPU,
        RATIO,
    )


def _without_process() -> PanelBuilder:
    return lines(
        About(
            "Memory of no visible process",
            "Orphan: memory in use that no live process accounts for, usually left behind by one that ended badly; look"
            " into more than 512 MiB that stays for minutes. Unseen (dashed): memory that most likely belongs to a"
            " container with a pid namespace of its own.",
            width=8,
            height=8,
            empty="Unknown, as a process or the driver's reserve is unknown; or metrics.policy is off",
        ),
        ask.device("genv_device_orphan_memory_bytes"),
        f"{_GPU} orphan",
        BYTES,
        Line(ask.device("genv_device_unseen_memory_bytes"), f"{_GPU} unseen", dashed=True),
    )


def _host_memory() -> PanelBuilder:
    size = ask.machine("genv_host_memory_total_bytes")
    return lines(
        About(
            "Host memory",
            "Host memory in use by programs, GPUs and everything else; dashed: its size. Only for GPUs without memory"
            " of their own, which use host memory.",
            width=8,
            height=8,
            empty="Each GPU has memory of its own",
        ),
        f"{size} - {ask.machine('genv_host_memory_available_bytes')}",
        "in use",
        BYTES,
        Line(size, "size", dashed=True),
    )


def _memory_temperature() -> PanelBuilder:
    threshold = "genv_device_temperature_threshold_celsius"
    limit = ask.device(threshold, "threshold", where='threshold="memory_max"')
    return lines(
        About(
            "Memory temperature",
            "Temperature of the GPU memory; dashed: its maximum operating temperature.",
            width=8,
            height=8,
            empty=DETAILS,
        ),
        ask.device("genv_device_memory_temperature_celsius"),
        _GPU,
        CELSIUS,
        Line(f"min by (threshold) ({limit})", "{{threshold}}", dashed=True),
    )


def _below_slowdown() -> PanelBuilder:
    return bars(
        About(
            "Degrees below slowdown",
            "How much hotter each GPU can get before it slows down: the margin that it reports, or else the difference"
            " to its threshold; orange below 10, red at 0.",
            width=8,
            height=8,
            empty=DETAILS,
        ),
        ask.below_slowdown(),
        _GPU,
        Scale("celsius", least=0, greatest=60, steps=((None, "red"), (0.1, "orange"), (10, "green"))),
    )


def _other_power() -> PanelBuilder:
    module = "genv_device_module_power_watts", "genv_device_module_power_limit_watts"
    return lines(
        About(
            "Instant power, memory and module",
            "Power draw of each board at the moment (the panel above has the mean of a second), of its memory if that"
            " is measured, and of the module with its Grace CPU; dashed: the limit of the module.",
            width=8,
            height=8,
            empty=DETAILS,
        ),
        ask.device("genv_device_power_instant_watts"),
        _GPU,
        WATTS,
        Line(ask.device("genv_device_memory_power_watts"), f"{_GPU} memory"),
        Line(ask.device(module[0]), f"{_GPU} module"),
        Line(ask.device(module[1]), f"{_GPU} limit of the module", dashed=True),
    )


def _limits() -> PanelBuilder:
    names = {"shutdown": "Shutdown", "slowdown": "Slowdown", "gpu_max": "GPU", "memory_max": "Memory"}

    def watts(title: str, metric: str) -> Value:
        return Value(title, ask.device(metric), unit="watt", decimals=0)

    def degrees(title: str, metric: str, threshold: str) -> Value:
        return Value(title, ask.device(metric, where=f'threshold="{threshold}"'), unit="celsius")

    temperature = "genv_device_temperature_threshold_celsius"
    margin = "genv_device_temperature_margin_threshold_celsius"
    return rows(
        About(
            "Limits of power and temperature",
            "Used: power as a share of the enforced limit; at 100 % the GPU slows down. Temperatures at which each GPU"
            " shuts down or slows down, and the maximum operating temperatures of GPU and memory. Newer GPUs report"
            " margins instead: degrees relative to the temperature at which the GPU slows down. Energy: consumed in the"
            " chosen time.",
            width=24,
            height=8,
        ),
        [Key("index", "GPU")],
        [
            watts("Limit", "genv_device_power_limit_watts"),
            watts("Default", "genv_device_power_limit_default_watts"),
            watts("Lowest", "genv_device_power_limit_min_watts"),
            watts("Highest", "genv_device_power_limit_max_watts"),
            Value("Used", ask.power_share(), "percentunit", ((None, "green"), (1, "orange")), decimals=0),
            Value("Energy", f"{ask.device_increase('genv_device_energy_joules_total')} / 3.6e6", unit="kwatth"),
            *(degrees(title, temperature, name) for name, title in names.items()),
            *(degrees(f"{title}, margin", margin, name) for name, title in names.items()),
        ],
        sort_by="GPU",
        least_first=True,
        hidden=("instance",),
        empty=DETAILS,
    )
