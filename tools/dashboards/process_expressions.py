"""PromQL expressions about GPU processes.

They select the chosen users, environments and GPUs. Series without a user, above all ``(other)``, the sum of the
processes over the monitor's limits, are shown for any choice of users.
"""

from tools.dashboards.people_expressions import NOBODY_KNOWN
from tools.dashboards.promql import described, named_when_empty, of_others, on, or_none_of, per, replaced

_PROCESS = 'eid=~"$eid", pid=~"$pid"'
_ANYWHERE = 'pid=~"$pid"'
_DEVICE = 'device=~"$device"'
_USER = 'username=~"$username"'
_DESCRIPTION = ("username", "command", "type", "cgroup_kind", "cgroup")

_SHORT_ID = "([0-9a-f]{12})[0-9a-f]{52}"
"""The ID of a container: docker ps shows its first twelve digits, and docker accepts them."""

_MEMORY = "genv_process_used_gpu_memory_bytes"
_SHARE = "genv_process_utilization_ratio"


def memory() -> str:
    """Return the memory of each process on each of its GPUs, in bytes."""
    return _known(_on_device(_MEMORY))


def utilisation() -> str:
    """Return the share of SM time of each process on each GPU."""
    return _known(_on_device(_SHARE))


def share(part: str) -> str:
    """Return each process's share of another part of each GPU: memory_bandwidth, encoder or decoder."""
    return _known(_on_device(f"genv_process_{part}_utilization_ratio"))


def peak_memory() -> str:
    """Return the peak memory of each process on each of its GPUs, in bytes."""
    return _known(_on_device("genv_process_peak_gpu_memory_bytes"))


def devices() -> str:
    """Return the number of GPUs on which each process computes, once for each of its GPUs."""
    return _known(_on_each("genv_process_devices_total"))


def started() -> str:
    """Return the start time of each process in milliseconds since the epoch, once for each of its GPUs."""
    return _known(f"1000 * ({_on_each('genv_process_start_time_seconds')})")


def outside_memory() -> str:
    """Return the memory of each process outside genv on each GPU, in bytes."""
    return _known(_outside(_on_device(_MEMORY, _ANYWHERE)))


def outside_utilisation() -> str:
    """Return the share of SM time of each process outside genv."""
    return _known(_outside(_on_device(_SHARE, _ANYWHERE)))


def outside_started() -> str:
    """Return the start time of each process outside genv, in milliseconds since the epoch."""
    return _known(_outside(f"1000 * ({_on_each('genv_process_start_time_seconds', _ANYWHERE)})"))


def _outside(expression: str) -> str:
    """Restrict an expression by process to processes outside genv."""
    return f"({expression}) and {on('pid', 'eid')} {per('genv_process_unmanaged', 'pid', 'eid')} == 1"


def number() -> str:
    """Return the number of processes."""
    return or_none_of(f"count({_info('pid', 'eid')})", per("genv_processes_total"))


def people() -> str:
    """Return the number of users with processes; one on several machines counts once."""
    return or_none_of(f"count(count by (username) ({_info('username')}))", per("genv_processes_total"))


def number_by(label: str) -> str:
    """Return the number of processes by a label of their description."""
    info = _info("pid", "eid", label)
    return named_when_empty(f"count by ({label}) ({info})", label, NOBODY_KNOWN)


def total_memory() -> str:
    """Return the memory of all processes together, in bytes."""
    return or_none_of(f"sum({memory()})", per("genv_processes_total"))


def _info(*labels: str) -> str:
    return per("genv_process_info", *labels, where=f"{_PROCESS}, {_USER}")


def _on_device(metric: str, chosen: str = _PROCESS) -> str:
    return per(metric, "pid", "eid", "device", where=f"{chosen}, {_DEVICE}")


def _on_each(metric: str, chosen: str = _PROCESS) -> str:
    """Return a metric of processes, once for each GPU of the process.

    A process whose memory and utilisation are unknown, as under some virtual GPUs, appears once, without a GPU.
    """
    process = on("pid", "eid")
    value = per(metric, "pid", "eid", where=chosen)
    on_devices = f"(0 * {_on_device(_MEMORY, chosen)} or 0 * {_on_device(_SHARE, chosen)})"
    somewhere = f"({per(_MEMORY, 'pid', 'eid')} or {per(_SHARE, 'pid', 'eid')})"
    return f"{on_devices} + {process} group_left () {value} or ({value} unless {process} {somewhere})"


def _known(expression: str) -> str:
    """Restrict an expression by process to the chosen users, and add the labels that describe the processes."""
    ours = f"({expression}) unless {on('pid', 'eid')} {of_others('genv_process_info', 'pid', 'eid')}"
    info = per("genv_process_info", "pid", "eid", *_DESCRIPTION)
    named = described(ours, info, by=["pid", "eid"], labels=_DESCRIPTION)
    named = replaced(named, "cgroup", "$1", "cgroup", _SHORT_ID)
    names = {"eid": "(none)", "username": NOBODY_KNOWN, "device": "?", "command": "?"}
    for label, name in names.items():
        named = named_when_empty(named, label, name)
    return named
