"""What the dashboards ask about GPU processes.

They are those of the chosen users, environments and devices. What has no user, above all the sum of the processes that
are over the monitor's limits, ``(other)``, is there whichever users are chosen.
"""

from tools.dashboards.people_expressions import NOBODY_KNOWN
from tools.dashboards.promql import described, named_when_empty, on, or_none_of, per

_PROCESS = 'eid=~"$eid", pid=~"$pid"'
_ANYWHERE = 'pid=~"$pid"'
_DEVICE = 'device=~"$device"'
_USER = 'username=~"$username"'
_DESCRIPTION = ("username", "command", "type", "cgroup_kind", "cgroup")

_MEMORY = "genv_process_used_gpu_memory_bytes"
_SHARE = "genv_process_utilization_ratio"


def memory() -> str:
    """Give the memory of each process on each of its devices, in bytes."""
    return _known(_on_device(_MEMORY))


def utilisation() -> str:
    """Give the share of the SM time of each device that each process takes."""
    return _known(_on_device(_SHARE))


def share(part: str) -> str:
    """Give the share that each process takes of another part of each device: memory_bandwidth, encoder or decoder."""
    return _known(_on_device(f"genv_process_{part}_utilization_ratio"))


def peak_memory() -> str:
    """Give the highest memory of each process on each of its devices that was seen, in bytes."""
    return _known(_on_device("genv_process_peak_gpu_memory_bytes"))


def devices() -> str:
    """Give the number of devices on which each process computes, for each device that it is on."""
    return _known(_on_each("genv_process_devices_total"))


def started() -> str:
    """Give when each process was started, in milliseconds since the epoch, for each device that it is on."""
    return _known(f"1000 * ({_on_each('genv_process_start_time_seconds')})")


def outside_memory() -> str:
    """Give the memory of each process that computes outside any active environment, on each device, in bytes."""
    return _known(_outside(_on_device(_MEMORY, _ANYWHERE)))


def outside_utilisation() -> str:
    """Give the share of SM time of each process that computes outside any active environment."""
    return _known(_outside(_on_device(_SHARE, _ANYWHERE)))


def outside_started() -> str:
    """Give when each process that computes outside any active environment was started, in milliseconds."""
    return _known(_outside(f"1000 * ({_on_each('genv_process_start_time_seconds', _ANYWHERE)})"))


def _outside(expression: str) -> str:
    """Give of an expression by process what computes outside any active environment."""
    return f"({expression}) and {on('pid', 'eid')} {per('genv_process_unmanaged', 'pid', 'eid')} == 1"


def number() -> str:
    """Give how many processes there are."""
    return or_none_of(f"count({_info('pid', 'eid')})", per("genv_processes_total"))


def people() -> str:
    """Give how many people have processes; one who is on several machines counts once."""
    return or_none_of(f"count(count by (username) ({_info('username')}))", per("genv_processes_total"))


def number_by(label: str) -> str:
    """Give the number of processes by a label of their description."""
    info = _info("pid", "eid", label)
    return named_when_empty(f"count by ({label}) ({info})", label, NOBODY_KNOWN)


def total_memory() -> str:
    """Give the memory of all processes together, in bytes."""
    return or_none_of(f"sum({memory()})", per("genv_processes_total"))


def _info(*labels: str) -> str:
    return per("genv_process_info", *labels, where=f"{_PROCESS}, {_USER}")


def _on_device(metric: str, chosen: str = _PROCESS) -> str:
    return per(metric, "pid", "eid", "device", where=f"{chosen}, {_DEVICE}")


def _on_each(metric: str, chosen: str = _PROCESS) -> str:
    """Give a metric of processes for each device that the process is on.

    A process of which neither memory nor work is known, as under some virtual GPUs, is there once, without a device.
    """
    process = on("pid", "eid")
    value = per(metric, "pid", "eid", where=chosen)
    on_devices = f"(0 * {_on_device(_MEMORY, chosen)} or 0 * {_on_device(_SHARE, chosen)})"
    somewhere = f"({per(_MEMORY, 'pid', 'eid')} or {per(_SHARE, 'pid', 'eid')})"
    return f"{on_devices} + {process} group_left () {value} or ({value} unless {process} {somewhere})"


def _known(expression: str) -> str:
    """Give of an expression by process what is of the chosen users, with all that is known of the processes."""
    others = per("genv_process_info", "pid", "eid", where='username!~"$username"')
    ours = f"({expression}) unless {on('pid', 'eid')} {others}"
    info = per("genv_process_info", "pid", "eid", *_DESCRIPTION)
    named = described(ours, info, by=["pid", "eid"], labels=_DESCRIPTION)
    names = {"eid": "(none)", "username": NOBODY_KNOWN, "device": "?", "command": "?"}
    for label, name in names.items():
        named = named_when_empty(named, label, name)
    return named
