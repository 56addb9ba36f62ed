"""Panels of the machine dashboard: clocks and throttling."""

from collections.abc import Sequence

from tools.dashboards import machine_expressions as ask
from tools.dashboards.frame import PanelBuilder
from tools.dashboards.panels import About, Line, Scale, lines, states
from tools.dashboards.scales import DETAILS, HERTZ
from tools.dashboards.tables import Key, Value, rows

_GPU = "GPU {{index}}"


def clocks() -> Sequence[PanelBuilder]:
    """Return the panels about clocks and throttling."""
    return [
        _clocks("Clocks of SMs and memory", "streaming multiprocessors and memory", "sm|memory"),
        _clocks("Clocks of the other engines", "graphics and video engines", "graphics|video"),
        states(
            About(
                "Throttled",
                "When each GPU ran slower than it could, for any reason but being idle (orange).",
                width=14,
                height=9,
                empty=DETAILS,
            ),
            f"max by (instance, index) ({ask.device('genv_device_throttled', 'reason')})",
            _GPU,
            Scale("none", words={0: ("full speed", "green"), 1: ("throttled", "orange")}),
        ),
        rows(
            About(
                "Throttled by reason",
                "Number of GPUs that run slower than they could, and the share of time by the driver's counter, of the"
                " GPU that was throttled most; docs/metrics.md says what each reason means.",
                width=10,
                height=9,
            ),
            [Key("reason", "Reason")],
            [
                Value("GPUs", f"sum by (reason) ({ask.device('genv_device_throttled', 'reason')})"),
                Value("Share of time", ask.throttled_share(), unit="percentunit", decimals=1),
            ],
            sort_by="GPUs",
            empty=DETAILS,
        ),
    ]


def _clocks(title: str, what: str, pattern: str) -> PanelBuilder:
    where = f'clock=~"{pattern}"'
    greatest = ask.device("genv_device_clock_max_hertz", "clock", where=where)
    return lines(
        About(title, f"Clocks of {what} of each GPU; dashed: the highest that any can reach.", 12, 8, empty=DETAILS),
        ask.device("genv_device_clock_hertz", "clock", where=where),
        f"{_GPU} {{{{clock}}}}",
        HERTZ,
        Line(f"max by (clock) ({greatest})", "highest {{clock}}", dashed=True),
    )
