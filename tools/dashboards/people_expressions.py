"""PromQL expressions about environments and users."""

from tools.dashboards.promql import (
    SELECTED,
    described,
    idle,
    increase,
    named_when_empty,
    of_others,
    on,
    or_none_of,
    per,
    rate,
)

NOBODY_KNOWN = "(unknown)"
"""The name of an unknown user."""

_USER = 'username=~"$username"'
_ENVIRONMENT = 'eid=~"$eid"'
_VIOLATION = f"genv_environment_violation{{{SELECTED}, {_ENVIRONMENT}}}"


def owned(expression: str, info: str) -> str:
    """Add the user and the name of the environment to an expression by environment.

    Series without a user stay, above all ``(other)``, the sum of the environments over the monitor's limits.

    Args:
        expression: has the label eid.
        info: genv_environment_info by eid, username and name.
    """
    joined = described(expression, info, by=["eid"], labels=["username", "name"])
    return named_when_empty(named_when_empty(joined, "username", NOBODY_KNOWN), "name", "(unnamed)")


# Environments.


def environment(metric: str, *labels: str) -> str:
    """Return a metric of the chosen environments of the chosen users."""
    return of_users(per(metric, "eid", *labels, where=_ENVIRONMENT))


def environment_sum(metric: str, *labels: str) -> str:
    """Return a metric of environments, summed over these labels."""
    return of_users(f"sum by (instance, eid) ({per(metric, 'eid', *labels, where=_ENVIRONMENT)})")


def environment_mean(metric: str, *labels: str) -> str:
    """Return the mean of a metric of environments over these labels."""
    return of_users(f"avg by (instance, eid) ({per(metric, 'eid', *labels, where=_ENVIRONMENT)})")


def environment_created() -> str:
    """Return when each environment was activated, in milliseconds since the epoch."""
    return of_users(f"1000 * {per('genv_environment_created_timestamp_seconds', 'eid', where=_ENVIRONMENT)}")


def attached_since() -> str:
    """Return since when each GPU is attached to each environment, in milliseconds since the epoch.

    The device is in the label device, as with what the environment uses of it.
    """
    since = per("genv_environment_device_attached_timestamp_seconds", "eid", "index", where=_ENVIRONMENT)
    named = f'label_replace(1000 * {since}, "device", "$1", "index", "(.*)")'
    used = per("genv_environment_used_gpu_memory_bytes", "eid", "device", where=_ENVIRONMENT)
    return of_users(f"max by (instance, eid, device) ({named}) and {on('eid', 'device')} {used}")


def used_of_limit() -> str:
    """Return the memory of each environment on each GPU as a share of its limit there."""
    used = per("genv_environment_used_gpu_memory_bytes", "eid", "device", where=_ENVIRONMENT)
    return of_users(f"{used} / {on('eid')} group_left () ({_limit()} > 0)")


def limit_on_each() -> str:
    """Return the memory limit of each environment on each of its GPUs, in bytes."""
    used = per("genv_environment_used_gpu_memory_bytes", "eid", "device", where=_ENVIRONMENT)
    return of_users(f"0 * {used} + {on('eid')} group_left () {_limit()}")


def most_on_a_gpu() -> str:
    """Return the memory of each environment on the GPU where it uses the most, in bytes."""
    return of_users(_most())


def most_of_limit() -> str:
    """Return the same as a share of the limit for each GPU."""
    return of_users(f"{_most()} / {on('eid')} ({_limit()} > 0)")


def _most() -> str:
    used = per("genv_environment_used_gpu_memory_bytes", "eid", "device", where=_ENVIRONMENT)
    return f"max by (instance, eid) ({used})"


def _limit() -> str:
    return per("genv_environment_memory_limit_bytes", "eid", where=_ENVIRONMENT)


def broken() -> str:
    """Return 1 for each rule that an environment breaks."""
    return of_users(_broken())


def broken_for() -> str:
    """Return the share of the chosen time range in which each environment broke each rule that it breaks now."""
    share = f"max by (instance, eid, rule) (avg_over_time({_VIOLATION}[$__range]))"
    return of_users(f"{share} and {on('eid', 'rule')} ({_broken()})")


def broken_over_time() -> str:
    """Return whether each environment breaks a rule, of those that broke one in the chosen time range."""
    once = f"max by (instance, eid) (max_over_time({_VIOLATION}[$__range])) == 1"
    ever = per("genv_environment_violation", "eid", "rule", where=_ENVIRONMENT)
    return of_users(f"max by (instance, eid) ({ever}) and {on('eid')} ({once})")


def _broken() -> str:
    return f"{per('genv_environment_violation', 'eid', 'rule', where=_ENVIRONMENT)} == 1"


def of_users(expression: str) -> str:
    """Restrict an expression by environment to the chosen users, and add their names."""
    others = of_others("genv_environment_info", "eid")
    return owned(f"({expression}) unless {on('eid')} {others}", _info())


def _info() -> str:
    return per("genv_environment_info", "eid", "username", "name")


# Attached GPUs.


def attached_gpus() -> str:
    """Return the number of GPUs that are attached to the chosen users."""
    return or_none_of(f"count({_attached()})", _machine_known())


def idle_devices() -> str:
    """Return on how many GPUs of the chosen users their environments are idle, and so is everybody else there."""
    attached = per("genv_environment_device_attached", "eid", "index")
    seconds = per("genv_environment_device_idle_seconds", "eid", "index")
    idle_there = idle(seconds, per("genv_monitor_idle_grace_seconds"))
    wanted = f"group by (instance, index) ({attached} unless {on('eid', 'index')} ({idle_there} > 0))"
    return or_none_of(f"count({_attached()} unless {on('index')} {wanted})", _machine_known())


def idle_for() -> str:
    """Return how long each chosen environment has been idle, in seconds; 0 while in use."""
    return of_users(_idle(where=_ENVIRONMENT))


def _idle(where: str = "") -> str:
    return idle(per("genv_environment_idle_seconds", "eid", where=where), per("genv_monitor_idle_grace_seconds"))


def _attached() -> str:
    attached = per("genv_environment_device_attached", "eid", "index", where=_ENVIRONMENT)
    others = of_others("genv_environment_info", "eid")
    return f"group by (instance, index) ({attached} unless {on('eid')} {others})"


def _machine_known() -> str:
    """Return a series that exists if the attachments of the machine are known."""
    return per("genv_attached_devices_total")


# Users.


def people() -> str:
    """Return the number of chosen users with an active environment; one on several machines counts once."""
    by_name = f"count by (username) ({per('genv_user_environments_total', 'username', where=_USER)})"
    return or_none_of(f"count({by_name})", per("genv_users_total"))


def total(metric: str, *labels: str, known: str) -> str:
    """Return the sum of a metric of environments of the chosen users; 0 if there is none, absent if unknown."""
    return or_none_of(f"sum({environment(metric, *labels)})", per(known))


def user(metric: str) -> str:
    """Return a metric of the chosen users over all chosen machines."""
    summed = f"sum by (username) ({per(metric, 'username', where=_USER)})"
    return named_when_empty(summed, "username", NOBODY_KNOWN)


def users_total(metric: str, known: str) -> str:
    """Return the sum of a metric of the chosen users; 0 if there is none, absent if unknown."""
    return or_none_of(f"sum({per(metric, 'username', where=_USER)})", per(known))


def used(counter: str, per_unit: float) -> str:
    """Return the increase of a usage counter of the chosen users in the chosen time range.

    Args:
        counter: a counter of the ledger.
        per_unit: divisor, such as the seconds of an hour.
    """
    return f"sum by (username) ({increase(counter, 'username', where=_USER)}) / {per_unit:g}"


def used_at_a_time(counter: str) -> str:
    """Return the rate of a usage counter of the chosen users, rounded to tenths."""
    return f"round(sum by (username) ({rate(counter, 'username', where=_USER)}), 0.1)"


def environment_used(counter: str, per_unit: float) -> str:
    """Return a usage counter of the chosen environments, which began at 0 with the environment or the monitor."""
    return f"{environment(counter)} / {per_unit:g}"


def capacity() -> str:
    """Return the mean number of GPUs of the chosen machines in each state."""
    return f"sum by (state) ({rate('genv_capacity_device_seconds_total', 'state')})"


def share_worked() -> str:
    """Return the share of the attached GPU time of the chosen users in which they used the GPUs.

    Clamped to 1, as Prometheus extrapolates both.
    """
    active = f"sum by (username) ({increase('genv_user_active_device_seconds_total', 'username', where=_USER)})"
    allocated = f"sum by (username) ({increase('genv_user_allocated_device_seconds_total', 'username', where=_USER)})"
    return f"clamp_max({active} / ({allocated} > 0), 1)"
