"""Writes what is made from the tables of the code, or, with ``--check``, tells what is out of date.

``python -m tools.reference [--check]``: the metrics reference, the sample configuration and its JSON Schema.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from genvd import config
from genvd.metrics.contract import CONTRACT
from genvd.metrics.health import HEALTH
from genvd.metrics.ledger import LEDGER, LEDGER_STATUS
from genvd.metrics.service import SERIES_DROPPED, SERVICE
from genvd.metrics.spec import Metric

ROOT = Path(__file__).parent.parent

_INTRODUCTION = """\
# Metrics

Made by `make generate` from the table in `genvd/metrics/`.

A value that is not known is an absent series: never 0, never NaN. A series is there as long as what it describes is;
after a source has failed for three collections in a row, what it feeds goes away.
Memory is in bytes, and `index` and `device` are NVML's device index, the one that nvidia-smi shows.

Names that end in `_total` among the first sixteen are gauges in spite of it: they are those of the `genv monitor`
that comes with genv, so that dashboards made for it go on working. Do not apply `rate()` to them.
"""

_LEDGER = """
How this is counted and kept is in [ledger.md](ledger.md). GPU-hours by user in a range of Prometheus:
`increase(genv_user_allocated_device_seconds_total[7d]) / 3600`; without Prometheus: `genv monitor report`.
"""

_PROCESS = """\
## The monitor's process

The usual metrics of prometheus-client: `process_cpu_seconds_total`, `process_resident_memory_bytes`,
`process_virtual_memory_bytes`, `process_start_time_seconds`, `process_open_fds`, `process_max_fds`.
`genv monitor once` leaves them out, so that a node exporter that collects its output has them but once.
"""


def generated() -> dict[Path, str]:
    """Return the content of each file that is made here."""
    return {
        ROOT / "docs" / "metrics.md": metrics_reference(),
        ROOT / "packaging" / "monitor.yaml": config.sample(),
        ROOT / "packaging" / "monitor.schema.json": json.dumps(config.json_schema(), indent=2) + "\n",
    }


def metrics_reference() -> str:
    """Return docs/metrics.md."""
    return "\n".join(
        (
            _INTRODUCTION,
            _section("The machine", CONTRACT),
            _section("Whether driver and devices answer", HEALTH),
            _section("Who used how much", LEDGER) + _LEDGER,
            _section("The monitor itself", (*SERVICE, *LEDGER_STATUS, SERIES_DROPPED)),
            _PROCESS,
        )
    )


def _section(title: str, metrics: tuple[Metric, ...]) -> str:
    rows = "".join(
        f"| `{metric.name}` | {metric.type} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |\n"
        for metric in metrics
    )
    return f"## {title}\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n{rows}"


def main() -> int:
    """Write the files, or check them; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a file is out of date")
    check = parser.parse_args().check
    outdated = [path for path, text in generated().items() if not path.exists() or path.read_text() != text]
    for path in outdated:
        if check:
            print(f"{path.relative_to(ROOT)} is out of date: run 'make generate'", file=sys.stderr)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(generated()[path])
    return int(check and bool(outdated))


if __name__ == "__main__":
    sys.exit(main())
