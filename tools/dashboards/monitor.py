"""The monitor dashboard: the health of the monitor of one machine."""

from collections.abc import Sequence

from tools.dashboards import alert_expressions as alerts
from tools.dashboards import machine_expressions as ask
from tools.dashboards import variables
from tools.dashboards.frame import Page, PanelBuilder, Row
from tools.dashboards.navigation import MONITOR, TO_MACHINE
from tools.dashboards.panels import About, Line, Scale, lines, number, states, word
from tools.dashboards.scales import BYTES, COUNT, NONE_IS_GOOD, SECONDS, YES_GOOD
from tools.dashboards.tables import Key, Value, rows

_NO_MONITOR = "The monitor does not answer"


def page() -> Page:
    """Return the monitor dashboard."""
    return Page(
        MONITOR,
        description="The health of the monitor of one machine: collectors, driver, limits, files, its own use.",
        top=_numbers(),
        rows=[
            Row("Driver", _driver()),
            Row("Collection", _collectors()),
            Row("Limits and rejected claims", _bounds()),
            Row("The process", _process()),
        ],
        machines=variables.machine,
        annotations=alerts.marks_of_the_machine(),
    )


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


def _driver() -> Sequence[PanelBuilder]:
    labels = ("driver_version", "cuda_version", "nvml_version")
    return [
        rows(
            About("Driver", "Versions of the driver and of NVML, and the newest CUDA version it supports.", 12, 6),
            [
                Key("instance", "Machine", [TO_MACHINE]),
                Key("driver_version", "Version"),
                Key("cuda_version", "CUDA"),
                Key("nvml_version", "NVML"),
            ],
            [Value("1", ask.machine("genv_driver_info", *labels))],
            sort_by="Version",
            hidden=("1",),
            empty="No driver, or it does not answer",
        ),
        states(
            About("Driver over time", "State of the driver; docs/driver.md says what to do.", 12, 6, _NO_MONITOR),
            ask.machine("genv_driver_state", "state"),
            "{{state}}",
            Scale("none", words={1: ("yes", "blue"), 0: ("no", "transparent")}),
        ),
    ]


def _collectors() -> Sequence[PanelBuilder]:
    serving = Scale("none", words={1: ("served", "green"), 0: ("taken by another program", "red")})
    ends = Scale("s", steps=((None, "red"), (14 * 86400, "green")))
    return [
        lines(
            About(
                "Collections",
                "Collections per second, and those skipped because the previous one took too long.",
                width=12,
                height=6,
                empty=_NO_MONITOR,
            ),
            ask.machine_rate("genv_monitor_collections_total"),
            "done",
            Scale("cps", least=0),
            Line(ask.machine_rate("genv_monitor_collections_skipped_total"), "skipped"),
        ),
        lines(
            About(
                "Age of values that hardly change",
                "Time since each group of GPU values that is not read in each collection was last read, on the GPU"
                " where that is longest ago. Normally at most its interval in monitor.yaml, by default one minute.",
                width=12,
                height=6,
                empty="No GPU answers, or the groups are off in monitor.yaml",
            ),
            ask.group_age(),
            "{{group}}",
            SECONDS,
        ),
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
            About("CPU time of the monitor", "Share of one CPU that the monitor uses.", 8, 7, empty=_NO_MONITOR),
            ask.machine_rate("process_cpu_seconds_total"),
            "monitor",
            Scale("percentunit", least=0),
        ),
        lines(
            About("Memory of the monitor", "Resident memory of the monitor.", 8, 7, empty=_NO_MONITOR),
            ask.machine("process_resident_memory_bytes"),
            "monitor",
            BYTES,
        ),
        lines(
            About("Descriptors of the monitor", "File descriptors that the monitor has open.", 8, 7, empty=_NO_MONITOR),
            ask.machine("process_open_fds"),
            "open",
            COUNT,
        ),
    ]
