"""PromQL expressions of the machine dashboard."""

from tools.dashboards import gpu_expressions
from tools.dashboards.people_expressions import owned
from tools.dashboards.promql import SELECTED, THE_ONE, described, idle, increase, on, per, rate, replaced
from tools.dashboards.scales import RECOVERY_ACTIONS

_CHOSEN = 'index=~"$device"'

NO_FILE = 2
"""The value that means that there is no ledger file."""

MIG_DEVICE = "exported_instance"
"""The name that Prometheus gives to the label instance of MIG metrics, as instance is the machine."""


def machine(metric: str, *labels: str, where: str = "") -> str:
    """Return a metric of the machine."""
    return per(metric, *labels, where=where, machines=THE_ONE)


def machine_increase(counter: str, *labels: str) -> str:
    """Return the increase of a counter of the machine in the chosen time range."""
    return increase(counter, *labels, machines=THE_ONE)


def machine_rate(counter: str, *labels: str) -> str:
    """Return the rate of a counter of the machine."""
    return rate(counter, *labels, machines=THE_ONE)


def driver_state() -> str:
    """Return the state of the driver as a label; the value is 1 if it is ok, else 0."""
    fine = machine("genv_driver_state", "state", where='state="ok"')
    wrong = machine("genv_driver_state", "state", where='state!="ok"')
    return f"{fine} == 1 or 0 * ({wrong} == 1)"


def device(metric: str, *labels: str, where: str = "") -> str:
    """Return a metric of the chosen GPUs."""
    return machine(metric, "index", *labels, where=f"{_CHOSEN}, {where}" if where else _CHOSEN)


def device_increase(counter: str, *labels: str) -> str:
    """Return the increase of a counter of the chosen GPUs in the chosen time range."""
    return increase(counter, "index", *labels, where=_CHOSEN, machines=THE_ONE)


def device_rate(counter: str, *labels: str) -> str:
    """Return the rate of a counter of the chosen GPUs."""
    return rate(counter, "index", *labels, where=_CHOSEN, machines=THE_ONE)


def named(expression: str) -> str:
    """Add the model of the GPU to an expression by GPU."""
    return described(expression, device("genv_device_info", "name"), by=["index"], labels=["name"])


def state() -> str:
    """Return the state of each GPU, as a key of STATES in scales.py."""
    of_machine = gpu_expressions.states().replace(SELECTED, THE_ONE)
    return f"({of_machine}) and {on('index')} {device('genv_device_up')}"


def throttled_share() -> str:
    """Return the share of time for each reason, of the GPU that was throttled most, 0 to 1."""
    counted = f"max by (reason) ({device_rate('genv_device_throttled_seconds_total', 'reason')})"
    return f"clamp_max({counted}, 1) and on (reason) {device('genv_device_throttled', 'reason')}"


def link_errors() -> str:
    """Return the errors on PCI Express and on each NVLink in the time range, by kind."""
    pcie = device_increase("genv_device_pcie_errors_total", "kind")
    nvlink = device_increase("genv_device_nvlink_errors_total", "link", "kind")
    of_pcie = f'label_replace({pcie}, "link", "PCI Express", "", "")'
    of_nvlink = f'label_replace({nvlink}, "link", "NVLink $1", "link", "(.*)")'
    return f"round({of_pcie} or {of_nvlink})"


def lost_nvlinks() -> str:
    """Return the number of NVLinks of each GPU that were active in the time range and are not now."""
    most = f"max_over_time(genv_device_nvlink_active{{{THE_ONE}, {_CHOSEN}}}[$__range])"
    lost = f"max by (instance, index, link) ({most}) - {device('genv_device_nvlink_active', 'link')}"
    return f"sum by (instance, index) ({lost})"


def below_slowdown() -> str:
    """Return how many degrees each GPU is below slowdown: the margin that it reports, else from its threshold."""
    margin = device("genv_device_temperature_margin_celsius")
    threshold = device("genv_device_temperature_threshold_celsius", where='threshold="slowdown"')
    return f"{margin} or {threshold} - {device('genv_device_temperature')}"


def recovery_action() -> str:
    """Return what the driver recommends for each GPU, as a key of RECOVERY_ACTIONS."""
    each = {number: f'action="{action}"' for number, (action, _) in RECOVERY_ACTIONS.items()}
    return " or ".join(
        f"{number} * {device('genv_device_recovery_action', where=where)}" for number, where in each.items()
    )


def nvlink_bandwidth() -> str:
    """Return the total bandwidth of the active NVLinks of each GPU in each direction, in bytes per second."""
    return f"sum by (instance, index) ({device('genv_device_nvlink_bandwidth_bytes_per_second', 'link')})"


def fabric() -> str:
    """Return the fabric state of each GPU, with the cluster and clique that it has joined."""
    labels = ("cluster_uuid", "clique")
    joined = device("genv_device_fabric_info", *labels)
    return described(device("genv_device_fabric_state", "state"), joined, by=["index"], labels=labels)


def power_share() -> str:
    """Return the power of each GPU as a share of its limit."""
    limit = device("genv_device_power_limit_watts")
    return f"{device('genv_device_power_watts')} / {on('index')} ({limit} > 0)"


def environments_of_gpu() -> str:
    """Return the number of environments that each GPU is attached to."""
    devices = device("genv_device_up")
    return f"count by (instance, index) ({_attached()}) or {on('index')} 0 * {devices}"


def attachments() -> str:
    """Return, for each environment and attached GPU, the number of environments the GPU is attached to."""
    together = f"count by (instance, index) ({_attached()})"
    return _owned(f"0 * {_attached()} + {on('index')} group_left () {together}")


def attached_memory() -> str:
    """Return the memory of each environment on each attached GPU, in bytes."""
    return _on_attached("genv_environment_used_gpu_memory_bytes")


def attached_utilisation() -> str:
    """Return the share of SM time of each environment on each attached GPU."""
    return _on_attached("genv_environment_utilization_ratio")


def attached_idle() -> str:
    """Return how long each environment has been idle on each attached GPU, in seconds; 0 while it uses it."""
    seconds = device("genv_environment_device_idle_seconds", "eid")
    return _owned(idle(seconds, machine("genv_monitor_idle_grace_seconds")))


def _attached() -> str:
    return device("genv_environment_device_attached", "eid")


def _on_attached(metric: str) -> str:
    """Return a metric of environments by GPU, with its label device renamed to index."""
    value = machine(metric, "eid", "device", where='device=~"$device"')
    by_index = f"max by (instance, eid, index) ({replaced(value, 'index', '$1', 'device', '(.+)')})"
    return _owned(f"{by_index} and {on('eid', 'index')} {_attached()}")


def _owned(expression: str) -> str:
    return owned(expression, machine("genv_environment_info", "eid", "username", "name"))


def ledger_written() -> str:
    """Return whether the last write of the ledger succeeded, or NO_FILE if there is no file."""
    there = machine("genv_monitor_collections_total")
    return f"{machine('genv_monitor_ledger_write_success')} or {on()} 0 * {there} + {NO_FILE}"


def age(timestamp: str) -> str:
    """Return the seconds since a timestamp of the machine, by the clock of Prometheus."""
    return f"clamp_min(time() - {machine(timestamp)}, 0)"


def group_age() -> str:
    """Return the seconds since each group of values was last read, for the GPU where that is longest ago."""
    read = machine("genv_monitor_device_last_read_timestamp_seconds", "index", "group")
    return f"max by (instance, group) (clamp_min(time() - {read}, 0))"


def left(timestamp: str, *labels: str) -> str:
    """Return the seconds until a timestamp of the machine, by the clock of Prometheus."""
    return f"{machine(timestamp, *labels)} - time()"


def with_mode(metric: str) -> str:
    """Return a metric of each GPU, with its compute mode as a label."""
    return described(device(metric), device("genv_device_compute_mode", "mode"), by=["index"], labels=["mode"])


def mig(metric: str, where: str = "") -> str:
    """Return a metric of MIG devices, with the labels that describe each of them."""
    return _of_migs(device(metric, MIG_DEVICE, where=where))


def mig_processes() -> str:
    """Return the number of processes on each MIG device."""
    each = device("genv_mig_process_info", MIG_DEVICE, "pid")
    return _of_migs(f"count by (instance, index, {MIG_DEVICE}) ({each})")


def _of_migs(expression: str) -> str:
    labels = ("profile", "gpu_instance", "compute_instance", "uuid")
    info = device("genv_mig_instance_info", MIG_DEVICE, *labels)
    return described(expression, info, by=["index", MIG_DEVICE], labels=labels)
