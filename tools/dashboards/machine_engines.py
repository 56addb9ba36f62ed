"""Panels of the machine dashboard: video engines and sessions, fans, SM activity (GPM), MIG devices."""

from collections.abc import Sequence

from tools.dashboards import machine_expressions as ask
from tools.dashboards.frame import PanelBuilder
from tools.dashboards.panels import About, Line, lines
from tools.dashboards.scales import DETAILS, NONE_IS_GOOD, RATIO, or_off
from tools.dashboards.tables import Key, Value, rows

_GPU = "GPU {{index}}"
_DEVICE = Key("index", "GPU")
_PART = (
    Key("profile", "Profile"),
    Key("gpu_instance", "GPU instance"),
    Key("compute_instance", "Compute instance"),
    Key("uuid", "UUID"),
)
_THIS_MACHINE = ("instance",)
_NO_GPM = "Only Hopper and later report this (GPM), and only if metrics.gpm is on in monitor.yaml"
_PIPES = (
    ("Tensor cores", "tensor"),
    ("FP64 pipe", "fp64"),
    ("FP32 pipe", "fp32"),
    ("FP16 pipe", "fp16"),
    ("Integer pipe", "integer"),
)


def engines() -> Sequence[PanelBuilder]:
    """Return the panels about video engines, fans, SM activity and MIG devices."""
    return [_video(), _active(), _activity(), _sessions(), _fans(), _migs()]


def _video() -> PanelBuilder:
    def busy(engine: str) -> str:
        return ask.device(f"genv_device_{engine}_utilization_ratio")

    others = {"decoder": "decoder", "jpeg": "JPEG", "ofa": "optical flow"}
    return lines(
        About("Video engines", "Share of time in which each video engine was busy.", 12, 8, empty=DETAILS),
        busy("encoder"),
        f"{_GPU} encoder",
        RATIO,
        *(Line(busy(engine), f"{_GPU} {name}") for engine, name in others.items()),
    )


def _active() -> PanelBuilder:
    return lines(
        About(
            "SMs active",
            "Mean share of the SMs that were busy. If far below the utilisation, programs use few SMs.",
            width=12,
            height=8,
            empty=_NO_GPM,
        ),
        ask.device("genv_device_sm_active_ratio"),
        _GPU,
        RATIO,
    )


def _activity() -> PanelBuilder:
    def share(title: str, metric: str, where: str = "") -> Value:
        return Value(title, ask.device(metric, where=where), unit="percentunit", decimals=0)

    return rows(
        About(
            "SM activity",
            "Shares of time since the last collection. Graphics or compute: anything ran. SMs active: mean share of the"
            " SMs. SM occupancy: resident warps of the maximum; more is not always faster. Memory bandwidth: from about"
            " 80 % on, memory is the bottleneck. Pipes: mean over the SMs.",
            width=24,
            height=8,
        ),
        [_DEVICE],
        [
            share("Graphics or compute", "genv_device_graphics_active_ratio"),
            share("SMs active", "genv_device_sm_active_ratio"),
            share("SM occupancy", "genv_device_sm_occupancy_ratio"),
            share("Memory bandwidth", "genv_device_dram_active_ratio"),
            *(share(title, "genv_device_pipe_active_ratio", f'pipe="{pipe}"') for title, pipe in _PIPES),
        ],
        sort_by="GPU",
        least_first=True,
        hidden=_THIS_MACHINE,
        empty=_NO_GPM,
    )


def _sessions() -> PanelBuilder:
    def of(engine: str, what: str) -> str:
        return ask.device(f"genv_device_{engine}_{what}")

    return rows(
        About(
            "Video sessions",
            "Sessions that encode video and that capture the screen (NvFBC), with the means over the sessions.",
            width=14,
            height=8,
        ),
        [_DEVICE],
        [
            Value("Encoding", of("encoder", "sessions")),
            Value("Frames per second", of("encoder", "frames_per_second")),
            Value("Latency", of("encoder", "latency_seconds"), unit="s"),
            Value("Capturing", of("capture", "sessions")),
            Value("Frames captured per second", of("capture", "frames_per_second")),
            Value("Latency of captures", of("capture", "latency_seconds"), unit="s"),
        ],
        sort_by="GPU",
        least_first=True,
        hidden=_THIS_MACHINE,
        empty=DETAILS,
    )


def _fans() -> PanelBuilder:
    return rows(
        About(
            "Fans",
            "Target speed of each fan as a share of its full speed, which can be above 100 %, and in rotations per"
            " minute (driver 565 and later).",
            width=10,
            height=8,
        ),
        [_DEVICE, Key("fan", "Fan")],
        [
            Value("Speed", ask.device("genv_device_fan_speed_ratio", "fan"), unit="percentunit", decimals=0),
            Value("Rotations", ask.device("genv_device_fan_speed_rpm", "fan"), unit="rotrpm", decimals=0),
        ],
        sort_by="GPU",
        least_first=True,
        hidden=_THIS_MACHINE,
        empty=f"{DETAILS}; many GPUs of servers have no fans of their own",
    )


def _migs() -> PanelBuilder:
    def share(title: str, metric: str, where: str = "") -> Value:
        return Value(title, ask.mig(metric, where), unit="percentunit", decimals=0)

    def amount(title: str, metric: str) -> Value:
        return Value(title, ask.mig(metric), unit="bytes")

    errors = ask.mig("genv_mig_ecc_location_errors_total", 'severity="uncorrected", location="sram"')
    return rows(
        About(
            "MIG devices",
            "Each MIG device. Uncorrected errors: SRAM errors since the driver was loaded. BAR1 is shared within a GPU"
            " instance. Activity as in the table above; MIG devices of one GPU instance all show its values: do not add"
            " them up.",
            width=24,
            height=9,
        ),
        [_DEVICE, Key(ask.MIG_DEVICE, "MIG device"), *_PART],
        [
            amount("Memory used", "genv_mig_memory_used_bytes"),
            amount("Memory", "genv_mig_memory_total_bytes"),
            amount("BAR1 used", "genv_mig_bar1_memory_used_bytes"),
            amount("BAR1", "genv_mig_bar1_memory_total_bytes"),
            Value("Uncorrected errors", errors, steps=NONE_IS_GOOD.steps),
            Value("Processes", ask.mig_processes()),
            share("Graphics or compute", "genv_mig_graphics_active_ratio"),
            share("SMs active", "genv_mig_sm_active_ratio"),
            share("SM occupancy", "genv_mig_sm_occupancy_ratio"),
            share("Memory bandwidth", "genv_mig_dram_active_ratio"),
            *(share(title, "genv_mig_pipe_active_ratio", f'pipe="{pipe}"') for title, pipe in _PIPES),
        ],
        sort_by="GPU",
        least_first=True,
        hidden=_THIS_MACHINE,
        empty=f"No MIG devices: {or_off('metrics.mig')}",
    )
