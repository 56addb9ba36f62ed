"""Where an engine gives something else by its design."""

from __future__ import annotations

import re

_REASONS = {
    r"increase\(genv_device_xid_errors_total": (
        "VictoriaMetrics counts the first value of a new series as an increase from 0, Prometheus does not"
    ),
    r"rate\(genv_user_": (
        "if a counter is younger than the window, as of a user who has just begun, VictoriaMetrics divides by its age"
    ),
}
"""By what the expression contains."""


def reason(expression: str) -> str:
    """Return why engines may differ in an expression; empty if they may not."""
    return next((text for pattern, text in _REASONS.items() if re.search(pattern, expression)), "")
