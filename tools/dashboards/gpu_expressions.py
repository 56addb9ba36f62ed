"""PromQL expressions about each GPU: its state, and who is on it."""

from tools.dashboards.people_expressions import NOBODY_KNOWN, owned
from tools.dashboards.promql import described, idle, named_when_empty, on, or_none_of, per, replaced

_GPU = ("instance", "index")
OUTSIDE = "(outside genv)"
"""Stands for the environment of a process that is in none."""


def states() -> str:
    """Return the state of each GPU, as a key of STATES in scales.py."""
    up, free, used = _up(), per("genv_device_free", "index"), _by_gpu(_attached())
    known = per("genv_device_holders_known", "index")
    states = (
        f"0 * ({up} == 0)",
        f"1 * ({free} == 1)",
        f"2 * ({idle_gpus()})",
        f"3 * ({_by_gpu(_outside())} unless {used} unless {known} == 0)",
        f"5 * {_by_gpu(f'{used} or {_computing()}')}",
        f"4 + ({per('genv_device_mig_devices', 'index')} == 0 and {free} == 0)",
        f"5 * {_by_gpu(f'{free} == 0')}",
        f"0 * {up} + 6",
    )
    return " or ".join(states)


def free() -> str:
    """Return the number of GPUs that are known to be free."""
    return f"sum({per('genv_device_free', 'index')})"


def down() -> str:
    """Return the number of GPUs that do not answer, or that the driver no longer lists."""
    return f"sum((1 - {_up()}) or {per('genv_devices_missing')})"


def idle_gpus() -> str:
    """Return 1 for each attached GPU on which its environments are idle."""
    working = f"{_attached()} unless {on('eid', 'index')} ({_idle()} > 0)"
    return f"{_by_gpu(_attached())} unless {_by_gpu(working)}"


def number_idle() -> str:
    """Return the number of attached GPUs on which their environments are idle."""
    return or_none_of(f"count({idle_gpus()})", per("genv_attached_devices_total"))


def number_outside() -> str:
    """Return the number of GPUs on which processes outside genv compute, attached or not."""
    return or_none_of(f"count({_by_gpu(_outside())})", per("genv_processes_total"))


def on_each(value: str) -> str:
    """Return a value of each GPU, once for each user and environment on it.

    Args:
        value: by instance and index.
    """
    everybody = f"{_people()} or {on('index')} {_up()}"
    return f"0 * ({everybody}) + {on('index')} group_left () ({value})"


def idle_on_each() -> str:
    """Return for how long each environment has been idle on each GPU that it has attached; 0 while it uses it."""
    return f"min by (instance, index, username, name) ({_named(_idle())})"


def _idle() -> str:
    seconds = per("genv_environment_device_idle_seconds", "eid", "index")
    return idle(seconds, per("genv_monitor_idle_grace_seconds"))


def _people() -> str:
    """Return 1 for each user and environment on each GPU: it is attached to them, or they compute there."""
    outside = f'label_replace({_outside()}, "name", "{OUTSIDE}", "", "")'
    users = named_when_empty(f"group by (instance, index, username, name) ({outside})", "username", NOBODY_KNOWN)
    return f"group by (instance, index, username, name) ({_named(f'{_attached()} or {_computing()}')}) or {users}"


def _named(by_environment: str) -> str:
    return owned(by_environment, per("genv_environment_info", "eid", "username", "name"))


def _computing() -> str:
    """Return 1 for each environment on each GPU on which its processes compute."""
    uses = per("genv_environment_used_gpu_memory_bytes", "eid", "device")
    return f"group by (instance, eid, index) ({_with_index(uses)})"


def _outside() -> str:
    """Return 1 for each GPU and user with processes there that compute outside genv."""
    outside = f"{per('genv_process_unmanaged', 'pid', 'eid')} == 1"
    uses = f"{per('genv_process_used_gpu_memory_bytes', 'pid', 'eid', 'device')} and {on('pid', 'eid')} {outside}"
    info = per("genv_process_info", "pid", "eid", "username")
    named = described(uses, info, by=["pid", "eid"], labels=["username"])
    return f"group by (instance, index, username) ({_with_index(named)})"


def _with_index(expression: str) -> str:
    return replaced(expression, "index", "$1", "device", "(.+)")


def _by_gpu(expression: str) -> str:
    return f"group by ({', '.join(_GPU)}) ({expression})"


def _attached() -> str:
    return per("genv_environment_device_attached", "eid", "index")


def _up() -> str:
    return per("genv_device_up", "index")
