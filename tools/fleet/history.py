"""Adds recorded series from before the start, because dashboards show several hours.

The current values, with some noise, are written to blocks of Prometheus' database, one sample each minute.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from typing import TYPE_CHECKING, TextIO

from tests.support import debian
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.support.monitor import Labels
    from tests.support.prometheus import Prometheus

_RECORDED = '{__name__=~".+:.+:.+"}'
_STEP = 60
"""Seconds between samples; Prometheus looks back five minutes."""
_RELOAD_SECONDS = 150.0
"""Time limit for Prometheus to load new blocks, which it does once a minute."""


def add_history(running: Prometheus, until: float, seconds: int) -> str:
    """Add the history of the recording rules to a running Prometheus; return a description.

    Args:
        running: the Prometheus.
        until: Unix time of the first scrape.
        seconds: length of the history.
    """
    recorded = running.query(_RECORDED)
    if not recorded:
        return "history: none, as there are no recorded series"
    started, end = time.monotonic(), int(until) - 300
    times = range(end - seconds, end, _STEP)
    file = running.data.with_name("history.txt")
    with file.open("w") as out:
        for labels, value in recorded.items():
            _write(out, labels, value, times)
        out.write("# EOF\n")
    promtool = debian.promtool()
    command = (promtool, "tsdb", "create-blocks-from", "openmetrics", str(file), str(running.data))
    subprocess.run(command, check=True, capture_output=True)
    file.unlink()
    name = next(dict(labels)["__name__"] for labels in recorded)
    wait_for(lambda: running.query(name, float(times[-1])), "the history is there", _RELOAD_SECONDS)
    return (
        f"history: {len(recorded)} recorded series, {len(recorded) * len(times)} samples over {seconds} s,"
        f" added in {time.monotonic() - started:.0f} s"
    )


def _write(out: TextIO, labels: Labels, value: float, times: range) -> None:
    shown = dict(labels)
    name = shown.pop("__name__")
    pairs = ",".join(f"{key}={json.dumps(text, ensure_ascii=False)}" for key, text in shown.items())
    chance = random.Random(name)
    out.writelines(f"{name}{{{pairs}}} {value * chance.uniform(0.9, 1.1):.6g} {moment}\n" for moment in times)
