"""PromQL expressions of the overview dashboard.

An expression gives 0 only if the value is known to be 0, and nothing if it is unknown. All these metrics are gauges,
including those whose names end in _total.
"""

from tools.dashboards.people_expressions import NOBODY_KNOWN, owned
from tools.dashboards.promql import described, idle, increase, named_when_empty, on, per, share

_DEVICES = f"count by (instance) ({per('genv_device_memory_total_bytes', 'index')})"
"""Number of GPUs of each machine; counted by their memory, as a GPU in MIG mode has no utilisation."""


def machines_with_genv() -> str:
    """Return the share of the answering machines that have genv, in percent."""
    return f"100 * avg({per('genv_is_installed')})"


def environments() -> str:
    """Return the number of active environments."""
    return f"sum({per('genv_environments_total')})"


def processes() -> str:
    """Return the number of GPU processes."""
    return f"sum({per('genv_processes_total')})"


def users() -> str:
    """Return the number of users with an active environment; one on several machines counts once."""
    metric = "genv_user_environments_total"
    names_of_each_machine = f"count({per(metric, 'username')})"
    names = f"count(count by (username) ({per(metric, 'username')}))"
    return f"sum({per('genv_users_total')}) - ({names_of_each_machine} - {names} or vector(0))"


def number_attached() -> str:
    """Return the number of GPUs that are attached to an active environment."""
    return f"sum({per('genv_attached_devices_total')})"


def gpu_hours(what: str) -> str:
    """Return the GPU-hours of each user in the time range: allocated, active, idle or outside."""
    return f"{_seconds(what)} / 3600"


def share_used() -> str:
    """Return the share of its GPU-hours that each user used. Clamped to 1, as Prometheus extrapolates both."""
    return f"clamp_max({_seconds('active')} / ({_seconds('allocated')} > 0), 1)"


def _seconds(what: str) -> str:
    return f"sum by (username) ({increase(f'genv_user_{what}_device_seconds_total', 'username')})"


def attached_devices() -> str:
    """Return the share of GPUs that are attached to an active environment, in percent."""
    attached = per("genv_attached_devices_total")
    return share(attached, _DEVICES, none_if=attached)


def processes_in_environments() -> str:
    """Return the share of GPU processes that run inside an active environment, in percent."""
    environment_processes = f"sum by (instance) ({per('genv_environment_processes_total', 'eid')})"
    no_environments = f"{per('genv_environments_total')} == 0"
    every_process = per("genv_processes_total")
    return share(f"{environment_processes} or {on()} {no_environments}", every_process, none_if=every_process)


def device_utilisation() -> str:
    """Return the compute utilisation of each GPU, in percent."""
    return per("genv_device_utilization", "index")


def device_memory_used() -> str:
    """Return the used memory of each GPU, in percent of its memory."""
    used = per("genv_device_memory_used_bytes", "index")
    total = per("genv_device_memory_total_bytes", "index")
    return f"100 * {used} / {on('index')} ({total} > 0)"


def device_temperature() -> str:
    """Return the temperature of each GPU, in degrees Celsius."""
    return per("genv_device_temperature", "index")


def environment_devices() -> str:
    """Return the number of GPUs attached to each active environment."""
    return _named(per("genv_environment_attached_devices_total", "eid"))


def environment_memory() -> str:
    """Return the total GPU memory of the processes of each active environment, in bytes."""
    processes = per("genv_process_used_gpu_memory_bytes", "pid", "eid", "device", where='eid!=""')
    active = per("genv_environment_attached_devices_total", "eid")
    none = f"{per('genv_environment_processes_total', 'eid')} == 0"
    return _named(f"sum by (instance, eid) ({processes}) and {on('eid')} {active} or {on('eid')} {none}")


def environment_idle() -> str:
    """Return for how long each active environment has not used one of its GPUs, in seconds; 0 while it uses all.

    Of several such GPUs the one that has been idle the longest counts.
    """
    seconds = f"max by (instance, eid) ({per('genv_environment_device_idle_seconds', 'eid', 'index')})"
    return _named(idle(seconds, per("genv_monitor_idle_grace_seconds")))


def _named(by_environment: str) -> str:
    return owned(by_environment, per("genv_environment_info", "eid", "username", "name"))


def user_environments() -> str:
    """Return the number of active environments of each user."""
    return per("genv_user_environments_total", "username")


def user_devices() -> str:
    """Return the number of GPUs attached to the environments of each user."""
    return per("genv_user_attached_devices_total", "username")


def user_processes() -> str:
    """Return the number of GPU processes in the environments of each user."""
    return per("genv_user_processes_total", "username")


def process_memory() -> str:
    """Return the GPU memory of each process on each GPU, in bytes."""
    return _process_rows(_process_memory())


def process_devices() -> str:
    """Return the number of GPUs of each process, once for each GPU that it has memory on.

    A process whose memory is unknown, as under some virtual GPUs, appears once, without a GPU.
    """
    devices = per("genv_process_devices_total", "pid", "eid")
    process = on("pid", "eid")
    on_each = f"0 * {_process_memory()} + {process} group_left () {devices}"
    return _process_rows(f"{on_each} or {process} {devices}")


def _process_memory() -> str:
    return per("genv_process_used_gpu_memory_bytes", "pid", "eid", "device")


def _process_rows(expression: str) -> str:
    """Add user and command to an expression by process."""
    info = per("genv_process_info", "pid", "eid", "username", "command")
    rows = described(expression, info, by=["pid", "eid"], labels=["username", "command"])
    for label, name in {"eid": "(none)", "device": "?", "username": NOBODY_KNOWN, "command": "?"}.items():
        rows = named_when_empty(rows, label, name)
    return rows
