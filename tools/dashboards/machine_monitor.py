"""Of the dashboard of one machine: the driver, and the monitor itself."""

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
    """Draw what driver and devices are, and the modes that somebody set."""
    return [
        rows(
            About("Driver", "Versions of the driver and of NVML, and the newest CUDA that it can run.", 8, 8),
            [
                Key("driver_version", "Driver version"),
                Key("cuda_version", "CUDA version"),
                Key("nvml_version", "NVML version"),
            ],
            [Value("1", ask.machine("genv_driver_info", "driver_version", "cuda_version", "nvml_version"))],
            sort_by="Driver version",
            hidden=(*_THIS_MACHINE, "1"),
            empty="There is no driver, or it does not answer",
        ),
        states(
            About(
                "Driver over time", "Which state the driver was in; docs/driver.md says what to do.", 16, 8, _NO_MONITOR
            ),
            ask.machine("genv_driver_state", "state"),
            "{{state}}",
            Scale("none", words={1: ("so", "blue"), 0: ("not so", "transparent")}),
        ),
        rows(
            About("What the devices are", "What NVML says of each device.", 16, 9),
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
            empty="No devices: is there a driver?",
        ),
        rows(
            About("Modes", "Persistence: the driver stays loaded while nobody uses the device. Who may compute.", 8, 9),
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
            "What the boards are",
            "What somebody who replaces a board wants to know of it; N of its file /dev/nvidiaN is its minor number.",
            width=24,
            height=8,
        ),
        [Key("index", "GPU"), *keys],
        [Value("1", ask.device("genv_device_board_info", *(key.label for key in keys)))],
        sort_by="GPU",
        least_first=True,
        hidden=(*_THIS_MACHINE, "1"),
        empty="No devices: is there a driver?",
    )


def monitor() -> Sequence[PanelBuilder]:
    """Draw whether the monitor is well."""
    return [*_numbers(), *_collectors(), *_bounds(), *_process()]


def _numbers() -> Sequence[PanelBuilder]:
    def about(title: str, description: str, empty: str = _NO_MONITOR) -> About:
        return About(title, description, width=4, height=4, empty=empty)

    def yes(title: str, description: str, metric: str, empty: str = _NO_MONITOR) -> PanelBuilder:
        return number(about(title, description, empty), ask.machine(metric), Scale("none", words=YES_GOOD))

    stale = Scale("s", least=0, steps=((None, "green"), (60, "orange"), (300, "red")))
    return [
        word(
            about("Version", "What is running; mode demo means that everything is simulated."),
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
            "Configuration usable",
            "Whether the configuration could be used when it was last read; if not, the one before still holds.",
            "genv_monitor_config_last_reload_successful",
        ),
        number(
            about("Configuration read", "Time since the configuration was last read and could be used."),
            ask.age("genv_monitor_config_last_reload_success_timestamp_seconds"),
            SECONDS,
        ),
        yes(
            "Files published",
            "Whether the Prometheus and Grafana files are published.",
            "genv_monitor_publish_success",
            "None are to be published",
        ),
        number(
            about("Ledger written", "Whether the file of the ledger could be written when that was last tried."),
            ask.ledger_written(),
            Scale("none", words=YES_GOOD | {ask.NO_FILE: ("in memory only, or off", "blue")}),
        ),
    ]


def _collectors() -> Sequence[PanelBuilder]:
    held = Scale("none", words={1: ("served", "green"), 0: ("held by another program", "red")})
    ends = Scale("s", steps=((None, "red"), (14 * 86400, "green")))
    return [
        states(
            About("Addresses", "Whether the monitor serves on each of its addresses.", 12, 5, _NO_MONITOR),
            ask.machine("genv_monitor_listening", "address"),
            "{{address}}",
            held,
        ),
        lines(
            About(
                "Certificates",
                "Time until certificates end, red from 14 days on; and until they begin, which is in the past.",
                12,
                5,
                "There is no TLS",
            ),
            ask.left("genv_monitor_certificate_not_after_timestamp_seconds", "certificate"),
            "{{certificate}}",
            ends,
            Line(
                ask.left("genv_monitor_certificate_not_before_timestamp_seconds", "certificate"),
                "{{certificate}} begins",
                dashed=True,
            ),
        ),
        states(
            About("Collectors", "Whether each source of facts answered (green) or failed (red).", 12, 7, _NO_MONITOR),
            ask.machine("genv_monitor_collector_success", "collector"),
            "{{collector}}",
            Scale("none", words={1: ("answers", "green"), 0: ("fails", "red")}),
        ),
        lines(
            About("Duration of collectors", "How long each source took in the last collection.", 12, 7, _NO_MONITOR),
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
                "Collections per second, and those that were left out because the one before took too long.",
                width=6,
                height=7,
                empty=_NO_MONITOR,
            ),
            ask.machine_rate("genv_monitor_collections_total"),
            "done",
            Scale("cps", least=0),
            Line(ask.machine_rate("genv_monitor_collections_skipped_total"), "left out"),
        ),
        lines(
            About("Series dropped", "Series that the limits keep out, by what they are of.", 6, 7, empty=_NO_MONITOR),
            ask.machine("genv_monitor_series_dropped", "kind"),
            "{{kind}}",
            NONE_IS_GOOD,
        ),
        lines(
            About(
                "Claims rejected",
                "Claims of environments and processes that were found not to hold, in the chosen time so far;"
                " docs/trust.md has the reasons.",
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
                "GPU processes of which it is not known in which environment they run, by reason; they count in none,"
                " and nobody is accused of them.",
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
                "Ledger waits",
                "Time since the file of the ledger was last written; a crash loses no more than that.",
                width=6,
                height=7,
                empty="The ledger is off or kept in memory only, as that of the demo",
            ),
            ask.age("genv_monitor_ledger_last_write_timestamp_seconds"),
            "since the last write",
            SECONDS,
        ),
    ]


def _process() -> Sequence[PanelBuilder]:
    return [
        lines(
            About("CPU time of the monitor", "Share of one CPU that the monitor takes.", 6, 7, empty=_NO_MONITOR),
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
