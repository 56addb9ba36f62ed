"""Panels of the machine dashboard: GPM counters and MIG devices."""

from collections.abc import Sequence

from tools.dashboards import machine_expressions as ask
from tools.dashboards.frame import PanelBuilder
from tools.dashboards.panels import About, lines
from tools.dashboards.scales import BYTES_PER_SECOND, NONE_IS_GOOD, RATIO, or_off
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
_ON = {1: ("on", "green"), 0: ("off", "blue")}
_NO_GPM = "only Hopper and later report this (GPM), and only if metrics.gpm is on in monitor.yaml"
_NO_MIG = f"No MIG devices: {or_off('metrics.mig')}"
_PIPES = (
    ("Tensor cores", "tensor"),
    ("FP64 pipe", "fp64"),
    ("FP32 pipe", "fp32"),
    ("FP16 pipe", "fp16"),
    ("Integer pipe", "integer"),
)


def activity() -> Sequence[PanelBuilder]:
    """Return the panels about SMs, their pipes and memory."""
    return [
        _share(
            "Graphics or compute active", "Share of time in which anything ran.", "genv_device_graphics_active_ratio"
        ),
        _share(
            "SMs active",
            "Mean share of the SMs that were busy. If far below the utilisation, programs use few SMs.",
            "genv_device_sm_active_ratio",
        ),
        _share(
            "SM occupancy",
            "Resident warps as a share of the maximum; more is not always faster.",
            "genv_device_sm_occupancy_ratio",
        ),
        _share(
            "Memory bandwidth used",
            "Share of the memory bandwidth that was used; from about 80 % on, memory is the bottleneck.",
            "genv_device_dram_active_ratio",
        ),
        *(_pipe(title, pipe) for title, pipe in _PIPES),
        lines(
            About(
                "PCI Express traffic",
                "Bytes per second over PCI Express, mean from one collection to the next.",
                width=24,
                height=7,
                empty=_none(),
            ),
            ask.device("genv_device_pcie_traffic_bytes_per_second", "direction"),
            f"{_GPU} {{{{direction}}}}",
            BYTES_PER_SECOND,
        ),
    ]


def _share(title: str, description: str, metric: str) -> PanelBuilder:
    return lines(About(title, description, 12, 7, empty=_none()), ask.device(metric), _GPU, RATIO)


def _pipe(title: str, pipe: str) -> PanelBuilder:
    tensor = pipe == "tensor"
    about = About(title, "Share of time in which it was busy, mean over the SMs.", 24 if tensor else 6, 7, _none())
    return lines(about, ask.device("genv_device_pipe_active_ratio", where=f'pipe="{pipe}"'), _GPU, RATIO)


def _none() -> str:
    return _NO_GPM[0].upper() + _NO_GPM[1:]


def migs() -> Sequence[PanelBuilder]:
    """Return the panels about MIG devices."""
    return [
        rows(
            About(
                "MIG devices",
                "Each MIG device. genv_mig_process_info has its processes. Uncorrected errors: SRAM errors since the"
                " driver was loaded. BAR1 is shared within a GPU instance.",
                width=24,
                height=8,
            ),
            [_DEVICE, Key(ask.MIG_DEVICE, "MIG device"), *_PART],
            [
                Value("Memory used", ask.mig("genv_mig_memory_used_bytes"), unit="bytes"),
                Value("Memory", ask.mig("genv_mig_memory_total_bytes"), unit="bytes"),
                Value("BAR1 used", ask.mig("genv_mig_bar1_memory_used_bytes"), unit="bytes"),
                Value("BAR1", ask.mig("genv_mig_bar1_memory_total_bytes"), unit="bytes"),
                Value(
                    "Uncorrected errors",
                    ask.mig("genv_mig_ecc_location_errors_total", 'severity="uncorrected", location="sram"'),
                    steps=NONE_IS_GOOD.steps,
                ),
                Value("Processes", ask.mig_processes()),
            ],
            sort_by="GPU",
            least_first=True,
            hidden=_THIS_MACHINE,
            empty=_NO_MIG,
        ),
        _parts_activity(),
        _mode(),
    ]


def _mode() -> PanelBuilder:
    return rows(
        About(
            "MIG mode after a reset",
            "Whether the MIG mode of each GPU will be on after its next reset.",
            width=24,
            height=6,
        ),
        [_DEVICE, Key("name", "Model")],
        [Value("MIG mode", ask.named(ask.device("genv_device_mig_pending")), words=_ON)],
        sort_by="GPU",
        least_first=True,
        hidden=_THIS_MACHINE,
        empty=f"No GPU has MIG, or {or_off('metrics.mig')}",
    )


def _parts_activity() -> PanelBuilder:
    def share(title: str, metric: str, where: str = "") -> Value:
        return Value(title, ask.mig(metric, where), unit="percentunit")

    return rows(
        About(
            "Activity of the MIG devices",
            "As for whole GPUs in the row above. MIG devices of one GPU instance all show its values: do not add them"
            " up.",
            width=24,
            height=8,
        ),
        [_DEVICE, Key(ask.MIG_DEVICE, "MIG device"), *_PART],
        [
            share("Graphics or compute", "genv_mig_graphics_active_ratio"),
            share("SMs active", "genv_mig_sm_active_ratio"),
            share("SM occupancy", "genv_mig_sm_occupancy_ratio"),
            share("Memory bandwidth", "genv_mig_dram_active_ratio"),
            *(share(title, "genv_mig_pipe_active_ratio", f'pipe="{pipe}"') for title, pipe in _PIPES),
        ],
        sort_by="GPU",
        least_first=True,
        hidden=_THIS_MACHINE,
        empty=f"{_NO_MIG}; and {_NO_GPM}",
    )
