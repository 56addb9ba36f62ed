"""Writes what is made from the tables of the code, or, with ``--check``, tells what is out of date.

``python -m tools.reference [--check]``: the references of metrics and configuration, the sample configuration and its
JSON Schema.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from genvd.config import schema
from genvd.metrics.contract import CONTRACT
from genvd.metrics.device import DEVICE
from genvd.metrics.device_details import DETAILS, PCIE_THROUGHPUT, XID
from genvd.metrics.driver import DRIVER
from genvd.metrics.environments import ENVIRONMENTS, USERS
from genvd.metrics.gpm import GPM, MIG
from genvd.metrics.ledger import LEDGER, LEDGER_STATUS
from genvd.metrics.memory_health import MEMORY_HEALTH
from genvd.metrics.metric import Metric
from genvd.metrics.nvlink import NVLINK
from genvd.metrics.policy import POLICY
from genvd.metrics.processes import PROCESSES
from genvd.metrics.service import SERIES_DROPPED, SERVICE
from tools.configuration import configuration_reference, json_schema

ROOT = Path(__file__).parent.parent

_INTRODUCTION = """\
# Metrics

Made by `make generate` from the table in `genvd/metrics/`.

A value that is not known is an absent series: never 0, never NaN. A series is there as long as what it describes is;
after a collector has failed for three collections in a row, what it feeds goes away.
Memory is in bytes, and `index` and `device` are NVML's device index, the one that nvidia-smi shows.

The label `eid` of a process is the environment in which it counts. It is empty where the process names none, or one
that may not count it. Where it names one that is not active, it is that name: so processes outside any environment are
those whose `eid` no `genv_environment_processes_total` has. [trust.md](trust.md) says more.

Names that end in `_total` among the first sixteen are gauges in spite of it: they are those of the `genv monitor`
that comes with genv, so that dashboards made for it go on working. Do not apply `rate()` to them.

Most groups can be switched off in the section `metrics` of `monitor.yaml`. Always there are the sixteen, the monitor's
own, and the base facts that alerts, dashboards and joins need: `genv_driver_state`, `genv_driver_info`,
`genv_device_up`, `genv_device_info`, `genv_device_board_info`, and the free and reserved memory and the bandwidth
utilisation of each device.
"""

_LEDGER = """\
How this is counted and kept is in [ledger.md](ledger.md). GPU-hours by user in a range of Prometheus:
`increase(genv_user_allocated_device_seconds_total[7d]) / 3600`; without Prometheus: `genv monitor report`.
"""

_DETAILS = """\
**Throttling.** A device has those of these reasons that it says it can report. `power_cap`: the power limit;
`hw_thermal` and `sw_thermal`: hardware or driver slow it down for heat; `hw_power_brake`: the power supply asks for it;
`hw_slowdown`: any of what the hardware does; `sync_boost`: it runs with the slowest of its group; `display` and
`application_clocks`: somebody set the clocks; `board_limit`, `reliability`: a limit of the board, of its voltage.
That a device is idle is no throttling. A reason that is active for less than a collection may be missed;
`genv_device_throttled_seconds_total` misses none, where the driver counts. There, `thermal` is what older drivers have
for both thermal reasons; it is left out where the driver only repeats the time of `sw_thermal` in it.

**Thresholds** of temperature are temperatures up to Ampere, margins from Hopper on, and may be both on Ada. The device
has reached one as a margin when `genv_device_temperature_margin_celsius` is not above it:
`genv_device_temperature_margin_celsius <= on (instance, index) group_right ()
genv_device_temperature_margin_threshold_celsius`.

**InfoROM**: memory of the board, in which it keeps what it is and what happened to it, such as retired pages. It is
checked every ten minutes, since the driver reads all of it for that.

**Energy** begins at 0 when the driver is loaded; `rate()` of it is the average power, of which
`genv_device_power_watts` is but a sample.
"""

_MEMORY_HEALTH = """\
A device has either remapped rows (Ampere and later) or retired pages. What is corrected does no harm; rising counts do
announce it. Counters of scope `volatile` begin at 0 when the driver is loaded. Pending repairs (Ampere and later,
driver 580) take a channel of the memory or a group of SMs out of use at the next reset.
"""

_XID = """\
NVML reports each XID once, while somebody listens: what occurred before the monitor started is not counted. The common
ones start at 0, so `increase()` sees the first. Each device keeps its counters, by its UUID, while it is down and
when NVML is initialised anew. [NVIDIA's list](https://docs.nvidia.com/deploy/xid-errors/) says what each means.
"""

_NVLINK = """\
Of links that are not active only `genv_device_nvlink_active` is there. Kinds of errors: `replay`, `recovery`, `crc` or
`crc_flit`, `crc_data`,
`ecc_data` up to NVLink 4; `malformed_packet`, `buffer_overrun`, `receive`, `link_integrity`, `transmit_discard`,
`recovery`, `recovery_failed`, `effective`, `symbol` of NVLink 5. Bytes are without the
overhead of the protocol up to NVLink 4.

NVLink-C2C connects the GPU with the CPU of its module (Grace); other devices have none of `genv_device_c2c_*`.
"""

_MIG = """\
`instance` is the number that nvidia-smi shows, from 0 on each parent. A device whose MIG mode is on has no
utilisation of its own. Its processes are those of its MIG devices, and `device` is its index. MIG devices in the same
GPU instance share their BAR1 memory: take one of them, not their sum.

Prometheus has a label `instance` of its own, for the machine. So there, unless its `honor_labels` is on, this one is
called `exported_instance`, as in `genv_mig_memory_used_bytes{instance="gpu1:8000",index="0",exported_instance="1"}`.
"""

_GPM = """\
GPM is what the driver has for profiling metrics since Hopper, and what DCGM uses there too; earlier devices have no
such series. It does not keep other profilers from their work. Where the driver lets only administrators profile it may
refuse the monitor, which then says so once in its log. Each value is the mean from one collection to the next, so there
is none at the first one, nor for `genv monitor once`. MIG devices in the same GPU instance have its values: take one of
them, not their sum.
"""

_WORDS = """\
## What the words mean

**Work** of an environment on a device: one of its processes took SM time there since the last collection, had the
device encode or decode video, or read or wrote its memory, by the driver's samples of each process. (So a process may
work with a `genv_process_utilization_ratio` of 0, which is of SM time only.) Where the driver has no such samples (some
virtual GPUs, clients of the Multi-Process Service whose work counts for its server), a process of the environment on
the device while the device's utilisation is above 0 is taken for work: rather that than to call somebody idle who is
not. A device in MIG mode has neither samples nor utilisation. There a process works while anything was computed, drawn,
read or written in its GPU instance, by the counters of that (GPM, from Hopper on, with `metrics.mig` and
`metrics.gpm`); MIG devices in one GPU instance cannot be told apart. Without these counters it is not known whether an
environment works that has a process there. A process that holds memory does not work by that alone. Whether it works is
not known while the driver does not list the processes.

**Active**: an environment that works on a device. **Idle**: an environment that holds devices and works on none of
them; whether it works on devices that it does not hold does not count. `genv_environment_idle_seconds` is 0 while
it is active. It counts from the last collection that saw it work; if none did, from its attachment, or from its
activation where genv has no time of the attachment, as far as these can be true ([trust.md](trust.md#the-rules)).
While nothing is known of an environment's work there is no series, and after more than 5 minutes of that it begins
anew. Setting the clock changes nothing of it. The page, `top` and the dashboards say *in use* until it has reached
`idle.grace`, which is 10 minutes unless the configuration says otherwise (`genv_monitor_idle_grace_seconds`).

**After a restart of the monitor** it counts on from the last work, which is kept in the file of the
[ledger](ledger.md#when-environments-last-worked). What went on while the monitor was down nobody saw, which is the same
as any other time of which nothing is known: up to 5 minutes count as idle, and after more of them it begins anew, as
the environment may have worked. So an upgrade changes nothing, and a restart never says that somebody is idle for
longer than the monitor before it would have. Without such a file, and for an environment that was never seen to work,
it counts from the attachment.

**Peak** memory of a process or an environment: the highest that a collection has found since it began or, if that
was later, since the monitor started; what happens between two collections is not seen. That of an environment is of
all its processes at the same time, on one device, and is what `gpu-memory` should allow. It is absent while the driver
does not tell the memory of one of them.

**Memory limit**: what the environment's attachment to a device allows there or, where that says nothing or there is
none, what the environment asks for on each device. genv writes into an attachment what the environment asks for at that
time, and tells others by it what is left of the device. So `genv config gpu-memory` counts once the device is detached
and attached again; only `genv enforce` goes by what is asked for now.

**Violation**: `memory_limit`: the environment's processes together have more memory on one device than its limit
there; `unattached_device`: one of its processes computes on a device that it does not hold (drawing does not count);
`device_limit`: it holds more devices than it asked for.

**Unmanaged**: a process that computes on a GPU and names no environment, or none that is active, or one that may not
count it ([trust.md](trust.md)). Desktops, which only draw, are not counted, nor is root's server of the Multi-Process
Service.

**Orphan memory**: what of the memory in use remains after taking away that of every process in sight. Mostly it is of a
process that ended badly, or of one that cannot be seen, as from within a container without the host's processes. A
process that the driver still lists but that has ended, or is a zombie, is not in sight. The monitor tells that only
where it sees all processes of the machine, as its service does (in the first pid namespace; of a container: with the
host's, such as `--pid=host`); elsewhere whatever the driver lists is in sight. The
memory of a process has its context in it; what the driver itself needs beyond its reserve remains, a few MiB as a rule
and up to some hundred on devices that draw. A process that begins or ends between two of the monitor's questions shows
up for one collection. So alert on more than 512 MiB that lasts for minutes. The value is absent where the driver tells
the memory of not every process, or does not tell its reserve apart (before 510), or a MIG device hides its processes.

**Over-subscribed**: a device that several environments hold which may together use more memory than it has, by
the same limits. One that has none may use all of it, so it and anybody else over-subscribe the device. genv lets people
do that on purpose.

**cgroup**: what started a process, as far as its control group tells. Everybody may name groups below their own user
service as they like, so a container or service there is what its owner says it is; jobs and sessions cannot be made up.
"""

_PROCESS = """\
## The monitor's process

The usual metrics of Prometheus' client libraries: `process_cpu_seconds_total`, `process_resident_memory_bytes`,
`process_virtual_memory_bytes`, `process_start_time_seconds`, `process_open_fds`, `process_max_fds`.
`genv monitor once` leaves them out, so that a node exporter that collects its output has them but once.
"""


def generated() -> dict[Path, str]:
    """Return the content of each file that is made here."""
    return {
        ROOT / "docs" / "metrics.md": metrics_reference(),
        ROOT / "docs" / "configuration.md": configuration_reference(),
        ROOT / "packaging" / "monitor.yaml": schema.sample(),
        ROOT / "packaging" / "monitor.schema.json": json.dumps(json_schema(), indent=2) + "\n",
    }


def metrics_reference() -> str:
    """Return docs/metrics.md."""
    return "\n".join(
        (
            _INTRODUCTION,
            _section("The machine", CONTRACT),
            _section("The driver", DRIVER),
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
            _section("What the devices' own counters say (`metrics.gpm`)", GPM),
            _GPM,
            _section("GPU processes (`metrics.processes`)", PROCESSES),
            _section("Environments (`metrics.environments`)", ENVIRONMENTS),
            _section("Users (`metrics.users`)", USERS),
            _section("What somebody should look after (`metrics.policy`)", POLICY),
            _WORDS,
            _section("Who used how much (`ledger`)", LEDGER),
            _LEDGER,
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
