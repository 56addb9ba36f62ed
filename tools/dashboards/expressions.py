"""PromQL expressions of the overview dashboard.

An expression gives 0 only if the value is known to be 0, and nothing if it is unknown. All these metrics are gauges,
including those whose names end in _total.
"""

from tools.dashboards.promql import named_when_empty, on, per, share

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
    return per("genv_environment_attached_devices_total", "eid")


def environment_processes() -> str:
    """Return the number of GPU processes of each active environment."""
    return per("genv_environment_processes_total", "eid")


def environment_memory() -> str:
    """Return the total GPU memory of the processes of each active environment, in bytes."""
    processes = per("genv_process_used_gpu_memory_bytes", "pid", "eid", "device", where='eid!=""')
    memory = f"sum by (instance, eid) ({processes}) and {on('eid')} {environment_devices()}"
    return f"{memory} or {on('eid')} {environment_processes()} == 0"


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
    return named_when_empty(named_when_empty(expression, "eid", "(none)"), "device", "?")
