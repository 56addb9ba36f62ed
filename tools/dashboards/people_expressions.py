"""What the dashboards ask about environments and users."""

from tools.dashboards.promql import described, idle, increase, named_when_empty, on, or_none_of, per, rate

NOBODY_KNOWN = "(unknown)"
"""In place of the name of a user that is not known."""

_USER = 'username=~"$username"'
_ENVIRONMENT = 'eid=~"$eid"'


def owned(expression: str, info: str) -> str:
    """Give an expression by environment with the environment's user and name.

    What has no user stays: above all the sum of the environments that are over the monitor's limits, ``(other)``.

    Args:
        expression: by the label eid, and others perhaps.
        info: genv_environment_info by eid, username and name.
    """
    joined = described(expression, info, by=["eid"], labels=["username", "name"])
    return named_when_empty(named_when_empty(joined, "username", NOBODY_KNOWN), "name", "(unnamed)")


# Environments.


def environment(metric: str, *labels: str) -> str:
    """Give a metric of the chosen environments of the chosen users."""
    return of_users(per(metric, "eid", *labels, where=_ENVIRONMENT))


def environment_sum(metric: str, *labels: str) -> str:
    """Give a metric of environments, summed over these labels."""
    return of_users(f"sum by (instance, eid) ({per(metric, 'eid', *labels, where=_ENVIRONMENT)})")


def environment_mean(metric: str, *labels: str) -> str:
    """Give the mean of a metric of environments over these labels."""
    return of_users(f"avg by (instance, eid) ({per(metric, 'eid', *labels, where=_ENVIRONMENT)})")


def environment_most(metric: str, *labels: str) -> str:
    """Give the greatest value of a metric of environments over these labels."""
    return of_users(f"max by (instance, eid) ({per(metric, 'eid', *labels, where=_ENVIRONMENT)})")


def environment_created() -> str:
    """Give when each environment was activated, in milliseconds since the epoch."""
    return of_users(f"1000 * {per('genv_environment_created_timestamp_seconds', 'eid', where=_ENVIRONMENT)}")


def held_since() -> str:
    """Give since when each environment holds each device that it holds, in milliseconds since the epoch.

    The device is in the label device, as with what the environment uses of it.
    """
    since = per("genv_environment_device_attached_timestamp_seconds", "eid", "index", where=_ENVIRONMENT)
    named = f'label_replace(1000 * {since}, "device", "$1", "index", "(.*)")'
    used = per("genv_environment_used_gpu_memory_bytes", "eid", "device", where=_ENVIRONMENT)
    return of_users(f"max by (instance, eid, device) ({named}) and {on('eid', 'device')} {used}")


def broken_for() -> str:
    """Give the share of the chosen time range in which each environment broke each rule."""
    broken = f'genv_environment_violation{{instance=~"$instance", {_ENVIRONMENT}}}'
    share = f"max by (instance, eid, rule) (avg_over_time({broken}[$__range]))"
    return of_users(f"{share} and {on('eid', 'rule')} {per('genv_environment_violation', 'eid', 'rule')}")


def of_users(expression: str) -> str:
    """Give of an expression by environment what is of the chosen users, with their names."""
    others = per("genv_environment_info", "eid", where='username!~"$username"')
    return owned(f"({expression}) unless {on('eid')} {others}", _info())


def _info() -> str:
    return per("genv_environment_info", "eid", "username", "name")


# Devices that are held.


def held_devices() -> str:
    """Give how many different devices the chosen users hold."""
    return or_none_of(f"count({_held()})", _machine_known())


def idle_devices() -> str:
    """Give how many devices of the chosen users are held only by environments that do not work."""
    attached = per("genv_environment_device_attached", "eid", "index")
    wanted = f"group by (instance, index) ({attached} unless {on('eid')} ({_idle()} > 0))"
    return or_none_of(f"count({_held()} unless {on('index')} {wanted})", _machine_known())


def idle_for() -> str:
    """Give for how many seconds each chosen environment is idle, 0 while it is in use."""
    return of_users(_idle(where=_ENVIRONMENT))


def _idle(where: str = "") -> str:
    return idle(per("genv_environment_idle_seconds", "eid", where=where), per("genv_monitor_idle_grace_seconds"))


def _held() -> str:
    attached = per("genv_environment_device_attached", "eid", "index", where=_ENVIRONMENT)
    others = per("genv_environment_info", "eid", where='username!~"$username"')
    return f"group by (instance, index) ({attached} unless {on('eid')} {others})"


def _machine_known() -> str:
    """Give something that is there where it is known who holds what."""
    return per("genv_attached_devices_total")


# Users.


def people() -> str:
    """Give the number of chosen people who have an active environment; one who is on several machines counts once."""
    by_name = f"count by (username) ({per('genv_user_environments_total', 'username', where=_USER)})"
    return or_none_of(f"count({by_name})", per("genv_users_total"))


def total(metric: str, *labels: str, known: str) -> str:
    """Give the sum of a metric of environments of the chosen users; 0 where there is none but it would be known."""
    return or_none_of(f"sum({environment(metric, *labels)})", per(known))


def user(metric: str) -> str:
    """Give a metric of the chosen users over all chosen machines."""
    summed = f"sum by (username) ({per(metric, 'username', where=_USER)})"
    return named_when_empty(summed, "username", NOBODY_KNOWN)


def users_total(metric: str, known: str) -> str:
    """Give the sum of a metric of the chosen users; 0 where there is none but it would be known."""
    return or_none_of(f"sum({per(metric, 'username', where=_USER)})", per(known))


def used(counter: str, per_unit: float) -> str:
    """Give how much of something the chosen users used in the chosen time range.

    Args:
        counter: of the ledger.
        per_unit: of what is counted in one of what is shown, such as seconds in an hour.
    """
    return f"sum by (username) ({increase(counter, 'username', where=_USER)}) / {per_unit:g}"


def used_at_a_time(counter: str) -> str:
    """Give at which rate the chosen users use something, in what is counted per second, rounded to tenths."""
    return f"round(sum by (username) ({rate(counter, 'username', where=_USER)}), 0.1)"


def share_worked() -> str:
    """Give the share of the time for which the chosen users held devices in which they worked on them.

    Prometheus estimates both of them, so that it can come out a little above all of it.
    """
    active = f"sum by (username) ({increase('genv_user_active_device_seconds_total', 'username', where=_USER)})"
    held = f"sum by (username) ({increase('genv_user_allocated_device_seconds_total', 'username', where=_USER)})"
    return f"clamp_max({active} / ({held} > 0), 1)"
