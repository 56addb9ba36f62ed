"""Panels of the machine dashboard: the boards and their modes."""

from collections.abc import Sequence

from tools.dashboards import machine_expressions as ask
from tools.dashboards.frame import PanelBuilder
from tools.dashboards.panels import About
from tools.dashboards.scales import DETAILS
from tools.dashboards.tables import Key, Value, rows

_DEVICE = Key("index", "GPU")
_THIS_MACHINE = ("instance",)
_ON = {1: ("on", "green"), 0: ("off", "blue")}
_NO_GPUS = "No GPUs: is the driver loaded?"


def boards() -> Sequence[PanelBuilder]:
    """Return the panels about the boards and their modes."""
    return [_modes(), _identities(), _numbers()]


def _modes() -> PanelBuilder:
    def value(title: str, metric: str, unit: str = "none") -> Value:
        return Value(title, ask.with_mode(metric), unit)

    return rows(
        About(
            "Modes",
            "Performance state: 0 is the fastest, 15 the slowest. Persistence: the driver stays loaded while no program"
            " uses the GPU. BAR1: the window through which the host reaches GPU memory. MIG after a reset: the MIG mode"
            " that the next reset brings. Host memory: the GPU has none of its own.",
            width=24,
            height=9,
        ),
        [_DEVICE, Key("mode", "Compute mode")],
        [
            value("Performance state", "genv_device_performance_state"),
            Value("Persistence", ask.with_mode("genv_device_persistence_mode"), words=_ON),
            value("BAR1 used", "genv_device_bar1_memory_used_bytes", "bytes"),
            value("BAR1", "genv_device_bar1_memory_total_bytes", "bytes"),
            Value("MIG after a reset", ask.with_mode("genv_device_mig_pending"), words=_ON),
            Value("Host memory", ask.with_mode("genv_device_shares_host_memory"), words={1: ("yes", "blue")}),
        ],
        sort_by="GPU",
        least_first=True,
        hidden=_THIS_MACHINE,
        empty=DETAILS,
    )


def _identities() -> PanelBuilder:
    keys = [
        Key("name", "Model"),
        Key("architecture", "Architecture"),
        Key("uuid", "UUID"),
        Key("pci_bus_id", "PCI bus"),
        Key("vbios_version", "VBIOS"),
        Key("mig_mode", "MIG mode"),
    ]
    return _described("GPUs of the machine", "What NVML reports about each GPU.", "genv_device_info", keys)


def _numbers() -> PanelBuilder:
    keys = [
        Key("serial", "Serial number"),
        Key("part_number", "Part number"),
        Key("minor_number", "Minor number"),
        Key("compute_capability", "Compute capability"),
        Key("pci_device_id", "PCI device"),
        Key("pci_subsystem_id", "PCI subsystem"),
        Key("inforom_version", "InfoROM"),
        Key("gsp_firmware_version", "GSP firmware"),
    ]
    description = "Needed to replace a board; the N of its device file /dev/nvidiaN is the minor number."
    return _described("Boards", description, "genv_device_board_info", keys)


def _described(title: str, description: str, metric: str, keys: Sequence[Key]) -> PanelBuilder:
    return rows(
        About(title, description, width=24, height=8),
        [_DEVICE, *keys],
        [Value("1", ask.device(metric, *(key.label for key in keys)))],
        sort_by="GPU",
        least_first=True,
        hidden=(*_THIS_MACHINE, "1"),
        empty=_NO_GPUS,
    )
