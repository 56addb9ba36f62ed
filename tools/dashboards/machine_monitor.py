"""Panels of the machine dashboard: the driver and the monitor itself."""

from collections.abc import Sequence

from tools.dashboards import machine_expressions as ask
from tools.dashboards.frame import PanelBuilder
from tools.dashboards.panels import About, Line, Scale, lines, number, states, word
from tools.dashboards.scales import BYTES, COUNT, DETAILS, NONE_IS_GOOD, SECONDS, YES_GOOD
from tools.dashboards.tables import Key, Value, rows

_THIS_MACHINE = ("instance",)
_NO_MONITOR = "The monitor does not answer"
_ON = {1: ("on", "green"), 0: ("off", "blue")}


def driver() -> Sequence[PanelBuilder]:
    """Return the panels about the driver, the models of the GPUs and their modes."""
    return [
        rows(
            About("Driver", "Versions of the driver and of NVML, and the newest CUDA version it supports.", 8, 8),
            [
                Key("driver_version", "Driver version"),
                Key("cuda_version", "CUDA version"),
                Key("nvml_version", "NVML version"),
            ],
            [Value("1", ask.machine("genv_driver_info", "driver_version", "cuda_version", "nvml_version"))],
            sort_by="Driver version",
            hidden=(*_THIS_MACHINE, "1"),
            empty="No driver, or it does not answer",
        ),
        states(
            About("Driver over time", "State of the driver; docs/driver.md says what to do.", 16, 8, _NO_MONITOR),
            ask.machine("genv_driver_state", "state"),
            "{{state}}",
            Scale("none", words={1: ("yes", "blue"), 0: ("no", "transparent")}),
        ),
        rows(
            About("GPUs of the machine", "What NVML reports about each GPU.", 16, 9),
            [
                Key("index", "GPU"),
                Key("name", "Model"),
                Key("architecture", "Architecture"),
                Key("uuid", "UUID"),
                Key("pci_bus_id", "PCI bus"),
                Key("vbios_version", "VBIOS"),
                Key("mig_mode", "MIG mode"),
            ],
            [
                Value(
                    "1",
                    ask.device(
                        "genv_device_info", "name", "architecture", "uuid", "pci_bus_id", "vbios_version", "mig_mode"
                    ),
                )
            ],
            sort_by="GPU",
            least_first=True,
            hidden=(*_THIS_MACHINE, "1"),
            empty="No GPUs: is the driver loaded?",
        ),
        rows(
            About("Modes", "Persistence: the driver stays loaded while no program uses the GPU.", 8, 9),
            [Key("index", "GPU"), Key("mode", "Compute mode")],
            [
                Value("1", ask.device("genv_device_compute_mode", "mode")),
                Value("Persistence", ask.persistence(), words=_ON),
            ],
            sort_by="GPU",
            least_first=True,
            hidden=(*_THIS_MACHINE, "1"),
            empty=DETAILS,
        ),
        _boards(),
    ]


def _boards() -> PanelBuilder:
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
    return rows(
        About(
            "Boards",
            "Needed to replace a board; the N of its device file /dev/nvidiaN is the minor number.",
            width=24,
            height=8,
        ),
        [Key("index", "GPU"), *keys],
        [Value("1", ask.device("genv_device_board_info", *(key.label for key in keys)))],
        sort_by="GPU",
        least_first=True,
        hidden=(*_THIS_MACHINE, "1"),
        empty="No GPUs: is the driver loaded?",
    )


def monitor() -> Sequence[PanelBuilder]:
    """Return the panels about the monitor itself."""
    return [*_numbers(), *_collectors(), *_bounds(), *_process()]


def _numbers() -> Sequence[PanelBuilder]:
    def about(title: str, description: str, empty: str = _NO_MONITOR) -> About:
        return About(title, description, width=4, height=4, empty=empty)

    def yes(title: str, description: str, metric: str, empty: str = _NO_MONITOR) -> PanelBuilder:
        return number(about(title, description, empty), ask.machine(metric), Scale("none", words=YES_GOOD))

    stale = Scale("s", least=0, steps=((None, "green"), (60, "orange"), (300, "red")))
    return [
        word(
            about("Version", "Version of the monitor; mode demo means that everything is simulated."),
            ask.machine("genv_monitor_build_info", "version", "python_version", "nvml_bindings_version", "mode"),
            "{{version}} {{mode}}, Python {{python_version}}, pynvml {{nvml_bindings_version}}",
            Scale("none"),
        ),
        number(
            about("Last collection", "Time since the last collection; orange from 1 minute on, red from 5."),
            ask.age("genv_monitor_last_collection_timestamp_seconds"),
            stale,
        ),
        yes(
            "Configuration valid",
            "Whether the configuration was valid when it was last read; if not, the previous one is still used.",
            "genv_monitor_config_last_reload_successful",
        ),
        number(
            about("Configuration read", "Time since a valid configuration was last read."),
            ask.age("genv_monitor_config_last_reload_success_timestamp_seconds"),
            SECONDS,
        ),
        yes(
            "Files published",
            "Whether the Prometheus and Grafana files are published.",
            "genv_monitor_publish_success",
            "publish.enabled is off in monitor.yaml",
        ),
        number(
            about("Ledger written", "Whether the last write of the ledger file succeeded."),
            ask.ledger_written(),
            Scale("none", words=YES_GOOD | {ask.NO_FILE: ("in memory only, or off", "blue")}),
        ),
    ]


def _collectors() -> Sequence[PanelBuilder]:
    serving = Scale("none", words={1: ("served", "green"), 0: ("taken by another program", "red")})
    ends = Scale("s", steps=((None, "red"), (14 * 86400, "green")))
    return [
        states(
            About("Addresses", "Whether the monitor listens on each of its addresses.", 12, 5, _NO_MONITOR),
            ask.machine("genv_monitor_listening", "address"),
            "{{address}}",
            serving,
        ),
        lines(
            About(
                "Certificates",
                "Time until certificates expire, red below 14 days; dashed: since they are valid, as a negative time.",
                12,
                5,
                "TLS is not configured",
            ),
            ask.left("genv_monitor_certificate_not_after_timestamp_seconds", "certificate"),
            "{{certificate}}",
            ends,
            Line(
                ask.left("genv_monitor_certificate_not_before_timestamp_seconds", "certificate"),
                "{{certificate}} valid from",
                dashed=True,
            ),
        ),
        states(
            About("Collectors", "Whether each collector succeeded (green) or failed (red).", 12, 7, _NO_MONITOR),
            ask.machine("genv_monitor_collector_success", "collector"),
            "{{collector}}",
            Scale("none", words={1: ("succeeds", "green"), 0: ("fails", "red")}),
        ),
        lines(
            About("Duration of collectors", "Duration of each collector in the last collection.", 12, 7, _NO_MONITOR),
            ask.machine("genv_monitor_collector_duration_seconds", "collector"),
            "{{collector}}",
            SECONDS,
        ),
    ]


def _bounds() -> Sequence[PanelBuilder]:
    return [
        lines(
            About(
                "Collections",
                "Collections per second, and those skipped because the previous one took too long.",
                width=6,
                height=7,
                empty=_NO_MONITOR,
            ),
            ask.machine_rate("genv_monitor_collections_total"),
            "done",
            Scale("cps", least=0),
            Line(ask.machine_rate("genv_monitor_collections_skipped_total"), "skipped"),
        ),
        lines(
            About("Series dropped", "Series over the limits in monitor.yaml, by kind.", 6, 7, empty=_NO_MONITOR),
            ask.machine("genv_monitor_series_dropped", "kind"),
            "{{kind}}",
            NONE_IS_GOOD,
        ),
        lines(
            About(
                "Claims rejected",
                "Claims of environments and processes that were rejected as false in the chosen time; docs/trust.md has"
                " the reasons.",
                width=6,
                height=7,
                empty=_NO_MONITOR,
            ),
            f"round({ask.machine_increase('genv_monitor_rejected_claims_total', 'reason')})",
            "{{reason}}",
            COUNT,
        ),
        lines(
            About(
                "Processes not read",
                "GPU processes whose environment is unknown, by reason. They count neither for an environment nor as"
                " outside genv.",
                width=6,
                height=7,
                empty=_NO_MONITOR,
            ),
            ask.machine("genv_monitor_unreadable_processes", "reason"),
            "{{reason}}",
            NONE_IS_GOOD,
        ),
        lines(
            About(
                "Age of the ledger file",
                "Time since the ledger file was last written; a crash loses at most the usage since then.",
                width=6,
                height=7,
                empty="The ledger is off, or in memory only as in the demo",
            ),
            ask.age("genv_monitor_ledger_last_write_timestamp_seconds"),
            "since the last write",
            SECONDS,
        ),
    ]


def _process() -> Sequence[PanelBuilder]:
    return [
        lines(
            About("CPU time of the monitor", "Share of one CPU that the monitor uses.", 6, 7, empty=_NO_MONITOR),
            ask.machine_rate("process_cpu_seconds_total"),
            "monitor",
            Scale("percentunit", least=0),
        ),
        lines(
            About("Memory of the monitor", "Resident memory of the monitor.", 6, 7, empty=_NO_MONITOR),
            ask.machine("process_resident_memory_bytes"),
            "monitor",
            BYTES,
        ),
        lines(
            About("Descriptors of the monitor", "File descriptors that the monitor has open.", 6, 7, empty=_NO_MONITOR),
            ask.machine("process_open_fds"),
            "open",
            COUNT,
        ),
    ]
