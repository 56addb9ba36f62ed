"""Of the dashboard of one machine: memory health, XID errors, links, MIG devices."""

from collections.abc import Sequence

from tools.dashboards import machine_expressions as ask
from tools.dashboards.frame import PanelBuilder
from tools.dashboards.panels import About, bars, lines
from tools.dashboards.scales import (
    BYTES_PER_SECOND,
    HEALTH,
    NONE_IS_GOOD,
    NONE_IS_VITAL,
    YES_BAD,
    YES_GOOD,
    or_off,
)
from tools.dashboards.tables import Key, Value, rows

_GPU = "GPU {{index}}"
_DEVICE = Key("index", "GPU")
_THIS_MACHINE = ("instance",)
_NVLINK = f"No NVLink is active: {or_off('metrics.nvlink')}"
_THROUGHPUT = "metrics.pcie_throughput is off in monitor.yaml, as it is unless switched on"


def health() -> Sequence[PanelBuilder]:
    """Draw what is wrong with memory and devices, or was."""
    return [_memory_health(), _ecc(), _xids(), _xids_over_time()]


def _memory_health() -> PanelBuilder:
    def value(title: str, metric: str, where: str = "") -> Value:
        expression = ask.device(metric, where=where) if where else ask.device(metric)
        return Value(title, ask.named(expression), steps=NONE_IS_GOOD.steps)

    def yes(title: str, metric: str) -> Value:
        return Value(title, ask.named(ask.device(metric)), words=YES_BAD)

    return rows(
        About(
            "Memory health",
            "A device has either remapped rows (Ampere and later) or retired pages. What is corrected does no harm, but"
            " a rising number announces it. Pending: a reset, or for retired pages a restart, is needed to finish it.",
            width=24,
            height=8,
        ),
        [_DEVICE, Key("name", "Model")],
        [
            Value("Answers", ask.named(ask.device("genv_device_up")), words=YES_GOOD),
            Value(
                "ECC", ask.named(ask.device("genv_device_ecc_enabled")), words={1: ("on", "green"), 0: ("off", "blue")}
            ),
            value("Uncorrected ever", "genv_device_ecc_errors_total", 'severity="uncorrected", scope="aggregate"'),
            value("Rows remapped, corrected", "genv_device_remapped_rows", 'cause="corrected"'),
            value("Rows remapped, uncorrected", "genv_device_remapped_rows", 'cause="uncorrected"'),
            yes("Remap pending", "genv_device_remap_pending"),
            yes("Remap failed", "genv_device_remap_failed"),
            value("Pages retired, single bit", "genv_device_retired_pages", 'cause="single_bit"'),
            value("Pages retired, double bit", "genv_device_retired_pages", 'cause="double_bit"'),
            yes("Retirement pending", "genv_device_retirement_pending"),
        ],
        sort_by="GPU",
        least_first=True,
        hidden=_THIS_MACHINE,
        empty=HEALTH,
    )


def _ecc() -> PanelBuilder:
    return lines(
        About(
            "ECC errors",
            "Memory errors since the driver was loaded, corrected and uncorrected.",
            width=8,
            height=8,
            empty=HEALTH,
        ),
        ask.device("genv_device_ecc_errors_total", "severity", where='scope="volatile"'),
        "GPU {{index}} {{severity}}",
        NONE_IS_GOOD,
    )


def _xids() -> PanelBuilder:
    count = ask.device_increase("genv_device_xid_errors_total", "xid")
    seen = ask.device("genv_device_xid_last_seen_timestamp_seconds", "xid")
    there = ask.device("genv_device_xid_errors_total", "xid")
    return rows(
        About(
            "XID errors",
            "Each XID error that occurred since the monitor started. NVIDIA's list says what each means:"
            " https://docs.nvidia.com/deploy/xid-errors.",
            width=8,
            height=8,
        ),
        [_DEVICE, Key("xid", "XID")],
        [
            Value("Since the monitor started", f"{there} > 0"),
            Value("In the chosen time", f"round({count}) and ({there} > 0)"),
            Value("Last seen", f"1000 * {seen}", unit="dateTimeFromNow"),
        ],
        sort_by="Last seen",
        hidden=_THIS_MACHINE,
        empty="No XID error since the monitor started, or metrics.xid is off in monitor.yaml",
    )


def _xids_over_time() -> PanelBuilder:
    return lines(
        About(
            "XID errors over time",
            "XID errors of each device since the monitor started, of all codes together.",
            width=8,
            height=8,
            empty=or_off("metrics.xid"),
        ),
        f"sum by (instance, index) ({ask.device('genv_device_xid_errors_total', 'xid')})",
        _GPU,
        NONE_IS_VITAL,
    )


def links() -> Sequence[PanelBuilder]:
    """Draw PCI Express and NVLink."""
    return [_pcie_link(), *_pcie(), *_nvlink()]


def _pcie_link() -> PanelBuilder:
    def value(title: str, metric: str) -> Value:
        return Value(title, ask.named(ask.device(metric)))

    return rows(
        About(
            "PCI Express links",
            "Generation and lanes of each link, and the most that device and slot allow. An idle device goes down with"
            " the generation; fewer lanes than allowed while it works are worth a look.",
            width=12,
            height=8,
        ),
        [_DEVICE, Key("name", "Model")],
        [
            value("Generation", "genv_device_pcie_link_generation"),
            value("Most", "genv_device_pcie_link_generation_max"),
            value("Lanes", "genv_device_pcie_link_width"),
            value("Most lanes", "genv_device_pcie_link_width_max"),
        ],
        sort_by="GPU",
        least_first=True,
        hidden=_THIS_MACHINE,
        empty=or_off("metrics.device_details"),
    )


def _pcie() -> Sequence[PanelBuilder]:
    def throughput(title: str, what: str, metric: str) -> PanelBuilder:
        about = About(title, f"Bytes per second that each device {what}, as sampled for 20 ms.", 12, 7, _THROUGHPUT)
        return lines(about, ask.device(metric), _GPU, BYTES_PER_SECOND)

    return [
        bars(
            About(
                "PCI Express replays",
                "Packets that were sent again in the chosen time: many of them mean a bad slot or riser.",
                width=12,
                height=8,
                empty=or_off("metrics.device_details"),
            ),
            ask.device_increase("genv_device_pcie_replays_total"),
            _GPU,
            NONE_IS_GOOD,
        ),
        throughput("PCI Express received", "received", "genv_device_pcie_receive_bytes_per_second"),
        throughput("PCI Express sent", "sent", "genv_device_pcie_transmit_bytes_per_second"),
    ]


def _nvlink() -> Sequence[PanelBuilder]:
    def throughput(title: str, what: str, counter: str) -> PanelBuilder:
        about = About(title, f"Bytes per second that each device {what} over all its NVLinks.", 8, 8, empty=_NVLINK)
        expression = f"sum by (instance, index) ({ask.device_rate(counter, 'link')})"
        return lines(about, expression, _GPU, BYTES_PER_SECOND)

    errors = ask.device_increase("genv_device_nvlink_errors_total", "link", "kind")
    return [
        throughput("NVLink received", "received", "genv_device_nvlink_receive_bytes_total"),
        throughput("NVLink sent", "sent", "genv_device_nvlink_transmit_bytes_total"),
        rows(
            About(
                "NVLink errors",
                "Errors on each NVLink in the chosen time, the worst first.",
                width=8,
                height=8,
            ),
            [_DEVICE, Key("link", "Link"), Key("kind", "Kind")],
            [Value("Errors", errors, steps=NONE_IS_GOOD.steps)],
            sort_by="Errors",
            hidden=_THIS_MACHINE,
            empty=_NVLINK,
        ),
    ]


def migs() -> Sequence[PanelBuilder]:
    """Draw the MIG devices."""
    return [
        rows(
            About(
                "MIG devices",
                "Each part of a device whose MIG mode is on; their processes are those of the device.",
                width=24,
                height=8,
            ),
            [
                _DEVICE,
                Key(ask.MIG_DEVICE, "MIG device"),
                Key("profile", "Profile"),
                Key("gpu_instance", "GPU instance"),
                Key("compute_instance", "Compute instance"),
                Key("uuid", "UUID"),
            ],
            [
                Value("Memory used", ask.mig("genv_mig_memory_used_bytes"), unit="bytes"),
                Value("Memory", ask.mig("genv_mig_memory_total_bytes"), unit="bytes"),
            ],
            sort_by="GPU",
            least_first=True,
            hidden=_THIS_MACHINE,
            empty=f"No MIG devices: {or_off('metrics.mig')}",
        ),
    ]
