"""Scales that several dashboards share: units, limits, colours, and words for values."""

from tools.dashboards.panels import NEUTRAL, Scale

COUNT = Scale("none", least=0, decimals=0)
MEAN_COUNT = Scale("none", least=0, decimals=1)
"""For a mean over time of what is counted, such as 2.5 GPUs."""
GOOD_COUNT = Scale("none", least=0, steps=((None, "green"),), decimals=0)
NONE_IS_GOOD = Scale("none", least=0, steps=((None, "green"), (1, "orange")), decimals=0)
NONE_IS_VITAL = Scale("none", least=0, steps=((None, "green"), (1, "red")), decimals=0)
PERCENT = Scale("percent", least=0, greatest=100)
RATIO = Scale("percentunit", least=0, greatest=1)
FILLING = Scale("percent", least=0, greatest=100, steps=((None, NEUTRAL), (90, "orange")))
BYTES = Scale("bytes", least=0)
BYTES_PER_SECOND = Scale("binBps", least=0)
CELSIUS = Scale("celsius", least=0)
HOT = Scale("celsius", least=0, greatest=100, steps=((None, "green"), (80, "orange"), (90, "red")))
WATTS = Scale("watt", least=0)
HERTZ = Scale("hertz", least=0)
SECONDS = Scale("s", least=0)
GPU_HOURS = "suffix: GPU-h"
"""Not Grafana's unit h, which makes days and weeks of many hours."""
HOURS = Scale(GPU_HOURS, least=0, decimals=1)
KILOWATT_HOURS = Scale("kwatth", least=0)
IDLE = Scale("s", least=0, steps=((None, "green"), (1, "yellow"), (1800, "orange")), words={0: ("in use", "green")})
"""For idle times, which are 0 until idle.grace has passed: see promql.idle."""

YES_GOOD = {1: ("yes", "green"), 0: ("no", "red")}
YES_BAD = {0: ("no", "green"), 1: ("yes", "red")}
KNOWN = {1: ("known", "green"), 0: ("unknown", "orange")}
STATES = {
    0: ("down", "red"),
    1: ("free", "green"),
    2: ("idle", "yellow"),
    3: ("outside genv", "orange"),
    4: ("no MIG devices", "orange"),
    5: ("in use", "blue"),
    6: ("not known", "purple"),
}
"""States of a GPU, first those that somebody can do something about; see gpu_expressions."""

OTHER_SEVERITY = "other"
SEVERITIES = {0: ("critical", "red"), 1: ("warning", "orange"), 2: ("info", "blue"), 3: (OTHER_SEVERITY, "text")}
"""Severities of alerts, the most severe first."""

RECOVERY_ACTIONS = {
    0: ("none", "green"),
    1: ("gpu_reset", "red"),
    2: ("node_reboot", "red"),
    3: ("drain_p2p", "red"),
    4: ("drain_and_reset", "orange"),
    5: ("recover_imex_domain", "orange"),
    6: ("bus_reset", "red"),
    7: ("system_reboot", "red"),
}
"""Recovery actions by the driver's number, named as the label action. Red: critical in the alert
GenvDeviceRecoveryAction."""

KEPT = {0: ("kept", "green"), 1: ("broken", "orange")}

GPU_DOES_NOT = "The GPU does not report it"
"""Text for no data: many values are not available on all models."""


def or_off(switch: str) -> str:
    """Return the text for no data if a configuration key may be the reason."""
    return f"{GPU_DOES_NOT}, or {switch} is off in monitor.yaml"


DETAILS = or_off("metrics.device_details")
HEALTH = or_off("metrics.memory_health")
