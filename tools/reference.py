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
from genvd.metrics.device import DETAILS, DEVICE
from genvd.metrics.device_health import MEMORY_HEALTH, XID
from genvd.metrics.health import HEALTH
from genvd.metrics.links import NVLINK, PCIE_THROUGHPUT
from genvd.metrics.mig import MIG
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

_DETAILS = """\
**Throttling.** A device has those of these reasons that it says it can report. `power_cap`: the power limit;
`hw_thermal` and `sw_thermal`: hardware or driver slow it down for heat; `hw_power_brake`: the power supply asks for it;
`hw_slowdown`: any of what the hardware does; `sync_boost`: it runs with the slowest of its group; `display` and
`application_clocks`: somebody set the clocks; `board_limit`, `reliability`: a limit of the board, of its voltage.
That a device is idle is no throttling. A reason that is active for less than a collection may be missed;
`genv_device_throttled_seconds_total` misses none, where the driver counts. There, `thermal` is what older drivers have
for both thermal reasons.

**Energy** begins at 0 when the driver is loaded; `rate()` of it is the average power, of which
`genv_device_power_watts` is but a sample.
"""

_MEMORY_HEALTH = """\
A device has either remapped rows (Ampere and later) or retired pages. What is corrected does no harm; rising counts do
announce it. Counters of scope `volatile` begin at 0 when the driver is loaded.
"""

_XID = """\
NVML reports each XID once, while somebody listens: what occurred before the monitor started is not counted. The common
ones start at 0, so `increase()` sees the first. Each device keeps its counters, by its UUID, while it is down and
when NVML is initialised anew. [NVIDIA's list](https://docs.nvidia.com/deploy/xid-errors/) says what each means.
"""

_NVLINK = """\
Only links that are active have series. Kinds of errors: `replay`, `recovery`, `crc` or `crc_flit`, `crc_data`,
`ecc_data` up to NVLink 4; `malformed_packet`, `buffer_overrun`, `receive`, `link_integrity`, `transmit_discard`,
`recovery`, `recovery_failed`, `effective`, `symbol` of NVLink 5. Bytes are without the
overhead of the protocol up to NVLink 4.
"""

_MIG = """\
`instance` is the number that nvidia-smi shows, from 0 on each parent. A device whose MIG mode is on has no
utilisation of its own. Its processes are those of its MIG devices, and `device` is its index.
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
            _section("Each device", DEVICE),
            _section("Each device in detail (`metrics.device_details`)", DETAILS),
            _DETAILS,
            _section("Health of device memory (`metrics.memory_health`)", MEMORY_HEALTH),
            _MEMORY_HEALTH,
            _section("XID errors (`metrics.xid`)", XID),
            _XID,
            _section("NVLink (`metrics.nvlink`)", NVLINK),
            _NVLINK,
            _section("PCI Express throughput (`metrics.pcie_throughput`, off by default)", PCIE_THROUGHPUT),
            _section("MIG devices (`metrics.mig`)", MIG),
            _MIG,
            _section("The monitor itself", (*SERVICE, SERIES_DROPPED)),
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
