"""What the dashboard of one machine asks of the metrics."""

from tools.dashboards.people_expressions import owned
from tools.dashboards.promql import THE_ONE, described, idle, increase, on, per, rate
from tools.dashboards.scales import RECOVERY_ACTIONS

_CHOSEN = 'index=~"$device"'

NO_FILE = 2
"""In place of whether a file was written: that there is none to write."""

MIG_DEVICE = "exported_instance"
"""The label instance of the metrics of MIG devices: Prometheus calls it so, having that name for the machine."""


def machine(metric: str, *labels: str, where: str = "") -> str:
    """Give a metric of the machine."""
    return per(metric, *labels, where=where, machines=THE_ONE)


def machine_increase(counter: str, *labels: str) -> str:
    """Give by how much a counter of the machine rose in the chosen time range."""
    return increase(counter, *labels, machines=THE_ONE)


def machine_rate(counter: str, *labels: str) -> str:
    """Give by how much a counter of the machine rises in a second."""
    return rate(counter, *labels, machines=THE_ONE)


def driver_state() -> str:
    """Give the state of the driver as a label; the value is 1 if it is ok, else 0."""
    fine = machine("genv_driver_state", "state", where='state="ok"')
    wrong = machine("genv_driver_state", "state", where='state!="ok"')
    return f"{fine} == 1 or 0 * ({wrong} == 1)"


def device(metric: str, *labels: str, where: str = "") -> str:
    """Give a metric of the chosen devices."""
    return machine(metric, "index", *labels, where=f"{_CHOSEN}, {where}" if where else _CHOSEN)


def device_increase(counter: str, *labels: str) -> str:
    """Give by how much a counter of the chosen devices rose in the chosen time range."""
    return increase(counter, "index", *labels, where=_CHOSEN, machines=THE_ONE)


def device_rate(counter: str, *labels: str) -> str:
    """Give by how much a counter of the chosen devices rises in a second."""
    return rate(counter, "index", *labels, where=_CHOSEN, machines=THE_ONE)


def named(expression: str) -> str:
    """Give an expression by device with the name of the device's model."""
    return described(expression, device("genv_device_info", "name"), by=["index"], labels=["name"])


def below_slowdown() -> str:
    """Give how many degrees each device is from slowing itself down: by its own word, else by its threshold."""
    margin = device("genv_device_temperature_margin_celsius")
    threshold = device("genv_device_temperature_threshold_celsius", where='threshold="slowdown"')
    return f"{margin} or {threshold} - {device('genv_device_temperature')}"


def recovery_action() -> str:
    """Give what the driver recommends for each device, as the number in RECOVERY_ACTIONS."""
    each = {number: f'action="{action}"' for number, (action, _) in RECOVERY_ACTIONS.items()}
    return " or ".join(
        f"{number} * {device('genv_device_recovery_action', where=where)}" for number, where in each.items()
    )


def nvlink_bandwidth() -> str:
    """Give what the active NVLinks of each device can carry together in each direction, in bytes per second."""
    return f"sum by (instance, index) ({device('genv_device_nvlink_bandwidth_bytes_per_second', 'link')})"


def fabric() -> str:
    """Give how far each device is in joining the fabric, beside what it has joined."""
    labels = ("cluster_uuid", "clique")
    joined = device("genv_device_fabric_info", *labels)
    return described(device("genv_device_fabric_state", "state"), joined, by=["index"], labels=labels)


def power_share() -> str:
    """Give the power of each device as a share of its limit."""
    limit = device("genv_device_power_limit_watts")
    return f"{device('genv_device_power_watts')} / {on('index')} ({limit} > 0)"


def memory_share() -> str:
    """Give the used memory of the devices together, in percent."""
    total = device("genv_device_memory_total_bytes")
    used = f"{device('genv_device_memory_used_bytes')} and {on('index')} {total}"
    return f"100 * sum({used}) / (sum({total}) > 0)"


def holders() -> str:
    """Give how many environments hold each device."""
    devices = device("genv_device_up")
    return f"count by (instance, index) ({_attached()}) or {on('index')} 0 * {devices}"


def held() -> str:
    """Give the number of holders of the device for each environment and device that it holds."""
    together = f"count by (instance, index) ({_attached()})"
    return _owned(f"0 * {_attached()} + {on('index')} group_left () {together}")


def held_memory() -> str:
    """Give the memory of each environment on each device that it holds, in bytes."""
    return _on_held("genv_environment_used_gpu_memory_bytes")


def held_utilisation() -> str:
    """Give the share of the SM time of each device that each environment which holds it takes."""
    return _on_held("genv_environment_utilization_ratio")


def held_idle() -> str:
    """Give for how many seconds each environment is idle, for each device that it holds; 0 while it is in use."""
    seconds = idle(machine("genv_environment_idle_seconds", "eid"), machine("genv_monitor_idle_grace_seconds"))
    return _owned(f"0 * {_attached()} + {on('eid')} group_left () ({seconds})")


def _attached() -> str:
    return device("genv_environment_device_attached", "eid")


def _on_held(metric: str) -> str:
    """Give a metric of environments by device, where the label device is called index as with all else of devices."""
    value = machine(metric, "eid", "device", where='device=~"$device"')
    by_index = f'max by (instance, eid, index) (label_replace({value}, "index", "$1", "device", "(.+)"))'
    return _owned(f"{by_index} and {on('eid', 'index')} {_attached()}")


def _owned(expression: str) -> str:
    return owned(expression, machine("genv_environment_info", "eid", "username", "name"))


def ledger_written() -> str:
    """Give whether the file of the ledger could be written, and NO_FILE where the monitor has none."""
    there = machine("genv_monitor_collections_total")
    return f"{machine('genv_monitor_ledger_write_success')} or {on()} 0 * {there} + {NO_FILE}"


def age(timestamp: str) -> str:
    """Give how many seconds ago something of the machine was, by the clock of Prometheus."""
    return f"clamp_min(time() - {machine(timestamp)}, 0)"


def left(timestamp: str, *labels: str) -> str:
    """Give in how many seconds something of the machine will be, by the clock of Prometheus."""
    return f"{machine(timestamp, *labels)} - time()"


def persistence() -> str:
    """Give whether the driver stays loaded for each device, beside who may compute on it."""
    modes = device("genv_device_compute_mode", "mode")
    return described(device("genv_device_persistence_mode"), modes, by=["index"], labels=["mode"])


def mig(metric: str, where: str = "") -> str:
    """Give a metric of MIG devices, with what each of them is."""
    return _of_migs(device(metric, MIG_DEVICE, where=where))


def mig_processes() -> str:
    """Give how many processes are on each MIG device."""
    each = device("genv_mig_process_info", MIG_DEVICE, "pid")
    return _of_migs(f"count by (instance, index, {MIG_DEVICE}) ({each})")


def _of_migs(expression: str) -> str:
    labels = ("profile", "gpu_instance", "compute_instance", "uuid")
    info = device("genv_mig_instance_info", MIG_DEVICE, *labels)
    return described(expression, info, by=["index", MIG_DEVICE], labels=labels)
