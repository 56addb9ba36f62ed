"""Panels of the machine dashboard: recovery actions, memory health, XID errors."""

from collections.abc import Mapping, Sequence

from tools.dashboards import machine_expressions as ask
from tools.dashboards.frame import PanelBuilder
from tools.dashboards.panels import About, Scale, lines, states
from tools.dashboards.scales import (
    DETAILS,
    HEALTH,
    NONE_IS_GOOD,
    NONE_IS_VITAL,
    RECOVERY_ACTIONS,
    YES_BAD,
    YES_GOOD,
)
from tools.dashboards.tables import Key, Value, rows

_GPU = "GPU {{index}}"
_DEVICE = Key("index", "GPU")
_THIS_MACHINE = ("instance",)
_ON = {1: ("on", "green"), 0: ("off", "blue")}
Steps = Sequence[tuple[float | None, str]]
_SPARE_ROWS: Mapping[str, tuple[str, Steps]] = {
    "all spare rows": ("max", ()),
    "many": ("high", ()),
    "some": ("partial", ()),
    "few": ("low", NONE_IS_GOOD.steps),
    "none": ("none", NONE_IS_VITAL.steps),
}
"""Titles, values of the label availability, and colours."""


def health() -> Sequence[PanelBuilder]:
    """Return the panels about recovery, memory health and XID errors."""
    return [
        _memory_health(),
        _recovery(),
        _ecc(),
        _xids(),
        _places(),
        _sram_sources(),
    ]


def _memory_health() -> PanelBuilder:
    def value(title: str, metric: str, where: str = "") -> Value:
        expression = ask.device(metric, where=where) if where else ask.device(metric)
        return Value(title, ask.named(expression), steps=NONE_IS_GOOD.steps)

    def yes(title: str, metric: str) -> Value:
        return Value(title, ask.named(ask.device(metric)), words=YES_BAD)

    def banks(title: str, availability: str, steps: Steps) -> Value:
        expression = ask.device("genv_device_remap_banks", where=f'availability="{availability}"')
        return Value(f"Banks, {title}", ask.named(expression), steps=steps)

    return rows(
        About(
            "Memory health",
            "A GPU has either remapped rows (Ampere and later) or retired pages. Corrected errors do no harm, but a"
            " rising number is a warning. Pending: needs a reset, or for retired pages a restart, to complete. Too"
            " many SRAM errors: so many uncorrected errors that NVIDIA recommends replacing the GPU. Only newer"
            " drivers report repairs of a channel or TPC and unrepairable memory. Banks: memory banks by the number of"
            " spare rows left; one without any cannot replace a bad row.",
            width=24,
            height=8,
        ),
        [_DEVICE, Key("name", "Model")],
        [
            Value("Answers", ask.named(ask.device("genv_device_up")), words=YES_GOOD),
            Value("ECC", ask.named(ask.device("genv_device_ecc_enabled")), words=_ON),
            Value("After a restart", ask.named(ask.device("genv_device_ecc_pending")), words=_ON),
            value("Uncorrected ever", "genv_device_ecc_errors_total", 'severity="uncorrected", scope="aggregate"'),
            yes("Too many SRAM errors", "genv_device_sram_threshold_exceeded"),
            value("Rows remapped, corrected", "genv_device_remapped_rows", 'cause="corrected"'),
            value("Rows remapped, uncorrected", "genv_device_remapped_rows", 'cause="uncorrected"'),
            yes("Remap pending", "genv_device_remap_pending"),
            yes("Remap failed", "genv_device_remap_failed"),
            value("Pages retired, single bit", "genv_device_retired_pages", 'cause="single_bit"'),
            value("Pages retired, double bit", "genv_device_retired_pages", 'cause="double_bit"'),
            yes("Retirement pending", "genv_device_retirement_pending"),
            yes("Channel repair pending", "genv_device_channel_repair_pending"),
            yes("TPC repair pending", "genv_device_tpc_repair_pending"),
            yes("Unrepairable memory", "genv_device_unrepairable_memory"),
            yes("InfoROM corrupted", "genv_device_corrupted_inforom"),
            *(banks(title, name, steps) for title, (name, steps) in _SPARE_ROWS.items()),
        ],
        sort_by="GPU",
        least_first=True,
        hidden=_THIS_MACHINE,
        empty=HEALTH,
    )


def _recovery() -> PanelBuilder:
    return states(
        About(
            "Recovery action",
            "What the driver recommended to repair each GPU; docs/runbook.md says what to do"
            " (GenvDeviceRecoveryAction).",
            width=24,
            height=6,
            empty=f"{DETAILS}; only newer drivers do",
        ),
        ask.recovery_action(),
        _GPU,
        Scale("none", words=RECOVERY_ACTIONS),
    )


def _ecc() -> PanelBuilder:
    return lines(
        About(
            "ECC errors",
            "Memory errors since the driver was loaded, corrected and uncorrected.",
            width=14,
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
    errors = ask.device("genv_device_xid_errors_total", "xid")
    return rows(
        About(
            "XID errors",
            "XID errors since the monitor started. NVIDIA's list says what each means:"
            " https://docs.nvidia.com/deploy/xid-errors.",
            width=10,
            height=8,
        ),
        [_DEVICE, Key("xid", "XID")],
        [
            Value("Since the monitor started", f"{errors} > 0"),
            Value("In the chosen time", f"round({count}) and ({errors} > 0)"),
            Value("Last seen", f"1000 * {seen}", unit="dateTimeFromNow"),
        ],
        sort_by="Last seen",
        hidden=_THIS_MACHINE,
        empty="No XID error since the monitor started, or metrics.xid is off in monitor.yaml",
    )


def _places() -> PanelBuilder:
    def count(title: str, severity: str, scope: str) -> Value:
        where = f'severity="{severity}", scope="{scope}"'
        errors = ask.device("genv_device_ecc_location_errors_total", "location", where=where)
        return Value(title, errors, steps=NONE_IS_GOOD.steps)

    return rows(
        About(
            "ECC errors by location",
            "Memory errors by location: since the driver was loaded, and over the lifetime of the GPU.",
            width=14,
            height=8,
        ),
        [_DEVICE, Key("location", "Location")],
        [
            count("Corrected", "corrected", "volatile"),
            count("Uncorrected", "uncorrected", "volatile"),
            count("Corrected ever", "corrected", "aggregate"),
            count("Uncorrected ever", "uncorrected", "aggregate"),
        ],
        sort_by="Uncorrected ever",
        hidden=_THIS_MACHINE,
        empty=HEALTH,
    )


def _sram_sources() -> PanelBuilder:
    return rows(
        About(
            "SRAM errors by source",
            "Uncorrectable SRAM errors over the lifetime of the GPU, the most first.",
            width=10,
            height=8,
        ),
        [_DEVICE, Key("source", "Source")],
        [
            Value(
                "Errors",
                ask.device("genv_device_sram_uncorrected_errors_total", "source"),
                steps=NONE_IS_GOOD.steps,
            )
        ],
        sort_by="Errors",
        hidden=_THIS_MACHINE,
        empty=HEALTH,
    )
