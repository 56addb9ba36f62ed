"""Generates docs/metrics.md, docs/configuration.md, the sample configuration and its JSON Schema.

``python -m tools.reference [--check]``; with ``--check`` it only reports files that are out of date.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from genvd.config.yaml_writer import sample
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

An unknown value has no series: it is never 0 and never NaN. A series exists as long as the thing that it describes.
After a collector has failed for three collections in a row, its series go away. Memory is in bytes. `index` and
`device` are NVML's device index, the one that nvidia-smi shows.

`eid` is the ID of the environment of a process. It is empty if the process has no environment or is not entitled to the
one it names. It is kept if that environment is no longer active: so processes outside genv are those whose `eid` is not
among the series of `genv_environment_processes_total`. See [trust.md](trust.md).

Among the first sixteen metrics, names that end in `_total` are gauges. They have the names of the `genv monitor` that
comes with genv, so that existing dashboards work. Do not apply `rate()` to them.

Most groups can be switched off in the section `metrics` of `monitor.yaml`. Always on are the sixteen, the monitor's own
metrics, and those that alerts, dashboards and joins need: `genv_driver_state`, `genv_driver_info`,
`genv_devices_missing`, `genv_device_up`, `genv_device_info`, `genv_device_board_info`, and the free and reserved memory
and the memory bandwidth utilisation of each GPU.

**Values that hardly change are read once a minute**, not in each collection; their intervals are the keys
`collect.device_details_interval`, `collect.memory_health_interval` and `collect.nvlink_interval`. They are the health
of GPU memory; state, bandwidth and errors of NVLinks, NVLink-C2C and the NVLink fabric; and limits, thresholds, modes,
the recovery action and PCI Express errors. In between, their series keep the last value, and
`genv_monitor_device_last_read_timestamp_seconds` says how old it is: a counter that rises does so in one step. A value
that cannot be read any more goes away. After an XID error of the hardware, all values of the GPU are read in the next
collection.
"""

_LEDGER = """\
How this is counted and stored is described in [ledger.md](ledger.md). GPU-hours by user over a range in Prometheus:
`increase(genv_user_allocated_device_seconds_total[7d]) / 3600`; for all machines: `genv-monitor report --prometheus`
([ledger.md](ledger.md#many-machines)); without Prometheus: `genv-monitor report`.
"""

_DETAILS = """\
**Throttling.** A GPU has a series for each reason that it can report. `power_cap`: the power limit; `hw_thermal` and
`sw_thermal`: hardware or driver slow the GPU down because of heat; `hw_power_brake`: the power supply requests it;
`hw_slowdown`: any slowdown by the hardware; `sync_boost`: the GPU runs at the speed of the slowest in its group;
`display` and `application_clocks`: a user has set the clocks; `board_limit`, `reliability`: a limit of the board or of
its voltage. An idle GPU is not throttled. A reason that is active for less than one collection may be missed;
`genv_device_throttled_seconds_total` misses none, where the driver counts. There, `thermal` is what older drivers
report for both thermal reasons; it is left out where the driver only repeats the time of `sw_thermal`.

**Temperature thresholds** are temperatures up to Ampere, margins from Hopper on, and may be both on Ada. The GPU has
reached a margin threshold when `genv_device_temperature_margin_celsius` is not above it:
`genv_device_temperature_margin_celsius <= on (instance, index) group_right ()
genv_device_temperature_margin_threshold_celsius`.

**InfoROM** is memory on the board with its identity and its history, such as retired pages. It is checked only every
ten minutes, since the driver reads all of it for a check.

**Energy** starts at 0 when the driver is loaded. Its `rate()` is the average power; `genv_device_power_watts` is only a
sample.
"""

_MEMORY_HEALTH = """\
A GPU has either remapped rows (Ampere and later) or retired pages. Corrected errors do no harm,
but a rising count often comes before uncorrected ones. Counters of scope `volatile` start at 0 when the driver is
loaded. Pending repairs (Ampere and later, driver 580) put a memory channel or a group of SMs out of use at the next
reset.
"""

_XID = """\
NVML reports each XID once, to programs that are listening, so errors from before the start of the monitor are not
counted. Common XIDs start at 0, so `increase()` sees the first one. The counters belong to the UUID of the GPU; they
are kept while it is down and when NVML is initialised again. [NVIDIA's
list](https://docs.nvidia.com/deploy/xid-errors/) explains each XID.
"""

_NVLINK = """\
An inactive link has only `genv_device_nvlink_active`. Kinds of errors up to NVLink 4: `replay`, `recovery`, `crc` or
`crc_flit`, `crc_data`, `ecc_data`; of NVLink 5: `malformed_packet`, `buffer_overrun`, `receive`, `link_integrity`,
`transmit_discard`, `recovery`, `recovery_failed`, `effective`, `symbol`. Up to NVLink 4, bytes are without the overhead
of the protocol.

NVLink-C2C connects the GPU with the CPU of its module (Grace); other GPUs have no `genv_device_c2c_*`.
"""

_MIG = """\
`instance` is the number that nvidia-smi shows, from 0 on each GPU. A GPU in MIG mode has no utilisation of its own. Its
processes are those of its MIG devices, and `device` is its index. MIG devices in the same GPU instance share their BAR1
memory: use the value of one of them, not the sum.

Prometheus has its own label `instance`, for the machine. So in Prometheus, unless `honor_labels` is on, this label is
called `exported_instance`, as in `genv_mig_memory_used_bytes{instance="gpu1:8000",index="0",exported_instance="1"}`.
"""

_GPM = """\
GPM is the driver's interface for profiling metrics since Hopper, which DCGM uses too; earlier GPUs have none of these
series. It does not disturb other profilers. If the driver lets only administrators profile, it may refuse the monitor;
the monitor then logs this once. Each value is the mean between two collections, so there is none at the first
collection and none for `genv-monitor once`. MIG devices in the same GPU instance have the same values: use one of
them, not the sum.
"""

_DEFINITIONS = """\
## Definitions

**Work** of an environment on a GPU: since the previous collection, one of its processes used SM time there, encoded or
decoded video, or read or wrote GPU memory, according to the driver's samples of each process. (So a process may work
with a `genv_process_utilization_ratio` of 0, which is about SM time only.) Some virtual GPUs have no such samples, and
neither have clients of the Multi-Process Service, because their work counts for its server. There, an environment works
if it has a process on the GPU while the utilisation of the GPU is above 0, so that nobody is called idle who is not. A
GPU in MIG mode has neither samples nor utilisation. There, a process works while its GPU instance computes, draws, or
reads or writes memory, according to its counters (GPM, from Hopper on, with `metrics.mig` and `metrics.gpm`); MIG
devices in one GPU instance cannot be told apart. Without these counters it is unknown whether an environment with a
process there works. A process that only holds memory does not work. Work is unknown while the driver does not list the
processes.

**Active**: the environment works on a GPU. **Idle**: it has GPUs attached and works on none of them; work on other
GPUs does not count. `genv_environment_idle_seconds` is 0 while the environment is active. It counts from the last
collection in which the environment worked. If there was none, it counts from the attachment, or from the activation if
genv has no time of the attachment, as far as these times are plausible ([trust.md](trust.md#the-rules)). There is no
series while work is unknown; after more than 5 minutes of that, counting starts again. Setting the clock of the
machine has no effect. The page, `top` and the dashboards say *in use* until the value reaches `idle.grace`, by default
10 minutes (`genv_monitor_idle_grace_seconds`).

A **GPU** is idle for itself: none of the environments that have it attached has worked on it for `idle.grace`.
`genv_environment_device_idle_seconds` counts this for each environment on each of its GPUs, by the same rules; on a GPU
that does not answer, work is unknown. So an environment that works on two of its four GPUs is not idle, but holds the
other two idle.

**Free**: a GPU that answers, that no environment has attached, and that no process uses; all of this must be known.
Neither a desktop counts as use (processes that only draw, in at most 512 MiB together), nor the server of the
Multi-Process Service if it runs as root: only its clients do. A GPU with more than 512 MiB in use that no visible
process accounts for is not called free, as somebody invisible may use it; neither is one whose processes or attachments
are unknown. Other GPUs are *in use*, held *idle* (no environment that has it attached has worked on it for
`idle.grace`), *in use outside genv* (not attached, but a process outside genv computes there), *down*, or their state
is *not known*.

**After a restart of the monitor** the idle time continues from the last work, which is kept in the file of the
[ledger](ledger.md#when-environments-last-worked). The time in which the monitor was down is handled like any other
unknown time: up to 5 minutes count as idle; after a longer time counting starts again, as the environment may have
worked. So an upgrade changes nothing, and a restart never makes an idle time longer. Without such a file, and for an
environment that was never seen to work, it counts from the attachment. The same holds for each GPU; if only the last
work of the whole environment was kept, that is taken for all of its GPUs.

**Peak** memory of a process or an environment: the highest value that a collection has found since it began or, if
that was later, since the monitor started. Peaks between two collections are not seen. The peak of an environment is
that of all its processes together on one GPU, and is what `gpu-memory` should allow. It is absent while the driver
does not report the memory of one of them.

**Memory limit**: what the attachment of the environment to a GPU allows; without that, what the environment asks for
on each GPU. genv writes the memory that the environment asks for into the attachment at that time, and computes from
it what is left of the GPU. So `genv config gpu-memory` takes effect once the GPU is detached and attached again; only
`genv enforce` uses the current value.

**Violation**: `memory_limit`: the processes of the environment together use more memory on one GPU than its limit
there; `unattached_device`: one of its processes computes on a GPU that is not attached to it (drawing does not count);
`device_limit`: it has more GPUs attached than it asked for.

**Unmanaged**, or *outside genv*: a process that computes on a GPU and names no environment, one that is not active, or
one that it is not entitled to ([trust.md](trust.md)). Desktops, which only draw, do not count; neither does the server
of the Multi-Process Service if it runs as root.

**Orphan memory**: memory in use minus the memory of every visible process. Usually it was left by a process that ended
badly, or belongs to a process that the monitor cannot see, for example because the monitor runs in a container. A
process that the driver still lists although it has ended or is a zombie counts as not visible. The monitor can find
this out only if it sees all processes of the machine, as its service does (in the first pid namespace; in a container,
with that of the host: `--pid=host`); elsewhere every listed process counts as visible. The memory of a process includes
its context. Memory that the driver needs beyond its reserve is left over: usually a few MiB, and up to some hundred MiB
on GPUs that draw. A process that starts or ends during a collection shows up in it. So alert only if it is more than
512 MiB for some minutes. The value is absent where the driver does not report the memory of every process, does not
report its reserve (before 510), or a MIG device hides its processes.

**Oversubscribed**: a GPU that is attached to several environments whose memory limits add up to more than it has. An
environment without a limit may use all of it, so together with any other it oversubscribes the GPU. genv lets users do
that on purpose.

**cgroup**: what started a process, according to its control group. Users can name groups below their own user service
freely, so a container or service there is only what its owner claims; jobs and sessions cannot be forged.
"""

_PROCESS = """\
## The monitor's process

The usual metrics of Prometheus' client libraries: `process_cpu_seconds_total`, `process_resident_memory_bytes`,
`process_virtual_memory_bytes`, `process_start_time_seconds`, `process_open_fds`, `process_max_fds`.
`genv-monitor once` leaves them out, so that a node exporter that collects its output does not export them twice.
"""


def generated() -> dict[Path, str]:
    """Return the content of each generated file."""
    return {
        ROOT / "docs" / "metrics.md": metrics_reference(),
        ROOT / "docs" / "configuration.md": configuration_reference(),
        ROOT / "packaging" / "monitor.sample.yaml": sample(),
        ROOT / "packaging" / "monitor.schema.json": json.dumps(json_schema(), indent=2) + "\n",
    }


def metrics_reference() -> str:
    """Return docs/metrics.md."""
    return "\n".join(
        (
            _INTRODUCTION,
            _section("The machine", CONTRACT),
            _section("The driver", DRIVER),
            _section("Each GPU", DEVICE),
            _section("Each GPU in detail (`metrics.device_details`)", DETAILS),
            _DETAILS,
            _section("Health of GPU memory (`metrics.memory_health`)", MEMORY_HEALTH),
            _MEMORY_HEALTH,
            _section("XID errors (`metrics.xid`)", XID),
            _XID,
            _section("NVLink (`metrics.nvlink`)", NVLINK),
            _NVLINK,
            _section("PCI Express throughput (`metrics.pcie_throughput`, off by default)", PCIE_THROUGHPUT),
            _section("MIG devices (`metrics.mig`)", MIG),
            _MIG,
            _section("Profiling metrics (`metrics.gpm`)", GPM),
            _GPM,
            _section("GPU processes (`metrics.processes`)", PROCESSES),
            _section("Environments (`metrics.environments`)", ENVIRONMENTS),
            _section("Users (`metrics.users`)", USERS),
            _section("Policy (`metrics.policy`)", POLICY),
            _DEFINITIONS,
            _section("GPU time and energy per user (`ledger`)", LEDGER),
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
