"""Recorded series from before the simulation: a dashboard that is opened shows hours, and those are to be there.

The values of now, with some noise, are put into a block of Prometheus' database for each interval of the time before.
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
"""Seconds from one sample to the next; Prometheus looks back for five minutes."""
_RELOAD_SECONDS = 150.0
"""Prometheus looks for new blocks once a minute."""


def add_history(running: Prometheus, until: float, seconds: int) -> str:
    """Give a running Prometheus what its rules would have recorded; return in words what that is.

    Args:
        running: the Prometheus.
        until: Unix time at which it began to scrape.
        seconds: how long before that the history begins.
    """
    recorded = running.query(_RECORDED)
    if not recorded:
        return "history: none, for there are no recording rules"
    started, end = time.monotonic(), int(until) - 300
    times = range(end - seconds, end, _STEP)
    file = running.data.with_name("history.txt")
    with file.open("w") as out:
        for labels, value in recorded.items():
            _write(out, labels, value, times)
        out.write("# EOF\n")
    promtool = debian.program("promtool", "prometheus")
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
